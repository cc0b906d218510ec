//! A process manager's commits that another machine's clock dated ahead of the one that reconciles.

use super::jobs::{finish, projector, reconcile};
use crate::harness::events::{new_order, placed, write};
use crate::harness::projections_world::World;
use crate::projections::restored::followed;
use bookshop::fulfilment;
use chrono::{TimeDelta, Utc};
use eventstore::{Batch, EventStore, Options};
use std::sync::Arc;

/// An order that a machine records whose clock is an hour ahead.
async fn dated_ahead(world: &World) -> Batch {
    let options = Options { clock: Arc::new(|| Utc::now() + TimeDelta::hours(1)), ..Options::default() };
    let store = EventStore::with_options(world.clients().dynamodb.clone(), world.names.events(), options);
    write(&store, &new_order(), &[&placed("c", [(1, 2)])]).await.remove(0)
}

#[tokio::test]
async fn a_commit_dated_ahead_is_behind_until_it_is_handled() {
    let world = World::start().await;
    let (operator, batch) = (projector(&world), dated_ahead(&world).await);
    let report = reconcile(&operator, &fulfilment()).await;
    assert_eq!((report.complete, report.last_pass.behind), (false, 1), "{report:?}");
    assert_eq!(followed(&world, &batch).await.unwrap(), [1]);
    let report = reconcile(&operator, &fulfilment()).await;
    assert_eq!((report.complete, report.last_pass.behind), (true, 0), "{report:?}");
}

#[tokio::test]
async fn a_commit_that_is_handled_meanwhile_is_not_behind() {
    let world = World::start().await;
    let operator = projector(&world);
    let fulfilment = fulfilment();
    let calls = operator.reconcile(&fulfilment, 1).await.unwrap();
    let batch = dated_ahead(&world).await;
    let (report, followed) = tokio::join!(finish(&operator, &fulfilment, calls), followed(&world, &batch));
    assert_eq!(followed.unwrap(), [1]);
    assert_eq!((report.complete, report.last_pass.behind), (true, 0), "{report:?}");
}
