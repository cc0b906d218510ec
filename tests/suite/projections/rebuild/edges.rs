//! Edge cases: an empty store, and more segments than streams.

use super::jobs::{
    Calls, ONE_PAGE, assert_exact, assert_same, counted, finish, projector, rebuild, work,
};
use crate::harness::depth::full_or;
use crate::harness::events::{cancelled, confirmed, new_order, placed, write};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::projections::read_models;
use bookshop::{bestsellers, orders};
use fastrand::Rng;
use handlers::ProjectorHandler;
use projections::rebuild::{MAX_SEGMENTS, RebuildError};
use projections::{Kind, Projection};

#[tokio::test]
async fn an_empty_store_is_rebuilt_switched_and_dropped() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    for projection in read_models() {
        let report = rebuild(&projector, &projection, 3).await;
        assert!(report.complete && report.passes == 2, "{report:?}");
        assert_eq!(counted(&report.first_pass), (0, 0, 0));
        let wakes = projector.switch(&projection, false).await.unwrap();
        assert!(finish(&projector, &projection, wakes).await.complete);
        let wakes = projector.drop_generation(&projection, None).await.unwrap();
        assert!(finish(&projector, &projection, wakes).await.complete);
        let status = projector.status(&projection).await.unwrap();
        assert_eq!((status.active, status.other.is_none()), (2, true));
    }
    assert!(stack.rows().await.is_empty());
}

#[tokio::test]
async fn a_process_manager_is_never_rebuilt() {
    let stack = TestStack::start().await;
    let process = Projection { name: "process", kind: Kind::Process, ..orders() };
    let refused = projector(&stack).rebuild(&process, 1).await.unwrap_err();
    assert!(matches!(refused, RebuildError::NoReadModel { name: "process" }), "{refused}");
    assert!(projector(&stack).status(&process).await.unwrap().other.is_none());
}

#[tokio::test]
async fn the_most_segments_are_64_and_the_fewest_one() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    for (asked, cut) in [(0, 1), (1_000, 64), (64, 64)] {
        let wakes = projector.reconcile(&orders(), asked).await.unwrap();
        assert_eq!(wakes.len(), cut);
        projector.cancel_job(&orders()).await.unwrap();
    }
    assert_eq!(MAX_SEGMENTS, 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn segments_in_any_order_and_repeated_make_the_same_rows() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    for number in 0..40 {
        let events: [&dyn crate::harness::events::Stored; 2] =
            [&placed("c", [(1, 1), (number % 7 + 2, 2)]), &confirmed()];
        let mut batches =
            write(&stack.store, &new_order(), &events[..1 + usize::from(number % 2 == 0)]).await;
        if number % 5 == 0 {
            batches =
                write(&stack.store, &new_order(), &[&placed("d", [(2, 1)]), &cancelled("late")])
                    .await;
        }
        // Some orders are missing in the first generation.
        for projection in [orders(), bestsellers()].into_iter().filter(|_| number % 3 != 0) {
            let handler = ProjectorHandler::new(projection, projector.clone());
            assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
        }
    }
    for projection in [orders(), bestsellers()] {
        let (mut rng, segments) = (Rng::with_seed(3), full_or(64, 12));
        let mut calls = Calls::of(projector.rebuild(&projection, segments).await.unwrap());
        let mut again = Vec::new();
        while let Some(call) = calls.any(&mut rng) {
            calls.send(work(&projector, &projection, &call, ONE_PAGE).await.unwrap());
            if rng.bool() {
                again.push(call);
            }
        }
        for call in again {
            assert_eq!(
                work(&projector, &projection, &call, ONE_PAGE).await.unwrap(),
                [],
                "it is over"
            );
        }
        let report = projector.status(&projection).await.unwrap().report.unwrap();
        assert_eq!((report.complete, report.first_pass.streams), (true, 48), "{report:?}");
        assert_exact(&stack, &projection, 2).await;
        // The pass after the switch finds the orders that the first generation lacks.
        let wakes = projector.switch(&projection, false).await.unwrap();
        let report = finish(&projector, &projection, wakes).await;
        assert!(report.complete && report.first_pass.behind > 10, "{report:?}");
        assert_same(&stack, &projection, 1, 2).await;
    }
}
