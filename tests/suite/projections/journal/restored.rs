//! The event table is restored to an earlier time, and its streams get other commits.

use super::{append, notification, process, project, stored, stream, write, written};
use crate::harness::stack::{TestStack, event_key};
use crate::projections::rebuild::jobs::{projector, reconcile};
use eventstore::{Consistency, StreamId};
use projections::journal::PROJECTION;

/// Removes the stream's commits after the version.
async fn cut(stack: &TestStack, stream: &StreamId, version: u64) {
    let (head, _) = stack.store.head(stream, Consistency::Strong).await.unwrap();
    for gone in version + 1..=head.version() {
        let request = stack.clients().dynamodb.delete_item().table_name(stack.names.events());
        request.set_key(Some(event_key(stream.as_str(), gone))).send().await.unwrap();
    }
}

#[tokio::test]
async fn commits_of_a_restored_stream_come_after_the_lost_ones() {
    let stack = TestStack::start().await;
    let [shorter, same, longer, gone] = ["shorter", "same", "longer", "gone"].map(stream);
    let writer = process(&stack);
    for stream in [&shorter, &same, &longer, &gone] {
        append(&writer, &write(&stack, stream, 5).await).await;
    }
    let before = stored(&stack, 1).await;
    cut(&stack, &shorter, 2).await;
    cut(&stack, &same, 2).await;
    cut(&stack, &longer, 2).await;
    cut(&stack, &gone, 0).await;
    let mut new = write(&stack, &shorter, 1).await;
    new.extend(write(&stack, &same, 3).await);
    new.extend(write(&stack, &longer, 5).await);
    // All in the order of the queue, then all once more.
    for batch in new.iter().chain(&new) {
        append(&writer, std::slice::from_ref(batch)).await;
    }
    let after = stored(&stack, 1).await;
    assert!(before.iter().all(|(position, entry)| after.get(position) == Some(entry)));
    let added: Vec<_> = after.values().skip(before.len()).cloned().collect();
    let all = written(&stack, &[shorter.clone(), same.clone(), longer.clone()]).await;
    let expected: Vec<_> = [&shorter, &same, &longer]
        .into_iter()
        .flat_map(|stream| all[stream].iter().skip(2).cloned())
        .collect();
    assert_eq!(added, expected);
    let report = reconcile(&projector(&stack), &PROJECTION).await;
    assert!(report.complete, "{report:?}");
    assert_eq!(stored(&stack, 1).await, after);
}

#[tokio::test]
async fn a_pass_finds_new_commits_of_a_restored_stream() {
    let stack = TestStack::start().await;
    let (a, b) = (stream("a"), stream("b"));
    append(&process(&stack), &write(&stack, &a, 5).await).await;
    append(&process(&stack), &write(&stack, &b, 5).await).await;
    cut(&stack, &a, 3).await;
    cut(&stack, &b, 3).await;
    // No message comes for the commit that is now at version 4.
    write(&stack, &a, 1).await;
    let report = reconcile(&projector(&stack), &PROJECTION).await;
    assert!(report.complete, "{report:?}");
    let journal = stored(&stack, 1).await;
    assert_eq!(journal.len(), 11);
    assert_eq!(journal[&11], written(&stack, std::slice::from_ref(&a)).await[&a][3]);
    assert!(reconcile(&projector(&stack), &PROJECTION).await.complete);
    assert_eq!(stored(&stack, 1).await.len(), 11);
}

#[tokio::test]
async fn a_message_of_a_lost_commit_is_refused() {
    let stack = TestStack::start().await;
    let a = stream("a");
    let all = write(&stack, &a, 3).await;
    append(&process(&stack), &all[..2]).await;
    cut(&stack, &a, 2).await;
    // It continues the chain, and only the store could tell: it is journaled.
    append(&process(&stack), &all[2..]).await;
    assert_eq!(stored(&stack, 1).await.len(), 3);
    cut(&stack, &a, 1).await;
    let new = write(&stack, &a, 2).await;
    append(&process(&stack), &new[..1]).await;
    let failed = project(&process(&stack), vec![notification(&all[2])]).await;
    let journal = stored(&stack, 1).await;
    assert_eq!(journal.len(), 5, "{failed:?}");
    let all = written(&stack, std::slice::from_ref(&a)).await;
    assert_eq!([&journal[&4], &journal[&5]], [&all[&a][1], &all[&a][2]]);
}
