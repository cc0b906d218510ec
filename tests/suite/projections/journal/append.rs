//! One writer: order, gaps, duplicates, and deaths between any two requests.

use super::{
    address, append, assert_exact, notification, process, process_over, project, stored, stream,
    write,
};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::stack::{TestStack, event_key};
use eventstore::{Batch, ReadError, StreamId};
use projections::journal::PROJECTION;
use projections::{ProjectError, TimeLimit};
use std::time::Duration;

#[tokio::test]
async fn commits_get_the_positions_of_their_arrival() {
    let stack = TestStack::start().await;
    let (a, b) = (stream("a"), stream("b"));
    let (of_a, of_b) = (write(&stack, &a, 3).await, write(&stack, &b, 2).await);
    let writer = process(&stack);
    append(&writer, &of_b[..1]).await;
    append(&writer, &of_a[..2]).await;
    append(&writer, &of_b[1..]).await;
    append(&process(&stack), &of_a[2..]).await;
    let journal = stored(&stack, 1).await;
    let order: Vec<(&str, u64)> =
        journal.values().map(|(stream, version, ..)| (&**stream, *version)).collect();
    assert_eq!(order, [("note-b", 1), ("note-a", 1), ("note-a", 2), ("note-b", 2), ("note-a", 3)]);
    assert_exact(&stack, 1, &[a, b]).await;
}

#[tokio::test]
async fn missing_commits_come_from_the_store() {
    let stack = TestStack::start().await;
    let (a, b) = (stream("a"), stream("b"));
    let (mut of_a, of_b) = (write(&stack, &a, 3).await, write(&stack, &b, 2).await);
    let writer = process(&stack);
    append(&writer, &of_a[2..]).await;
    assert_eq!(stored(&stack, 1).await.len(), 3, "the two before it, too");
    of_a.extend(write(&stack, &a, 2).await);
    let failed = project(&writer, vec![address(&of_a[4]), address(&of_b[1])]).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert_exact(&stack, 1, &[a, b]).await;
}

#[tokio::test]
async fn a_repeated_message_changes_nothing() {
    let stack = TestStack::start().await;
    let a = stream("a");
    let all = write(&stack, &a, 6).await;
    let wire = FaultInjector::default();
    let writer = process_over(&stack, &wire);
    append(&writer, &all).await;
    wire.take();
    append(&writer, &all[5..]).await;
    assert_eq!(wire.operations(), Vec::<String>::new(), "the newest is known by its hash");
    for batch in &all {
        append(&writer, std::slice::from_ref(batch)).await;
        append(&process(&stack), std::slice::from_ref(batch)).await;
    }
    let failed = project(&writer, all.iter().rev().map(address).collect()).await;
    assert!(failed.is_empty(), "{failed:?}");
    assert_exact(&stack, 1, &[a]).await;
}

/// Streams of several batches of the journal: 250 commits.
async fn many(stack: &TestStack) -> (Vec<StreamId>, Vec<Batch>) {
    let streams: Vec<StreamId> = (0..5).map(|number| stream(&format!("m{number}"))).collect();
    let mut batches = Vec::new();
    for stream in &streams {
        batches.extend(write(stack, stream, 50).await);
    }
    (streams, batches)
}

#[tokio::test]
async fn a_writer_that_dies_between_any_requests_loses_and_doubles_none() {
    let stack = TestStack::start().await;
    let (streams, batches) = many(&stack).await;
    let (mut deaths, mut done, mut request) = (0, 0, 0);
    // Each death leaves what it did; the next writer continues there.
    while done < batches.len() {
        request = request % 12 + 1;
        for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::LosesAnswer] {
            let wire = FaultInjector::default();
            let writer = process_over(&stack, &wire);
            wire.arm(Some(fault(request)));
            // A part that is journaled, one that may be, and one that is new: two batches.
            let part = &batches[done.saturating_sub(3)..(done + 130).min(batches.len())];
            let failed = project(&writer, part.iter().map(notification).collect()).await;
            deaths += usize::from(!wire.is_armed());
            done = (done + 3 * usize::from(failed.is_empty())).min(batches.len());
        }
    }
    assert!(deaths > 60, "only {deaths} times");
    append(&process(&stack), &batches).await;
    assert_exact(&stack, 1, &streams).await;
}

#[tokio::test]
async fn a_corrupt_item_stops_its_own_stream_only() {
    let stack = TestStack::start().await;
    let (a, b) = (stream("a"), stream("b"));
    let (of_a, of_b) = (write(&stack, &a, 4).await, write(&stack, &b, 2).await);
    let request = stack.clients().dynamodb.delete_item().table_name(stack.names.events());
    request.set_key(Some(event_key(a.as_str(), 3))).send().await.unwrap();
    let notifications = vec![address(&of_a[3]), notification(&of_b[0]), notification(&of_b[1])];
    let failed = project(&process(&stack), notifications).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0].stream == a && failed[0].error.is_permanent(), "{failed:?}");
    assert!(
        matches!(failed[0].error, ProjectError::Read(ReadError::Corrupt(ref corrupt)) if corrupt.version == 3),
        "{failed:?}"
    );
    let journal = stored(&stack, 1).await;
    let of =
        |stream: &StreamId| journal.values().filter(|entry| entry.0 == stream.as_str()).count();
    assert_eq!((of(&a), of(&b)), (2, 2));
}

#[tokio::test]
async fn a_long_gap_is_filled_over_several_calls() {
    let stack = TestStack::start().await;
    let a = stream("a");
    let all = write(&stack, &a, 1_200).await;
    let (writer, mut calls) = (process(&stack), 0);
    loop {
        calls += 1;
        let notifications = vec![address(all.last().unwrap())];
        let failed =
            writer.project(&PROJECTION, notifications, TimeLimit::after(Duration::ZERO)).await;
        if failed.is_empty() {
            break;
        }
        assert!(failed[0].error.is_out_of_time(), "{failed:?}");
    }
    assert_eq!(calls, 3, "500 events a page");
    assert_exact(&stack, 1, &[a]).await;
}
