//! Creating, finding, describing, changing, purging and deleting queues.

use aws_sdk_sqs::types::QueueAttributeName::{self, *};

use super::{EngineKind, QueueEngine, code};

cases!(
    a_queue_created_twice_with_equal_attributes_is_one_queue,
    a_queue_made_again_with_other_attributes_is_refused,
    names_of_queues_are_checked,
    an_unknown_queue_does_not_exist_for_any_call,
    queues_are_listed_by_prefix_in_pages,
    a_queue_describes_itself,
    changed_attributes_are_kept_and_wrong_ones_refused,
    a_deleted_queue_is_gone,
    a_purged_queue_is_empty_and_not_purged_again_at_once,
    messages_are_counted_by_state,
);

async fn a_queue_created_twice_with_equal_attributes_is_one_queue(engine: &QueueEngine) {
    let name = engine.name("");
    let url = engine.create(&name, &[(VisibilityTimeout, "40")]).await;
    assert_eq!(engine.create(&name, &[(VisibilityTimeout, "40")]).await, url);
    let found = engine.client.get_queue_url().queue_name(&name).send().await.unwrap();
    assert_eq!(found.queue_url.unwrap(), url);
    assert!(url.ends_with(&format!("/{name}")));
}

async fn a_queue_made_again_with_other_attributes_is_refused(engine: &QueueEngine) {
    let name = engine.name("");
    engine.create(&name, &[(VisibilityTimeout, "40")]).await;
    let again = engine
        .client
        .create_queue()
        .queue_name(&name)
        .attributes(VisibilityTimeout, "41")
        .send()
        .await;
    assert!(again.unwrap_err().into_service_error().is_queue_name_exists());
}

async fn names_of_queues_are_checked(engine: &QueueEngine) {
    let create = |name: String| engine.client.create_queue().queue_name(name);
    for name in ["a.b".to_owned(), "a b".to_owned(), "q".repeat(81), engine.name(".fifo")] {
        let made = create(name.clone()).send().await;
        match engine.kind {
            EngineKind::Ministack => assert!(made.is_ok(), "ministack accepts any name: {name}"),
            EngineKind::Embedded | EngineKind::Other => {
                assert_eq!(code(made), "InvalidParameterValue", "{name}")
            }
        }
    }
    let fifo = create(engine.name("")).attributes(FifoQueue, "true").send().await;
    assert_eq!(code(fifo), "InvalidParameterValue");
    create(format!("{}-{}", engine.name(""), "q".repeat(58))).send().await.unwrap();
}

async fn an_unknown_queue_does_not_exist_for_any_call(engine: &QueueEngine) {
    let url = engine.queue().await;
    let url = format!("{}/{}", url.rsplit_once('/').unwrap().0, engine.name("-never-made"));
    let client = &engine.client;
    let sent = client.send_message().queue_url(&url).message_body("a").send().await;
    assert!(!sent.as_ref().unwrap_err().as_service_error().unwrap().is_invalid_message_contents());
    assert_eq!(code(sent), "AWS.SimpleQueueService.NonExistentQueue");
    let received = client.receive_message().queue_url(&url).send().await;
    assert!(received.unwrap_err().into_service_error().is_queue_does_not_exist());
    let deleted = client.delete_message().queue_url(&url).receipt_handle("h").send().await;
    assert!(deleted.unwrap_err().into_service_error().is_queue_does_not_exist());
    let purged = client.purge_queue().queue_url(&url).send().await;
    assert!(purged.unwrap_err().into_service_error().is_queue_does_not_exist());
    let described = client.get_queue_attributes().queue_url(&url).attribute_names(All).send().await;
    assert!(described.unwrap_err().into_service_error().is_queue_does_not_exist());
    let found = client.get_queue_url().queue_name(engine.name("-never-made")).send().await;
    assert!(found.unwrap_err().into_service_error().is_queue_does_not_exist());
    let tags = client.list_queue_tags().queue_url(&url).send().await;
    assert!(tags.unwrap_err().into_service_error().is_queue_does_not_exist());
}

async fn queues_are_listed_by_prefix_in_pages(engine: &QueueEngine) {
    let prefix = engine.name("-page");
    let mut urls = Vec::new();
    for n in 0..5 {
        urls.push(engine.create(&format!("{prefix}-{n}"), &[]).await);
    }
    let all = engine.client.list_queues().queue_name_prefix(&prefix).send().await.unwrap();
    let mut listed = all.queue_urls.unwrap();
    listed.sort_unstable();
    assert_eq!(listed, urls);
    let (mut listed, mut token, mut pages) = (Vec::new(), None, 0);
    loop {
        let request = engine
            .client
            .list_queues()
            .queue_name_prefix(&prefix)
            .max_results(2)
            .set_next_token(token);
        let page = request.send().await.unwrap();
        listed.extend(page.queue_urls.unwrap_or_default());
        pages += 1;
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    listed.sort_unstable();
    assert_eq!((listed, pages), (urls, 3));
}

async fn a_queue_describes_itself(engine: &QueueEngine) {
    let name = engine.name(".fifo");
    let url = engine.create(&name, &[(FifoQueue, "true"), (DelaySeconds, "3")]).await;
    let all = engine
        .client
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(All)
        .send()
        .await
        .unwrap();
    let all = all.attributes.unwrap();
    assert!(
        all[&QueueArn].starts_with("arn:aws:sqs:us-east-1:")
            && all[&QueueArn].ends_with(&format!(":{name}"))
    );
    let values = |names: &[QueueAttributeName]| {
        names.iter().map(|name| all[name].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        values(&[DelaySeconds, VisibilityTimeout, MessageRetentionPeriod]),
        ["3", "30", "345600"]
    );
    assert_eq!(
        values(&[MaximumMessageSize, ReceiveMessageWaitTimeSeconds, FifoQueue]),
        ["1048576", "0", "true"]
    );
    assert!(all[&CreatedTimestamp].parse::<u64>().unwrap() > 1_600_000_000);
    assert!(all[&LastModifiedTimestamp] >= all[&CreatedTimestamp]);
    let one = engine
        .client
        .get_queue_attributes()
        .queue_url(&url)
        .attribute_names(DelaySeconds)
        .send()
        .await;
    assert_eq!(one.unwrap().attributes.unwrap().len(), 1);
}

async fn changed_attributes_are_kept_and_wrong_ones_refused(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.set(&url, VisibilityTimeout, "77").await;
    assert_eq!(engine.attribute(&url, VisibilityTimeout).await.as_deref(), Some("77"));
    for (name, value) in [
        (VisibilityTimeout, "43201"),
        (DelaySeconds, "901"),
        (MessageRetentionPeriod, "59"),
        (MaximumMessageSize, "1023"),
        (ReceiveMessageWaitTimeSeconds, "21"),
        (DelaySeconds, "soon"),
    ] {
        let set = engine
            .client
            .set_queue_attributes()
            .queue_url(&url)
            .attributes(name.clone(), value)
            .send()
            .await;
        assert!(
            set.unwrap_err().into_service_error().is_invalid_attribute_value(),
            "{name} {value}"
        );
    }
    let unknown = engine
        .client
        .set_queue_attributes()
        .queue_url(&url)
        .attributes("Colour".into(), "red")
        .send()
        .await;
    match engine.kind {
        EngineKind::Ministack => assert!(unknown.is_ok(), "ministack takes unknown attributes"),
        EngineKind::Embedded | EngineKind::Other => {
            assert!(unknown.unwrap_err().into_service_error().is_invalid_attribute_name());
        }
    }
    assert_eq!(engine.attribute(&url, VisibilityTimeout).await.as_deref(), Some("77"));
}

async fn a_deleted_queue_is_gone(engine: &QueueEngine) {
    let name = engine.name("");
    let url = engine.create(&name, &[]).await;
    engine.send(&url, "a").await;
    engine.client.delete_queue().queue_url(&url).send().await.unwrap();
    let received = engine.client.receive_message().queue_url(&url).send().await;
    assert!(received.unwrap_err().into_service_error().is_queue_does_not_exist());
    let again = engine.client.create_queue().queue_name(&name).send().await;
    match engine.kind {
        EngineKind::Ministack => assert!(again.is_ok(), "ministack frees the name at once"),
        EngineKind::Embedded | EngineKind::Other => {
            assert!(again.unwrap_err().into_service_error().is_queue_deleted_recently());
        }
    }
}

async fn a_purged_queue_is_empty_and_not_purged_again_at_once(engine: &QueueEngine) {
    let url = engine.queue().await;
    engine.send(&url, "waiting").await;
    engine.send(&url, "in flight").await;
    engine.receive(&url, 1).await;
    engine.client.purge_queue().queue_url(&url).send().await.unwrap();
    assert!(engine.receive(&url, 10).await.is_empty());
    for name in [ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible] {
        assert_eq!(engine.attribute(&url, name).await.as_deref(), Some("0"));
    }
    let again = engine.client.purge_queue().queue_url(&url).send().await;
    match engine.kind {
        EngineKind::Ministack => assert!(again.is_ok(), "ministack has no limit of purges"),
        EngineKind::Embedded | EngineKind::Other => {
            assert!(again.unwrap_err().into_service_error().is_purge_queue_in_progress());
        }
    }
}

async fn messages_are_counted_by_state(engine: &QueueEngine) {
    let url = engine.queue().await;
    for body in ["a", "b", "c"] {
        engine.send(&url, body).await;
    }
    let delayed = engine.client.send_message().queue_url(&url).message_body("d").delay_seconds(900);
    delayed.send().await.unwrap();
    assert_eq!(engine.receive(&url, 1).await.len(), 1);
    let mut counts = Vec::new();
    for name in [
        ApproximateNumberOfMessages,
        ApproximateNumberOfMessagesNotVisible,
        ApproximateNumberOfMessagesDelayed,
    ] {
        counts.push(engine.attribute(&url, name).await.unwrap());
    }
    assert_eq!(counts, ["2", "1", "1"]);
}
