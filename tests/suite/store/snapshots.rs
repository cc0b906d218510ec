//! Snapshots: what they save, and that no snapshot, whatever is wrong with it, makes a command wrong.

use super::tampering::{bytes, number, set, text};
use super::{
    Act, Engine, EngineKind, Process, Refusal, Seen, TALLY, Table, Tally, Told, count, new_commit, request, stream,
};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{
    CommandHandler, Damage, Damaged, ExecuteError, HandlerOptions, Item, MAX_VERSION, Model, Options, Segment,
    SnapshotCodec, StreamId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;

cases!(
    a_damaged_snapshot_is_passed_over_and_replaced,
    a_large_state_is_written_seldom,
    a_lost_or_refused_snapshot_fails_no_command,
    a_slow_snapshot_holds_no_command_up,
    a_snapshot_ahead_of_its_commits_shows_that_the_end_is_gone,
    a_snapshot_comes_with_every_tenth_command,
    a_snapshot_is_no_event,
    a_snapshot_of_another_chain_is_replaced,
    a_snapshot_within_a_batch_or_of_another_time_is_replaced,
    a_snapshot_of_another_shape_is_passed_over_and_replaced,
    a_snapshot_that_lies_is_found_out_by_a_sample,
    an_older_snapshot_does_not_replace_a_newer_one,
    on_a_stream_of_a_thousand_commits_a_cold_command_stays_within_budget,
    ten_thousand_events_with_a_snapshot_load_in_one_request,
);

/// The sort key of snapshots.
const KEY: u64 = MAX_VERSION + 1;

async fn snapshot(table: &Table, stream: &StreamId) -> Option<Item> {
    let key = AttributeValue::N(KEY.to_string());
    table.items(stream).await.into_iter().find(|item| item["version"] == key)
}

async fn as_of(table: &Table, stream: &StreamId) -> u64 {
    snapshot(table, stream).await.map_or(0, |item| item["as_of"].as_n().unwrap().parse().unwrap())
}

fn is_of_snapshot(put: &Value) -> bool {
    put["Item"]["version"]["N"].as_str().is_some_and(|version| version.parse() == Ok(KEY))
}

fn is_snapshot(seen: &Seen) -> bool {
    seen.operation == "PutItem" && is_of_snapshot(&seen.body)
}

/// Counts on, in a process that has just started each time.
async fn count_on(table: &Table, stream: &StreamId, name: &str, commands: u64) {
    for number in 0..commands {
        table.process().count(stream, &format!("{name}-{number}"), 1).await.unwrap();
    }
}

/// A stream with a snapshot of version 10 and one commit behind it.
async fn with_snapshot(table: &Table, key: &str) -> StreamId {
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
        assert_eq!((handled.usage.requests, handled.usage.write_units), (wire.requests, wire.write_units));
        for stream in [&cold, &warm] {
            assert_eq!(as_of(&table, stream).await, number / 10 * 10, "{stream}, command {number}");
        }
    }
}

async fn on_a_stream_of_a_thousand_commits_a_cold_command_stays_within_budget(engine: &Engine) {
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
        (requests, writes, reads) = (requests + wire.requests, writes + wire.write_units, reads + wire.read_units);
    }
    let reads = if engine.kind == EngineKind::Ministack { 0.0 } else { reads / 50.0 };
    eprintln!("a cold command at 1,000: {requests} requests / 50, {} write units, {reads} read units", writes / 50.0);
    assert!(requests <= 105 && writes <= 55.0 && reads <= 2.0, "{requests} requests, {writes} / 50, {reads}");
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
    assert_eq!((handled.version, process.wire.operations()), (10_012, vec!["Query".to_owned(), "PutItem".to_owned()]));
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
            (true, 1) => Act::Answer(400, r#"{"__type":"com.amazon.coral.service#AccessDeniedException"}"#.into()),
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

/// The put of the snapshot never ends: the command has its answer all the same.
async fn a_slow_snapshot_holds_no_command_up(engine: &Engine) {
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
    // One process is about to write its snapshot of version 10 when others have written those of 11 and on.
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
                // The command's own put is not quicker: its end would be that of the snapshot.
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

type Spoil = Box<dyn FnOnce(&mut Item)>;

/// Every way in which the item can be spoiled: the command goes on, on all commits, and writes a good one in its place.
async fn a_damaged_snapshot_is_passed_over_and_replaced(engine: &Engine) {
    let table = engine.table().await;
    let spoilt: Vec<(&str, Spoil)> = vec![
        ("no format", Box::new(set("format", None))),
        ("another format", Box::new(set("format", Some(number(2))))),
        ("no shape", Box::new(set("shape", None))),
        ("no version", Box::new(set("as_of", None))),
        ("version 0", Box::new(set("as_of", Some(number(0))))),
        ("a version of another type", Box::new(set("as_of", Some(text("10"))))),
        ("no hash", Box::new(set("hash", None))),
        ("half a hash", Box::new(set("hash", Some(text("ab"))))),
        ("no time", Box::new(set("recorded_at", Some(text("yesterday"))))),
        ("no JSON", Box::new(set("snapshot", Some(text("{"))))),
        ("no state", Box::new(set("snapshot", Some(text(r#"{"recent":{"listed":[["a",1,false]],"hidden":{}}}"#))))),
        ("ids out of order", Box::new(swap(r#""listed":[["#, r#""listed":[["x",9,false],["#))),
        ("something hidden without a trace", Box::new(swap(r#"["first-0",1,false],"#, ""))),
        ("a field of later days", Box::new(swap(r#""hidden":{"#, r#""hidden":{"newer":1,"#))),
        ("an id of a later version", Box::new(swap("10,false]]", "11,false]]"))),
        ("a state of other fields", Box::new(swap(r#""events":10"#, r#""events":10,"more":1"#))),
        ("a state that lacks a field", Box::new(swap(r#","events":10"#, ""))),
        (
            "compressed noise",
            Box::new(|item| {
                item.remove("snapshot");
                item.insert("snapshot_zstd".into(), bytes(&[1, 2, 3]));
            }),
        ),
        ("nothing", Box::new(set("snapshot", None))),
    ];
    for (index, (what, spoil)) in spoilt.into_iter().enumerate() {
        let stream = with_snapshot(&table, &format!("s{index}")).await;
        let mut item = snapshot(&table, &stream).await.unwrap();
        let whole = item.clone();
        spoil(&mut item);
        assert_ne!(item, whole, "{what} spoils nothing");
        table.put(item).await;
        let process = table.process();
        let again = process.count(&stream, "first-0", 1).await.unwrap();
        assert_eq!((again.replayed, again.version), (true, 1), "{what}");
        let handled = process.count(&stream, "onwards", 1).await.unwrap();
        assert_eq!((handled.version, as_of(&table, &stream).await), (12, 11), "{what}");
        process.wire.take();
        process.count(&stream, "and-on", 1).await.unwrap();
        assert_eq!(process.wire.operations(), ["Query", "PutItem"], "{what}: the new one is used");
        assert_eq!(process.tally(&stream).await.total, 13, "{what}");
    }
}

/// Writes one thing for another in a snapshot that is readable text.
fn swap(from: &'static str, to: &'static str) -> impl Fn(&mut Item) {
    move |item| {
        let json = item["snapshot"].as_s().unwrap().replacen(from, to, 1);
        item.insert("snapshot".into(), text(&json));
    }
}

/// A tally as a later program has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct LaterTally {
    #[serde(default)]
    commands: u64,
    #[serde(default)]
    total: u64,
}

fn evolve_later(tally: LaterTally, told: &Told) -> LaterTally {
    let number = if let Told::Counted { number } = told { *number } else { 0 };
    LaterTally { commands: tally.commands + 1, total: tally.total + number }
}

fn later(process: &Process, shape: &'static str) -> CommandHandler<LaterTally, Told, Refusal> {
    let model = Model {
        initial: LaterTally::default,
        evolve: evolve_later,
        encode: TALLY.encode,
        decode: TALLY.decode,
        snapshot: Some(SnapshotCodec::json(shape)),
    };
    CommandHandler::new(process.store.clone(), model)
}

/// Both the name of the shape and its fields tell it from another: nobody has to think of the name.
async fn a_snapshot_of_another_shape_is_passed_over_and_replaced(engine: &Engine) {
    let table = engine.table().await;
    for shape in ["tally/2", "tally/1"] {
        let stream = with_snapshot(&table, shape.split_once('/').unwrap().1).await;
        let process = table.process();
        let check = |tally: &LaterTally| {
            assert_eq!((tally.commands, tally.total), (11, 11), "folded from the events, whatever the snapshot says");
            Ok(vec![Told::Counted { number: 1 }])
        };
        later(&process, shape).handle(request(&stream, "later", "later"), check).await.unwrap();
        let item = snapshot(&table, &stream).await.unwrap();
        assert!(item["shape"].as_s().unwrap().starts_with(shape));
        assert!(item["snapshot"].as_s().unwrap().contains("commands"), "replaced");
        // The earlier program goes on, on all commits.
        let handled = table.process().count(&stream, "earlier", 1).await.unwrap();
        assert_eq!((handled.version, table.process().tally(&stream).await.total), (13, 13));
    }
}

fn sampling(table: &Table, check_one_in: u32) -> Process {
    let memory = HandlerOptions { cached_streams: 0, check_one_in, ..HandlerOptions::default() };
    table.process_that_remembers(Options::default(), memory)
}

async fn a_snapshot_that_lies_is_found_out_by_a_sample(engine: &Engine) {
    let table = engine.table().await;
    let stream = with_snapshot(&table, "s").await;
    let mut item = snapshot(&table, &stream).await.unwrap();
    swap(r#""total":10"#, r#""total":99"#)(&mut item);
    table.put(item).await;
    let told = |expected: u64| {
        move |tally: &Tally| {
            assert_eq!(tally.total, expected);
            count(0)(tally)
        }
    };
    let believing = sampling(&table, 0);
    believing.tallies.handle(request(&stream, "a", "a"), told(100)).await.unwrap();
    let checking = sampling(&table, 1);
    checking.tallies.handle(request(&stream, "a", "a"), told(11)).await.unwrap();
    checking.count(&stream, "b", 1).await.unwrap();
    believing.tallies.handle(request(&stream, "c", "c"), told(12)).await.unwrap();
    assert_eq!(as_of(&table, &stream).await, 11, "replaced by what the events say");
}

/// Somebody took the newest commits away. The chain cannot show that; the snapshot has seen them.
async fn a_snapshot_ahead_of_its_commits_shows_that_the_end_is_gone(engine: &Engine) {
    let table = engine.table().await;
    let stream = with_snapshot(&table, "s").await;
    for version in [11, 10] {
        table.delete(&stream, version).await;
    }
    let before = table.items(&stream).await;
    let refused = table.process().count(&stream, "onwards", 1).await;
    let damaged = Damaged { stream: stream.to_string(), version: 10, damage: Damage::End { seen: 10 } };
    assert!(matches!(&refused, Err(ExecuteError::Damaged(found)) if *found == damaged), "{refused:?}");
    assert_eq!(table.items(&stream).await, before, "nothing is written behind");
}

async fn a_snapshot_of_another_chain_is_replaced(engine: &Engine) {
    let table = engine.table().await;
    let (stream, other) = (with_snapshot(&table, "s").await, with_snapshot(&table, "other").await);
    for behind in [true, false] {
        let mut item = snapshot(&table, &other).await.unwrap();
        item.insert("stream_id".into(), text(stream.as_str()));
        if !behind {
            // Of the very last commit: no later one follows, or fails to follow, from it.
            let head = table.process().load(&stream).await.head.version();
            item.insert("as_of".into(), number(head));
        }
        table.put(item).await;
        let process = table.process();
        let before = process.tally(&stream).await.total;
        let check = move |tally: &Tally| {
            assert_eq!(tally.total, before);
            count(1)(tally)
        };
        process.tallies.handle(request(&stream, format!("a-{behind}"), "a"), check).await.unwrap();
        assert!(process.store.verify(&stream).await.unwrap().verified());
    }
}

/// The hash is that of the last commit, and nothing follows: version and time must be that commit's, too.
async fn a_snapshot_within_a_batch_or_of_another_time_is_replaced(engine: &Engine) {
    let table = engine.table().await;
    for (key, spoil) in [
        ("version", set("as_of", Some(number(12)))),
        ("time", set("recorded_at", Some(text("2999-01-01T00:00:00.000Z")))),
    ] {
        let stream = stream(key);
        count_on(&table, &stream, "first", 11).await;
        table.process().put_behind(&stream, vec![new_commit("three", &["a", "b", "c"])]).await;
        let mut item = snapshot(&table, &stream).await.unwrap();
        let head = table.process().load(&stream).await.head;
        item.insert("as_of".into(), number(head.version()));
        item.insert("hash".into(), text(&head.hash().to_string()));
        item.insert("recorded_at".into(), text(&eventstore::time_text(head.recorded_at().unwrap())));
        spoil(&mut item);
        table.put(item).await;
        let process = table.process();
        assert_eq!(process.count(&stream, "onwards", 1).await.unwrap().version, 15, "{key}");
        assert!(process.store.verify(&stream).await.unwrap().verified(), "{key}");
        let end = process.load(&stream).await.head.recorded_at().unwrap();
        assert!(end < head.recorded_at().unwrap() + chrono::TimeDelta::hours(1), "{key}: {end}");
    }
}

/// A state of some 30 KB: it waits until the commits behind it come to twice as much.
async fn a_large_state_is_written_seldom(engine: &Engine) {
    let model = Model {
        initial: Vec::new,
        evolve: |mut state: Vec<String>, told: &Told| {
            if let Told::Noted { text } = told {
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
    let notes: CommandHandler<Vec<String>, Told, Refusal> = CommandHandler::new(process.store.clone(), model);
    let mut chance = fastrand::Rng::with_seed(5);
    let mut noise = |chars| std::iter::repeat_with(|| chance.alphanumeric()).take(chars).collect::<String>();
    let mut written = Vec::new();
    for number in 0..60 {
        let text = noise(if number == 0 { 40_000 } else { 600 });
        let decide = move |_: &Vec<String>| Ok(vec![Told::Noted { text: text.clone() }]);
        notes.handle(request(&stream, format!("n{number}"), "note"), decide).await.unwrap();
        let puts = process.wire.take();
        written.extend(puts.iter().any(|put| is_of_snapshot(&put.request)).then_some(number));
    }
    assert_eq!(written.first(), Some(&1), "40 KB of commits to read are enough for the first");
    assert!((1..=2).contains(&written.len()), "{written:?}");
}
