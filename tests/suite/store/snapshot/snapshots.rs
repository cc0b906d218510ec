//! Snapshots save reads, and no command depends on them. (Wrong snapshots: `bad_snapshots.rs`.)

use crate::store::{
    Act, Engine, EngineKind, Refusal, Seen, TALLY, Table, TallyEvent, new_commit, request, stream,
};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{CommandHandler, Item, MAX_VERSION, Model, Segment, SnapshotCodec, StreamId};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;

cases!(
    a_large_state_is_written_seldom,
    a_lost_or_refused_snapshot_fails_no_command,
    a_slow_snapshot_delays_no_command,
    a_snapshot_comes_with_every_tenth_command,
    a_snapshot_is_no_event,
    an_older_snapshot_does_not_replace_a_newer_one,
    a_cold_command_on_1_000_commits_stays_within_budget,
    ten_thousand_events_with_a_snapshot_load_in_one_request,
);

/// The sort key of snapshots.
const KEY: u64 = MAX_VERSION + 1;

pub(in crate::store) async fn snapshot(table: &Table, stream: &StreamId) -> Option<Item> {
    let key = AttributeValue::N(KEY.to_string());
    table.items(stream).await.into_iter().find(|item| item["version"] == key)
}

pub(in crate::store) async fn as_of(table: &Table, stream: &StreamId) -> u64 {
    snapshot(table, stream).await.map_or(0, |item| item["as_of"].as_n().unwrap().parse().unwrap())
}

fn is_of_snapshot(put: &Value) -> bool {
    put["Item"]["version"]["N"].as_str().is_some_and(|version| version.parse() == Ok(KEY))
}

fn is_snapshot(seen: &Seen) -> bool {
    seen.operation == "PutItem" && is_of_snapshot(&seen.body)
}

/// Counts, in a new process each time.
pub(in crate::store) async fn count_on(
    table: &Table,
    stream: &StreamId,
    name: &str,
    commands: u64,
) {
    for number in 0..commands {
        table.process().count(stream, &format!("{name}-{number}"), 1).await.unwrap();
    }
}

/// A stream with a snapshot of version 10 and one later commit.
pub(in crate::store) async fn with_snapshot(table: &Table, key: &str) -> StreamId {
    let stream = stream(key);
    count_on(table, &stream, "first", 11).await;
    assert_eq!(as_of(table, &stream).await, 10);
    stream
}

async fn a_snapshot_comes_with_every_tenth_command(engine: &Engine) {
    let table = engine.table().await;
    let (cold, warm) = (stream("cold"), stream("warm"));
    let process = table.warm_process();
    for number in 0..50_u64 {
        table.process().count(&cold, &format!("c{number}"), 1).await.unwrap();
        process.wire.take();
        let handled = process.count(&warm, &format!("c{number}"), 1).await.unwrap();
        let wire = process.wire.spent();
        let due = number >= 10 && number.is_multiple_of(10);
        assert_eq!(wire.requests, 1 + u32::from(due) + u32::from(number == 0), "command {number}");
        assert_eq!(
            (handled.usage.requests, handled.usage.write_units),
            (wire.requests, wire.write_units)
        );
        for stream in [&cold, &warm] {
            assert_eq!(as_of(&table, stream).await, number / 10 * 10, "{stream}, command {number}");
        }
    }
}

async fn a_cold_command_on_1_000_commits_stays_within_budget(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let writer = table.warm_process();
    for number in 0..1_000 {
        writer.count(&stream, uuid::Uuid::now_v7().to_string().as_str(), number).await.unwrap();
    }
    let (mut requests, mut writes, mut reads) = (0, 0.0, 0.0);
    for _ in 0..50 {
        let process = table.process();
        process.count(&stream, uuid::Uuid::now_v7().to_string().as_str(), 1).await.unwrap();
        let wire = process.wire.spent();
        (requests, writes, reads) =
            (requests + wire.requests, writes + wire.write_units, reads + wire.read_units);
    }
    let reads = if engine.kind == EngineKind::Ministack { 0.0 } else { reads / 50.0 };
    eprintln!(
        "a cold command at 1,000: {requests} requests / 50, {} write units, {reads} read units",
        writes / 50.0
    );
    assert!(
        requests <= 105 && writes <= 55.0 && reads <= 2.0,
        "{requests} requests, {writes} / 50, {reads}"
    );
}

async fn ten_thousand_events_with_a_snapshot_load_in_one_request(engine: &Engine) {
    let table = engine.table().await;
    let (stream, writer) = (stream("s"), table.process());
    let texts: Vec<String> = (0..1_000).map(|number| format!("{number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for batch in 0..10 {
        writer.put_behind(&stream, vec![new_commit(&format!("b{batch}"), &texts)]).await;
    }
    count_on(&table, &stream, "first", 11).await;
    let process = table.process();
    let handled = process.count(&stream, "and-one", 1).await.unwrap();
    assert_eq!(
        (handled.version, process.wire.operations()),
        (10_012, vec!["Query".to_owned(), "PutItem".to_owned()])
    );
    assert_eq!(process.tally(&stream).await.total, 12);
}

async fn a_snapshot_is_no_event(engine: &Engine) {
    let table = engine.table().await;
    let stream = with_snapshot(&table, "s").await;
    let process = table.process();
    let loaded = process.load(&stream).await;
    assert_eq!((loaded.batches.len(), loaded.head.version()), (11, 11));
    assert_eq!(process.store.verify(&stream).await.unwrap().commits, 11);
    let page = process.store.scan(Segment { index: 0, total: 1 }, None).await.unwrap();
    assert_eq!(page.batches.len(), 11);
    let streams = process.store.streams(1, |_| ()).await.unwrap();
    assert_eq!((streams.names.len(), streams.foreign.len()), (1, 0));
}

async fn a_lost_or_refused_snapshot_fails_no_command(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    process.wire.rule(|seen| {
        let act = match (is_snapshot(&seen), seen.nth % 3) {
            (false, _) => Act::Pass,
            (true, 0) => Act::LoseAnswer,
            (true, 1) => Act::Answer(
                400,
                r#"{"__type":"com.amazon.coral.service#AccessDeniedException"}"#.into(),
            ),
            (true, _) => Act::Answer(503, String::new()),
        };
        std::future::ready(act)
    });
    for number in 1..=60 {
        let handled = process.count(&stream, &format!("c{number}"), 1).await.unwrap();
        assert_eq!((handled.version, handled.replayed), (number, false));
    }
    assert_eq!(process.tally(&stream).await.total, 60);
}

/// The put of the snapshot never ends. The command is still answered.
async fn a_slow_snapshot_delays_no_command(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    process.wire.rule(|seen| async move {
        if is_snapshot(&seen) {
            std::future::pending::<()>().await;
        }
        Act::Pass
    });
    for number in 1..=25 {
        assert_eq!(process.count(&stream, &format!("c{number}"), 1).await.unwrap().version, number);
    }
    assert_eq!(snapshot(&table, &stream).await, None);
}

async fn an_older_snapshot_does_not_replace_a_newer_one(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    count_on(&table, &stream, "first", 10).await;
    // One process delays its snapshot of version 10 until others have written newer ones.
    let (slow, quick) = (table.process(), Arc::new(table.process()));
    let (aim, gate) = (stream.clone(), Arc::new(Semaphore::new(0)));
    slow.wire.rule(move |seen| {
        let (quick, aim, gate) = (quick.clone(), aim.clone(), gate.clone());
        async move {
            if is_snapshot(&seen) {
                for number in 0..25 {
                    quick.count(&aim, &format!("quick-{number}"), 1).await.unwrap();
                }
                gate.add_permits(1);
            } else if seen.operation == "PutItem" {
                // The command's put waits, because its end would end the put of the snapshot.
                gate.acquire().await.unwrap().forget();
                gate.add_permits(1);
            }
            Act::Pass
        }
    });
    slow.count(&stream, "slow", 1).await.unwrap();
    assert!(as_of(&table, &stream).await > 20, "{}", as_of(&table, &stream).await);
    assert_eq!(slow.tally(&stream).await.total, 36);
}

/// A state of some 30 KB. Its next snapshot waits for as many bytes of commits.
async fn a_large_state_is_written_seldom(engine: &Engine) {
    let model = Model {
        initial: Vec::new,
        evolve: |mut state: Vec<String>, told: &TallyEvent| {
            if let TallyEvent::Noted { text } = told {
                state.push(text.clone());
            }
            state
        },
        encode: TALLY.encode,
        decode: TALLY.decode,
        snapshot: Some(SnapshotCodec::json("notes/1")),
    };
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    let notes: CommandHandler<Vec<String>, TallyEvent, Refusal> =
        CommandHandler::new(process.store.clone(), model);
    let mut chance = fastrand::Rng::with_seed(5);
    let mut noise =
        |chars| std::iter::repeat_with(|| chance.alphanumeric()).take(chars).collect::<String>();
    let mut written = Vec::new();
    for number in 0..60 {
        let text = noise(if number == 0 { 40_000 } else { 600 });
        let decide = move |_: &Vec<String>| Ok(vec![TallyEvent::Noted { text: text.clone() }]);
        notes.handle(request(&stream, format!("n{number}"), "note"), decide).await.unwrap();
        let puts = process.wire.take();
        written.extend(puts.iter().any(|put| is_of_snapshot(&put.request)).then_some(number));
    }
    assert_eq!(written.first(), Some(&1), "40 KB of commits to read are enough for the first");
    assert!((1..=2).contains(&written.len()), "{written:?}");
}
