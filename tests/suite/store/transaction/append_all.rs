//! Appends to several streams: one request, all or nothing. Invalid input is refused before it.

use crate::store::metering::budget::{spent, within};
use crate::store::{
    Engine, EngineKind, Process, Spent, Table, id_made_at, metadata, new_commit, note, stream,
};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    AppendAllError, AppendError, AppendedAll, Batch, Consistency, Head, MAX_ITEM_BYTES,
    MAX_STREAMS, MAX_TRANSACTION_BYTES, MAX_VERSION, Options, Part, Segment, StoreError, StreamId,
};
use futures::future::join;
use std::time::SystemTime;

cases!(
    a_hundred_streams_are_one_request_and_one_more_is_none,
    a_part_that_does_not_fit_is_named_before_any_request,
    a_stream_at_the_largest_version_is_named_before_any_request,
    a_stream_that_was_only_read_must_not_change,
    all_parts_together_must_fit_into_a_transaction,
    both_refused_are_both_named,
    it_costs_two_units_a_kilobyte_and_stream_and_one_request,
    of_an_append_and_an_append_all_at_once_one_is_written,
    one_refused_among_many_leaves_all_unwritten_and_is_named,
    two_streams_are_written_by_one_request,
    an_impossible_transaction_is_refused_before_any_request,
);

pub(in crate::store) fn streams(count: usize) -> Vec<StreamId> {
    (0..count).map(|number| stream(&format!("s{number}"))).collect()
}

pub(in crate::store) fn part(head: &Head, text: &str) -> Part {
    Part { head: head.clone(), events: vec![note(text)] }
}

/// A part with one note for each stream, at the head of an empty stream.
pub(in crate::store) fn first_parts(streams: &[StreamId]) -> Vec<Part> {
    streams.iter().map(|stream| part(&Head::empty(stream), "x")).collect()
}

impl Process {
    pub(in crate::store) async fn append_all(
        &self,
        command: &str,
        parts: Vec<Part>,
    ) -> Result<AppendedAll, AppendAllError> {
        self.store.append_all(&metadata(command, command), parts, &[]).await
    }

    /// Where the streams end.
    pub(in crate::store) async fn versions(&self, streams: &[StreamId]) -> Vec<u64> {
        let mut versions = Vec::new();
        for stream in streams {
            versions.push(self.load(stream).await.head.version());
        }
        versions
    }
}

/// The batches in the refusal. They cost one transaction.
pub(in crate::store) fn winners(answer: Result<AppendedAll, AppendAllError>) -> Vec<Batch> {
    match answer {
        Err(AppendAllError::Conflict { winners, usage }) if usage.requests == 1 => winners,
        other => panic!("{other:?}"),
    }
}

async fn two_streams_are_written_by_one_request(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let [a, b] = ["a", "b"].map(stream);
    let before = process.append(&Head::empty(&b), vec![new_commit("before", &["1", "2"])]).await;
    process.wire.take();
    let parts = vec![
        Part { head: Head::empty(&a), events: vec![note("1")] },
        Part { head: before.head, events: vec![note("3"), note("4")] },
    ];
    let written = process.append_all("both", parts).await.unwrap();
    assert_eq!(process.wire.operations(), ["TransactWriteItems"]);
    assert_eq!((written.repeated, written.usage.requests), (false, 1));
    let places: Vec<_> =
        written.parts.iter().map(|part| (part.head.stream(), part.head.version())).collect();
    assert_eq!(places, [(&a, 1), (&b, 4)]);
    for part in &written.parts {
        let loaded = process.load(part.head.stream()).await;
        assert_eq!(loaded.head, part.head);
        let commit = &loaded.batches.last().unwrap().commits[0];
        assert_eq!((commit.hash, commit.version), (part.commit.hash, part.commit.version));
        assert_eq!(commit.metadata.command_id.as_str(), "both");
        assert_eq!(commit.metadata.actor, metadata("both", "both").actor);
        assert!(process.store.verify(part.head.stream()).await.unwrap().verified());
        process.append(&part.head, vec![new_commit("behind", &["x"])]).await;
    }
    assert_eq!(written.parts[0].commit.recorded_at, written.parts[1].commit.recorded_at);
    let scanned = process.store.scan(Segment { index: 0, total: 1 }, None).await.unwrap().batches;
    assert_eq!(scanned.len(), 5);
}

async fn a_hundred_streams_are_one_request_and_one_more_is_none(engine: &Engine) {
    let process = engine.table().await.process();
    let streams = streams(101);
    let unmoved = [Head::empty(&streams[100])];
    for refused in [
        process.append_all("many", first_parts(&streams)).await,
        process
            .store
            .append_all(&metadata("many", "many"), first_parts(&streams[..100]), &unmoved)
            .await,
    ] {
        assert!(
            matches!(refused, Err(AppendAllError::TooManyStreams { streams: 101 })),
            "{refused:?}"
        );
    }
    assert!(process.wire.take().is_empty());
    let written = process.append_all("many", first_parts(&streams[..MAX_STREAMS])).await.unwrap();
    assert_eq!(process.wire.operations(), ["TransactWriteItems"]);
    assert!(written.parts.iter().map(|part| part.head.stream()).eq(&streams[..100]));
    let found = process.store.streams(1, |_| ()).await.unwrap();
    assert_eq!(found.names.len(), 100);
}

async fn an_impossible_transaction_is_refused_before_any_request(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(3);
    let none = process.append_all("c", vec![]).await;
    assert!(matches!(none, Err(AppendAllError::NoStream)), "{none:?}");
    let only_looked_at =
        process.store.append_all(&metadata("c", "c"), vec![], &[Head::empty(&all[0])]).await;
    assert!(matches!(only_looked_at, Err(AppendAllError::NoStream)), "{only_looked_at:?}");
    let twice = [&all[0], &all[1], &all[1], &all[2]].map(|stream| part(&Head::empty(stream), "x"));
    let unmoved = [Head::empty(&all[1])];
    for refused in [
        process.append_all("c", twice.to_vec()).await,
        process.store.append_all(&metadata("c", "c"), first_parts(&all), &unmoved).await,
    ] {
        assert!(
            matches!(&refused, Err(AppendAllError::StreamTwice(twice)) if *twice == all[1]),
            "{refused:?}"
        );
    }
    let mut parts = first_parts(&all);
    parts[2].events.clear();
    let empty = process.append_all("c", parts).await;
    assert!(matches!(&empty, Err(AppendAllError::Empty(named)) if *named == all[2]), "{empty:?}");
    assert!(process.wire.take().is_empty());
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ahead = id_made_at(now + Options::default().max_skew + TimeDelta::minutes(1));
    let early = process.append_all(ahead.as_str(), first_parts(&all)).await;
    assert!(
        matches!(&early, Err(AppendAllError::ClockSkew(skew)) if skew.command_id == ahead),
        "{early:?}"
    );
    assert_eq!(
        process.wire.operations(),
        ["TransactWriteItems"],
        "checks alone: it might be recorded already"
    );
    assert_eq!(process.versions(&all).await, [0, 0, 0]);
}

/// Text that hardly compresses: 6 random bits per character, so an item takes about 3/4 of it.
fn noise(chars: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(chars.try_into().unwrap());
    std::iter::repeat_with(|| chance.alphanumeric()).take(chars).collect()
}

async fn a_part_that_does_not_fit_is_named_before_any_request(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(3);
    let mut parts = first_parts(&all);
    parts[1].events = vec![note(&noise(600_000))];
    match process.append_all("c", parts).await {
        Err(AppendAllError::TooLarge { stream, source }) => {
            assert_eq!((stream, source.limit), (all[1].clone(), MAX_ITEM_BYTES));
        }
        other => panic!("{other:?}"),
    }
    assert!(process.wire.take().is_empty());
}

async fn all_parts_together_must_fit_into_a_transaction(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(12);
    let text = noise(520_000);
    let parts = |count: usize| {
        all[..count].iter().map(|stream| part(&Head::empty(stream), &text)).collect()
    };
    let refused = process.append_all("c", parts(12)).await;
    let Err(AppendAllError::TotalTooLarge { bytes }) = refused else { panic!("{refused:?}") };
    assert!(bytes > MAX_TRANSACTION_BYTES);
    assert!(process.wire.take().is_empty());
    let largest = MAX_TRANSACTION_BYTES / (bytes / 12);
    let written = process.append_all("c", parts(largest)).await;
    if engine.kind == EngineKind::Ministack {
        let rejected = matches!(written, Err(AppendAllError::Store(StoreError::Rejected(_))));
        assert!(rejected, "ministack counts the request's text, in which bytes are a third longer");
    } else {
        assert_eq!(written.unwrap().parts.len(), largest);
        assert!(process.store.verify(&all[largest - 1]).await.unwrap().verified());
    }
}

/// No test can write that far. The item is moved by hand, so that only the last version is free.
async fn a_stream_at_the_largest_version_is_named_before_any_request(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let [full, other] = ["full", "other"].map(stream);
    process.append(&Head::empty(&full), vec![new_commit("a", &["x"])]).await;
    let mut item = table.items(&full).await.remove(0);
    item.insert("version".into(), AttributeValue::N(MAX_VERSION.to_string()));
    table.put(item).await;
    let (head, _) = process.store.head(&full, Consistency::Strong).await.unwrap();
    process.wire.take();
    let (one, unmoved) = (part(&Head::empty(&other), "x"), [head.clone()]);
    for refused in [
        process.append_all("b", vec![one.clone(), part(&head, "x")]).await,
        process.store.append_all(&metadata("b", "b"), vec![one], &unmoved).await,
    ] {
        assert!(
            matches!(&refused, Err(AppendAllError::StreamFull(named)) if *named == full),
            "{refused:?}"
        );
    }
    assert!(process.wire.take().is_empty());
}

async fn one_refused_among_many_leaves_all_unwritten_and_is_named(engine: &Engine) {
    let table = engine.table().await;
    let (quick, process) = (table.process(), table.process());
    let all = streams(7);
    let won = quick
        .append(&Head::empty(&all[3]), vec![new_commit("q", &["1", "2"]), new_commit("r", &["3"])])
        .await;
    let winners = winners(process.append_all("slow", first_parts(&all)).await);
    assert_eq!(process.wire.operations(), ["TransactWriteItems"]);
    assert_eq!(winners.iter().map(|batch| &batch.stream).collect::<Vec<_>>(), [&all[3]]);
    assert_eq!((winners[0].hash(), winners[0].commits.len()), (won.batch.hash(), 2));
    assert_eq!(process.versions(&all).await, [0, 0, 0, 3, 0, 0, 0]);
    let mut parts = first_parts(&all);
    parts[3].head = won.head;
    assert!(!process.append_all("slow", parts).await.unwrap().repeated);
    assert_eq!(process.versions(&all).await, [1, 1, 1, 4, 1, 1, 1]);
}

async fn both_refused_are_both_named(engine: &Engine) {
    let table = engine.table().await;
    let (quick, process) = (table.process(), table.process());
    let all = streams(2);
    let won = quick.append_all("quick", first_parts(&all)).await.unwrap();
    let winners = winners(process.append_all("slow", first_parts(&all)).await);
    assert_eq!(process.wire.operations(), ["TransactWriteItems"]);
    let of_winners = winners.iter().map(|batch| (&batch.stream, batch.hash().unwrap()));
    assert!(of_winners.eq(won.parts.iter().map(|part| (part.head.stream(), part.commit.hash))));
    assert_eq!(process.versions(&all).await, [1, 1]);
}

async fn a_stream_that_was_only_read_must_not_change(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let all = streams(3);
    let seen = process.append(&Head::empty(&all[1]), vec![new_commit("seen", &["x"])]).await;
    let looked_at = [seen.head.clone(), Head::empty(&all[2])];
    let one = || vec![part(&Head::empty(&all[0]), "x")];
    let written = process.store.append_all(&metadata("a", "a"), one(), &looked_at).await.unwrap();
    assert_eq!(written.parts.len(), 1);
    assert_eq!(process.versions(&all).await, [1, 1, 0]);
    let unseen = process.append(&seen.head, vec![new_commit("unseen", &["y"])]).await;
    let next = vec![part(&written.parts[0].head, "y")];
    process.wire.take();
    let winners = winners(process.store.append_all(&metadata("b", "b"), next, &looked_at).await);
    assert_eq!(process.wire.operations(), ["TransactWriteItems"]);
    assert_eq!(winners.len(), 1);
    assert_eq!((&winners[0].stream, winners[0].hash()), (&all[1], unseen.batch.hash()));
    assert_eq!(process.versions(&all).await, [1, 2, 0]);
}

async fn it_costs_two_units_a_kilobyte_and_stream_and_one_request(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(6);
    let small = process.append_all("small", first_parts(&all[..3])).await.unwrap();
    within(
        engine,
        "3 streams, at most 1 KB each",
        process.wire.spent(),
        small.usage,
        spent(1, 6.0, 0.0),
    );
    let mut parts = first_parts(&all[3..]);
    parts[1].events = vec![note(&noise(6_000))];
    let alone = process
        .append(&Head::empty(&stream("alone")), vec![new_commit("alone", &[&noise(6_000)])])
        .await;
    let kilobytes = alone.usage.write_units;
    assert!(kilobytes >= 5.0);
    process.wire.take();
    let large = process.append_all("large", parts.clone()).await.unwrap();
    let budget = spent(1, 2.0 * (kilobytes + 2.0), 0.0);
    within(engine, "3 streams, one of them larger", process.wire.spent(), large.usage, budget);
    let refused = process.append_all("late", parts).await;
    let Err(AppendAllError::Conflict { usage, .. }) = refused else { panic!("{refused:?}") };
    within(engine, "a refused one, at most", process.wire.spent(), usage, budget);
    let unmoved = [Head::empty(&stream("looked-at"))];
    let next = vec![part(&large.parts[0].head, "x")];
    let checked =
        process.store.append_all(&metadata("next", "next"), next, &unmoved).await.unwrap();
    within(
        engine,
        "1 stream, and 1 without events",
        process.wire.spent(),
        checked.usage,
        spent(1, 4.0, 0.0),
    );
    let again = process.append_all("small", first_parts(&all[..3])).await.unwrap();
    let Spent { requests, write_units, read_units, .. } = process.wire.spent();
    assert_eq!(
        (requests, write_units, read_units.to_bits()),
        (1, 6.0, 0),
        "a repeat costs what it did"
    );
    assert!(again.repeated);
}

async fn of_an_append_and_an_append_all_at_once_one_is_written(engine: &Engine) {
    let table: Table = engine.table().await;
    let (single, many) = (table.process(), table.process());
    for round in 0..20 {
        let [shared, other] = ["shared", "other"].map(|name| stream(&format!("{name}-{round}")));
        let head = Head::empty(&shared);
        let both = vec![part(&Head::empty(&other), "x"), part(&head, "x")];
        let alone = vec![new_commit("single", &["x"])];
        match join(single.store.append(&head, alone), many.append_all("many", both)).await {
            (Ok(won), Err(AppendAllError::Conflict { winners, .. })) => {
                assert_eq!(winners.iter().map(Batch::hash).collect::<Vec<_>>(), [won.batch.hash()]);
                assert_eq!(many.versions(&[shared, other]).await, [1, 0]);
            }
            (Err(AppendError::Conflict { winner, .. }), Ok(won)) => {
                assert_eq!(winner.hash(), Some(won.parts[1].commit.hash));
                assert_eq!(many.versions(&[shared, other]).await, [1, 1]);
            }
            // AWS refuses a transaction that arrives during another one, and may refuse both.
            (Err(AppendError::TransactionConflict), Ok(_)) => {
                assert_eq!(many.versions(&[shared, other]).await, [1, 1]);
            }
            (Ok(_), Err(AppendAllError::TransactionConflict { .. })) => {
                assert_eq!(many.versions(&[shared, other]).await, [1, 0]);
            }
            (
                Err(AppendError::TransactionConflict),
                Err(AppendAllError::TransactionConflict { .. }),
            ) => {
                assert_eq!(many.versions(&[shared, other]).await, [0, 0]);
            }
            impossible => panic!("{impossible:?}"),
        }
    }
}
