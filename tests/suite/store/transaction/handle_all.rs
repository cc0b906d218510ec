//! The command loop over several streams: it decides on all, writes to all, and records once.

use crate::store::metering::budget::{spent, within};
use crate::store::transaction::append_all_faults::canceled_by;
use crate::store::{Act, Engine, EngineKind, Process, Spent, metadata, stream};
use eventstore::{
    AppendAllError, EventCodec, ExecuteAllError, Head, Model, MultiStreamRequest,
    MultiStreamResult, NewCommit, Options, SnapshotCodec, StreamId,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

cases!(
    a_command_is_found_after_everything_is_read_again,
    a_command_that_always_loses_ends_as_contention,
    a_decision_for_more_or_fewer_streams_is_refused,
    a_lost_answer_of_the_whole_command_is_resolved_by_a_retry,
    a_lost_race_is_resolved_with_the_winner,
    a_change_of_a_purse_that_was_only_read_is_noticed,
    a_refusal_is_true_of_all_streams_at_one_moment,
    a_retry_finds_a_command_that_wrote_to_some_streams_only,
    a_version_mismatch_names_stream_and_version,
    a_transfer_costs_its_reads_and_one_transaction,
    a_transfer_between_long_purses_costs_no_more,
    a_transfer_between_cached_purses_is_one_request,
    a_no_op_records_nothing,
    a_reused_id_is_refused_before_it_is_decided,
    running_transactions_are_retried,
    an_impossible_transaction_is_refused_before_any_request,
);

/// The events of a purse.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(in crate::store) enum Moved {
    By { pence: i64 },
}

/// The purse has less than the transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is less in the purse")]
pub(in crate::store) struct Overdrawn;

pub(in crate::store) type Answer = Result<MultiStreamResult, ExecuteAllError<Overdrawn>>;

/// The model of a purse: the state is its pence.
pub(in crate::store) const PURSE: Model<i64, Moved> = Model {
    initial: || 0,
    evolve,
    encode: |moved| MOVED.encode(moved),
    decode: |event| MOVED.decode(event),
    snapshot: Some(SnapshotCodec::json("purse/1")),
};
const MOVED: EventCodec<Moved> = EventCodec::new(&[]);

fn evolve(pence: i64, Moved::By { pence: more }: &Moved) -> i64 {
    pence + more
}

pub(in crate::store) fn request_all(
    streams: &[StreamId],
    command: &str,
    asked: &str,
) -> MultiStreamRequest {
    MultiStreamRequest::new(streams.to_vec(), metadata(command, asked))
}

/// Moves pence from the first purse to the second; a no-op for 0, refused if there are too few.
pub(in crate::store) fn transfer(
    pence: i64,
) -> impl Fn(&[&i64]) -> Result<Vec<Vec<Moved>>, Overdrawn> {
    move |purses| match pence {
        _ if *purses[0] < pence => Err(Overdrawn),
        0 => Ok(vec![]),
        pence => Ok(vec![vec![Moved::By { pence: -pence }], vec![Moved::By { pence }]]),
    }
}

impl Process {
    pub(in crate::store) async fn transfer(
        &self,
        purses: &[StreamId],
        command: &str,
        pence: i64,
    ) -> Answer {
        let request = request_all(purses, command, &format!("transfer {pence}"));
        self.purses.handle_all(&request, transfer(pence)).await
    }

    /// Puts money into purses, out of nowhere.
    pub(in crate::store) async fn fill(&self, purses: &[StreamId], pence: i64) {
        let parts = purses.iter().map(|purse| eventstore::Part {
            head: Head::empty(purse),
            events: vec![MOVED.encode(&Moved::By { pence }).unwrap()],
        });
        self.append_all("fill", parts.collect()).await.unwrap();
    }

    pub(in crate::store) async fn pence(&self, purse: &StreamId) -> i64 {
        let batches = self.load(purse).await.batches;
        let events =
            batches.iter().flat_map(|batch| &batch.commits).flat_map(|commit| &commit.events);
        events.fold(0, |pence, event| evolve(pence, &MOVED.decode(&event.body).unwrap()))
    }
}

/// A process, and purses that another one filled with 100 pence each.
async fn purses<const N: usize>(engine: &Engine) -> (Process, Arc<Process>, [StreamId; N]) {
    let table = engine.table().await;
    let (process, other) = (table.process(), Arc::new(table.process()));
    let purses: [StreamId; N] = std::array::from_fn(|number| stream(&format!("purse-{number}")));
    other.fill(&purses, 100).await;
    (process, other, purses)
}

/// Runs `other` before the `nth` transaction of the process.
pub(in crate::store) fn before_transaction<F>(
    process: &Process,
    nth: usize,
    act: impl Fn() -> F + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let act = Arc::new(act);
    process.wire.rule(move |seen| {
        let act = Arc::clone(&act);
        async move {
            if seen.operation == "TransactWriteItems" && seen.nth == nth {
                act().await;
            }
            Act::Pass
        }
    });
}

async fn a_transfer_costs_its_reads_and_one_transaction(engine: &Engine) {
    let (process, other, [a, b]) = purses::<2>(engine).await;
    let both = [a, b];
    let handled = process.transfer(&both, "t", 30).await.unwrap();
    within(
        engine,
        "command over 2 streams, cold",
        process.wire.spent(),
        handled.usage,
        spent(3, 4.0, 1.0),
    );
    assert_eq!((handled.replayed, handled.lost_races), (false, 0));
    assert!(
        handled
            .parts
            .iter()
            .map(|part| (part.head.stream(), part.head.version()))
            .eq(both.iter().map(|s| (s, 2)))
    );
    assert_eq!((other.pence(&both[0]).await, other.pence(&both[1]).await), (70, 130));
    assert!(other.store.verify(&both[0]).await.unwrap().verified());
}

async fn a_version_mismatch_names_stream_and_version(engine: &Engine) {
    let (process, other, both) = purses::<2>(engine).await;
    let request = |command: &str, versions| {
        let request = request_all(&both, command, "transfer 30");
        MultiStreamRequest { expected_versions: versions, ..request }
    };
    let handle = async |request| process.purses.handle_all(&request, transfer(30)).await;
    let expected = vec![Some(1), Some(1)];
    assert!(!handle(request("t", expected.clone())).await.unwrap().replayed);
    // The streams have grown since. The recorded result is still the answer.
    assert!(handle(request("t", expected.clone())).await.unwrap().replayed);
    // Another process has only the first purse cached, which has grown since.
    other.transfer(&both, "others", 1).await.unwrap();
    let refused = handle(request("late", vec![None, Some(2)])).await.unwrap_err();
    let told = format!("stream {} is at version 3, not at 2", both[1]);
    assert_eq!(refused.to_string(), told);
    assert!(matches!(refused, ExecuteAllError::VersionMismatch { expected: 2, actual: 3, .. }));
    assert_eq!(other.pence(&both[0]).await, 69, "nothing is written");
    // The text of a refusal is in its error.
    let poor = process.transfer(&both, "poor", 1_000).await.unwrap_err();
    assert_eq!(poor.to_string(), "refused: there is less in the purse");
}

async fn a_transfer_between_cached_purses_is_one_request(engine: &Engine) {
    let table = engine.table().await;
    let (process, other) = (table.warm_process(), table.process());
    let both = ["a", "b"].map(stream);
    process.fill(&both, 100).await;
    process.transfer(&both, "first", 1).await.unwrap();
    process.wire.take();
    for number in 0..5 {
        let handled = process.transfer(&both, &format!("t{number}"), 1).await.unwrap();
        within(
            engine,
            "command over 2 streams, warm",
            process.wire.spent(),
            handled.usage,
            spent(1, 4.0, 0.0),
        );
    }
    let again = process.transfer(&both, "t0", 1).await.unwrap();
    assert!(again.replayed && again.usage.write_units == 0.0, "{again:?}");
    // A commit of another process costs one lost race.
    other.transfer(&both, "elsewhere", 10).await.unwrap();
    assert_eq!(process.transfer(&both, "last", 1).await.unwrap().lost_races, 1);
    assert_eq!((process.pence(&both[0]).await, process.pence(&both[1]).await), (83, 117));
}

/// Commands over several streams use snapshots, too.
async fn a_transfer_between_long_purses_costs_no_more(engine: &Engine) {
    let (process, other, both) = purses::<2>(engine).await;
    process.transfer(&both, "early", 1).await.unwrap();
    for purse in &both {
        for batch in 0..100 {
            let moved = MOVED.encode(&Moved::By { pence: 1 }).unwrap();
            let commit = |number| NewCommit {
                metadata: metadata(format!("put-{batch}-{number}"), "put"),
                events: vec![moved.clone(), moved.clone()],
            };
            process.put_behind(purse, (0..50).map(commit).collect()).await;
        }
    }
    // This command reads everything, and writes the snapshots.
    other.transfer(&both, "snapshots", 1).await.unwrap();
    process.wire.take();
    // Without an index, only an id with a time is known to be new on such a stream.
    let id = crate::store::id_made_at(std::time::SystemTime::now().into()).to_string();
    let handled = process.transfer(&both, &id, 30).await.unwrap();
    let Spent { requests, write_units, read_units, .. } = process.wire.spent();
    assert_eq!((requests, handled.usage.requests), (3, 3));
    eprintln!(
        "over 2 streams of 10,000 events, cold: {write_units} write units, {read_units} read units"
    );
    // The page of a snapshot also has eleven older items, which are large here. The streams are 100
    // times that.
    assert!(engine.kind == EngineKind::Ministack || (write_units <= 4.0 && read_units <= 8.0));
    for command in ["early", "snapshots", id.as_str()] {
        let pence = if command == id { 30 } else { 1 };
        assert!(process.transfer(&both, command, pence).await.unwrap().replayed, "{command}");
    }
    assert_eq!(process.versions(&both).await, [10_004, 10_004]);
}

async fn a_command_is_found_after_everything_is_read_again(engine: &Engine) {
    let (process, other, [a, b]) = purses::<2>(engine).await;
    let both = [a, b];
    let first = process.transfer(&both, "t", 30).await.unwrap();
    for number in 0..5 {
        other.transfer(&both, &format!("later-{number}"), 1).await.unwrap();
    }
    process.wire.take();
    let again = process.transfer(&both, "t", 30).await.unwrap();
    assert_eq!(process.wire.operations(), ["Query", "Query"]);
    assert!(again.replayed);
    let hashes = |handled: &MultiStreamResult| {
        handled.parts.iter().map(|part| part.commit.hash).collect::<Vec<_>>()
    };
    assert_eq!(hashes(&first), hashes(&again));
    assert_eq!((other.pence(&both[0]).await, other.pence(&both[1]).await), (65, 135));
}

/// The retry is found by reading, also after a stale read. Streams without events have no part.
async fn a_retry_finds_a_command_that_wrote_to_some_streams_only(engine: &Engine) {
    let (process, other, purses) = purses::<3>(engine).await;
    let request = request_all(&purses, "t", "share");
    let first_only =
        |_: &[&i64]| Ok::<_, Overdrawn>(vec![vec![Moved::By { pence: 1 }], vec![], vec![]]);
    let last_only =
        |_: &[&i64]| Ok::<_, Overdrawn>(vec![vec![], vec![], vec![Moved::By { pence: 1 }]]);
    let first = process.purses.handle_all(&request, first_only).await.unwrap();
    assert_eq!(first.parts.len(), 1);
    let again = other.purses.handle_all(&request, last_only).await.unwrap();
    assert_eq!((again.replayed, again.parts.len()), (true, 1));
    // As if an eventually consistent read of the first purse lacked the commit.
    process.wire.rule(|seen| {
        let stale = seen.operation == "Query" && seen.body["ConsistentRead"] != true;
        std::future::ready(match stale {
            true => Act::Change(Box::new(|answer| {
                answer["Items"].as_array_mut().unwrap().retain(|item| item["version"]["N"] == "1");
            })),
            false => Act::Pass,
        })
    });
    process.wire.take();
    let again = process.purses.handle_all(&request, last_only).await.unwrap();
    assert_eq!((again.replayed, again.parts.len()), (true, 1));
    assert_eq!(again.parts[0].commit.hash, first.parts[0].commit.hash);
    assert!(
        process.wire.operations().contains(&"TransactWriteItems".to_owned()),
        "that read did not find it"
    );
    process.wire.no_rule();
    assert_eq!(process.versions(&purses).await, [2, 1, 1]);
}

async fn a_lost_race_is_resolved_with_the_winner(engine: &Engine) {
    let (process, other, [a, b, c]) = purses::<3>(engine).await;
    let (ours, theirs) = ([a.clone(), b.clone()], [b.clone(), c]);
    before_transaction(&process, 0, {
        let other = Arc::clone(&other);
        move || {
            let (other, theirs) = (Arc::clone(&other), theirs.clone());
            async move { drop(other.transfer(&theirs, "quick", 50).await.unwrap()) }
        }
    });
    let handled = process.transfer(&ours, "slow", 30).await.unwrap();
    assert_eq!(
        process.wire.operations(),
        ["Query", "Query", "TransactWriteItems", "TransactWriteItems"]
    );
    assert_eq!((handled.lost_races, handled.usage.requests), (1, 4));
    assert_eq!((process.pence(&a).await, process.pence(&b).await), (70, 80));
}

/// It was true at the decision, but not at the answer.
async fn a_refusal_is_true_of_all_streams_at_one_moment(engine: &Engine) {
    let (process, other, [a, b]) = purses::<2>(engine).await;
    let (there, back) = ([a.clone(), b.clone()], [b.clone(), a.clone()]);
    let refused = process.transfer(&there, "much", 150).await;
    assert!(matches!(refused, Err(ExecuteAllError::Refused(Overdrawn))), "{refused:?}");
    let exchanges = process.wire.take();
    let operations: Vec<&str> =
        exchanges.iter().map(|exchange| exchange.operation.as_str()).collect();
    assert_eq!(operations, ["Query", "Query", "TransactWriteItems"]);
    assert!(
        exchanges[2].request["TransactItems"][0]["ConditionCheck"].is_object(),
        "nothing is put"
    );
    before_transaction(&process, 0, {
        let other = Arc::clone(&other);
        move || {
            let (other, back) = (Arc::clone(&other), back.clone());
            async move { drop(other.transfer(&back, "back", 80).await.unwrap()) }
        }
    });
    let handled = process.transfer(&there, "much", 150).await.unwrap();
    assert_eq!((handled.replayed, handled.lost_races), (false, 1));
    assert_eq!((process.pence(&a).await, process.pence(&b).await), (30, 170));
}

/// Each of two decisions invalidates the other, so one must see the other.
async fn a_change_of_a_purse_that_was_only_read_is_noticed(engine: &Engine) {
    let (process, other, [a, b]) = purses::<2>(engine).await;
    let both = [a, b];
    // Takes from one purse, as long as both together have at least 100.
    let spend = |which: usize| {
        move |purses: &[&i64]| {
            let mut decided = vec![vec![], vec![]];
            decided[which].push(Moved::By { pence: -100 });
            if purses[0] + purses[1] < 200 { Err(Overdrawn) } else { Ok(decided) }
        }
    };
    before_transaction(&process, 0, {
        let (other, request) =
            (Arc::clone(&other), request_all(&both, "second", "spend the second"));
        move || {
            let (other, request) = (Arc::clone(&other), request.clone());
            async move { drop(other.purses.handle_all(&request, spend(1)).await.unwrap()) }
        }
    });
    let request = request_all(&both, "first", "spend the first");
    let refused = process.purses.handle_all(&request, spend(0)).await;
    assert!(matches!(refused, Err(ExecuteAllError::Refused(Overdrawn))), "{refused:?}");
    assert_eq!((other.pence(&both[0]).await, other.pence(&both[1]).await), (100, 0));
}

async fn a_no_op_records_nothing(engine: &Engine) {
    let (process, other, both) = purses::<2>(engine).await;
    let handled = process.transfer(&both, "idle", 0).await.unwrap();
    within(
        engine,
        "nothing to do over 2 streams",
        process.wire.spent(),
        handled.usage,
        spent(3, 4.0, 1.0),
    );
    assert_eq!((handled.parts.len(), handled.replayed), (0, false));
    assert_eq!(other.versions(&both).await, [1, 1]);
}

async fn a_reused_id_is_refused_before_it_is_decided(engine: &Engine) {
    let (process, _, both) = purses::<2>(engine).await;
    process.transfer(&both, "t", 30).await.unwrap();
    let turned = [both[1].clone(), both[0].clone()];
    let other = [both[0].clone(), stream("purse-other")];
    for (purses, pence) in [(&both, 31), (&other, 30)] {
        let refused = process.transfer(purses, "t", pence).await;
        let reused = matches!(&refused, Err(ExecuteAllError::Append(AppendAllError::CommandIdReused(id))) if id.as_str() == "t");
        assert!(reused, "{refused:?}");
    }
    assert!(
        process.transfer(&turned, "t", 30).await.unwrap().replayed,
        "what the order means is the fingerprint's to say"
    );
    assert_eq!(process.versions(&both).await, [2, 2]);
}

async fn a_decision_for_more_or_fewer_streams_is_refused(engine: &Engine) {
    let (process, _, both) = purses::<2>(engine).await;
    for decided in [1, 3] {
        let decide = |_: &[&i64]| Ok::<_, Overdrawn>(vec![vec![Moved::By { pence: 1 }]; decided]);
        let refused = process.purses.handle_all(&request_all(&both, "t", "t"), decide).await;
        let told = matches!(refused, Err(ExecuteAllError::Misshapen { decided: told, addressed: 2 }) if told == decided);
        assert!(told, "{refused:?}");
    }
    assert_eq!(process.versions(&both).await, [1, 1]);
}

async fn an_impossible_transaction_is_refused_before_any_request(engine: &Engine) {
    let process = engine.table().await.process();
    let all = crate::store::transaction::append_all::streams(101);
    let none = process.transfer(&[], "t", 1).await;
    assert!(matches!(none, Err(ExecuteAllError::Append(AppendAllError::NoStream))), "{none:?}");
    let many = process.transfer(&all, "t", 1).await;
    assert!(
        matches!(
            many,
            Err(ExecuteAllError::Append(AppendAllError::TooManyStreams { streams: 101 }))
        ),
        "{many:?}"
    );
    let twice = process.transfer(&[all[0].clone(), all[0].clone()], "t", 1).await;
    assert!(
        matches!(twice, Err(ExecuteAllError::Append(AppendAllError::StreamTwice(_)))),
        "{twice:?}"
    );
    assert!(process.wire.take().is_empty());
}

async fn a_lost_answer_of_the_whole_command_is_resolved_by_a_retry(engine: &Engine) {
    let (process, other, both) = purses::<2>(engine).await;
    process.wire.rule(|seen| {
        let write = seen.operation == "TransactWriteItems";
        std::future::ready(if write { Act::LoseAnswer } else { Act::Pass })
    });
    let lost = process.transfer(&both, "t", 30).await;
    assert!(matches!(lost, Err(ExecuteAllError::Append(AppendAllError::Store(_)))), "{lost:?}");
    process.wire.no_rule();
    assert!(process.transfer(&both, "t", 30).await.unwrap().replayed);
    assert_eq!((other.pence(&both[0]).await, other.pence(&both[1]).await), (70, 130));
}

/// No engine here gives this answer. It costs one attempt.
async fn running_transactions_are_retried(engine: &Engine) {
    let (process, _, both) = purses::<2>(engine).await;
    process.wire.rule(|seen| {
        let busy = seen.operation == "TransactWriteItems" && seen.nth < 3;
        let answer = canceled_by(&["TransactionConflict", "None"]);
        std::future::ready(if busy { Act::Answer(400, answer) } else { Act::Pass })
    });
    let handled = process.transfer(&both, "t", 30).await.unwrap();
    assert_eq!((handled.replayed, handled.lost_races), (false, 3));
    let exchanges = process.wire.take();
    let reads = exchanges.iter().filter(|exchange| exchange.request["ConsistentRead"] == true);
    let names: Vec<&str> = reads
        .map(|read| read.request["ExpressionAttributeValues"][":stream"]["S"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [both[0].as_str(); 2],
        "from the second loss on, what is busy is read again, and nothing else"
    );
}

async fn a_command_that_always_loses_ends_as_contention(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process_with(Options { max_attempts: 3, ..Options::default() });
    let both = crate::store::transaction::append_all::streams(2);
    process.fill(&both, 100).await;
    process.wire.take();
    let answer = canceled_by(&["None", "TransactionConflict"]);
    process.wire.rule(move |seen| {
        let busy = seen.operation == "TransactWriteItems";
        std::future::ready(if busy { Act::Answer(400, answer.clone()) } else { Act::Pass })
    });
    let lost = process.transfer(&both, "t", 1).await;
    assert!(matches!(lost, Err(ExecuteAllError::Contention { attempts: 3 })), "{lost:?}");
    let tries =
        process.wire.operations().into_iter().filter(|operation| operation == "TransactWriteItems");
    assert_eq!(tries.count(), 3);
}
