//! Only the dropped generation is removed.

use super::ledger::{Entered, Ledger, commit, stream};
use eventstore::Segment;
use projections::audit_index::EntryMatch;
use projections::{RemoveCursor, RemovedSlice};
use std::collections::BTreeSet;

/// Removes the generation, segment by segment. Returns the numbers of items and of slices.
async fn remove(ledger: &Ledger, generation: u32, total: u32) -> (usize, usize) {
    let (mut items, mut slices) = (0, 0);
    for index in 0..total {
        let mut cursor: Option<RemoveCursor> = None;
        loop {
            // Each slice is another worker's, which gets only the cursor.
            let segment = Segment { index, total };
            let slice = ledger.index().remove_slice(generation, segment, cursor).await.unwrap();
            let RemovedSlice { next, removed } = slice;
            (items, slices) = (items + removed, slices + 1);
            assert!(slices < 100, "the slices do not end");
            let Some(next) = next else { break };
            cursor = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        }
    }
    (items, slices)
}

/// Commands whose ids look like keys of other generations.
async fn misleading(ledger: &Ledger) -> Vec<Entered> {
    let mut all = Vec::new();
    for number in 0..200 {
        let command = ["days", "1", "1/1", "11/c", "days/1"][number % 5];
        all.extend(
            ledger
                .append(&stream(&number.to_string()), vec![commit(command, "tester", &["Noted"])])
                .await,
        );
    }
    all
}

#[tokio::test]
async fn a_drop_removes_one_generation_and_no_other() {
    let ledger = Ledger::start().await;
    let all = misleading(&ledger).await;
    let (mut kept, mut dropped) = (BTreeSet::new(), Vec::new());
    for generation in [1, 2, 11] {
        ledger.enter(&ledger.index(), generation, &all).await;
    }
    for (generation, total) in [(1, 3), (11, 1)] {
        let (items, slices) = remove(&ledger, generation, total).await;
        assert_eq!(items, all.len() + 1, "entries and the day of generation {generation}");
        dropped.push(slices);
        assert_eq!(
            remove(&ledger, generation, 2).await.0,
            0,
            "nothing is left of generation {generation}"
        );
        assert!(
            ledger
                .index()
                .entered(generation, &all)
                .await
                .unwrap()
                .into_iter()
                .all(|entry| entry == EntryMatch::Absent)
        );
        for other in [2, 11].into_iter().filter(|other| *other > generation) {
            ledger.assert_entered(other, &all).await;
        }
        kept = ledger.dump().await;
    }
    assert_eq!(kept.len(), all.len() + 1);
    ledger.assert_entered(2, &all).await;
}

#[tokio::test]
async fn a_large_segment_is_removed_in_bounded_slices() {
    let ledger = Ledger::start().await;
    let all = misleading(&ledger).await;
    for generation in 1..=4 {
        ledger.enter(&ledger.index(), generation, &all).await;
    }
    let (items, slices) = remove(&ledger, 3, 1).await;
    assert_eq!(items, 201);
    assert!(slices >= 2, "804 items in slices of 500, and {slices} slices");
    ledger.assert_entered(4, &all).await;
}
