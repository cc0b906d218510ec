//! KurrentDB: events are sent again, all or some of them, at every version that the sender may
//! expect.
//! In KurrentDB the answer depends on the expected version: at the current one the same event is
//! written twice. Here the recorded result is the answer at any version.

use super::{
    Answer, Engine, Process, Table, expecting, frozen_clock, new_commit, stream, ticking_clock,
};
use eventstore::{AppendError, CommandRequest, Consistency, ExecuteError, Head, StreamId};

cases!(
    a_batch_sent_again_is_a_replay,
    an_overlapping_batch_is_refused_whole,
    a_command_of_a_batch_sent_again_alone_is_known,
    a_command_sent_again_is_known_whatever_version_it_expects,
    a_new_command_at_a_past_or_future_version_is_refused,
);

/// A stream that was counted to the number. Each command expects the version before it.
async fn counted_to(table: &Table, number: u64) -> StreamId {
    let (process, stream) = (table.process(), stream(&format!("to-{number}")));
    for version in 0..number {
        let command = expecting(&stream, &format!("c{version}"), Some(version));
        assert_eq!(process.execute(&command, 1).await.unwrap().version, version + 1);
    }
    stream
}

/// Sends it from another process without a cache.
async fn sent(table: &Table, request: &CommandRequest) -> Answer {
    table.process().execute(request, 1).await
}

async fn head(table: &Table, stream: &StreamId) -> Head {
    table.process().store.head(stream, Consistency::Strong).await.unwrap().0
}

async fn a_command_sent_again_is_known_whatever_version_it_expects(engine: &Engine) {
    let table = engine.table().await;
    for length in [1, 3, 6] {
        let stream = counted_to(&table, length).await;
        let end = head(&table, &stream).await;
        let warm = table.process();
        for index in 0..length {
            let expected = [
                None,
                Some(0),
                Some(index),
                Some(length - 1),
                Some(length),
                Some(length + 1),
                Some(u64::MAX),
            ];
            for (expected, creates) in
                expected.into_iter().map(|expected| (expected, false)).chain([(Some(0), true)])
            {
                let again = CommandRequest {
                    creates,
                    ..expecting(&stream, &format!("c{index}"), expected)
                };
                for handled in
                    [sent(&table, &again).await.unwrap(), warm.execute(&again, 1).await.unwrap()]
                {
                    assert_eq!(
                        (handled.replayed, handled.version),
                        (true, index + 1),
                        "c{index} at {expected:?}"
                    );
                }
            }
        }
        assert_eq!(head(&table, &stream).await, end, "nothing was written");
    }
}

async fn a_new_command_at_a_past_or_future_version_is_refused(engine: &Engine) {
    let table = engine.table().await;
    let stream = counted_to(&table, 6).await;
    for expected in [0, 5, 7, u64::MAX] {
        let refused = sent(&table, &expecting(&stream, "new", Some(expected))).await;
        assert!(
            matches!(refused, Err(ExecuteError::VersionMismatch { actual: 6, .. })),
            "{refused:?}"
        );
    }
    assert_eq!(sent(&table, &expecting(&stream, "new", Some(6))).await.unwrap().version, 7);
    assert_eq!(sent(&table, &expecting(&stream, "newer", None)).await.unwrap().version, 8);
}

/// Two commits in one batch, in a new table.
async fn two_at_once(process: &Process) -> Head {
    let head = Head::empty(&stream("batch"));
    process.append(&head, vec![new_commit("a", &["1"]), new_commit("b", &["2"])]).await.head
}

async fn a_batch_sent_again_is_a_replay(engine: &Engine) {
    let batch = || vec![new_commit("a", &["1"]), new_commit("b", &["2"])];
    for clock in [frozen_clock(), ticking_clock()] {
        let process = engine.table().await.process_with(clock);
        let end = two_at_once(&process).await;
        let again = process.append(&Head::empty(end.stream()), batch()).await;
        assert_eq!((&again.head, again.repeated), (&end, true));
        assert_eq!(process.load(end.stream()).await.head, end);
    }
}

async fn an_overlapping_batch_is_refused_whole(engine: &Engine) {
    let process = engine.table().await.process_with(frozen_clock());
    let end = two_at_once(&process).await;
    let (a, b, x) = (new_commit("a", &["1"]), new_commit("b", &["2"]), new_commit("x", &["3"]));
    let overlapping = [
        ("longer", vec![a.clone(), b.clone(), x.clone()]),
        ("shorter", vec![a.clone()]),
        ("another second", vec![a, x.clone()]),
        ("another first", vec![x.clone(), b.clone()]),
        ("the second alone", vec![b]),
        ("another", vec![x]),
    ];
    for (what, batch) in overlapping {
        let refused = process.store.append(&Head::empty(end.stream()), batch).await;
        let Err(AppendError::Conflict { winner, .. }) = refused else {
            panic!("{what}: {refused:?}")
        };
        assert_eq!(winner.last_version(), 2, "{what}");
        assert_eq!(process.load(end.stream()).await.head, end, "{what}");
    }
}

async fn a_command_of_a_batch_sent_again_alone_is_known(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("batch");
    let counting = |command: &str| {
        let mut commit = new_commit(command, &["x"]);
        commit.metadata = expecting(&stream, command, None).metadata;
        commit
    };
    let writer = table.process();
    writer.append(&Head::empty(&stream), vec![counting("a"), counting("b")]).await;
    for (command, version) in [("a", 1), ("b", 2)] {
        for expected in [None, Some(0), Some(1), Some(2)] {
            let handled = sent(&table, &expecting(&stream, command, expected)).await.unwrap();
            assert_eq!(
                (handled.replayed, handled.version),
                (true, version),
                "{command} at {expected:?}"
            );
        }
    }
    assert_eq!(head(&table, &stream).await.version(), 2);
}
