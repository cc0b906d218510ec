//! A store with a clock, its audit index, and the expected entries.

use crate::harness::engine::dynamodb;
use crate::harness::faults::FaultInjector;
use crate::harness::waiting::PATIENCE;
use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    Batch, Clock, CommandMetadata, Commit, Consistency, EventStore, Fingerprint, Id, Item,
    NewCommit, NewEvent, Options, StreamId,
};
use ledgerfold::local::engines::dynamodb::DynamoDb;
use projections::audit_index::{AuditIndex, AuditPage, AuditSearch, EntryMatch, IndexEntry};
use projections::{ShortHash, TimeLimit};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const EVENTS: &str = "events";
pub(super) const AUDIT: &str = "audit";

/// A commit and its stream.
pub(super) type Entered = (StreamId, Commit);

pub(super) struct Ledger {
    pub(super) client: Client,
    pub(super) store: EventStore,
    clock: Arc<Mutex<DateTime<Utc>>>,
    _engine: (DynamoDb, TempDir),
}

impl Ledger {
    /// An empty store on a new engine; the time is 2026-11-22, 10:00.
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (engine, clients) = dynamodb(&folder.path().join("ledger.db")).await;
        let client = clients.dynamodb;
        let clock = Arc::new(Mutex::new("2026-11-22T10:00:00.123Z".parse().unwrap()));
        let now = clock.clone();
        let tell: Clock = Arc::new(move || *now.lock().unwrap());
        let store = EventStore::with_options(
            client.clone(),
            EVENTS,
            Options { clock: tell, ..Options::default() },
        );
        store.create_table().await.unwrap();
        let ledger = Self { client, store, clock, _engine: (engine, folder) };
        ledger.index().create_table().await.unwrap();
        ledger
    }

    /// The index with an empty cache.
    pub(super) fn index(&self) -> AuditIndex {
        AuditIndex::new(self.client.clone(), AUDIT)
    }

    /// The same over the wire.
    pub(super) fn process(&self, wire: &FaultInjector) -> (EventStore, AuditIndex) {
        let client = wire.client(&self.client);
        (EventStore::new(client.clone(), EVENTS), AuditIndex::new(client, AUDIT))
    }

    pub(super) fn pass(&self, time: TimeDelta) {
        *self.clock.lock().unwrap() += time;
    }

    /// Appends the commits as one item to the stream.
    pub(super) async fn append(&self, stream: &StreamId, commits: Vec<NewCommit>) -> Vec<Entered> {
        let (head, _) = self.store.head(stream, Consistency::Strong).await.unwrap();
        let Batch { commits, .. } = self.store.append(&head, commits).await.unwrap().batch;
        commits.into_iter().map(|commit| (stream.clone(), commit)).collect()
    }

    /// A stream of that many commits, one per item.
    pub(super) async fn write(&self, stream: &StreamId, commits: usize) -> Vec<Entered> {
        let mut all = Vec::new();
        for number in 0..commits {
            self.pass(TimeDelta::milliseconds(7));
            all.extend(
                self.append(
                    stream,
                    vec![commit(&format!("{stream}/{number}"), "tester", &["Noted"])],
                )
                .await,
            );
        }
        all
    }

    /// Enters the commits one by one.
    pub(super) async fn enter(&self, index: &AuditIndex, generation: u32, commits: &[Entered]) {
        for (stream, commit) in commits {
            index
                .index(
                    &self.store,
                    generation,
                    stream,
                    std::slice::from_ref(commit),
                    TimeLimit::NONE,
                )
                .await
                .unwrap();
        }
    }

    /// Every item of the audit table.
    pub(super) async fn items(&self) -> Vec<Item> {
        let pages = self.client.scan().table_name(AUDIT).consistent_read(true);
        let mut items = pages.into_paginator().items().send();
        let mut all = Vec::new();
        while let Some(item) = items.next().await {
            all.push(item.unwrap());
        }
        all
    }

    /// Every item, to be compared.
    pub(super) async fn dump(&self) -> BTreeSet<String> {
        let items = self.items().await;
        items
            .into_iter()
            .map(|item| {
                format!("{:?}", item.into_iter().collect::<std::collections::BTreeMap<_, _>>())
            })
            .collect()
    }

    /// Asserts that the index finds exactly these commits, and has an entry of each.
    pub(super) async fn assert_entered(&self, generation: u32, commits: &[Entered]) {
        let index = self.index();
        let search = AuditSearch::all(eventstore::Direction::Forwards, 1_000);
        let AuditPage { found, next } = index.search(generation, &search).await.unwrap();
        assert_eq!((found, next), (expected(commits), None), "generation {generation}");
        assert!(
            index
                .entered(generation, commits)
                .await
                .unwrap()
                .into_iter()
                .all(|entry| entry == EntryMatch::Same)
        );
    }
}

/// The expected entries, in the order of time, then of stream and version.
pub(super) fn expected(commits: &[Entered]) -> Vec<IndexEntry> {
    let mut found: Vec<IndexEntry> = commits.iter().map(found).collect();
    found.sort_by_key(|found| {
        (found.recorded_at, format!("{}#{:016}", found.stream, found.version))
    });
    found
}

fn found((stream, commit): &Entered) -> IndexEntry {
    let metadata = commit.metadata.clone();
    let mut event_types: Vec<String> = Vec::new();
    for event in &commit.events {
        if !event_types.contains(&event.body.event_type) {
            event_types.push(event.body.event_type.clone());
        }
    }
    IndexEntry {
        stream: stream.clone(),
        version: commit.version,
        last_version: commit.version + u64::try_from(commit.events.len()).unwrap() - 1,
        recorded_at: commit.recorded_at,
        command_id: metadata.command_id,
        correlation_id: metadata.correlation_id,
        causation_id: metadata.causation_id,
        actor: metadata.actor,
        event_types,
        hash: ShortHash::from(&commit.hash),
    }
}

pub(super) fn id(text: impl Into<String>) -> Id {
    Id::new(text).unwrap()
}

pub(super) fn stream(name: &str) -> StreamId {
    StreamId::new(format!("note-{name}")).unwrap()
}

/// A command's events, one of each type.
pub(super) fn commit(command: &str, actor: &str, types: &[&str]) -> NewCommit {
    let metadata = CommandMetadata {
        command_id: id(command),
        fingerprint: Fingerprint::of(&[command.as_bytes()]),
        correlation_id: id("a-correlation"),
        causation_id: None,
        actor: id(actor),
        trace_parent: None,
    };
    let event = |event_type: &&str| NewEvent {
        event_type: (*event_type).to_owned(),
        schema: 1,
        data: RawValue::from_string("{}".into()).unwrap(),
    };
    NewCommit { metadata, events: types.iter().map(event).collect() }
}

/// All pages of a search, joined. Asserts that no page exceeds the limit.
pub(super) async fn all_pages(
    index: &AuditIndex,
    generation: u32,
    search: &AuditSearch,
) -> Vec<IndexEntry> {
    let (mut search, mut all) = (search.clone(), Vec::new());
    let walk = async {
        loop {
            let AuditPage { found, next } = index.search(generation, &search).await.unwrap();
            assert!(found.len() <= search.limit);
            all.extend(found);
            // The cursor as a client returns it.
            let Some(next) = next else { break };
            search.after = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, walk).await.expect("the pages do not end");
    all
}
