//! Streams of more commits than a page.

use super::ledger::{Entered, Ledger, commit, stream};
use crate::harness::faults::FaultInjector;
use chrono::TimeDelta;
use projections::TimeLimit;
use projections::audit_index::EntryMatch;

/// Two pages of filling, and six of probing.
const COMMITS: usize = 560;
/// How many of them have their entries.
const THERE: usize = 60;

/// Several commits an item, most of one event.
async fn long_stream(ledger: &Ledger) -> Vec<Entered> {
    let mut all = Vec::new();
    while all.len() < COMMITS {
        let first = all.len();
        let types = |n: usize| if n.is_multiple_of(9) { vec!["Noted"; 4] } else { vec!["Noted"] };
        let together =
            (first..COMMITS).take(70).map(|n| commit(&format!("c-{n}"), "tester", &types(n)));
        all.extend(ledger.append(&stream("long"), together.collect()).await);
        ledger.pass(TimeDelta::hours(1));
    }
    all
}

#[tokio::test]
async fn one_commit_fills_a_gap_of_any_length_without_a_repeat() {
    let ledger = Ledger::start().await;
    let all = long_stream(&ledger).await;
    let (stream, last) = all.last().unwrap();
    ledger.enter(&ledger.index(), 1, &all[..THERE]).await;
    let wire = FaultInjector::default();
    let (store, index) = ledger.process(&wire);
    index.index(&store, 1, stream, std::slice::from_ref(last), TimeLimit::NONE).await.unwrap();
    let operations = wire.operations();
    let count = |name: &str| operations.iter().filter(|operation| *operation == name).count();
    let mut days: Vec<_> =
        all[THERE..].iter().map(|(_, commit)| commit.recorded_at.date_naive()).collect();
    days.dedup();
    assert_eq!(
        count("PutItem"),
        COMMITS - THERE + days.len(),
        "each entry that was missing, and its day"
    );
    // The probe of the commit before, pages of 100 events, and reads of 500 (the second finds its
    // batch first).
    assert!(count("BatchGetItem") <= 9 && count("Query") <= 13, "{operations:?}");
    assert_eq!(ledger.index().entered(1, &all).await.unwrap(), [EntryMatch::Same; COMMITS]);
}
