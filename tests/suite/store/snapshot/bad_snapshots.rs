//! Whatever is wrong with a snapshot, no command is.

use crate::store::log::tampering::{bytes, number, set, text};
use crate::store::snapshot::snapshots::{as_of, count_on, snapshot, with_snapshot};
use crate::store::{Engine, Process, Refusal, TALLY, Table, Tally, Told, count, new_commit, request, stream};
use eventstore::{
    CommandHandler, CorruptStream, Damage, ExecuteError, HandlerOptions, Item, Model, Options, SnapshotCodec,
};
use serde::{Deserialize, Serialize};

cases!(
    a_damaged_snapshot_is_passed_over_and_replaced,
    a_snapshot_ahead_of_its_commits_shows_that_the_end_is_gone,
    a_snapshot_of_another_chain_is_replaced,
    a_snapshot_of_another_shape_is_passed_over_and_replaced,
    a_snapshot_that_lies_is_found_out_by_a_sample,
    a_snapshot_within_a_batch_or_of_another_time_is_replaced,
);

type Spoil = Box<dyn FnOnce(&mut Item)>;

/// Every way in which the item can be spoiled: the command goes on, on all commits, and writes a good one in its place.
async fn a_damaged_snapshot_is_passed_over_and_replaced(engine: &Engine) {
    let table = engine.table().await;
    let spoilt: Vec<(&str, Spoil)> = vec![
        ("no format", Box::new(set("format", None))),
        ("the format of an older program", Box::new(set("format", Some(number(1))))),
        ("the format of a newer program", Box::new(set("format", Some(number(3))))),
        ("no shape", Box::new(set("shape", None))),
        ("no version", Box::new(set("as_of", None))),
        ("version 0", Box::new(set("as_of", Some(number(0))))),
        ("a version of another type", Box::new(set("as_of", Some(text("10"))))),
        ("no hash", Box::new(set("hash", None))),
        ("half a hash", Box::new(set("hash", Some(text("ab"))))),
        ("no time", Box::new(set("recorded_at", Some(text("yesterday"))))),
        ("no JSON", Box::new(set("snapshot", Some(text("{"))))),
        ("no state", Box::new(set("snapshot", Some(text(r#"{"ids":{"listed":[["a",1,0]]}}"#))))),
        ("ids out of order", Box::new(swap(r#""listed":[["#, r#""listed":[["x",9,0],["#))),
        ("something hidden without a trace", Box::new(swap(r#"["first-0",1,"#, r#"["first-0",2,"#))),
        ("a field of later days", Box::new(swap(r#""ids":{"#, r#""ids":{"newer":1,"#))),
        ("an id of a later version", Box::new(swap(r#"["first-9",10,"#, r#"["first-9",11,"#))),
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
    let damaged = CorruptStream {
        stream: stream.to_string(),
        version: 10,
        damage: Damage::End { seen: 10, by: "its snapshot".into() },
    };
    assert_eq!(table.process().store.verify(&stream).await.unwrap().broken_at, Some(damaged.clone()));
    assert!(matches!(&refused, Err(ExecuteError::Corrupt(found)) if *found == damaged), "{refused:?}");
    assert_eq!(table.items(&stream).await, before, "nothing is written behind");
    for version in 1..10 {
        table.delete(&stream, version).await;
    }
    let all_is_gone = CorruptStream { version: 1, ..damaged };
    let store = table.process().store;
    assert_eq!(store.verify(&stream).await.unwrap().broken_at, Some(all_is_gone));
    assert!(store.streams(1, |_| ()).await.unwrap().names.contains(&stream));
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
