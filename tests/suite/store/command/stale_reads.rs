//! Eventually consistent reads that lack the newest commits. The engines here have none, so the
//! wire removes commits from their answers.

use crate::store::{Act, Engine, Process, Refusal, Table, Tally, close, request, stream};
use eventstore::{CommandRequest, ExecuteError, StreamId};
use serde_json::Value;

cases!(
    a_refusal_is_final_on_a_consistent_read_only,
    a_retry_whose_commit_is_not_seen_is_still_a_retry,
    a_stale_read_costs_a_lost_race_only,
    a_version_mismatch_is_final_on_a_consistent_read_only,
    a_no_op_is_final_on_a_consistent_read_only,
    a_command_that_a_stale_read_would_refuse_is_done,
);

/// Removes the newest `count` items from the answer of an eventually consistent query.
pub(in crate::store) fn without_newest(request: &Value, count: usize) -> Act {
    if request["ConsistentRead"] == Value::Bool(true) || count == 0 {
        return Act::Pass;
    }
    let newest_first = request["ScanIndexForward"] == Value::Bool(false);
    Act::Change(Box::new(move |answer| {
        let Some(items) = answer["Items"].as_array_mut() else { return };
        let kept = items.len().saturating_sub(count);
        if newest_first {
            items.drain(..items.len() - kept);
        }
        items.truncate(kept);
    }))
}

/// A process whose eventually consistent reads miss the newest commits.
fn behind_by(table: &Table, count: usize) -> Process {
    let process = table.process();
    process.wire.rule(move |seen| {
        let query = seen.operation == "Query";
        std::future::ready(if query { without_newest(&seen.body, count) } else { Act::Pass })
    });
    process
}

/// A tally that was opened and counted to 3 in three commands.
async fn three_counts(table: &Table) -> StreamId {
    let (process, stream) = (table.process(), stream("s"));
    process.open(&stream, "opening").await.unwrap();
    for command in ["first", "second", "third"] {
        process.count(&stream, command, 1).await.unwrap();
    }
    stream
}

/// For each read of the process: whether it was consistent.
fn reads(process: &Process) -> Vec<bool> {
    let queries = process.wire.take().into_iter().filter(|exchange| exchange.operation == "Query");
    queries.map(|query| query.request["ConsistentRead"] == Value::Bool(true)).collect()
}

async fn a_stale_read_costs_a_lost_race_only(engine: &Engine) {
    let table = engine.table().await;
    let stream = three_counts(&table).await;
    for (count, lost_races) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 2)] {
        let process = behind_by(&table, count);
        let before = process.load(&stream).await.head.version();
        process.wire.take();
        let handled = process.count(&stream, &format!("behind-by-{count}"), 1).await.unwrap();
        assert_eq!(
            (handled.replayed, handled.version, handled.lost_races),
            (false, before + 1, lost_races)
        );
        assert_eq!(reads(&process).len(), if count < 2 { 1 } else { 2 });
    }
    assert_eq!(table.process().tally(&stream).await.total, 8);
}

async fn a_refusal_is_final_on_a_consistent_read_only(engine: &Engine) {
    let table = engine.table().await;
    let stream = three_counts(&table).await;
    table.process().close(&stream, "closing").await.unwrap();
    let process = behind_by(&table, 2);
    let refused = process.count(&stream, "late", 0).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(Refusal::Closed))), "{refused:?}");
    assert_eq!(
        reads(&process),
        [false, true],
        "by what is stale there would have been nothing to do"
    );
    let refused = process.count(&stream, "late", 1).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(Refusal::Closed))), "{refused:?}");
    assert_eq!(table.process().load(&stream).await.head.version(), 5);
}

async fn a_command_that_a_stale_read_would_refuse_is_done(engine: &Engine) {
    let table = engine.table().await;
    let stream = three_counts(&table).await;
    let process = behind_by(&table, usize::MAX);
    let if_open = |tally: &Tally| if tally.open { close(tally) } else { Err(Refusal::Closed) };
    let handled =
        process.tallies.handle(request(&stream, "closing", "close"), if_open).await.unwrap();
    assert_eq!((handled.version, handled.lost_races), (5, 0));
    assert_eq!(reads(&process), [false, true]);
}

async fn a_no_op_is_final_on_a_consistent_read_only(engine: &Engine) {
    let table = engine.table().await;
    let stream = three_counts(&table).await;
    let process = behind_by(&table, 1);
    let unless_three =
        |tally: &Tally| Ok::<_, Refusal>(if tally.total == 3 { close(tally)? } else { vec![] });
    let closing = request(&stream, "closing", "close");
    let handled = process.tallies.handle(closing, unless_three).await.unwrap();
    assert_eq!((handled.version, handled.commit.is_some()), (5, true));
    assert_eq!(reads(&process), [false, true]);
    let idle = process.close(&stream, "closing-again").await.unwrap();
    assert_eq!((idle.version, idle.commit.is_none()), (5, true));
    assert_eq!(process.load(&stream).await.head.version(), 5);
}

async fn a_version_mismatch_is_final_on_a_consistent_read_only(engine: &Engine) {
    let table = engine.table().await;
    let stream = three_counts(&table).await;
    let process = behind_by(&table, 2);
    let expecting = |command: &str, version| CommandRequest {
        expected_version: Some(version),
        ..request(&stream, command, "c")
    };
    let handled = process.execute(&expecting("right", 4), 1).await.unwrap();
    assert_eq!((handled.version, handled.lost_races), (5, 0));
    assert_eq!(reads(&process), [false, true]);
    // It matches the stale version, but not the current one.
    let refused = process.execute(&expecting("wrong", 3), 1).await;
    assert!(
        matches!(refused, Err(ExecuteError::VersionMismatch { expected: 3, actual: 5 })),
        "{refused:?}"
    );
    assert_eq!(process.load(&stream).await.head.version(), 5);
}

async fn a_retry_whose_commit_is_not_seen_is_still_a_retry(engine: &Engine) {
    let table = engine.table().await;
    let stream = three_counts(&table).await;
    for (command, version) in [("third", 4), ("second", 3), ("first", 2)] {
        for count in 1..=4 {
            let process = behind_by(&table, count);
            let again = process.count(&stream, command, 1).await.unwrap();
            assert_eq!(
                (again.replayed, again.version),
                (true, version),
                "{command}, behind by {count}"
            );
            let reused = process.count(&stream, command, 2).await;
            assert!(
                matches!(reused, Err(ExecuteError::CommandIdReused(_))),
                "{command}, behind by {count}: {reused:?}"
            );
            let expecting = CommandRequest {
                expected_version: Some(1),
                ..request(&stream, command, "count 1")
            };
            let again = process.execute(&expecting, 1).await.unwrap();
            assert_eq!(
                (again.replayed, again.version),
                (true, version),
                "{command}, behind by {count}"
            );
        }
    }
    assert_eq!(table.process().load(&stream).await.head.version(), 4);
}
