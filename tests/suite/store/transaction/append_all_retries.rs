//! Retries of a command over several streams: with the same, newer and older heads, later, and with
//! another fingerprint.

use crate::store::transaction::append_all::{first_parts, part, streams, winners};
use crate::store::{Engine, Process, Table, metadata, new_commit, note, stream};
use chrono::DateTime;
use eventstore::{AppendAllError, AppendedAll, Head, NewCommit, Options, Part, StreamId};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

cases!(
    a_retry_with_still_older_heads_gets_the_other_batches,
    a_retry_with_newer_and_older_heads_finds_its_commits,
    a_repeat_gets_the_recorded_result_in_one_request,
    a_repeat_of_the_same_bytes_is_still_a_repeat,
    a_repeat_that_writes_elsewhere_gets_what_was_written,
    a_stream_without_events_has_no_part_in_the_recorded_result,
    fifteen_minutes_later_it_is_still_the_same_command,
    sixty_four_at_once_are_one_command,
    the_same_id_for_another_command_is_refused,
    the_same_id_on_one_of_the_streams_alone_is_another_command,
    the_same_id_over_other_streams_is_another_command,
);

/// A process with a clock that a case sets, in milliseconds since 1970.
fn with_clock(table: &Table) -> (Arc<AtomicI64>, Process) {
    let now = Arc::new(AtomicI64::new(1_790_000_000_000));
    let hands = Arc::clone(&now);
    let clock =
        Arc::new(move || DateTime::from_timestamp_millis(hands.load(Ordering::Relaxed)).unwrap());
    (now, table.process_with(Options { clock, ..Options::default() }))
}

/// Both answers have the same commits.
pub(in crate::store) fn assert_same(first: &AppendedAll, again: &AppendedAll) {
    let commits = |all: &AppendedAll| -> Vec<_> {
        all.parts
            .iter()
            .map(|part| (part.head.clone(), part.commit.hash, part.commit.version))
            .collect()
    };
    assert_eq!(commits(first), commits(again));
}

/// Appends another commit to each stream.
async fn go_on(process: &Process, streams: &[StreamId]) {
    for stream in streams {
        process.put_behind(stream, vec![new_commit("another", &["y"])]).await;
    }
}

async fn a_repeat_gets_the_recorded_result_in_one_request(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(3);
    let first = process.append_all("c", first_parts(&all)).await.unwrap();
    go_on(&process, &all[1..]).await;
    process.wire.take();
    for _ in 0..2 {
        let again = process.append_all("c", first_parts(&all)).await.unwrap();
        assert!(again.repeated);
        assert_same(&first, &again);
        assert_eq!(process.wire.operations(), ["TransactWriteItems"]);
    }
    assert_eq!(process.versions(&all).await, [1, 2, 2]);
}

async fn a_repeat_of_the_same_bytes_is_still_a_repeat(engine: &Engine) {
    let table = engine.table().await;
    let (_, one) = with_clock(&table);
    let (_, other) = with_clock(&table);
    let all = streams(2);
    let first = one.append_all("c", first_parts(&all)).await.unwrap();
    let again = other.append_all("c", first_parts(&all)).await.unwrap();
    assert_eq!((first.repeated, again.repeated), (false, true));
    assert_same(&first, &again);
}

async fn fifteen_minutes_later_it_is_still_the_same_command(engine: &Engine) {
    let table = engine.table().await;
    let (clock, process) = with_clock(&table);
    let all = streams(2);
    let first = process.append_all("c", first_parts(&all)).await.unwrap();
    for minutes in [9, 15] {
        clock.fetch_add(minutes * 60_000, Ordering::Relaxed);
        let again = process.append_all("c", first_parts(&all)).await.unwrap();
        assert!(again.repeated);
        assert_same(&first, &again);
    }
    assert_eq!(process.versions(&all).await, [1, 1]);
}

async fn a_retry_with_newer_and_older_heads_finds_its_commits(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(4);
    let old = Head::empty(&all[2]);
    let begun = process.append(&old, vec![new_commit("begin", &["x"])]).await;
    let mut parts = first_parts(&all);
    parts[2].head = begun.head.clone();
    let first = process.append_all("c", parts.clone()).await.unwrap();
    // More than one page of the search.
    let mut newer = first.parts[0].head.clone();
    for number in 0..105 {
        newer =
            process.append(&newer, vec![new_commit(&format!("later-{number}"), &["y"])]).await.head;
    }
    // The head of 0 has the commit and all later ones, 1 has the commit, 2 is older than at first,
    // 3 as at first.
    (parts[0].head, parts[1].head, parts[2].head) = (newer, first.parts[1].head.clone(), old);
    process.wire.take();
    let again = process.append_all("c", parts).await.unwrap();
    assert!(again.repeated);
    assert_same(&first, &again);
    assert_eq!(
        process.wire.operations(),
        ["TransactWriteItems", "Query", "Query", "Query", "Query"]
    );
    assert_eq!(process.versions(&all).await, [106, 1, 2, 1]);
}

/// The second decision may differ. The recorded one is the answer.
async fn a_repeat_that_writes_elsewhere_gets_what_was_written(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(3);
    let heads: Vec<Head> = all.iter().map(Head::empty).collect();
    let as_first = vec![part(&heads[0], "x"), part(&heads[1], "x")];
    let first = process.store.append_all(&metadata("c", "c"), as_first, &heads[2..]).await.unwrap();
    let otherwise = vec![Part { head: heads[2].clone(), events: vec![note("y"), note("z")] }];
    let again =
        process.store.append_all(&metadata("c", "c"), otherwise, &heads[..2]).await.unwrap();
    assert!(again.repeated);
    let of = |all: &AppendedAll| {
        all.parts.iter().map(|part| part.commit.hash).collect::<std::collections::HashSet<_>>()
    };
    assert_eq!((again.parts.len(), of(&again)), (2, of(&first)));
    assert_eq!(process.versions(&all).await, [1, 1, 0]);
}

async fn a_stream_without_events_has_no_part_in_the_recorded_result(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(3);
    let unmoved = [Head::empty(&all[2])];
    let first = process
        .store
        .append_all(&metadata("c", "c"), first_parts(&all[..2]), &unmoved)
        .await
        .unwrap();
    go_on(&process, &all[2..]).await;
    let again = process
        .store
        .append_all(&metadata("c", "c"), first_parts(&all[..2]), &unmoved)
        .await
        .unwrap();
    assert!(again.repeated);
    assert_same(&first, &again);
    assert_eq!(process.versions(&all).await, [1, 1, 1]);
}

/// None of its commits is returned. The caller applies the winners and then finds its own commits.
async fn a_retry_with_still_older_heads_gets_the_other_batches(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(2);
    let mut parts = Vec::new();
    for stream in &all {
        parts.push(part(
            &process.append(&Head::empty(stream), vec![new_commit("begin", &["x"])]).await.head,
            "x",
        ));
    }
    let first = process.append_all("c", parts.clone()).await.unwrap();
    let others = winners(process.append_all("c", first_parts(&all)).await);
    assert!(others.iter().all(|batch| batch.commits[0].metadata.command_id.as_str() == "begin"));
    let again = process.append_all("c", parts).await.unwrap();
    assert!(again.repeated);
    assert_same(&first, &again);
}

fn assert_reused(answer: &Result<AppendedAll, AppendAllError>) {
    assert!(
        matches!(answer, Err(AppendAllError::CommandIdReused(id)) if id.as_str() == "c"),
        "{answer:?}"
    );
}

async fn the_same_id_for_another_command_is_refused(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(2);
    process.append_all("c", first_parts(&all)).await.unwrap();
    assert_reused(&process.store.append_all(&metadata("c", "else"), first_parts(&all), &[]).await);
    assert_eq!(process.versions(&all).await, [1, 1]);
}

/// The store adds the streams to the fingerprint, so the caller's need not cover them.
async fn the_same_id_over_other_streams_is_another_command(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(3);
    process.append_all("c", first_parts(&all[..2])).await.unwrap();
    assert_reused(&process.append_all("c", first_parts(&all[1..])).await);
    assert_reused(&process.append_all("c", first_parts(&all)).await);
    assert_reused(&process.append_all("c", first_parts(&all[..1])).await);
    assert_eq!(process.versions(&all).await, [1, 1, 0]);
    let mut turned = first_parts(&all[..2]);
    turned.reverse();
    assert!(process.append_all("c", turned).await.unwrap().repeated, "the order says nothing");
}

/// One commit must not be taken as proof that all streams were written.
async fn the_same_id_on_one_of_the_streams_alone_is_another_command(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(2);
    let alone = NewCommit { metadata: metadata("c", "c"), events: vec![note("x")] };
    process.append(&Head::empty(&all[0]), vec![alone]).await;
    assert_reused(&process.append_all("c", first_parts(&all)).await);
    assert_eq!(process.versions(&all).await, [1, 0]);
}

async fn sixty_four_at_once_are_one_command(engine: &Engine) {
    let table = engine.table().await;
    let all = streams(3);
    let mut heads = first_parts(&all);
    let process = table.process();
    heads[1].head =
        process.append(&Head::empty(&all[1]), vec![new_commit("begin", &["x"])]).await.head;
    let processes: Vec<Process> = std::iter::repeat_with(|| table.process()).take(4).collect();
    let tries = (0..64).map(|index| processes[index % 4].append_all("c", heads.clone()));
    let answers: Vec<AppendedAll> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
    answers.iter().for_each(|answer| assert_same(&answers[0], answer));
    assert_eq!(process.versions(&all).await, [1, 2, 1]);
    assert_eq!(process.load(&stream("s1")).await.batches.len(), 2);
}
