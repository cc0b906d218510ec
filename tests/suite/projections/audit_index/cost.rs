//! The cost of entries and searches, counted at the wire and by the engine, and their partitions.

use super::ledger::{AUDIT, Entered, Ledger, commit, id, stream};
use crate::harness::faults::FaultInjector;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use chrono::TimeDelta;
use eventstore::{Direction, Item};
use projections::TimeLimit;
use projections::audit_index::AuditSearch;
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[tokio::test]
async fn a_commit_costs_one_request_and_three_without_the_cache() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 4).await;
    let wire = FaultInjector::default();
    let (store, warm) = ledger.process(&wire);
    let expected: [&[&str]; 4] =
        [&["PutItem", "PutItem"], &["PutItem"], &["PutItem"], &["PutItem"]];
    for ((stream, commit), operations) in all.iter().zip(expected) {
        warm.index(&store, 1, stream, std::slice::from_ref(commit), TimeLimit::NONE).await.unwrap();
        assert_eq!(wire.operations(), operations, "the first is that of the day");
    }
    let (stream, other) = &ledger.write(&stream("b"), 2).await[1];
    warm.index(&store, 1, stream, &[], TimeLimit::NONE).await.unwrap();
    ledger
        .index()
        .index(&store, 1, stream, std::slice::from_ref(other), TimeLimit::NONE)
        .await
        .unwrap();
    wire.take();
    warm.index(&store, 1, stream, std::slice::from_ref(other), TimeLimit::NONE).await.unwrap();
    assert_eq!(wire.operations(), ["Query", "BatchGetItem", "PutItem"]);
}

/// Rewrites all entries; returns the units that the engine counts for the table and each index.
async fn units_of(ledger: &Ledger, item: &Item) -> (f64, f64, BTreeMap<String, f64>) {
    let key = ["command", "rank"].map(|name| (name.to_owned(), item[name].clone()));
    ledger
        .client
        .delete_item()
        .table_name(AUDIT)
        .set_key(Some(HashMap::from(key)))
        .send()
        .await
        .unwrap();
    let put = ledger.client.put_item().table_name(AUDIT).set_item(Some(item.clone()));
    let put = put.return_consumed_capacity(ReturnConsumedCapacity::Indexes).send().await.unwrap();
    let consumed = put.consumed_capacity.unwrap();
    let indexes = consumed.global_secondary_indexes.unwrap_or_default();
    let indexes =
        indexes.into_iter().map(|(name, units)| (name, units.capacity_units.unwrap())).collect();
    (consumed.capacity_units.unwrap(), consumed.table.unwrap().capacity_units.unwrap(), indexes)
}

#[tokio::test]
async fn a_commit_costs_three_write_units() {
    let ledger = Ledger::start().await;
    let long = |letter: &str| letter.repeat(128);
    let mut longest = commit(&long("c"), &long("a"), &["TwentyBytesLongTypes"; 1]);
    longest.metadata.correlation_id = id(long("r"));
    longest.metadata.causation_id = Some(id(long("u")));
    let mut all = ledger.append(&stream(&"s".repeat(95)), vec![longest]).await;
    all.extend(ledger.write(&stream("a"), 3).await);
    ledger.enter(&ledger.index(), 99_999, &all).await;
    let (days, entries): (Vec<Item>, Vec<Item>) =
        ledger.items().await.into_iter().partition(|item| !item.contains_key("actor"));
    assert_eq!((days.len(), entries.len()), (1, 4));
    let indexes = BTreeMap::from([("by_correlation".to_owned(), 1.0), ("by_time".to_owned(), 1.0)]);
    for entry in &entries {
        assert_eq!(units_of(&ledger, entry).await, (3.0, 1.0, indexes.clone()), "{entry:?}");
    }
    let of_day = units_of(&ledger, &days[0]).await;
    assert_eq!((of_day.0, of_day.2.values().sum::<f64>()), (1.0, 0.0), "a day is in no index");
}

/// The partitions of `by_time` with entries of these commits.
async fn partitions(actors: usize) -> BTreeSet<String> {
    let ledger = Ledger::start().await;
    for number in 0..120 {
        let command =
            commit(&format!("c-{number}"), &format!("actor-{}", number % actors), &["Noted"]);
        let entered = ledger.append(&stream(&number.to_string()), vec![command]).await;
        ledger.enter(&ledger.index(), 1, &entered).await;
    }
    ledger
        .items()
        .await
        .iter()
        .filter_map(|item| item.get("day"))
        .map(|day| day.as_s().unwrap().clone())
        .collect()
}

#[tokio::test]
async fn one_actor_writes_to_4_partitions_of_a_day_and_many_to_16() {
    assert_eq!((partitions(1).await.len(), partitions(60).await.len()), (4, 16));
}

/// Commits of one day by 20 actors; every 40th has a new correlation id, every 100th a rare type.
async fn busy_day(ledger: &Ledger, commits: usize) -> Vec<Entered> {
    let mut all = Vec::new();
    for number in 0..commits {
        let kind = if number.is_multiple_of(100) { "Rare" } else { "Noted" };
        let mut command =
            commit(&format!("c-{number}"), &format!("actor-{}", number % 20), &[kind]);
        command.metadata.correlation_id = id(format!("r-{}", number / 40));
        ledger.pass(TimeDelta::milliseconds(5));
        all.extend(ledger.append(&stream(&format!("{}", number % 90)), vec![command]).await);
    }
    all
}

#[tokio::test]
async fn a_page_is_found_with_few_requests() {
    let ledger = Ledger::start().await;
    let all = busy_day(&ledger, 320).await;
    ledger.enter(&ledger.index(), 1, &all).await;
    let wire = FaultInjector::default();
    let (_, index) = ledger.process(&wire);
    let everything = AuditSearch::all(Direction::Backwards, 100);
    let kinds = [
        (AuditSearch { command: Some(id("c-7")), ..everything.clone() }, 1, 1),
        (AuditSearch { correlation: Some(id("r-7")), ..everything.clone() }, 40, 1),
        // The directory and the four shards; one read is enough for each.
        (AuditSearch { actor: Some(id("actor-7")), ..everything.clone() }, 16, 5),
        // The directory, the shards, and again those shards that by chance have more than their
        // share.
        (everything.clone(), 100, 29),
        (AuditSearch { event_type: Some("Rare".into()), ..everything }, 4, 17),
    ];
    for (search, found, requests) in kinds {
        assert_eq!(index.search(1, &search).await.unwrap().found.len(), found, "{search:?}");
        let sent = wire.take().len();
        assert!((1..=requests).contains(&sent), "{sent} requests for {search:?}");
    }
}
