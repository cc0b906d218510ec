//! Appending after a head: one put, all or nothing, at the next version.

use crate::store::{Engine, Table, id_made_at, metadata, new_commit, note, stream};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{AppendError, Commit, Head, NewCommit, Options};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

cases!(
    a_commit_of_several_events_takes_a_version_for_each,
    a_put_refused_by_its_own_commit_has_succeeded,
    a_repeat_at_a_later_time_gets_its_own_commit,
    a_uuid_beyond_the_skew_is_refused_and_one_within_is_taken,
    an_empty_batch_or_commit_is_refused_before_any_request,
    commits_are_contiguous_and_in_order,
    several_commits_of_one_batch_are_one_item,
    the_first_commit_is_at_version_1,
    the_loser_of_a_race_gets_the_winner_without_a_read,
    time_never_runs_backwards_in_a_stream,
    all_command_metadata_is_read_back,
);

/// A clock that a case sets, in milliseconds since 1970.
fn settable_clock() -> (Arc<AtomicI64>, Options) {
    let now = Arc::new(AtomicI64::new(1_790_000_000_123));
    let hands = Arc::clone(&now);
    let clock =
        Arc::new(move || DateTime::from_timestamp_millis(hands.load(Ordering::Relaxed)).unwrap());
    (now, Options { clock, ..Options::default() })
}

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap()
}

async fn the_first_commit_is_at_version_1(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("first");
    let appended = process.append(&Head::empty(&stream), vec![new_commit("a", &["one"])]).await;
    assert_eq!((appended.batch.version(), appended.head.version()), (1, 1));
    let loaded = process.load(&stream).await;
    assert_eq!(loaded.head, appended.head);
    assert_eq!(loaded.batches[0].commits[0].events[0].version, 1);
    assert_eq!(loaded.batches[0].commits[0].events[0].body.data.get(), note("one").data.get());
}

async fn a_commit_of_several_events_takes_a_version_for_each(engine: &Engine) {
    let process = engine.table().await.process();
    let appended = process
        .append(&Head::empty(&stream("s")), vec![new_commit("a", &["one", "two", "three"])])
        .await;
    assert_eq!(
        (appended.batch.version(), appended.batch.last_version(), appended.head.version()),
        (1, 3, 3)
    );
    let next = process.append(&appended.head, vec![new_commit("b", &["four"])]).await;
    assert_eq!((next.batch.version(), next.head.version()), (4, 4));
}

async fn commits_are_contiguous_and_in_order(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let mut head = Head::empty(&stream);
    let mut hashes = vec![head.hash()];
    for version in 1..=7 {
        let appended =
            process.append(&head, vec![new_commit(&format!("c{version}"), &["x"])]).await;
        assert_eq!(appended.head.version(), version);
        head = appended.head;
        hashes.push(head.hash());
    }
    let read = process.load(&stream).await;
    let commits: Vec<&Commit> = read.batches.iter().flat_map(|batch| &batch.commits).collect();
    assert_eq!(
        commits.iter().map(|commit| commit.version).collect::<Vec<_>>(),
        (1..=7).collect::<Vec<_>>()
    );
    assert!(commits.iter().zip(&hashes[1..]).all(|(commit, hash)| commit.hash == *hash));
    hashes.dedup();
    assert_eq!(hashes.len(), 8, "the same event has another hash at another place");
}

async fn several_commits_of_one_batch_are_one_item(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let stream = stream("s");
    let commits =
        vec![new_commit("a", &["1"]), new_commit("b", &["2", "3"]), new_commit("c", &["4"])];
    let appended = process.append(&Head::empty(&stream), commits).await;
    assert_eq!(process.wire.operations(), ["PutItem"]);
    let versions: Vec<_> = appended
        .batch
        .commits
        .iter()
        .map(|commit| (commit.version, commit.last_version()))
        .collect();
    assert_eq!(versions, [(1, 1), (2, 3), (4, 4)]);
    assert_eq!(table.items(&stream).await.len(), 1);
    assert_eq!(process.load(&stream).await.head, appended.head);
}

async fn all_command_metadata_is_read_back(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let mut whole = metadata("a", "asked");
    whole.causation_id = Some("order-1/7".to_owned().try_into().unwrap());
    whole.trace_parent = Some(
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned().try_into().unwrap(),
    );
    process
        .append(
            &Head::empty(&stream),
            vec![NewCommit { metadata: whole.clone(), events: vec![note("x")] }],
        )
        .await;
    assert_eq!(process.load(&stream).await.batches[0].commits[0].metadata, whole);
}

async fn the_loser_of_a_race_gets_the_winner_without_a_read(engine: &Engine) {
    let table = engine.table().await;
    let (quick, slow) = (table.process(), table.process());
    let stream = stream("s");
    let head = Head::empty(&stream);
    let won = quick
        .append(&head, vec![new_commit("quick", &["1", "2"]), new_commit("also", &["3"])])
        .await;
    let lost = slow.store.append(&head, vec![new_commit("slow", &["1"])]).await;
    let Err(AppendError::Conflict { winner, usage }) = lost else { panic!("{lost:?}") };
    assert_eq!(winner.hash(), won.batch.hash());
    assert_eq!(winner.commits.len(), 2);
    assert_eq!(usage.requests, 1);
    assert_eq!(slow.wire.operations(), ["PutItem"]);
    assert_eq!(slow.load(&stream).await.head, won.head);
}

async fn a_put_refused_by_its_own_commit_has_succeeded(engine: &Engine) {
    let (_, options) = settable_clock();
    let process = engine.table().await.process_with(options);
    let head = Head::empty(&stream("s"));
    let first = process.append(&head, vec![new_commit("a", &["x"])]).await;
    let again = process.append(&head, vec![new_commit("a", &["x"])]).await;
    assert_eq!(again.head, first.head);
    assert_eq!(process.load(head.stream()).await.batches.len(), 1);
}

/// Its time, and so its hash, differ. The store returns the stored commit with that id.
async fn a_repeat_at_a_later_time_gets_its_own_commit(engine: &Engine) {
    let (clock, options) = settable_clock();
    let process = engine.table().await.process_with(options);
    let head = Head::empty(&stream("s"));
    let first = process.append(&head, vec![new_commit("a", &["x"])]).await;
    clock.fetch_add(1, Ordering::Relaxed);
    let again = process.append(&head, vec![new_commit("a", &["x"])]).await;
    assert_eq!(
        (again.repeated, again.head, again.batch.hash()),
        (true, first.head, first.batch.hash())
    );
    assert_eq!(process.load(head.stream()).await.batches.len(), 1);
}

async fn an_empty_batch_or_commit_is_refused_before_any_request(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("s"));
    for commits in
        [vec![], vec![new_commit("a", &[])], vec![new_commit("a", &["1"]), new_commit("b", &[])]]
    {
        let refused = process.store.append(&head, commits).await;
        assert!(matches!(refused, Err(AppendError::Empty)), "{refused:?}");
    }
    assert!(process.wire.take().is_empty());
}

async fn time_never_runs_backwards_in_a_stream(engine: &Engine) {
    let (clock, options) = settable_clock();
    let process = engine.table().await.process_with(options);
    let began = clock.load(Ordering::Relaxed);
    let mut head = Head::empty(&stream("s"));
    let mut recorded = Vec::new();
    for shift in [0, -3_600_000, 3_600_001, -1] {
        clock.fetch_add(shift, Ordering::Relaxed);
        head = process
            .append(&head, vec![new_commit(&format!("c{}", recorded.len()), &["x"])])
            .await
            .head;
        recorded.push(head.recorded_at().unwrap());
    }
    assert_eq!(recorded, [time(began), time(began), time(began + 1), time(began + 1)]);
    assert!(process.store.verify(head.stream()).await.unwrap().verified());
}

async fn a_uuid_beyond_the_skew_is_refused_and_one_within_is_taken(engine: &Engine) {
    let (clock, options) = settable_clock();
    let skew = options.max_skew;
    let table: Table = engine.table().await;
    let process = table.process_with(options);
    let now = time(clock.load(Ordering::Relaxed));
    let head = Head::empty(&stream("s"));
    let commit = |made_at| {
        let command = id_made_at(made_at);
        NewCommit { metadata: metadata(command.as_str(), "x"), events: vec![note("x")] }
    };
    let refused = process
        .store
        .append(&head, vec![commit(now), commit(now + skew + TimeDelta::milliseconds(1))])
        .await;
    let Err(AppendError::ClockSkew(told)) = refused else { panic!("{refused:?}") };
    assert_eq!(
        (told.ahead_ms, told.allowed_ms),
        (skew.num_milliseconds() + 1, skew.num_milliseconds())
    );
    assert_eq!(
        process.wire.operations(),
        ["Query"],
        "it might have been recorded where the clock is ahead"
    );
    let taken = process.append(&head, vec![commit(now + skew)]).await;
    assert_eq!(taken.head.version(), 1);
}
