//! Commits of a machine whose clock is ahead of the clock of the reconciling machine.

use super::jobs::{finish, projector, reconcile};
use crate::harness::events::{new_order, placed, write};
use crate::harness::stack::TestStack;
use crate::projections::restored::followed;
use bookshop::fulfilment;
use chrono::{TimeDelta, Utc};
use eventstore::{Batch, EventStore, Options};
use std::sync::Arc;

/// An order that a machine records whose clock is an hour ahead.
async fn dated_ahead(stack: &TestStack) -> Batch {
    let options =
        Options { clock: Arc::new(|| Utc::now() + TimeDelta::hours(1)), ..Options::default() };
    let store =
        EventStore::with_options(stack.clients().dynamodb.clone(), stack.names.events(), options);
    write(&store, &new_order(), &[&placed("c", [(1, 2)])]).await.remove(0)
}

#[tokio::test]
async fn a_commit_dated_ahead_is_behind_until_it_is_handled() {
    let stack = TestStack::start().await;
    let (operator, batch) = (projector(&stack), dated_ahead(&stack).await);
    let report = reconcile(&operator, &fulfilment()).await;
    assert_eq!((report.complete, report.last_pass.behind), (false, 1), "{report:?}");
    assert_eq!(followed(&stack, &batch).await.unwrap(), [1]);
    let report = reconcile(&operator, &fulfilment()).await;
    assert_eq!((report.complete, report.last_pass.behind), (true, 0), "{report:?}");
}

#[tokio::test]
async fn a_commit_that_is_handled_meanwhile_is_not_behind() {
    let stack = TestStack::start().await;
    let operator = projector(&stack);
    let fulfilment = fulfilment();
    let calls = operator.reconcile(&fulfilment, 1).await.unwrap();
    let batch = dated_ahead(&stack).await;
    let (report, followed) =
        tokio::join!(finish(&operator, &fulfilment, calls), followed(&stack, &batch));
    assert_eq!(followed.unwrap(), [1]);
    assert_eq!((report.complete, report.last_pass.behind), (true, 0), "{report:?}");
}
