//! A wrong snapshot never makes a command wrong.

use crate::store::log::tampering::{bytes, number, set, text};
use crate::store::snapshot::snapshots::{as_of, count_on, snapshot, with_snapshot};
use crate::store::{
    Engine, Process, Refusal, TALLY, Tally, TallyEvent, count, new_commit, request, stream,
};
use eventstore::{
    CommandHandler, CorruptStream, Damage, ExecuteError, Item, Model, SnapshotCodec,
    SnapshotDifference, SnapshotVerification,
};
use serde::{Deserialize, Serialize};

cases!(
    a_damaged_snapshot_is_ignored_and_replaced,
    a_snapshot_ahead_of_its_commits_shows_that_the_end_is_gone,
    a_snapshot_of_another_chain_is_replaced,
    a_snapshot_of_another_shape_is_ignored_and_replaced,
    a_snapshot_within_a_batch_or_of_another_time_is_replaced,
    verification_finds_a_snapshot_that_differs,
);

type Spoil = Box<dyn FnOnce(&mut Item)>;

/// After each change of the item, the next command folds all commits and writes a new snapshot.
async fn a_damaged_snapshot_is_ignored_and_replaced(engine: &Engine) {
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
        (
            "something hidden without a trace",
            Box::new(swap(r#"["first-0",1,"#, r#"["first-0",2,"#)),
        ),
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

/// Replaces text in an uncompressed snapshot.
fn swap(from: &'static str, to: &'static str) -> impl Fn(&mut Item) {
    move |item| {
        let json = item["snapshot"].as_s().unwrap().replacen(from, to, 1);
        item.insert("snapshot".into(), text(&json));
    }
}

/// The tally of a later release.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct LaterTally {
    #[serde(default)]
    commands: u64,
    #[serde(default)]
    total: u64,
}

fn evolve_later(tally: LaterTally, told: &TallyEvent) -> LaterTally {
    let number = if let TallyEvent::Counted { number } = told { *number } else { 0 };
    LaterTally { commands: tally.commands + 1, total: tally.total + number }
}

fn later(
    process: &Process,
    shape: &'static str,
) -> CommandHandler<LaterTally, TallyEvent, Refusal> {
    let model = Model {
        initial: LaterTally::default,
        evolve: evolve_later,
        encode: TALLY.encode,
        decode: TALLY.decode,
        snapshot: Some(SnapshotCodec::json(shape)),
    };
    CommandHandler::new(process.store.clone(), model)
}

/// A change of the name or of the fields makes another shape.
async fn a_snapshot_of_another_shape_is_ignored_and_replaced(engine: &Engine) {
    let table = engine.table().await;
    for shape in ["tally/2", "tally/1"] {
        let stream = with_snapshot(&table, shape.split_once('/').unwrap().1).await;
        let process = table.process();
        let check = |tally: &LaterTally| {
            assert_eq!(
                (tally.commands, tally.total),
                (11, 11),
                "folded from the events, not from the snapshot"
            );
            Ok(vec![TallyEvent::Counted { number: 1 }])
        };
        later(&process, shape).handle(request(&stream, "later", "later"), check).await.unwrap();
        let item = snapshot(&table, &stream).await.unwrap();
        assert!(item["shape"].as_s().unwrap().starts_with(shape));
        assert!(item["snapshot"].as_s().unwrap().contains("commands"), "replaced");
        // The earlier release folds all commits again.
        let handled = table.process().count(&stream, "earlier", 1).await.unwrap();
        assert_eq!((handled.version, table.process().tally(&stream).await.total), (13, 13));
    }
}

async fn verification_finds_a_snapshot_that_differs(engine: &Engine) {
    let table = engine.table().await;
    let tallies = table.process().tallies;
    let fresh = stream("fresh");
    assert_eq!(tallies.verify_snapshot(&fresh).await.unwrap(), SnapshotVerification::Absent);
    let version = 10;
    let changes: [(&str, Spoil, SnapshotVerification); 6] = [
        ("nothing", Box::new(|_| ()), SnapshotVerification::Equal { version }),
        ("shape", Box::new(set("shape", Some(text("tally/0")))), SnapshotVerification::Ignored),
        (
            "state",
            Box::new(swap(r#""total":10"#, r#""total":99"#)),
            different(version, SnapshotDifference::State),
        ),
        (
            "ids",
            Box::new(swap(r#"["first-3",4,"#, r#"["other-3",4,"#)),
            different(version, SnapshotDifference::CommandIds),
        ),
        (
            "hash",
            Box::new(set("hash", Some(text(&"0".repeat(64))))),
            different(version, SnapshotDifference::Commit),
        ),
        (
            "version",
            Box::new(set("as_of", Some(number(12)))),
            different(12, SnapshotDifference::Commit),
        ),
    ];
    for (changed, change, expected) in changes {
        let stream = with_snapshot(&table, changed).await;
        let mut item = snapshot(&table, &stream).await.unwrap();
        change(&mut item);
        table.put(item).await;
        assert_eq!(tallies.verify_snapshot(&stream).await.unwrap(), expected, "{changed}");
    }
}

fn different(version: u64, difference: SnapshotDifference) -> SnapshotVerification {
    SnapshotVerification::Different { version, difference }
}

/// The newest commits were deleted. The chain does not show that, but the snapshot has seen them.
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
    assert_eq!(
        table.process().store.verify(&stream).await.unwrap().broken_at,
        Some(damaged.clone())
    );
    assert!(
        matches!(&refused, Err(ExecuteError::Corrupt(found)) if *found == damaged),
        "{refused:?}"
    );
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
            // At the last commit: no later one can contradict it.
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

/// The hash is the last commit's. So version and time must be its own, too.
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
        item.insert(
            "recorded_at".into(),
            text(&eventstore::time_text(head.recorded_at().unwrap())),
        );
        spoil(&mut item);
        table.put(item).await;
        let process = table.process();
        assert_eq!(process.count(&stream, "onwards", 1).await.unwrap().version, 15, "{key}");
        assert!(process.store.verify(&stream).await.unwrap().verified(), "{key}");
        let end = process.load(&stream).await.head.recorded_at().unwrap();
        assert!(end < head.recorded_at().unwrap() + chrono::TimeDelta::hours(1), "{key}: {end}");
    }
}
