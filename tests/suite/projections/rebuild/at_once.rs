//! Several operators at once: one succeeds, and the others get the reason of their refusal.

use super::jobs::{assert_exact, finish, projector};
use crate::harness::events::{new_order, placed, write};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use bookshop::orders;
use futures::future::join_all;
use handlers::ProjectorHandler;
use projections::Projector;
use projections::rebuild::{JobKind, RebuildError, SegmentTask};

const OPERATORS: usize = 6;

type Taken = Result<Vec<SegmentTask>, RebuildError>;

/// All of them at once, each in a new process. Returns the result of the successful one, and the
/// refusals of the others.
async fn at_once(
    stack: &TestStack,
    step: impl AsyncFn(Projector) -> Taken,
) -> (Vec<SegmentTask>, Vec<RebuildError>) {
    let taken = join_all((0..OPERATORS).map(|_| step(projector(stack)))).await;
    let (won, lost): (Vec<Taken>, Vec<Taken>) = taken.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1, "one of them wins");
    (
        won.into_iter().flatten().flatten().collect(),
        lost.into_iter().filter_map(Result::err).collect(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_operators_at_once_one_wins_each_step() {
    let stack = TestStack::start().await;
    let (operator, of) = (projector(&stack), &orders());
    let batches = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)])]).await;
    assert!(
        deliver(&ProjectorHandler::new(*of, operator.clone()), &messages_of(&batches))
            .await
            .is_empty()
    );

    let (wakes, refused) = at_once(&stack, async |operator| operator.rebuild(of, 3).await).await;
    assert!(
        refused.iter().all(|error| matches!(error, RebuildError::Busy { kind: JobKind::Rebuild })),
        "{refused:?}"
    );
    assert_eq!(wakes.len(), 3);
    assert!(finish(&operator, of, wakes).await.complete);

    let (wakes, refused) = at_once(&stack, async |operator| operator.switch(of, false).await).await;
    assert!(
        refused.iter().all(|error| matches!(error, RebuildError::NotBuilt { number: 1, .. })),
        "{refused:?}"
    );
    assert!(finish(&operator, of, wakes).await.complete);

    let (wakes, refused) = at_once(&stack, async |operator| operator.rollback(of).await).await;
    assert!(
        refused.iter().all(|error| matches!(error, RebuildError::NothingToRollBackTo)),
        "{refused:?}"
    );
    assert!(finish(&operator, of, wakes).await.complete);

    let (wakes, refused) =
        at_once(&stack, async |operator| operator.drop_generation(of, Some(2)).await).await;
    assert!(
        refused.iter().all(|error| matches!(error, RebuildError::Busy { kind: JobKind::Remove })),
        "{refused:?}"
    );
    assert!(finish(&operator, of, wakes).await.complete);

    let (_, refused) = at_once(&stack, async |operator| operator.reconcile(of, 2).await).await;
    assert!(
        refused
            .iter()
            .all(|error| matches!(error, RebuildError::Busy { kind: JobKind::Reconcile })),
        "{refused:?}"
    );
    let (_, refused) =
        at_once(&stack, async |operator| operator.pause_job(of).await.map(|()| Vec::new())).await;
    assert!(refused.iter().all(|error| matches!(error, RebuildError::NothingRuns)), "{refused:?}");
    let (_, refused) = at_once(&stack, async |operator| operator.cancel_job(of).await).await;
    assert!(refused.iter().all(|error| matches!(error, RebuildError::NothingRuns)), "{refused:?}");
    assert_exact(&stack, of, 1).await;
}
