//! Tags of queues.

use std::collections::HashMap;

use super::QueueEngine;

cases!(tags_are_added_changed_listed_and_removed);

async fn listed(engine: &QueueEngine, url: &str) -> HashMap<String, String> {
    engine.client.list_queue_tags().queue_url(url).send().await.unwrap().tags.unwrap_or_default()
}

fn tags<const N: usize>(pairs: [(&str, &str); N]) -> HashMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

async fn tags_are_added_changed_listed_and_removed(engine: &QueueEngine) {
    let made = engine
        .client
        .create_queue()
        .queue_name(engine.name(""))
        .tags("made", "1")
        .send()
        .await
        .unwrap();
    let url = made.queue_url.unwrap();
    assert_eq!(listed(engine, &url).await, tags([("made", "1")]));
    engine
        .client
        .tag_queue()
        .queue_url(&url)
        .tags("made", "2")
        .tags("team", "ledger")
        .send()
        .await
        .unwrap();
    assert_eq!(listed(engine, &url).await, tags([("made", "2"), ("team", "ledger")]));
    engine
        .client
        .untag_queue()
        .queue_url(&url)
        .tag_keys("made")
        .tag_keys("absent")
        .send()
        .await
        .unwrap();
    assert_eq!(listed(engine, &url).await, tags([("team", "ledger")]));
}
