//! Which step is allowed after which, by the stored row.

use super::jobs::{assert_exact, finish, projector, rebuild, reconcile};
use crate::harness::events::{confirmed, new_order, placed, write};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use bookshop::orders;
use handlers::ProjectorHandler;
use projections::rebuild::{JobKind, RebuildError};
use projections::{GenerationState, OtherGeneration, Projector};

/// Some orders, projected into the first generation.
async fn shop(stack: &TestStack, projector: &Projector) {
    for _ in 0..3 {
        let batches =
            write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed()]).await;
        let handler = ProjectorHandler::new(orders(), projector.clone());
        assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
    }
}

async fn other(projector: &Projector) -> Option<(u32, GenerationState)> {
    let status = projector.status(&orders()).await.unwrap();
    status.other.map(|OtherGeneration { number, state }| (number, state))
}

#[tokio::test]
async fn nothing_begins_while_a_rebuild_runs() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    let of = &orders();
    let wakes = projector.rebuild(of, 2).await.unwrap();
    assert_eq!(other(&projector).await, Some((2, GenerationState::Building)));
    let busy = |error: RebuildError| matches!(error, RebuildError::Busy { kind: JobKind::Rebuild });
    assert!(busy(projector.rebuild(of, 2).await.unwrap_err()));
    assert!(busy(projector.reconcile(of, 2).await.unwrap_err()));
    assert!(busy(projector.drop_generation(of, None).await.unwrap_err()));
    assert!(busy(projector.drop_generation(of, Some(2)).await.unwrap_err()));
    let building = GenerationState::Building;
    for accept in [false, true] {
        let refused = projector.switch(of, accept).await.unwrap_err();
        assert!(
            matches!(refused, RebuildError::NotComplete { number: 2, state } if state == building),
            "{refused}"
        );
    }
    assert!(matches!(projector.rollback(of).await.unwrap_err(), RebuildError::NothingToRollBackTo));
    assert!(finish(&projector, of, wakes).await.complete, "a refused step changes nothing");
}

#[tokio::test]
async fn what_needs_a_second_generation_is_refused_without() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    let of = &orders();
    assert!(matches!(projector.switch(of, true).await.unwrap_err(), RebuildError::NoOther));
    assert!(matches!(projector.rollback(of).await.unwrap_err(), RebuildError::NothingToRollBackTo));
    assert!(matches!(
        projector.drop_generation(of, None).await.unwrap_err(),
        RebuildError::NoOther
    ));
    let refused = projector.drop_generation(of, Some(1)).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Active { number: 1 }), "{refused}");
    for refused in [
        projector.pause_job(of).await.map(|()| Vec::new()),
        projector.resume_job(of).await,
        projector.cancel_job(of).await,
    ] {
        assert!(matches!(refused, Err(RebuildError::NothingRuns)), "{refused:?}");
    }
    assert_eq!(projector.status(of).await.unwrap().active, 1);
}

#[tokio::test]
async fn a_generation_is_switched_to_rolled_back_from_and_dropped() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    let of = &orders();
    shop(&stack, &projector).await;
    assert!(rebuild(&projector, of, 3).await.complete);
    assert_eq!(other(&projector).await, Some((2, GenerationState::Complete)));
    let refused = projector.rebuild(of, 1).await.unwrap_err();
    assert!(
        matches!(refused, RebuildError::Kept { number: 2, state: GenerationState::Complete }),
        "{refused}"
    );
    let wakes = projector.switch(of, false).await.unwrap();
    assert_eq!(wakes.len(), 4, "one more pass begins");
    assert_eq!(other(&projector).await, Some((1, GenerationState::Previous)));
    let refused = projector.switch(of, true).await.unwrap_err();
    assert!(matches!(refused, RebuildError::NotBuilt { number: 1, .. }), "{refused}");
    // A rollback replaces a reconciliation.
    let wakes = projector.rollback(of).await.unwrap();
    assert_eq!(
        other(&projector).await,
        Some((2, GenerationState::Incomplete)),
        "a rollback claims nothing"
    );
    assert!(finish(&projector, of, wakes).await.complete);
    assert_eq!(
        other(&projector).await,
        Some((2, GenerationState::Complete)),
        "the pass behind it proves it"
    );
    let wakes = projector.switch(of, false).await.unwrap();
    assert!(finish(&projector, of, wakes).await.complete);
    let refused = projector.drop_generation(of, Some(2)).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Active { number: 2 }), "{refused}");
    let refused = projector.drop_generation(of, Some(7)).await.unwrap_err();
    assert!(matches!(refused, RebuildError::NoGeneration { number: 7 }), "{refused}");
    let wakes = projector.drop_generation(of, Some(1)).await.unwrap();
    let refused = projector.cancel_job(of).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Busy { kind: JobKind::Remove }), "{refused}");
    assert!(finish(&projector, of, wakes).await.complete);
    assert_eq!(other(&projector).await, None);
    assert_exact(&stack, of, 2).await;
}

#[tokio::test]
async fn no_number_is_given_twice() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    let of = &orders();
    shop(&stack, &projector).await;
    for number in 2..5 {
        let wakes = projector.rebuild(of, 2).await.unwrap();
        let job = projector.status(of).await.unwrap().job.unwrap().number;
        assert!(wakes.iter().all(|wake| wake.job == job));
        assert_eq!(other(&projector).await, Some((number, GenerationState::Building)));
        let wakes = projector.cancel_job(of).await.unwrap();
        assert!(wakes.iter().all(|wake| wake.job == job + 1), "a removal is a new job");
        finish(&projector, of, wakes).await;
    }
    assert!(reconcile(&projector, of).await.complete);
    assert_exact(&stack, of, 1).await;
}

#[tokio::test]
async fn a_call_of_a_job_that_is_over_does_nothing() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    let of = &orders();
    shop(&stack, &projector).await;
    let wakes = projector.rebuild(of, 2).await.unwrap();
    let removal = projector.cancel_job(of).await.unwrap();
    for wake in &wakes {
        let answer = super::jobs::work(&projector, of, wake, super::jobs::ONE_PAGE).await.unwrap();
        assert_eq!(answer, [], "the rebuild is given up");
    }
    finish(&projector, of, removal).await;
    assert!(super::jobs::rows(&stack, of, 2).await.is_empty());
}
