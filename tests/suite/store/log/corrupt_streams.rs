//! Every corruption of a stream is reported with its version, and none causes a panic.

use crate::store::log::tampering::{Victim, bytes, number, replace, set, text};
use crate::store::{Engine, new_commit};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{
    AppendError, Commit, Consistency, CorruptStream, Damage, ExecuteError, Head, Id, Item,
    MAX_VERSION, ReadError, Segment, Witness,
};

cases!(
    a_moved_batch_is_found,
    an_inserted_batch_is_found,
    a_removed_batch_is_found,
    nothing_is_written_after_a_broken_batch,
    a_broken_winner_of_a_race_is_corruption,
    a_changed_commit_is_found,
    a_removed_end_is_not_found_without_a_witness,
    a_missing_beginning_does_not_say_that_a_command_is_new,
    an_item_that_is_no_batch_is_found,
    any_changed_character_is_found,
    sort_keys_beyond_the_largest_version_are_no_events,
    a_witness_of_the_end_shows_that_it_is_gone,
);

/// The expected version and damage. The commits up to version `fits` are sound.
struct Expected {
    version: u64,
    damage: Damage,
    fits: u64,
}

fn at(version: u64, damage: Damage, fits: u64) -> Expected {
    Expected { version, damage, fits }
}

/// `verify`, `load` and `execute` must report the same version, and nothing may be written.
async fn shows(victim: &Victim, what: &str, expected: Expected) {
    let Victim { table, process, stream } = victim;
    let Expected { version, damage, fits } = expected;
    let damaged = CorruptStream { stream: stream.to_string(), version, damage };
    let before = table.items(stream).await;
    let walk = process.store.verify(stream).await.unwrap();
    assert_eq!(walk.broken_at.as_ref(), Some(&damaged), "{what}");
    assert_eq!(walk.version(), fits, "{what}: what fits ends elsewhere");
    for consistency in [Consistency::Strong, Consistency::Eventual] {
        match process.store.load(stream, consistency).await {
            Err(ReadError::Corrupt(found)) => assert_eq!(found, damaged, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
    match process.count(stream, "onwards", 1).await {
        Err(ExecuteError::Corrupt(found)) => assert_eq!(found, damaged, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    assert_eq!(table.items(stream).await, before, "{what}: something was written");
    let names = process.store.streams(2, |_| ()).await.unwrap().names;
    assert!(
        names.contains(stream),
        "{what}: the names of streams do not depend on what is in them"
    );
}

async fn a_changed_commit_is_found(engine: &Engine) {
    let mut victim = Victim::new(engine).await;
    let changes = [
        (4, "data", replace("four", "fife"), at(4, Damage::Chain, 3)),
        (
            2,
            "the command id of the second commit",
            replace(r#""c","#, r#""x","#),
            at(3, Damage::Chain, 2),
        ),
        (
            1,
            "a schema version",
            replace(r#""Noted","#, r#""Noted","schema":2,"#),
            at(1, Damage::Chain, 0),
        ),
        (
            5,
            "an event's type",
            replace(r#""Noted","data":{"text":"six""#, r#""Voted","data":{"text":"six""#),
            at(5, Damage::Chain, 4),
        ),
        (
            8,
            "white space in the data of the last commit",
            replace(r#":"nine"#, r#": "nine"#),
            at(9, Damage::Chain, 8),
        ),
    ];
    for (number, (version, what, change, expected)) in changes.into_iter().enumerate() {
        victim = victim.another(&format!("changed-{number}")).await;
        victim.change(version, change).await;
        shows(&victim, what, expected).await;
        scan_does_not_follow_chains(&victim).await;
    }
}

/// A scan reads batches in any order. It checks items, but no hash chain.
async fn scan_does_not_follow_chains(victim: &Victim) {
    let page = victim.process.store.scan(Segment { index: 0, total: 1 }, None).await.unwrap();
    assert!(page.batches.iter().filter(|batch| batch.stream == victim.stream).count() >= 5);
}

async fn a_removed_batch_is_found(engine: &Engine) {
    let mut victim = Victim::new(engine).await;
    for (version, found) in [(1, 2), (2, 4), (4, 5), (5, 7), (7, 8)] {
        victim = victim.another(&format!("without-{version}")).await;
        victim.table.delete(&victim.stream, version).await;
        shows(&victim, "a hole", at(version, Damage::Hole { found }, version - 1)).await;
        scan_does_not_follow_chains(&victim).await;
    }
}

async fn a_removed_end_is_not_found_without_a_witness(engine: &Engine) {
    let victim = Victim::new(engine).await;
    victim.table.delete(&victim.stream, 8).await;
    let walk = victim.process.store.verify(&victim.stream).await.unwrap();
    assert!(walk.verified(), "only a later commit or a witness shows the end");
    assert_eq!((walk.version(), walk.commits), (7, 6));
    assert_eq!(victim.process.load(&victim.stream).await.head.hash(), walk.hash());
}

/// The item with the keys of another version.
fn moved(mut item: Item, to: &Victim, version: u64, last: u64) -> Item {
    item.insert("stream_id".into(), text(to.stream.as_str()));
    item.insert("version".into(), number(version));
    item.insert("last".into(), number(last));
    item
}

async fn a_moved_batch_is_found(engine: &Engine) {
    let victim = Victim::new(engine).await;
    let (first, fourth) = (victim.item(1).await, victim.item(4).await);
    victim.table.put(moved(fourth.clone(), &victim, 1, 1)).await;
    victim.table.put(moved(first, &victim, 4, 4)).await;
    shows(&victim, "two batches that changed places", at(1, Damage::Chain, 0)).await;
    let victim = victim.another("foreign").await;
    victim.table.put(moved(fourth, &victim, 4, 4)).await;
    shows(&victim, "the same batch of another stream", at(4, Damage::Chain, 3)).await;
    let victim = victim.another("own").await;
    let fourth = victim.item(4).await;
    victim.table.delete(&victim.stream, 8).await;
    victim.table.put(moved(fourth, &victim, 8, 8)).await;
    shows(&victim, "an own batch once more, at the end", at(8, Damage::Chain, 7)).await;
}

async fn an_inserted_batch_is_found(engine: &Engine) {
    let victim = Victim::new(engine).await;
    let foreign = victim.item(1).await;
    let victim = victim.another("overlapped").await;
    victim.table.put(moved(foreign.clone(), &victim, 3, 3)).await;
    shows(&victim, "a batch within another", at(3, Damage::Overlap { found: 3 }, 3)).await;
    let victim = victim.another("longer").await;
    victim.table.put(moved(foreign, &victim, 10, 10)).await;
    shows(&victim, "a foreign batch at the end", at(10, Damage::Chain, 9)).await;
}

async fn an_item_that_is_no_batch_is_found(engine: &Engine) {
    let mut victim = Victim::new(engine).await;
    let packed = victim.item(7).await["commits_zstd"].as_b().unwrap().clone().into_inner();
    let foreign_zstd = zstd_of_nothing();
    let attribute = Damage::Attribute;
    let changes: Vec<(u64, &'static str, Option<AttributeValue>, Damage)> = vec![
        (4, "commits", Some(number(4)), attribute("commits")),
        (4, "commits", Some(bytes(b"[]")), attribute("commits")),
        (4, "commits", None, attribute("commits")),
        (4, "commits_zstd", Some(bytes(&packed)), attribute("commits")),
        (5, "last", None, Damage::Extent { said: 5, found: 6 }),
        (4, "last", Some(text("4")), attribute("last")),
        (4, "last", Some(number(9)), Damage::Extent { said: 9, found: 4 }),
        (4, "last", Some(number(3)), Damage::Extent { said: 3, found: 4 }),
        (4, "format", None, attribute("format")),
        (4, "format", Some(AttributeValue::Bool(true)), attribute("format")),
        (4, "format", Some(number(1)), Damage::Format("1".into())),
        (4, "format", Some(number(3)), Damage::Format("3".into())),
        (4, "commits", Some(text("[]")), Damage::Empty),
        (7, "commits_zstd", Some(bytes(&packed[..packed.len() / 2])), Damage::Compression),
        (7, "commits_zstd", Some(bytes(b"not zstd at all")), Damage::Compression),
        (7, "commits_zstd", Some(text("text")), attribute("commits")),
        (7, "commits", Some(text("[]")), attribute("commits")),
        (
            7,
            "commits_zstd",
            Some(bytes(&foreign_zstd)),
            Damage::Json("EOF while parsing a value at line 1 column 0".into()),
        ),
        (
            4,
            "commits",
            Some(text("[")),
            Damage::Json("EOF while parsing a list at line 1 column 1".into()),
        ),
    ];
    for (index, (version, name, value, damage)) in changes.into_iter().enumerate() {
        victim = victim.another(&format!("item-{index}")).await;
        victim.change(version, set(name, value.clone())).await;
        let what = format!("{name} = {value:?}");
        shows(&victim, &what, at(version, damage.clone(), version - 1)).await;
        let damaged = CorruptStream { stream: victim.stream.to_string(), version, damage };
        let page = victim.process.store.scan(Segment { index: 0, total: 1 }, None).await.unwrap();
        assert_eq!(page.damaged, [damaged], "{what}");
        assert!(
            page.batches.iter().any(|batch| batch.stream == victim.stream),
            "{what}: the others are found"
        );
        victim.table.delete(&victim.stream, version).await;
    }
}

/// A frame of zstd that holds no byte (RFC 8878: magic number, header, one empty raw block that is
/// the last).
fn zstd_of_nothing() -> [u8; 9] {
    [0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0x00, 0x00]
}

async fn sort_keys_beyond_the_largest_version_are_no_events(engine: &Engine) {
    let victim = Victim::new(engine).await;
    let whole = victim.process.load(&victim.stream).await.head;
    for version in [MAX_VERSION + 1, u64::MAX] {
        let cache = [
            ("stream_id", text(victim.stream.as_str())),
            ("version", number(version)),
            ("any", text("thing")),
        ];
        victim.table.put(cache.map(|(name, value)| (name.to_owned(), value)).into()).await;
    }
    let walk = victim.process.store.verify(&victim.stream).await.unwrap();
    assert!(walk.verified());
    assert_eq!((walk.commits, walk.hash()), (8, whole.hash()));
    assert_eq!(victim.process.load(&victim.stream).await.head, whole);
    assert_eq!(
        victim.process.store.head(&victim.stream, Consistency::Strong).await.unwrap().0,
        whole
    );
    let page = victim.process.store.scan(Segment { index: 0, total: 1 }, None).await.unwrap();
    assert_eq!(page.batches.len(), 6);
    assert_eq!(victim.process.count(&victim.stream, "onwards", 1).await.unwrap().version, 10);
}

async fn a_witness_of_the_end_shows_that_it_is_gone(engine: &Engine) {
    let victim = Victim::new(engine).await;
    let Victim { table, process, stream } = &victim;
    let whole = process.load(stream).await;
    let commits: Vec<Commit> = whole.batches.into_iter().flat_map(|batch| batch.commits).collect();
    let seen = |version: u64, commit: &Commit, bytes: usize| Witness {
        name: format!("who saw {version}"),
        version,
        hash: commit.hash.as_bytes()[..bytes].to_vec(),
    };
    // Events 5 and 6 are one commit.
    let honest = [seen(9, &commits[7], 16), seen(5, &commits[4], 32), seen(6, &commits[4], 0)];
    assert!(process.store.verify_against(stream, &honest).await.unwrap().verified());
    let broken = async |witnesses: &[Witness]| {
        process
            .store
            .verify_against(stream, witnesses)
            .await
            .unwrap()
            .broken_at
            .map(|damaged| (damaged.version, damaged.damage))
    };
    let other = Damage::OtherSeen { by: "who saw 6".into() };
    assert_eq!(broken(&[seen(6, &commits[3], 16)]).await, Some((5, other)));
    let other = Damage::OtherSeen { by: "who saw 9".into() };
    assert_eq!(broken(&[seen(9, &commits[0], 16)]).await, Some((9, other)));
    table.delete(stream, 8).await;
    assert_eq!(
        broken(&[seen(7, &commits[5], 16)]).await,
        None,
        "no witness has seen the removed end"
    );
    let end = |seen| Damage::End { seen, by: format!("who saw {seen}") };
    assert_eq!(broken(&honest).await, Some((8, end(9))));
    for version in [1, 2, 4, 5, 7] {
        table.delete(stream, version).await;
    }
    assert_eq!(broken(&[seen(5, &commits[4], 0)]).await, Some((1, end(5))), "all of it is gone");
    assert_eq!(broken(&[]).await, None);
}

async fn nothing_is_written_after_a_broken_batch(engine: &Engine) {
    let victim = Victim::new(engine).await;
    victim.change(8, set("format", Some(number(7)))).await;
    shows(&victim, "the last batch", at(8, Damage::Format("7".into()), 7)).await;
    let head = victim.process.store.head(&victim.stream, Consistency::Strong).await;
    assert!(matches!(&head, Err(ReadError::Corrupt(damaged)) if damaged.version == 8), "{head:?}");
}

/// The item at the put's version is no batch. That is neither a lost race nor a success.
async fn a_broken_winner_of_a_race_is_corruption(engine: &Engine) {
    let victim = Victim::new(engine).await;
    victim.change(1, set("format", Some(number(7)))).await;
    let damaged = CorruptStream {
        stream: victim.stream.to_string(),
        version: 1,
        damage: Damage::Format("7".into()),
    };
    match victim
        .process
        .store
        .append(&Head::empty(&victim.stream), vec![new_commit("z", &["x"])])
        .await
    {
        Err(AppendError::Corrupt(found)) => assert_eq!(found, damaged),
        other => panic!("{other:?}"),
    }
    match victim.process.open(&victim.stream, "opening").await {
        Err(ExecuteError::Corrupt(found)) => assert_eq!(found, damaged),
        other => panic!("{other:?}"),
    }
}

async fn any_changed_character_is_found(engine: &Engine) {
    let seed = 20_261_122;
    eprintln!("any_changed_character_is_found: seed {seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let victim = Victim::new(engine).await;
    for _ in 0..60 {
        let version = [1, 2, 4, 5, 8][chance.usize(..5)];
        let original = victim.item(version).await;
        let json = original["commits"].as_s().unwrap().clone();
        // Letters and digits only, because the hash does not cover white space between tokens.
        let places: Vec<usize> = json
            .char_indices()
            .filter(|(_, c)| matches!(c, 'a'..='y' | '0'..='8'))
            .map(|(i, _)| i)
            .collect();
        let place = places[chance.usize(..places.len())];
        let mut changed = json.clone().into_bytes();
        changed[place] += 1;
        let changed = String::from_utf8(changed).unwrap();
        victim.change(version, |item| drop(item.insert("commits".into(), text(&changed)))).await;
        let walk = victim.process.store.verify(&victim.stream).await.unwrap();
        let found = walk.broken_at.as_ref().map(|damaged| damaged.version);
        assert!(
            found.is_some_and(|found| (version..version + 2).contains(&found)),
            "{changed}: found at {found:?}"
        );
        victim.table.put(original).await;
    }
    assert!(victim.process.store.verify(&victim.stream).await.unwrap().verified());
}

/// A search must reach the first commit, because a missing one may be the command's own.
async fn a_missing_beginning_does_not_say_that_a_command_is_new(engine: &Engine) {
    let Victim { table, process, stream } = Victim::new(engine).await;
    let unknown = Id::new("never-sent").unwrap();
    assert!(process.store.find_recorded(&stream, &unknown).await.unwrap().is_none());
    table.delete(&stream, 1).await;
    match process.store.find_recorded(&stream, &unknown).await {
        Err(ReadError::Corrupt(found)) => assert_eq!(found.version, 1),
        other => panic!("{other:?}"),
    }
}
