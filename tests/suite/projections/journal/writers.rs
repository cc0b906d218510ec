//! Several writers at once, with crashes, duplicates, losses and late messages.

use super::{assert_exact, followed, notification, process_over, project, stream, write};
use crate::harness::depth::full_or;
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::stack::TestStack;
use crate::projections::rebuild::jobs::{projector, reconcile};
use eventstore::{Batch, StreamId};
use fastrand::Rng;
use projections::journal::PROJECTION;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a random history may do.
struct History {
    streams: Vec<StreamId>,
    batches: Vec<Batch>,
}

async fn history(stack: &TestStack, rng: &mut Rng) -> History {
    let streams: Vec<StreamId> = (0..12).map(|number| stream(&format!("s{number}"))).collect();
    let mut batches = Vec::new();
    for _ in 0..60 {
        let stream = &streams[rng.usize(..streams.len())];
        batches.extend(write(stack, stream, rng.usize(1..4)).await);
    }
    History { streams, batches }
}

/// Gives random messages to a process that dies now and then, and begins again.
async fn write_at_random(stack: Arc<TestStack>, batches: Arc<Vec<Batch>>, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..8 {
        let wire = FaultInjector::default();
        let writer = process_over(&stack, &wire);
        let deadly = rng.usize(1..60);
        wire.arm(match rng.u8(..4) {
            0 => Some(Fault::DiesBefore(deadly)),
            1 => Some(Fault::DiesAfter(deadly)),
            2 => Some(Fault::LosesAnswer(deadly)),
            _ => None,
        });
        for _ in 0..6 {
            let from = rng.usize(..batches.len());
            let to = (from + rng.usize(1..25)).min(batches.len());
            // Some are lost; in a queue all of a stream come in order, here they do not.
            let mut some: Vec<_> = batches[from..to].iter().map(notification).collect();
            some.retain(|_| rng.u8(..5) > 0);
            rng.shuffle(&mut some);
            project(&writer, some).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_to_four_writers_make_one_journal_without_a_gap() {
    for (seed, writers) in
        full_or(vec![(1, 2), (2, 3), (3, 4), (4, 4), (5, 2)], vec![(1, 2), (2, 4)])
    {
        let stack = Arc::new(TestStack::start().await);
        let mut rng = Rng::with_seed(seed);
        let History { streams, batches } = history(&stack, &mut rng).await;
        let batches = Arc::new(batches);
        let running: Vec<_> = (0..writers)
            .map(|writer| {
                tokio::spawn(write_at_random(stack.clone(), batches.clone(), seed * 100 + writer))
            })
            .collect();
        // Meanwhile a reader follows: what it has seen must not change.
        let (journal, mut seen) = (stack.system().journal(), BTreeMap::new());
        while running.iter().any(|writer| !writer.is_finished()) {
            let now = followed(&journal, 1, rng.usize(1..40)).await;
            assert!(seen.iter().all(|(position, entry)| now.get(position) == Some(entry)));
            seen = now;
        }
        for writer in running {
            writer.await.unwrap();
        }
        let report = reconcile(&projector(&stack), &PROJECTION).await;
        assert!(report.complete, "{report:?}");
        assert_exact(&stack, 1, &streams).await;
        let after = followed(&journal, 1, 1_000).await;
        assert!(seen.iter().all(|(position, entry)| after.get(position) == Some(entry)));
    }
}
