//! Random changes of items. A read returns what was written or a typed error with the stream. It
//! never panics and never returns other data.
//! The stream is written once. Then the wire answers each query with the changed items, also with
//! changes that no engine makes.

use crate::store::log::tampering::Victim;
use crate::store::{Act, Engine};
use eventstore::{Batch, Consistency, CorruptStream, Direction, ReadError};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};
use serde_json::{Value, json};
use std::cell::Cell;

const CASES: u32 = 400;
const NAMES: [&str; 7] =
    ["stream_id", "version", "last", "format", "put", "commits", "commits_zstd"];

/// A change of the stream's items.
#[derive(Debug, Clone)]
enum Mutation {
    /// An attribute is gone.
    Remove(Index, usize),
    /// An attribute says something else.
    Set(Index, usize, Value),
    /// An unknown attribute.
    Add(Index, Value),
    /// A character of the readable commits is another one.
    Character(Index, Index, char),
    /// A piece of the readable commits is gone.
    Cut(Index, Index, Index),
    /// A byte of the compressed commits is another one.
    Byte(Index, Index, u8),
    /// The compressed commits end earlier.
    Shorten(Index, Index),
    /// Something follows the compressed commits.
    Lengthen(Index, Vec<u8>),
    /// A batch is gone, but not the last one: a dropped end cannot show.
    Drop(Index),
    /// A batch is there twice.
    Double(Index),
    /// Two batches have changed places.
    Exchange(Index, Index),
    /// A batch has the commits of another one.
    Copy(Index, Index),
}

/// Any value of an attribute, the likely ones more often.
fn value() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        (0_u64..12).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f32>()
            .prop_filter("a number", |number| number.is_finite())
            .prop_map(|number| number.to_string()),
        Just("9007199254740992".to_owned()),
        Just("1E+125".to_owned()),
        Just("1.5".to_owned()),
        Just("-1".to_owned()),
    ];
    let texts = prop_oneof![Just(String::new()), Just("[]".to_owned()), "[ -~]{0,40}", ".{0,10}"];
    prop_oneof![
        4 => numbers.prop_map(|number| json!({ "N": number })),
        3 => texts.prop_map(|text| json!({ "S": text })),
        2 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| json!({ "B": base64(&bytes) })),
        1 => Just(json!({ "NULL": true })),
        1 => Just(json!({ "BOOL": false })),
        1 => Just(json!({ "L": [{ "N": "1" }] })),
        1 => Just(json!({ "M": { "version": { "N": "1" } } })),
        1 => Just(json!({ "NS": ["1", "2"] })),
    ]
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let index = any::<Index>;
    prop_oneof![
        (index(), 0..NAMES.len()).prop_map(|(item, name)| Mutation::Remove(item, name)),
        (index(), 0..NAMES.len(), value())
            .prop_map(|(item, name, value)| Mutation::Set(item, name, value)),
        (index(), value()).prop_map(|(item, value)| Mutation::Add(item, value)),
        (index(), index(), any::<char>())
            .prop_map(|(item, place, other)| Mutation::Character(item, place, other)),
        (index(), index(), prop::char::range(' ', '~'))
            .prop_map(|(item, place, other)| Mutation::Character(item, place, other)),
        (index(), index(), index()).prop_map(|(item, from, to)| Mutation::Cut(item, from, to)),
        (index(), index(), any::<u8>())
            .prop_map(|(item, place, other)| Mutation::Byte(item, place, other)),
        (index(), index()).prop_map(|(item, length)| Mutation::Shorten(item, length)),
        (index(), prop::collection::vec(any::<u8>(), 1..30))
            .prop_map(|(item, more)| Mutation::Lengthen(item, more)),
        index().prop_map(Mutation::Drop),
        index().prop_map(Mutation::Double),
        (index(), index()).prop_map(|(one, other)| Mutation::Exchange(one, other)),
        (index(), index()).prop_map(|(from, to)| Mutation::Copy(from, to)),
    ]
}

impl Mutation {
    fn apply(&self, items: &mut Vec<Value>) {
        let count = items.len();
        match self {
            Self::Remove(item, name) => {
                drop(items[item.index(count)].as_object_mut().unwrap().remove(NAMES[*name]))
            }
            Self::Set(item, name, value) => items[item.index(count)][NAMES[*name]] = value.clone(),
            Self::Add(item, value) => items[item.index(count)]["colour"] = value.clone(),
            Self::Character(item, place, other) => {
                text(&mut items[item.index(count)], |characters| {
                    if !characters.is_empty() {
                        let place = place.index(characters.len());
                        characters[place] = *other;
                    }
                })
            }
            Self::Cut(item, from, to) => text(&mut items[item.index(count)], |characters| {
                let (one, other) =
                    (from.index(characters.len() + 1), to.index(characters.len() + 1));
                characters.drain(one.min(other)..one.max(other));
            }),
            Self::Byte(item, place, other) => packed(&mut items[item.index(count)], |bytes| {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = *other;
                }
            }),
            Self::Shorten(item, length) => {
                packed(&mut items[item.index(count)], |bytes| {
                    bytes.truncate(length.index(bytes.len() + 1))
                });
            }
            Self::Lengthen(item, more) => {
                packed(&mut items[item.index(count)], |bytes| bytes.extend(more))
            }
            // Never the newest one, wherever an exchange has put it: that loss cannot show here.
            Self::Drop(item) => {
                let version = |item: &Value| item["version"]["N"].as_str()?.parse::<u64>().ok();
                let newest = items.iter().map(version).max().flatten();
                let others = (0..count).filter(|index| version(&items[*index]) != newest);
                let others: Vec<usize> = others.collect();
                if !others.is_empty() {
                    items.remove(others[item.index(others.len())]);
                }
            }
            Self::Double(item) => items.insert(item.index(count), items[item.index(count)].clone()),
            Self::Exchange(one, other) => items.swap(one.index(count), other.index(count)),
            Self::Copy(from, to) => {
                let source = items[from.index(count)].clone();
                for name in ["commits", "commits_zstd"] {
                    items[to.index(count)][name] = source[name].clone();
                }
                let target = items[to.index(count)].as_object_mut().unwrap();
                target.retain(|_, value| !value.is_null());
            }
        }
    }
}

fn text(item: &mut Value, change: impl FnOnce(&mut Vec<char>)) {
    let Some(text) = item["commits"]["S"].as_str() else { return };
    let mut characters: Vec<char> = text.chars().collect();
    change(&mut characters);
    item["commits"]["S"] = characters.into_iter().collect::<String>().into();
}

fn packed(item: &mut Value, change: impl FnOnce(&mut Vec<u8>)) {
    let Some(text) = item["commits_zstd"]["B"].as_str() else { return };
    let mut bytes = unbase64(text);
    change(&mut bytes);
    item["commits_zstd"]["B"] = base64(&bytes).into();
}

fn base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

fn unbase64(text: &str) -> Vec<u8> {
    aws_smithy_types::base64::decode(text).unwrap()
}

/// The stream under test, and its original content.
struct Spoiled {
    victim: Victim,
    /// As the engine answers them, oldest first.
    items: Vec<Value>,
    commits: Vec<(u64, String)>,
    identical: Cell<u32>,
    damaged: Cell<u32>,
}

#[test]
fn items_changed_by_chance_are_what_was_written_or_damage() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let engine = runtime.block_on(Engine::start());
    let spoiled = runtime.block_on(Spoiled::new(&engine));
    let mut runner =
        TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let mutations = prop::collection::vec(mutation(), 1..4);
    let checked = runner.run(&mutations, |mutations| {
        let mut items = spoiled.items.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut items));
        runtime.block_on(spoiled.check(items))
    });
    let (identical, damaged) = (spoiled.identical.get(), spoiled.damaged.get());
    runtime.block_on(engine.stop());
    checked.unwrap_or_else(|error| panic!("{error}"));
    assert!(
        identical > CASES / 20 && damaged > CASES / 3,
        "{identical} identical, {damaged} damaged"
    );
}

/// The stored commits, each with its first version.
fn commits(batches: &[Batch]) -> Vec<(u64, String)> {
    let stored = |commits: &[_]| {
        Batch { stream: crate::store::stream("any"), commits: commits.to_vec() }.commits_json()
    };
    let commits = batches.iter().flat_map(|batch| batch.commits.chunks(1));
    commits.map(|commit| (commit[0].version, stored(commit).unwrap())).collect()
}

impl Spoiled {
    async fn new(engine: &Engine) -> Self {
        let victim = Victim::new(engine).await;
        victim.process.wire.take();
        let loaded = victim.process.load(&victim.stream).await;
        let [query] = &victim.process.wire.take()[..] else { panic!("one page") };
        let mut items = query.answer["Items"].as_array().unwrap().clone();
        items.reverse();
        Self {
            victim,
            items,
            commits: commits(&loaded.batches),
            identical: Cell::default(),
            damaged: Cell::default(),
        }
    }

    /// Every query is answered with the items, in its order and up to its limit.
    fn answer(&self, items: Vec<Value>) {
        self.victim.process.wire.rule(move |seen| {
            let mut items = items.clone();
            if seen.body["ScanIndexForward"] == Value::Bool(false) {
                items.reverse();
            }
            items.truncate(
                seen.body["Limit"].as_u64().map_or(usize::MAX, |limit| limit.try_into().unwrap()),
            );
            std::future::ready(Act::Answer(
                200,
                json!({ "Count": items.len(), "Items": items }).to_string(),
            ))
        });
    }

    async fn check(&self, items: Vec<Value>) -> TestCaseResult {
        let keys_kept = items.iter().all(|item| self.items.iter().any(|own| same_key(item, own)));
        self.answer(items);
        let (store, stream) = (&self.victim.process.store, &self.victim.stream);
        match store.load(stream, Consistency::Strong).await {
            Ok(loaded) => {
                prop_assert_eq!(
                    &commits(&loaded.batches),
                    &self.commits,
                    "read is something else than was written"
                );
                self.identical.set(self.identical.get() + 1);
            }
            Err(error) => {
                self.named(error, keys_kept)?;
                self.damaged.set(self.damaged.get() + 1);
            }
        }
        let walk = store
            .verify(stream)
            .await
            .map_err(|fault| TestCaseError::fail(format!("{fault:?}")))?;
        match walk.broken_at {
            None => prop_assert_eq!((walk.version(), walk.commits), (9, 8)),
            Some(damaged) => self.named(damaged.into(), keys_kept)?,
        }
        if let Err(error) = store.head(stream, Consistency::Strong).await {
            self.named(error, keys_kept)?;
        }
        for (from, direction) in [(1, Direction::Forwards), (u64::MAX, Direction::Backwards)] {
            if let Err(error) = store.read(stream, from, direction, 100).await {
                self.named(error, keys_kept)?;
            }
        }
        self.victim.process.wire.operations();
        Ok(())
    }

    /// It must be corruption of this stream, with a version if the keys are readable.
    fn named(&self, error: ReadError, keys_kept: bool) -> TestCaseResult {
        let damaged: CorruptStream = match error {
            ReadError::Corrupt(damaged) => damaged,
            ReadError::Store(fault) => return Err(TestCaseError::fail(format!("{fault:?}"))),
        };
        if keys_kept {
            prop_assert_eq!(&damaged.stream, self.victim.stream.as_str(), "{:?}", damaged);
            prop_assert!((1..=10).contains(&damaged.version), "{:?}", damaged);
        }
        Ok(())
    }
}

fn same_key(one: &Value, other: &Value) -> bool {
    one["stream_id"] == other["stream_id"] && one["version"] == other["version"]
}
