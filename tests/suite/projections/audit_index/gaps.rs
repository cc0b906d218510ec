//! After its last commit a stream is indexed whole, despite loss, repetition, reordering and
//! crashes.

use super::ledger::{Entered, Ledger, stream};
use crate::harness::faults::{Fault, FaultInjector};
use eventstore::{Damage, Direction, ReadError};
use futures::future::join_all;
use projections::TimeLimit;
use projections::audit_index::{EntryMatch, IndexError};

/// Two streams of three commits each, interleaved.
async fn two_streams(ledger: &Ledger) -> Vec<Entered> {
    let mut all =
        [ledger.write(&stream("a"), 3).await, ledger.write(&stream("b"), 3).await].concat();
    all.sort_by_key(|(_, commit)| commit.version);
    all
}

#[tokio::test]
async fn the_last_commit_of_each_stream_fills_all_lost_entries() {
    let ledger = Ledger::start().await;
    let all = two_streams(&ledger).await;
    for lost in 0_u32..16 {
        // The last commits, 4 and 5, are never lost.
        let delivered: Vec<Entered> = all
            .iter()
            .enumerate()
            .filter(|(n, _)| *n > 3 || lost & (1 << n) == 0)
            .map(|(_, delivered)| delivered.clone())
            .collect();
        ledger.enter(&ledger.index(), lost, &delivered).await;
        ledger.assert_entered(lost, &all).await;
        // The same, with a process for each commit.
        for one in delivered {
            ledger.enter(&ledger.index(), 100 + lost, &[one]).await;
        }
        ledger.assert_entered(100 + lost, &all).await;
    }
}

#[tokio::test]
async fn repeated_and_reordered_commits_change_nothing() {
    let ledger = Ledger::start().await;
    let all = two_streams(&ledger).await;
    let wire = FaultInjector::default();
    let (store, warm) = ledger.process(&wire);
    ledger.enter(&warm, 1, &all).await;
    let before = ledger.dump().await;
    assert_eq!(before.len(), 7, "six entries and a day");
    let backwards: Vec<Entered> = all.iter().rev().cloned().collect();
    for order in [&all, &backwards] {
        ledger.enter(&ledger.index(), 1, order).await;
        assert_eq!(ledger.dump().await, before);
    }
    wire.take();
    for (stream, commit) in backwards.iter().chain(&all) {
        warm.index(&store, 1, stream, std::slice::from_ref(commit), TimeLimit::NONE).await.unwrap();
    }
    assert!(wire.take().is_empty(), "a process that has entered a commit does not ask again");
    ledger.enter(&ledger.index(), 2, &backwards).await;
    ledger.assert_entered(2, &all).await;
}

#[tokio::test]
async fn commits_with_a_gap_between_them_are_entered_with_the_gap() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 6).await;
    let some = [1, 2, 5].map(|n: usize| all[n].1.clone());
    ledger.index().index(&ledger.store, 1, &stream("a"), &some, TimeLimit::NONE).await.unwrap();
    ledger.assert_entered(1, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexers_that_race_on_one_stream_leave_it_whole() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 12).await;
    for generation in 0..8 {
        let racers = (0..4).map(|racer| {
            let (index, store, all) = (ledger.index(), ledger.store.clone(), all.clone());
            tokio::spawn(async move {
                for (stream, commit) in all.iter().skip(racer).step_by(3) {
                    index
                        .index(
                            &store,
                            generation,
                            stream,
                            std::slice::from_ref(commit),
                            TimeLimit::NONE,
                        )
                        .await
                        .unwrap();
                }
            })
        });
        join_all(racers).await.into_iter().for_each(|raced| raced.unwrap());
        ledger.assert_entered(generation, &all).await;
    }
}

/// Asserts that a commit has its entry only if the one before has one.
async fn assert_chained(ledger: &Ledger, generation: u32, all: &[Entered], fault: Fault) {
    let entered = ledger.index().entered(generation, all).await.unwrap();
    assert!(entered.is_sorted_by(|earlier, later| earlier >= later), "{entered:?} after {fault:?}");
}

#[tokio::test]
async fn an_indexer_that_dies_between_any_two_requests_leaves_no_hole() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 5).await;
    let (mut struck, mut generation) = (0, 0);
    // A gap of three costs 11 requests: two probes of two each, the day, a read and five entries.
    for fault in
        (1..=12).flat_map(|n| [Fault::DiesBefore(n), Fault::DiesAfter(n), Fault::LosesAnswer(n)])
    {
        generation += 1;
        let wire = FaultInjector::default();
        let (store, index) = ledger.process(&wire);
        wire.arm(Some(fault));
        for delivered in [&all[4..], &all[..1], &all[3..4]] {
            let [(stream, commit)] = delivered else { panic!("one at a time") };
            let commits = std::slice::from_ref(commit);
            if index.index(&store, generation, stream, commits, TimeLimit::NONE).await.is_err() {
                assert_chained(&ledger, generation, &all, fault).await;
                wire.arm(None);
                // The next delivery goes to the same process or to another.
                let again = if generation % 2 == 0 { index.clone() } else { ledger.index() };
                again.index(&store, generation, stream, commits, TimeLimit::NONE).await.unwrap();
            }
            assert_chained(&ledger, generation, &all, fault).await;
        }
        struck += usize::from(!wire.is_armed());
        ledger.assert_entered(generation, &all).await;
    }
    assert!(struck > 30, "only {struck} faults came to pass");
}

#[tokio::test]
async fn a_stream_with_a_hole_is_corrupt_and_not_indexed() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 3).await;
    ledger.write(&stream("short"), 1).await;
    for (name, version) in [("empty", 1), ("short", 2)] {
        let delivered = std::slice::from_ref(&all[2].1);
        let error = ledger
            .index()
            .index(&ledger.store, 1, &stream(name), delivered, TimeLimit::NONE)
            .await
            .unwrap_err();
        let IndexError::Read(ReadError::Corrupt(damaged)) = error else { panic!("{error:?}") };
        assert_eq!((damaged.stream, damaged.version), (format!("note-{name}"), version));
        assert_eq!(damaged.damage, Damage::Hole { found: 3 });
    }
    assert!(ledger.dump().await.is_empty());
    let read = ledger.store.read(&stream("a"), 1, Direction::Forwards, 10).await.unwrap();
    assert_eq!(read.commits.len(), 3, "the stream itself is whole");
}

#[tokio::test]
async fn a_generation_knows_nothing_of_another() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 2).await;
    let index = ledger.index();
    ledger.enter(&index, 1, &all[..1]).await;
    ledger.enter(&index, 11, &all).await;
    assert_eq!(index.entered(1, &all).await.unwrap(), [EntryMatch::Same, EntryMatch::Absent]);
    assert_eq!(index.entered(2, &all).await.unwrap(), [EntryMatch::Absent; 2]);
    let doubled = [&all[1..], &all[..1], &all[1..]].concat();
    assert_eq!(index.entered(11, &doubled).await.unwrap(), [EntryMatch::Same; 3]);
    assert_eq!(
        index.entered(1, &doubled).await.unwrap(),
        [EntryMatch::Absent, EntryMatch::Same, EntryMatch::Absent]
    );
    assert!(index.entered(1, &[]).await.unwrap().is_empty());
    // The cache of one generation is not used for another.
    ledger.enter(&index, 1, &all[1..]).await;
    ledger.enter(&index, 2, &all[1..]).await;
    ledger.assert_entered(1, &all).await;
    ledger.assert_entered(2, &all).await;
}
