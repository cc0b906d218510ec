//! A command over a tally and a purse, streams of two models: decides on both, writes to both,
//! once.

use crate::store::metering::budget::{spent, within};
use crate::store::snapshot::snapshots::as_of;
use crate::store::transaction::handle_all::{Moved, Overdrawn, before_transaction};
use crate::store::{Act, Engine, Process, Table, Tally, TallyEvent, metadata, stream};
use eventstore::{
    AppendAllError, CommandHandler, EventStore, ExecuteAllError, MultiStreamResult, Options,
    PairRequest, StreamId,
};
use futures::future::join_all;
use std::sync::Arc;

cases!(
    a_decision_for_one_of_the_two_checks_the_other,
    a_lost_answer_of_a_pair_is_repaired_by_a_retry,
    a_pair_costs_its_reads_and_one_transaction,
    a_pair_that_is_sent_again_is_known,
    a_race_lost_on_either_stream_is_resolved,
    a_refusal_is_true_of_both_at_one_moment,
    a_version_mismatch_of_a_pair_names_its_stream,
    a_no_op_on_a_pair_records_nothing,
    one_pair_from_sixty_four_tasks_is_written_once,
    pairs_and_single_commands_at_once_keep_the_sum,
    snapshots_of_both_kinds_are_written_beside_pairs,
    an_impossible_pair_is_refused_before_any_request,
);

type Answer = Result<MultiStreamResult, ExecuteAllError<Overdrawn>>;
type Decided = Result<(Vec<TallyEvent>, Vec<Moved>), Overdrawn>;

/// Pays from the purse and counts it; a no-op for 0, refused if there is too little.
fn pay(pence: u32) -> impl Fn(&Tally, &i64) -> Decided {
    move |_, purse| match i64::from(pence) {
        pence if *purse < pence => Err(Overdrawn),
        0 => Ok((vec![], vec![])),
        _ => Ok((
            vec![TallyEvent::Counted { number: pence.into() }],
            vec![Moved::By { pence: -i64::from(pence) }],
        )),
    }
}

fn request(pair: &[StreamId; 2], command: &str, asked: &str) -> PairRequest {
    PairRequest::new(pair.clone(), metadata(command, asked))
}

impl Process {
    async fn pay(&self, pair: &[StreamId; 2], command: &str, pence: u32) -> Answer {
        let request = request(pair, command, &format!("pay {pence}"));
        self.tallies.handle_pair(&self.purses, &request, pay(pence)).await
    }

    async fn move_by(&self, purse: &StreamId, command: &str, pence: i64) {
        let request = crate::store::request(purse, command, "move");
        self.purses.handle(request, move |_| Ok(vec![Moved::By { pence }])).await.unwrap();
    }

    /// What is counted, and what is in the purse.
    async fn both(&self, [tally, purse]: &[StreamId; 2]) -> (u64, i64) {
        (self.tally(tally).await.total, self.pence(purse).await)
    }
}

/// A tally that is not open yet, and a purse of 100 pence.
async fn pair(table: &Table) -> [StreamId; 2] {
    let pair = [stream("tally"), stream("purse")];
    table.process().fill(&pair[1..], 100).await;
    pair
}

/// An uncached process, a cached one, and a pair.
async fn two(engine: &Engine) -> (Process, Arc<Process>, [StreamId; 2]) {
    let table = engine.table().await;
    let pair = pair(&table).await;
    (table.process(), Arc::new(table.process()), pair)
}

async fn a_pair_costs_its_reads_and_one_transaction(engine: &Engine) {
    let table = engine.table().await;
    let pair = pair(&table).await;
    let process = table.warm_process();
    let cold = process.pay(&pair, "cold", 30).await.unwrap();
    within(
        engine,
        "command over 2 kinds, cold",
        process.wire.spent(),
        cold.usage,
        spent(3, 4.0, 1.0),
    );
    assert_eq!((cold.replayed, cold.lost_races), (false, 0));
    let places: Vec<_> =
        cold.parts.iter().map(|part| (part.head.stream(), part.head.version())).collect();
    assert_eq!(places, [(&pair[0], 1), (&pair[1], 2)]);
    assert_eq!(process.both(&pair).await, (30, 70));
    process.wire.take();
    for number in 0..3 {
        let warm = process.pay(&pair, &format!("warm-{number}"), 1).await.unwrap();
        within(
            engine,
            "command over 2 kinds, warm",
            process.wire.spent(),
            warm.usage,
            spent(1, 4.0, 0.0),
        );
    }
    // Commands for one stream use the streams that the pair cached, and the other way round.
    assert_eq!(process.count(&pair[0], "alone", 1).await.unwrap().usage.requests, 1);
    assert_eq!(process.pay(&pair, "last", 1).await.unwrap().usage.requests, 1);
    assert_eq!(process.both(&pair).await, (35, 66));
    for stream in &pair {
        assert!(process.store.verify(stream).await.unwrap().verified());
    }
}

async fn a_pair_that_is_sent_again_is_known(engine: &Engine) {
    let table = engine.table().await;
    let (pair, process) = (pair(&table).await, table.warm_process());
    let first = process.pay(&pair, "c", 30).await.unwrap();
    for number in 0..5 {
        process.count(&pair[0], &format!("count-{number}"), 1).await.unwrap();
    }
    let hashes = |handled: &MultiStreamResult| {
        handled.parts.iter().map(|part| part.commit.hash).collect::<Vec<_>>()
    };
    for process in [&process, &table.process()] {
        let again = process.pay(&pair, "c", 30).await.unwrap();
        assert_eq!((again.replayed, hashes(&again)), (true, hashes(&first)));
        let other = [pair[0].clone(), stream("purse-other")];
        for (pair, pence) in [(&pair, 31), (&other, 30)] {
            let reused = process.pay(pair, "c", pence).await;
            let told = matches!(&reused, Err(ExecuteAllError::Append(AppendAllError::CommandIdReused(id))) if id.as_str() == "c");
            assert!(told, "{reused:?}");
        }
    }
    assert_eq!(process.both(&pair).await, (35, 70));
}

async fn a_decision_for_one_of_the_two_checks_the_other(engine: &Engine) {
    let (process, other, pair) = two(engine).await;
    // Counts only while the purse is full.
    let count = |_: &Tally, purse: &i64| {
        if *purse < 100 {
            Err(Overdrawn)
        } else {
            Ok((vec![TallyEvent::Counted { number: 1 }], vec![]))
        }
    };
    let asked = request(&pair, "fine", "count");
    let handled = process.tallies.handle_pair(&process.purses, &asked, count).await.unwrap();
    assert_eq!(handled.parts.len(), 1);
    before_transaction(&process, 0, {
        let (other, pair) = (Arc::clone(&other), pair.clone());
        move || {
            let (other, pair) = (Arc::clone(&other), pair.clone());
            async move { drop(other.pay(&pair, "quick", 1).await.unwrap()) }
        }
    });
    let asked = request(&pair, "late", "count");
    let refused = process.tallies.handle_pair(&process.purses, &asked, count).await;
    assert!(matches!(refused, Err(ExecuteAllError::Refused(Overdrawn))), "{refused:?}");
    assert_eq!(process.versions(&pair).await, [2, 2]);
}

async fn a_race_lost_on_either_stream_is_resolved(engine: &Engine) {
    for lost in [0, 1] {
        let (process, other, pair) = two(engine).await;
        before_transaction(&process, 0, {
            let (other, pair) = (Arc::clone(&other), pair.clone());
            move || {
                let (other, pair) = (Arc::clone(&other), pair.clone());
                async move {
                    match lost {
                        0 => drop(other.count(&pair[0], "quick", 5).await.unwrap()),
                        _ => other.move_by(&pair[1], "quick", -50).await,
                    }
                }
            }
        });
        let handled = process.pay(&pair, "slow", 30).await.unwrap();
        assert_eq!((handled.lost_races, handled.usage.requests), (1, 4));
        assert_eq!(process.both(&pair).await, if lost == 0 { (35, 70) } else { (30, 20) });
    }
}

async fn a_refusal_is_true_of_both_at_one_moment(engine: &Engine) {
    let (process, other, pair) = two(engine).await;
    let refused = process.pay(&pair, "much", 150).await;
    assert!(matches!(refused, Err(ExecuteAllError::Refused(Overdrawn))), "{refused:?}");
    assert_eq!(process.wire.operations(), ["Query", "Query", "TransactWriteItems"]);
    before_transaction(&process, 0, {
        let (other, pair) = (Arc::clone(&other), pair.clone());
        move || {
            let (other, pair) = (Arc::clone(&other), pair.clone());
            async move { other.move_by(&pair[1], "quick", 80).await }
        }
    });
    let handled = process.pay(&pair, "much", 150).await.unwrap();
    assert_eq!((handled.replayed, handled.lost_races), (false, 1));
    assert_eq!(process.both(&pair).await, (150, 30));
}

async fn a_version_mismatch_of_a_pair_names_its_stream(engine: &Engine) {
    let (process, _, pair) = two(engine).await;
    let asked =
        PairRequest { expected_versions: [Some(0), Some(1)], ..request(&pair, "c", "pay 30") };
    let handle = async |asked: &PairRequest| {
        process.tallies.handle_pair(&process.purses, asked, pay(30)).await
    };
    assert!(!handle(&asked).await.unwrap().replayed);
    assert!(handle(&asked).await.unwrap().replayed);
    for (expected_versions, which, actual) in [([Some(7), None], 0, 1), ([None, Some(7)], 1, 2)] {
        let late = PairRequest { expected_versions, ..request(&pair, "late", "pay 30") };
        let refused = handle(&late).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("stream {} is at version {actual}, not at 7", pair[which])
        );
    }
    assert_eq!(process.versions(&pair).await, [1, 2]);
}

async fn a_no_op_on_a_pair_records_nothing(engine: &Engine) {
    let (process, _, pair) = two(engine).await;
    let idle = process.pay(&pair, "c", 0).await.unwrap();
    assert_eq!((idle.parts.len(), idle.replayed), (0, false));
    assert_eq!(process.versions(&pair).await, [0, 1]);
}

async fn a_lost_answer_of_a_pair_is_repaired_by_a_retry(engine: &Engine) {
    let (process, other, pair) = two(engine).await;
    process.wire.rule(|seen| {
        let write = seen.operation == "TransactWriteItems";
        std::future::ready(if write { Act::LoseAnswer } else { Act::Pass })
    });
    let lost = process.pay(&pair, "c", 30).await;
    assert!(matches!(lost, Err(ExecuteAllError::Append(AppendAllError::Store(_)))), "{lost:?}");
    process.wire.no_rule();
    assert!(process.pay(&pair, "c", 30).await.unwrap().replayed);
    assert_eq!(other.both(&pair).await, (30, 70));
}

async fn an_impossible_pair_is_refused_before_any_request(engine: &Engine) {
    let (process, _, [tally, purse]) = two(engine).await;
    let twice = process.pay(&[tally.clone(), tally.clone()], "c", 1).await;
    assert!(
        matches!(twice, Err(ExecuteAllError::Append(AppendAllError::StreamTwice(_)))),
        "{twice:?}"
    );
    let elsewhere = EventStore::new(engine.table().await.client, "another-table");
    let purses: CommandHandler<_, _, Overdrawn> =
        CommandHandler::new(elsewhere, crate::store::transaction::handle_all::PURSE);
    let asked = request(&[tally, purse], "c", "pay 1");
    let refused = process.tallies.handle_pair(&purses, &asked, pay(1)).await;
    assert!(
        matches!(&refused, Err(ExecuteAllError::TwoTables { second, .. }) if second == "another-table"),
        "{refused:?}"
    );
    assert!(process.wire.take().is_empty());
}

async fn snapshots_of_both_kinds_are_written_beside_pairs(engine: &Engine) {
    let table = engine.table().await;
    let (pair, process) = (pair(&table).await, table.warm_process());
    for number in 0..12 {
        process.pay(&pair, &format!("c{number}"), 1).await.unwrap();
    }
    assert!(as_of(&table, &pair[0]).await >= 10 && as_of(&table, &pair[1]).await >= 10);
    // After the snapshots: an id of the twelve, and a new one.
    assert!(table.process().pay(&pair, "c0", 1).await.unwrap().replayed);
    assert!(!table.process().pay(&pair, "new", 1).await.unwrap().replayed);
    assert_eq!(process.both(&pair).await, (13, 87));
}

fn patient(table: &Table) -> Vec<Arc<Process>> {
    let options = Options { max_attempts: 10_000, ..Options::default() };
    std::iter::repeat_with(|| Arc::new(table.process_with(options.clone()))).take(4).collect()
}

async fn one_pair_from_sixty_four_tasks_is_written_once(engine: &Engine) {
    let table = engine.table().await;
    let (pair, processes) = (pair(&table).await, patient(&table));
    let tries = (0..64).map(|index| {
        let (process, pair) = (Arc::clone(&processes[index % 4]), pair.clone());
        tokio::spawn(async move { process.pay(&pair, "c", 5).await.unwrap() })
    });
    let handled: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(handled.iter().filter(|handled| !handled.replayed).count(), 1);
    assert_eq!(processes[0].both(&pair).await, (5, 95));
}

/// Every payment is counted, while others count and move concurrently.
async fn pairs_and_single_commands_at_once_keep_the_sum(engine: &Engine) {
    let table = engine.table().await;
    let (pair, processes) = (pair(&table).await, patient(&table));
    let tries = (0..48).map(|index| {
        let (process, pair) = (Arc::clone(&processes[index % 4]), pair.clone());
        tokio::spawn(async move {
            match index % 3 {
                0 => process.move_by(&pair[1], &format!("m{index}"), 1).await,
                1 => drop(process.count(&pair[0], &format!("c{index}"), 1).await.unwrap()),
                _ => drop(process.pay(&pair, &format!("p{index}"), 2).await.unwrap()),
            }
        })
    });
    join_all(tries).await.into_iter().for_each(Result::unwrap);
    // Sixteen of each kind.
    assert_eq!(processes[0].both(&pair).await, (16 + 32, 100 + 16 - 32));
    for stream in &pair {
        assert!(processes[0].store.verify(stream).await.unwrap().verified());
    }
}
