//! A command is recorded at most once: the rules that find its commit, and attempts to break them.

use crate::harness::depth::full_or;
use crate::store::{Answer, Engine, Process, Table, id_made_at, metadata, note, stream};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{ExecuteError, HandlerOptions, NewCommit, Options, StreamId};
use futures::future::join_all;
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

cases!(
    a_command_is_known_after_a_hundred_others,
    a_command_is_known_after_one_other,
    a_command_is_known_after_thousands_of_others,
    a_new_command_on_a_long_stream_reads_nothing_further_back,
    an_id_from_a_fast_clock_is_known_where_the_clock_is_slow,
    an_id_from_a_fast_clock_makes_no_other_command_search,
    a_slightly_older_id_is_searched_that_far_back_only,
    an_id_that_is_older_than_all_others_is_known,
    sixty_four_retries_on_a_long_stream_are_one_command,
    a_command_that_a_search_does_not_find_is_done_once,
);

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// An id of each kind, made about `minutes` ago if it has a time.
fn ids(minutes: i64) -> [String; 3] {
    let chance = fastrand::u64(..);
    let made = now() - TimeDelta::minutes(minutes);
    [id_made_at(made).to_string(), Uuid::new_v4().to_string(), format!("delivery-{chance:x}")]
}

/// A process whose clock is ahead. It caches streams if `remembers`.
fn process_with_clock(table: &Table, ahead: TimeDelta, remembers: bool) -> Process {
    let clock = Arc::new(move || now() + ahead);
    let cached_streams = if remembers { 10 } else { 0 };
    table.process_that_remembers(
        Options { clock, ..Options::default() },
        HandlerOptions { cached_streams, ..HandlerOptions::default() },
    )
}

/// Appends commits with ids of all kinds in batches, and sometimes a command, which writes
/// snapshots.
async fn others(table: &Table, stream: &StreamId, commits: usize) {
    let process = table.warm_process();
    let mut left = commits;
    while left > 0 {
        if left.is_multiple_of(7) {
            process.count(stream, &ids(0)[left % 3], 1).await.unwrap();
            left -= 1;
        }
        let batch = (0..left.min(100)).map(|index| {
            let asked = metadata(ids(1)[index % 3].clone(), "other");
            NewCommit { metadata: asked, events: vec![note("other")] }
        });
        let batch: Vec<NewCommit> = batch.collect();
        left -= batch.len();
        process.put_behind(stream, batch).await;
    }
}

fn is_replay_of(version: u64, again: &Answer, what: &str) {
    let again = again.as_ref().unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert_eq!((again.replayed, again.version), (true, version), "{what}");
}

async fn known_after(engine: &Engine, commits: usize) {
    let table = engine.table().await;
    let stream = stream("s");
    table.process().open(&stream, "opening").await.unwrap();
    let mut firsts = Vec::new();
    for id in ids(2) {
        let handled = table.process().count(&stream, &id, 7).await.unwrap();
        firsts.push((id, handled.version));
    }
    others(&table, &stream, commits).await;
    // A command writes a snapshot; the other commands start from it.
    table.process().count(&stream, "the-last", 1).await.unwrap();
    let end = table.process().load(&stream).await.head.version();
    for (id, version) in firsts {
        for (remembers, ahead) in [(false, 0), (true, 0), (false, 4), (true, -4)] {
            let process = process_with_clock(&table, TimeDelta::minutes(ahead), remembers);
            for time in ["first", "second"] {
                let what = format!(
                    "{id}, {time} time, after {commits}, clock {ahead}, remembers: {remembers}"
                );
                is_replay_of(version, &process.count(&stream, &id, 7).await, &what);
                let reused = process.count(&stream, &id, 8).await;
                assert!(
                    matches!(reused, Err(ExecuteError::CommandIdReused(_))),
                    "{what}: {reused:?}"
                );
            }
        }
    }
    assert_eq!(table.process().load(&stream).await.head.version(), end, "a retry wrote something");
}

async fn a_command_is_known_after_one_other(engine: &Engine) {
    known_after(engine, 1).await;
}

async fn a_command_is_known_after_a_hundred_others(engine: &Engine) {
    known_after(engine, 100).await;
}

async fn a_command_is_known_after_thousands_of_others(engine: &Engine) {
    known_after(engine, full_or(10_000, 1_000)).await;
}

/// The id is from a fast clock, and a right clock recorded it. On a slow clock the id is too far
/// ahead to be recorded, but it already is.
async fn an_id_from_a_fast_clock_is_known_where_the_clock_is_slow(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let id = id_made_at(now() + TimeDelta::minutes(4)).to_string();
    let first =
        process_with_clock(&table, TimeDelta::zero(), false).count(&stream, &id, 3).await.unwrap();
    let goes_on = process_with_clock(&table, TimeDelta::zero(), true);
    for _ in 0..80 {
        goes_on.count(&stream, id_made_at(now()).as_str(), 1).await.unwrap();
    }
    for (minutes, remembers) in [(-10, true), (-10, false), (10, true), (10, false)] {
        let process = process_with_clock(&table, TimeDelta::minutes(minutes), remembers);
        is_replay_of(
            first.version,
            &process.count(&stream, &id, 3).await,
            &format!("clock at {minutes} minutes"),
        );
    }
    is_replay_of(
        first.version,
        &goes_on.count(&stream, &id, 3).await,
        "the process that continued",
    );
    let slow = process_with_clock(&table, TimeDelta::minutes(-10), false);
    let new = slow.count(&stream, id_made_at(now()).as_str(), 3).await;
    assert!(matches!(new, Err(ExecuteError::ClockSkew(_))), "{new:?}");
}

/// The fast clock of one client does not cost others anything.
async fn an_id_from_a_fast_clock_makes_no_other_command_search(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    process.count(&stream, id_made_at(now() + TimeDelta::minutes(4)).as_str(), 1).await.unwrap();
    for _ in 0..300 {
        process.count(&stream, id_made_at(now()).as_str(), 1).await.unwrap();
    }
    let queries = |process: &Process| {
        process.wire.operations().iter().filter(|name| *name == "Query").count()
    };
    queries(&process);
    process.count(&stream, id_made_at(now()).as_str(), 1).await.unwrap();
    let cold = table.process();
    cold.count(&stream, id_made_at(now()).as_str(), 1).await.unwrap();
    assert_eq!((queries(&process), queries(&cold)), (0, 1));
}

/// An id a little older than recent commits is searched among those commits only.
async fn a_slightly_older_id_is_searched_that_far_back_only(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.process());
    others(&table, &stream, 2_000).await;
    let waited = id_made_at(now()).to_string();
    while now()
        <= eventstore::Id::new(&*waited).unwrap().time().unwrap() + TimeDelta::milliseconds(5)
    {
        tokio::task::yield_now().await;
    }
    let writer = table.warm_process();
    for _ in 0..60 {
        writer.count(&stream, id_made_at(now()).as_str(), 1).await.unwrap();
    }
    assert!(!process.count(&stream, &waited, 1).await.unwrap().replayed);
    let reads = process.wire.take().into_iter().filter(|exchange| exchange.operation == "Query");
    let items: u64 = reads.map(|read| read.answer["Count"].as_u64().unwrap()).sum();
    // Without a longer search it would be the snapshot and twelve batches.
    assert!(
        (14..150).contains(&items),
        "{items} items of a stream of more than 2,000 commits were read"
    );
}

async fn an_id_that_is_older_than_all_others_is_known(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let old = id_made_at(now() - TimeDelta::days(365)).to_string();
    let first = table.process().count(&stream, &old, 3).await.unwrap();
    others(&table, &stream, 100).await;
    table.process().count(&stream, &ids(0)[0], 1).await.unwrap();
    is_replay_of(first.version, &table.process().count(&stream, &old, 3).await, "a year old");
}

/// A new command is searched for, then handled, and found by a retry.
async fn a_command_that_a_search_does_not_find_is_done_once(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    table.process().open(&stream, "opening").await.unwrap();
    others(&table, &stream, 100).await;
    table.process().count(&stream, &ids(0)[0], 1).await.unwrap();
    for id in ids(60) {
        let process = table.process();
        let first = process.count(&stream, &id, 5).await.unwrap();
        assert!(!first.replayed, "{id}");
        others(&table, &stream, 40).await;
        is_replay_of(first.version, &table.process().count(&stream, &id, 5).await, &id);
    }
}

/// Except for false positives of a filter: one in 1,000 at this length. More than three in 60 do
/// not happen.
async fn a_new_command_on_a_long_stream_reads_nothing_further_back(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    others(&table, &stream, 1_000).await;
    table.process().count(&stream, "brings-a-snapshot", 1).await.unwrap();
    let process = table.process();
    let mut further = Vec::new();
    for id in (0..20).flat_map(|_| ids(-1)) {
        process.count(&stream, &id, 1).await.unwrap();
        // The end of the stream may take two pages. A query that starts elsewhere is a longer
        // search.
        let reads =
            process.wire.take().into_iter().filter(|exchange| exchange.operation == "Query");
        let end = serde_json::json!((eventstore::MAX_VERSION + 1).to_string());
        let mut begins =
            reads.map(|read| read.request["ExpressionAttributeValues"][":to"]["N"].clone());
        if begins.any(|to| to != end) {
            further.push(id);
        }
    }
    assert!(further.len() <= 3, "{further:?}");
}

async fn sixty_four_retries_on_a_long_stream_are_one_command(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    others(&table, &stream, 300).await;
    let processes = [table.process(), table.process(), table.warm_process(), table.warm_process()];
    for id in ids(0) {
        let tries = (0..64).map(|index| processes[index % 4].count(&stream, &id, 5));
        let handled: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(handled.iter().filter(|one| !one.replayed).count(), 1, "{id}");
        assert!(handled.iter().all(|one| one.version == handled[0].version), "{id}");
    }
    assert_eq!(table.process().load(&stream).await.head.version(), 303);
}
