//! The contract of event-store-adapter and Axon: of concurrent writers at one version exactly one
//! succeeds, and all see it.

use super::{Engine, Table, new_commit, stream};
use eventstore::{AppendError, Consistency, Head};
use futures::future::join_all;

cases!(
    a_new_process_sees_every_commit_of_another,
    of_many_writers_at_one_head_exactly_one_succeeds,
);

/// Sixteen processes put after the head concurrently; returns the new end.
async fn race(table: &Table, head: &Head) -> Head {
    let processes: Vec<_> = std::iter::repeat_with(|| table.process()).take(16).collect();
    let writers = processes.iter().enumerate().map(|(index, process)| {
        let events = vec!["x"; index % 3 + 1];
        let commits = vec![new_commit(&format!("w{index}"), &events)];
        process.store.append(head, commits)
    });
    let answers = join_all(writers).await;
    let won: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
    let [won] = &won[..] else { panic!("{} have won", won.len()) };
    for lost in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        let AppendError::Conflict { winner, .. } = lost else { panic!("{lost:?}") };
        assert_eq!(winner.hash(), won.batch.hash(), "each loser is shown who won");
    }
    won.head.clone()
}

async fn of_many_writers_at_one_head_exactly_one_succeeds(engine: &Engine) {
    let table = engine.table().await;
    let mut head = Head::empty(&stream("s"));
    for round in 1..=5 {
        head = race(&table, &head).await;
        let loaded = table.process().load(&stream("s")).await;
        assert_eq!((&loaded.head, loaded.batches.len()), (&head, round));
    }
    assert!(table.process().store.verify(&stream("s")).await.unwrap().verified());
}

async fn a_new_process_sees_every_commit_of_another(engine: &Engine) {
    let table = engine.table().await;
    let (one, other) = (table.process(), table.process());
    let mut head = Head::empty(&stream("s"));
    for (index, (writer, reader)) in
        [(&one, &other), (&other, &one), (&one, &other)].into_iter().enumerate()
    {
        head = writer.append(&head, vec![new_commit(&format!("c{index}"), &["x"])]).await.head;
        assert_eq!(reader.load(&stream("s")).await.head, head);
        assert_eq!(reader.store.head(&stream("s"), Consistency::Strong).await.unwrap().0, head);
    }
}
