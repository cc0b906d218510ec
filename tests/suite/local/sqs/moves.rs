//! Move tasks: they move messages out of a dead-letter queue.

use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{ListMessageMoveTasksResultEntry, QueueAttributeName};

use super::{EngineKind, QueueEngine, bodies, code, sorted_bodies};

cases!(
    a_move_task_takes_messages_back_to_their_source,
    a_move_task_may_have_another_destination,
    a_move_task_keeps_the_order_of_a_group,
    a_running_move_task_is_alone_and_can_be_cancelled,
    a_move_task_needs_a_dead_letter_queue,
);

/// Whether the engine has move tasks. If not, asserts its error.
async fn has_moves(engine: &QueueEngine) -> bool {
    match engine.kind {
        EngineKind::Embedded | EngineKind::Other => true,
        EngineKind::Ministack => {
            let start = engine
                .client
                .start_message_move_task()
                .source_arn("arn:aws:sqs:us-east-1:000000000000:q");
            assert_eq!(code(start.send().await), "InvalidAction");
            let list = engine
                .client
                .list_message_move_tasks()
                .source_arn("arn:aws:sqs:us-east-1:000000000000:q");
            assert_eq!(code(list.send().await), "InvalidAction");
            let cancel = engine.client.cancel_message_move_task().task_handle("h");
            assert_eq!(code(cancel.send().await), "InvalidAction");
            false
        }
    }
}

struct Pair {
    source: String,
    dead: String,
    dead_arn: String,
}

/// A source and its dead-letter queue with these messages.
async fn dead_letters(engine: &QueueEngine, fifo: bool, letters: &[&str]) -> Pair {
    let (dead, source) = if fifo {
        (engine.fifo().await, engine.fifo().await)
    } else {
        (engine.queue().await, engine.queue().await)
    };
    let policy = engine.redrive_to(&dead, 1).await;
    engine.set(&source, QueueAttributeName::RedrivePolicy, &policy).await;
    for letter in letters {
        engine.send_to_group(&source, "g", letter).await;
    }
    for message in engine.await_messages(&source, letters.len()).await.iter().rev() {
        engine.hide(&source, message, 0).await;
    }
    assert!(engine.receive(&source, 10).await.is_empty());
    let dead_arn = engine.arn(&dead).await;
    Pair { source, dead, dead_arn }
}

async fn newest(engine: &QueueEngine, arn: &str) -> ListMessageMoveTasksResultEntry {
    let tasks = engine.client.list_message_move_tasks().source_arn(arn).send().await.unwrap();
    tasks.results()[0].clone()
}

async fn completed(engine: &QueueEngine, arn: &str) -> ListMessageMoveTasksResultEntry {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let task = newest(engine, arn).await;
        if task.status() != Some("RUNNING") {
            return task;
        }
        assert!(Instant::now() < deadline, "the task still runs: {task:?}");
        tokio::task::yield_now().await;
    }
}

async fn a_move_task_takes_messages_back_to_their_source(engine: &QueueEngine) {
    if !has_moves(engine).await {
        return;
    }
    let Pair { source, dead, dead_arn } = dead_letters(engine, false, &["a", "b", "c"]).await;
    engine.client.start_message_move_task().source_arn(&dead_arn).send().await.unwrap();
    let task = completed(engine, &dead_arn).await;
    assert_eq!(
        (task.status(), task.approximate_number_of_messages_moved()),
        (Some("COMPLETED"), 3)
    );
    assert_eq!(task.approximate_number_of_messages_to_move(), Some(3));
    assert_eq!((task.task_handle(), task.source_arn()), (None, Some(dead_arn.as_str())));
    let back = engine.await_messages(&source, 3).await;
    assert_eq!(sorted_bodies(&back), ["a", "b", "c"], "received once, not moved back at once");
    assert!(engine.receive(&dead, 10).await.is_empty());
}

async fn a_move_task_may_have_another_destination(engine: &QueueEngine) {
    if !has_moves(engine).await {
        return;
    }
    let Pair { source, dead_arn, .. } = dead_letters(engine, false, &["a"]).await;
    let elsewhere = engine.queue().await;
    let request = engine.client.start_message_move_task().source_arn(&dead_arn);
    request.destination_arn(engine.arn(&elsewhere).await).send().await.unwrap();
    assert_eq!(bodies(&engine.await_messages(&elsewhere, 1).await), ["a"]);
    assert!(engine.receive(&source, 10).await.is_empty());
}

async fn a_move_task_keeps_the_order_of_a_group(engine: &QueueEngine) {
    if !has_moves(engine).await {
        return;
    }
    let Pair { source, dead_arn, .. } = dead_letters(engine, true, &["1", "2", "3"]).await;
    engine.client.start_message_move_task().source_arn(&dead_arn).send().await.unwrap();
    completed(engine, &dead_arn).await;
    assert_eq!(bodies(&engine.await_messages(&source, 3).await), ["1", "2", "3"]);
}

async fn a_running_move_task_is_alone_and_can_be_cancelled(engine: &QueueEngine) {
    if !has_moves(engine).await {
        return;
    }
    let letters = ["1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let Pair { dead_arn, .. } = dead_letters(engine, false, &letters).await;
    let start = || engine.client.start_message_move_task().source_arn(&dead_arn);
    let task =
        start().max_number_of_messages_per_second(1).send().await.unwrap().task_handle.unwrap();
    assert_eq!(newest(engine, &dead_arn).await.task_handle(), Some(task.as_str()));
    assert!(start().send().await.unwrap_err().into_service_error().is_unsupported_operation());
    let cancelled =
        engine.client.cancel_message_move_task().task_handle(&task).send().await.unwrap();
    assert!(cancelled.approximate_number_of_messages_moved() < 9);
    assert!(
        newest(engine, &dead_arn).await.status().is_some_and(|status| status.starts_with("CANCEL"))
    );
    let again = engine.client.cancel_message_move_task().task_handle("no such task").send().await;
    assert!(again.unwrap_err().into_service_error().is_resource_not_found_exception());
}

async fn a_move_task_needs_a_dead_letter_queue(engine: &QueueEngine) {
    if !has_moves(engine).await {
        return;
    }
    let plain = engine.arn(&engine.queue().await).await;
    let start = |arn: String| engine.client.start_message_move_task().source_arn(arn);
    assert_eq!(code(start(plain.clone()).send().await), "InvalidParameterValue");
    let absent = start(format!("{plain}-absent")).send().await;
    assert!(absent.unwrap_err().into_service_error().is_resource_not_found_exception());
    let Pair { dead_arn, .. } = dead_letters(engine, false, &["a"]).await;
    assert_eq!(
        code(start(dead_arn.clone()).destination_arn(&dead_arn).send().await),
        "InvalidParameterValue"
    );
    assert_eq!(
        code(start(dead_arn).max_number_of_messages_per_second(501).send().await),
        "InvalidParameterValue"
    );
}
