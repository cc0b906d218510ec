//! Looks up commands in the index alone.

use super::ledger::{AUDIT, Entered, Ledger, commit, stream};
use crate::harness::faults::FaultInjector;
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{EventStore, Hash, Id, IndexLookup, Mark};
use projections::audit_index::{AuditIndex, EntryMatch};
use projections::journal::Journal;
use projections::{Projector, ReadModels};
use serde_json::{Value, json};

const READ_MODELS: &str = "read-models";

/// A projector over the wire with an empty cache.
async fn projector(ledger: &Ledger, wire: &FaultInjector) -> Projector {
    let client = wire.client(&ledger.client);
    let read_models = ReadModels::new(client.clone(), READ_MODELS);
    read_models.create_table().await.unwrap();
    wire.take();
    wire.arm(None);
    let (store, index) =
        (EventStore::new(client.clone(), "events"), AuditIndex::new(client.clone(), AUDIT));
    Projector::new(store, read_models, index, Journal::new(client, "journal"))
}

/// Sets the generations of the audit index.
async fn generations(ledger: &Ledger, active: u32, other: Value) {
    let all = json!({"active": active, "other": other, "newest": 9, "newest_job": 0, "job": null, "report": null});
    let put = ledger.client.put_item().table_name(READ_MODELS);
    let put = put.item("row", AttributeValue::S("audit/generations".into()));
    let put = put.item("version", AttributeValue::N("1".into()));
    put.item("data", AttributeValue::S(all.to_string())).send().await.unwrap();
}

fn mark((stream, commit): &Entered) -> Mark {
    Mark::of(stream, commit)
}

fn id((_, commit): &Entered) -> Id {
    commit.metadata.command_id.clone()
}

#[tokio::test]
async fn a_command_is_at_its_version_or_absent_up_to_the_mark() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 4).await;
    let elsewhere =
        ledger.append(&stream("b"), vec![commit(id(&all[1]).as_str(), "tester", &["Noted"])]).await;
    let again =
        ledger.append(&stream("b"), vec![commit("only-b", "tester", &["Noted", "Noted"])]).await;
    ledger.enter(&ledger.index(), 1, &[all.clone(), elsewhere, again.clone()].concat()).await;
    let wire = FaultInjector::default();
    let projector = projector(&ledger, &wire).await;
    for (command, answer) in [
        (id(&all[0]), IndexLookup::At(1)),
        (id(&all[1]), IndexLookup::At(2)),
        (id(&again[0]), IndexLookup::Absent),
        (Id::new("nobody's").unwrap(), IndexLookup::Absent),
    ] {
        assert_eq!(
            projector.recorded(&mark(&all[2]), &command).await.unwrap().lookup,
            answer,
            "{command}"
        );
        assert_eq!(
            wire.operations(),
            ["BatchGetItem", "Query"],
            "and the generation, which the wire leaves out"
        );
        assert_eq!(wire.requests(), 3, "{command}");
        wire.arm(None);
    }
    assert_eq!(
        projector.recorded(&mark(&again[0]), &id(&all[1])).await.unwrap().lookup,
        IndexLookup::At(1),
        "of its stream"
    );
}

#[tokio::test]
async fn a_mark_without_its_entry_proves_nothing() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 3).await;
    ledger.enter(&ledger.index(), 1, &all[..2]).await;
    let projector = projector(&ledger, &FaultInjector::default()).await;
    let other = Mark { hash: Some(Hash::of(&[b"other"])), ..mark(&all[1]) };
    for mark in [mark(&all[2]), other] {
        assert_eq!(
            projector.recorded(&mark, &id(&all[0])).await.unwrap().lookup,
            IndexLookup::NotIndexed,
            "{mark:?}"
        );
    }
    assert_eq!(
        projector.recorded(&mark(&all[1]), &id(&all[0])).await.unwrap().lookup,
        IndexLookup::At(1)
    );
}

#[tokio::test]
async fn a_generation_that_is_being_removed_is_not_believed() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 3).await;
    ledger.enter(&ledger.index(), 1, &all).await;
    let projector = projector(&ledger, &FaultInjector::default()).await;
    let ask = async || projector.recorded(&mark(&all[2]), &id(&all[0])).await.unwrap().lookup;
    assert_eq!(ask().await, IndexLookup::At(1));
    generations(&ledger, 2, json!({"number": 1, "state": "removing"})).await;
    assert_eq!(ask().await, IndexLookup::NotIndexed, "the new one has no entries");
    ledger.enter(&ledger.index(), 2, &all).await;
    assert_eq!(ask().await, IndexLookup::At(1));
    // The previous generation is still written, so it answers.
    generations(&ledger, 3, json!({"number": 2, "state": "previous"})).await;
    assert_eq!(ask().await, IndexLookup::At(1));
    assert_eq!(ask().await, IndexLookup::NotIndexed, "the process knows the active one by now");
    ledger.enter(&ledger.index(), 3, &all).await;
    assert_eq!(ask().await, IndexLookup::At(1));
}

#[tokio::test]
async fn an_entry_is_never_replaced_by_one_of_another_hash() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 3).await;
    ledger.enter(&ledger.index(), 1, &all).await;
    let before = ledger.dump().await;
    let (name, mut changed) = all[1].clone();
    changed.hash = Hash::of(&[b"changed"]);
    let index = ledger.index();
    assert_eq!(
        index.entered(1, &[(name.clone(), changed.clone())]).await.unwrap(),
        [EntryMatch::Other]
    );
    let refused =
        index.index(&ledger.store, 1, &name, &[changed], projections::TimeLimit::NONE).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("is damaged at version 2")));
    assert_eq!(ledger.dump().await, before);
}

#[tokio::test]
async fn entries_of_the_older_form_are_refused_and_mended() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 3).await;
    ledger.enter(&ledger.index(), 1, &all).await;
    let whole = ledger.dump().await;
    for item in ledger.items().await.into_iter().filter(|item| item.contains_key("hash")) {
        let mut old = item;
        old.remove("hash");
        ledger.client.put_item().table_name(AUDIT).set_item(Some(old)).send().await.unwrap();
    }
    let index = ledger.index();
    let search = projections::audit_index::AuditSearch::all(eventstore::Direction::Forwards, 10);
    assert!(index.search(1, &search).await.unwrap_err().to_string().contains("cannot be read"));
    assert_eq!(index.entered(1, &all).await.unwrap(), [EntryMatch::Other; 3]);
    ledger.enter(&index, 1, &all[2..]).await;
    assert_eq!(ledger.dump().await, whole);
}
