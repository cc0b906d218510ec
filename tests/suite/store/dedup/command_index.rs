//! The index finds commands that the snapshot cannot decide. The cost does not depend on the length
//! of the stream.

use crate::harness::depth::full_or;
use crate::harness::wire::Wire;
use crate::store::{
    Answer, Engine, EngineKind, Process, Table, id_made_at, metadata, note, stream,
};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    Commit, Consistency, HandlerOptions, Id, IndexAnswer, IndexLookup, NewCommit, Options,
    StreamId, Usage,
};
use projections::audit_index::AuditIndex;
use projections::journal::Journal;
use projections::{Projector, ReadModels, TimeLimit};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

cases!(
    a_command_of_the_ids_own_millisecond_is_found,
    a_late_command_costs_four_requests_at_most,
    an_index_that_fails_or_lags_is_not_needed,
    a_wrong_index_entry_is_not_believed,
    a_lookup_in_the_index_costs_a_read_or_two,
);

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

fn fresh() -> String {
    id_made_at(now()).to_string()
}

/// A stream of commands of all kinds, and the audit index over it.
struct Indexed {
    table: Table,
    stream: StreamId,
    index: AuditIndex,
    read_models: ReadModels,
    /// What the index is asked.
    wire: Wire,
    writer: Process,
}

impl Indexed {
    async fn new(engine: &Engine) -> Self {
        let table = engine.table().await;
        let (client, wire) = table.wired();
        let index = AuditIndex::new(client.clone(), engine.no_table().name);
        let read_models = ReadModels::new(client, engine.no_table().name);
        index.create_table().await.unwrap();
        read_models.create_table().await.unwrap();
        let writer = table.process_with(clock_at(-120));
        Self { table, stream: stream("s"), index, read_models, wire, writer }
    }

    fn projector(&self) -> Projector {
        let (store, read_models) = (self.writer.store.clone(), self.read_models.clone());
        let journal = Journal::new(self.table.client.clone(), "journal");
        Projector::new(store, read_models, self.index.clone(), journal)
    }

    /// A process that has just started, and asks the index.
    fn process(&self) -> Process {
        let command_index = Some(self.projector().command_index());
        let memory =
            HandlerOptions { cached_streams: 0, filtered_ids: 64, ..HandlerOptions::default() };
        self.table.process_that_remembers(Options { command_index, ..Options::default() }, memory)
    }

    /// Appends so many commands two hours ago: what callers choose, UUIDv7, and those that the
    /// system derives.
    async fn write(&self, commits: usize) {
        let chance = fastrand::u32(..);
        let written = now() - TimeDelta::minutes(120);
        for from in (0..commits).step_by(50) {
            let batch = (from..commits.min(from + 50)).map(|number| {
                let id = match number % 3 {
                    0 => format!("delivery-{chance}-{number}"),
                    1 => id_made_at(written).to_string(),
                    _ => format!("~process:{}", id_made_at(written)),
                };
                NewCommit { metadata: metadata(id, "other"), events: vec![note("other")] }
            });
            self.writer.put_behind(&self.stream, batch.collect()).await;
        }
    }

    /// Enters all commits of the stream.
    async fn enter(&self) {
        let batches = self.writer.load(&self.stream).await.batches;
        let commits: Vec<Commit> = batches.into_iter().flat_map(|batch| batch.commits).collect();
        self.index
            .index(&self.writer.store, 1, &self.stream, &commits, TimeLimit::NONE)
            .await
            .unwrap();
    }

    /// A new process handles the command; how many requests and read units it took, those of the
    /// index included.
    async fn count(&self, command: &str) -> (Answer, u32, f64) {
        let process = self.process();
        self.wire.take();
        let answer = process.count(&self.stream, command, 1).await;
        let (store, index) = (process.wire.spent(), self.wire.take().len());
        let index = u32::try_from(index).unwrap();
        // Each read of the index is consistent and has at most 4 KB.
        (answer, store.requests + index, store.read_units + f64::from(index))
    }
}

fn clock_at(minutes: i64) -> Options {
    Options { clock: Arc::new(move || now() + TimeDelta::minutes(minutes)), ..Options::default() }
}

async fn a_late_command_costs_four_requests_at_most(engine: &Engine) {
    let indexed = Indexed::new(engine).await;
    indexed.write(600).await;
    // Its snapshot makes the next commands cheap.
    indexed.count(&fresh()).await.0.unwrap();
    indexed.enter().await;
    let (_, requests, read_units) = indexed.count(&fresh()).await;
    assert_eq!(requests, 2, "a fresh command reads nothing further back");
    let hour_ago = id_made_at(now() - TimeDelta::minutes(125)).to_string();
    let recorded = indexed.writer.load(&indexed.stream).await.batches[1].commits[2].clone();
    let old = recorded.metadata.command_id.to_string();
    for late in
        [hour_ago.clone(), format!("~process:{hour_ago}"), "a-key-of-its-own".to_owned(), old]
    {
        let known = late == recorded.metadata.command_id.as_str();
        let (answer, with_index, units) = indexed.count(&late).await;
        match answer {
            Ok(handled) => assert!(!handled.replayed && !known, "{late}"),
            Err(error) => {
                assert!(known && error.to_string().contains("another command"), "{late}: {error}")
            }
        }
        let puts = u32::from(!known);
        let more = with_index - (requests - 1) - puts;
        assert!(more <= 4, "{late}: {more} requests more");
        let dear = engine.kind != EngineKind::Ministack && units - read_units > 5.0;
        assert!(!dear, "{late}: {units} read units instead of {read_units}");
        indexed.enter().await;
    }
}

async fn an_index_that_fails_or_lags_is_not_needed(engine: &Engine) {
    let indexed = Indexed::new(engine).await;
    indexed.write(400).await;
    let first = indexed.writer.load(&indexed.stream).await.batches[0].commits[0]
        .metadata
        .command_id
        .to_string();
    for entered in [false, true] {
        for broken in [false, true] {
            if broken {
                indexed
                    .wire
                    .rule(|_| std::future::ready(crate::store::Act::Answer(400, "{}".to_owned())));
            }
            let (found, ..) = indexed.count(&first).await;
            assert!(
                found.is_err_and(|error| error.to_string().contains("another command")),
                "{entered}, {broken}"
            );
            let new = indexed.count(&format!("new-{entered}-{broken}")).await.0.unwrap();
            assert!(!new.replayed);
            indexed.wire.no_rule();
        }
        indexed.enter().await;
        // The index lags by more commits than are listed.
        indexed.write(150).await;
    }
}

/// Without the index, the stream is searched.
async fn a_wrong_index_entry_is_not_believed(engine: &Engine) {
    let indexed = Indexed::new(engine).await;
    indexed.write(400).await;
    let command_index: eventstore::CommandIndex = Arc::new(|_, _| {
        Box::pin(async { Ok(IndexAnswer { lookup: IndexLookup::At(7), usage: Usage::default() }) })
    });
    let memory =
        HandlerOptions { cached_streams: 0, filtered_ids: 64, ..HandlerOptions::default() };
    let options = Options { command_index: Some(command_index), ..Options::default() };
    let process = indexed.table.process_that_remembers(options, memory);
    let recorded = indexed.writer.load(&indexed.stream).await.batches[5].commits[2]
        .metadata
        .command_id
        .to_string();
    assert!(
        process
            .count(&indexed.stream, &recorded, 1)
            .await
            .is_err_and(|error| error.to_string().contains("another"))
    );
    assert!(!process.count(&indexed.stream, "new", 1).await.unwrap().replayed);
}

/// A search by the id's time must include all commits of that millisecond.
async fn a_command_of_the_ids_own_millisecond_is_found(engine: &Engine) {
    let table = engine.table().await;
    let time = DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
    let at = |ms: i64| {
        let clock = Arc::new(move || time + TimeDelta::milliseconds(ms));
        table.process_that_remembers(
            Options { clock, ..Options::default() },
            HandlerOptions {
                cached_streams: 0,
                remembered_ids: 1,
                snapshot_ids: 1,
                snapshot_after_batches: 2,
                ..HandlerOptions::default()
            },
        )
    };
    let id = id_made_at(time);
    at(-5).open(&stream("s"), "opening").await.unwrap();
    let first = at(0).count(&stream("s"), id.as_str(), 7).await.unwrap();
    // Other commits of the same millisecond, one per item, and later ones.
    for ms in [0, 0, 0, 1, 2, 3, 4, 5] {
        at(ms)
            .count(&stream("s"), id_made_at(time + TimeDelta::milliseconds(ms)).as_str(), 1)
            .await
            .unwrap();
    }
    let process = at(6);
    let again = process.count(&stream("s"), id.as_str(), 7).await.unwrap();
    assert_eq!((again.replayed, again.version), (true, first.version));
    assert_eq!(
        process.wire.operations(),
        ["Query", "Query"],
        "it lies behind what the snapshot lists"
    );
}

/// The snapshot limits the search.
async fn a_lookup_in_the_index_costs_a_read_or_two(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.warm_process(), stream("s"));
    for number in 0..40 {
        process.count(&stream, &format!("c{number}"), 1).await.unwrap();
    }
    process.wire.take();
    for (command, version, reads) in
        [("c39", Some(40), 1), ("c20", Some(21), 2), ("never-sent", None, 1)]
    {
        let found = process.store.find_recorded(&stream, &Id::new(command).unwrap()).await.unwrap();
        assert_eq!(found.map(|commit| commit.version), version, "{command}");
        assert_eq!(process.wire.operations().len(), reads, "{command}");
    }
}

/// An index of commands and their versions.
fn index_in_memory(entries: Arc<Mutex<HashMap<Id, u64>>>) -> eventstore::CommandIndex {
    Arc::new(move |mark, command| {
        let entries = entries.lock().unwrap();
        let lookup = match (entries.contains_key(&mark.command_id), entries.get(&command)) {
            (false, _) => IndexLookup::NotIndexed,
            (true, Some(version)) => IndexLookup::At(*version),
            (true, None) => IndexLookup::Absent,
        };
        Box::pin(async move { Ok(IndexAnswer { lookup, usage: Usage::default() }) })
    })
}

/// As many client keys as 100,000 orders of one book have, three times. The index is in memory, so
/// only the reads of the store are counted.
#[tokio::test]
async fn a_command_costs_the_same_at_any_number_of_commits() {
    let engine = Engine::start().await;
    let table = engine.table().await;
    let (stream, writer) = (stream("book"), table.process());
    let known: Arc<Mutex<HashMap<Id, u64>>> = Arc::default();
    let command_index = index_in_memory(Arc::clone(&known));
    let process = |cached_streams| {
        let options =
            Options { command_index: Some(Arc::clone(&command_index)), ..Options::default() };
        table.process_that_remembers(
            options,
            HandlerOptions { cached_streams, ..HandlerOptions::default() },
        )
    };
    let (mut head, mut snapshot_bytes, mut costs) =
        (eventstore::Head::empty(&stream), Vec::new(), Vec::new());
    let mut chance = fastrand::Rng::with_seed(1);
    for until in full_or([300, 10_000, 100_000, 300_000], [300, 4_000, 6_000, 8_000]) {
        while head.version() < until {
            let commit = |_| NewCommit {
                metadata: metadata(format!("key-{:032x}", chance.u128(..)), "other"),
                events: vec![note("other")],
            };
            let commits: Vec<NewCommit> =
                (0..(until - head.version()).min(200)).map(commit).collect();
            let appended = writer.append(&head, commits).await;
            let entered = appended
                .batch
                .commits
                .iter()
                .map(|commit| (commit.metadata.command_id.clone(), commit.version));
            known.lock().unwrap().extend(entered);
            head = appended.head;
        }
        // Writes a snapshot, and a few commands after it.
        for number in 0..12 {
            process(0).count(&stream, &format!("snapshot-{until}-{number}"), 1).await.unwrap();
        }
        let snapshot =
            table.items(&stream).await.into_iter().find(|item| item.contains_key("as_of")).unwrap();
        let body = snapshot.get("snapshot_zstd").map(|body| body.as_b().unwrap().as_ref().len());
        snapshot_bytes.push(body.unwrap_or_default());
        let (warm, mut cost) = (process(10), Vec::new());
        warm.count(&stream, &fresh(), 1).await.unwrap();
        for number in 0..20 {
            for (process, id) in [
                (&process(0), fresh()),
                (&process(0), format!("own-{until}-{number}")),
                (&warm, fresh()),
            ] {
                process.wire.take();
                process.count(&stream, &id, 1).await.unwrap();
                cost.push(process.wire.spent().requests);
            }
        }
        let loaded = writer.store.load_after(&head, Consistency::Strong).await.unwrap();
        let commits = loaded.batches.iter().flat_map(|batch| &batch.commits);
        known
            .lock()
            .unwrap()
            .extend(commits.map(|commit| (commit.metadata.command_id.clone(), commit.version)));
        head = loaded.head;
        costs.push(cost.into_iter().max().unwrap());
        eprintln!(
            "{until} commits: {costs:?} requests at most, snapshots of {snapshot_bytes:?} bytes"
        );
    }
    // The end of the stream in two pages, a put, sometimes a snapshot, and a page for a false
    // positive of a filter.
    assert!(costs.iter().all(|requests| *requests <= 5), "{costs:?}");
    assert!(snapshot_bytes.iter().all(|bytes| *bytes < 7_000), "{snapshot_bytes:?}");
    assert!(snapshot_bytes[3].abs_diff(snapshot_bytes[1]) < 300, "{snapshot_bytes:?}");
    engine.stop().await;
}
