//! Recorded refusals: read models skip them, positions pass them, and the audit index has them.

use super::read_models;
use super::rebuild::jobs::{assert_same, parked, projector, rebuild, rows};
use crate::harness::events::{
    Stored, commit, confirmed, new_order, placed, received, refuse, stock_of,
};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use bookshop::{bestsellers, orders, stock};
use domain::order::OrderStatus;
use domain::read_models::orders::OrderRow;
use eventstore::{Batch, Consistency, Direction, StreamId};
use handlers::ProjectorHandler;
use projections::audit_index;
use projections::audit_index::AuditSearch;
use std::collections::BTreeMap;

/// Streams with refusals: at the beginning, in between, at the end, and only refusals.
async fn streams(stack: &TestStack) -> [StreamId; 3] {
    let [order, silent, book] = [new_order(), new_order(), stock_of(1)];
    for stream in [&order, &silent, &book] {
        refuse(&stack.store, stream).await;
    }
    append(stack, &order, vec![placed("c", [(1, 2)]).stored()]).await;
    refuse(&stack.store, &order).await;
    append(stack, &order, vec![confirmed().stored()]).await;
    append(stack, &book, vec![received(5).stored()]).await;
    refuse(&stack.store, &book).await;
    [order, silent, book]
}

async fn append(stack: &TestStack, stream: &StreamId, events: Vec<eventstore::NewEvent>) {
    let (head, _) = stack.store.head(stream, Consistency::Strong).await.unwrap();
    stack.store.append(&head, vec![commit(events)]).await.unwrap();
}

async fn batches(stack: &TestStack, stream: &StreamId) -> Vec<Batch> {
    stack.store.load(stream, Consistency::Strong).await.unwrap().batches
}

#[tokio::test]
async fn read_models_pass_over_refusals_and_go_on() {
    let stack = TestStack::start().await;
    let streams = streams(&stack).await;
    let [order, silent, book] = &streams;
    let projector = projector(&stack);
    for projection in read_models() {
        let handler = ProjectorHandler::new(projection, projector.clone());
        for stream in streams.iter().filter(|stream| projection.follows.includes(stream)) {
            for batch in batches(&stack, stream).await {
                assert!(
                    deliver(&handler, &messages_of([&batch])).await.is_empty(),
                    "{} {stream}",
                    projection.name
                );
            }
        }
        assert!(parked(&projector, &projection, 1).await.is_empty());
    }
    let row = projector.row(&orders(), order, 4).await.unwrap().unwrap();
    assert_eq!((row.version, row.read::<OrderRow>().unwrap().status), (4, OrderStatus::Confirmed));
    assert!(
        projector.row(&orders(), silent, 1).await.unwrap().is_none(),
        "there is nothing to be read"
    );
    let row = projector.row(&stock(), book, 3).await.unwrap().unwrap();
    assert_eq!((row.version, row.content.data["on_hand"].as_u64()), (3, Some(5)));
    for (projection, refusals) in [(orders(), 3), (bestsellers(), 3), (stock(), 2)] {
        let report = rebuild(&projector, &projection, 2).await;
        assert!(report.complete, "{report:?}");
        assert_eq!(report.first_pass.ignored, BTreeMap::from([("$Refused".to_owned(), refusals)]));
        assert_same(&stack, &projection, 1, 2).await;
    }
    let fences = rows(&stack, &bestsellers(), 2).await;
    let fence = fences
        .into_iter()
        .find(|item| *item["row"].as_s().unwrap() == format!("bestsellers.2/fence/{silent}"));
    assert_eq!(
        fence.unwrap()["version"].as_n().unwrap(),
        "1",
        "the position moved past the refusal"
    );
}

#[tokio::test]
async fn the_audit_index_has_an_entry_of_each_refusal() {
    let stack = TestStack::start().await;
    let [order, ..] = streams(&stack).await;
    let projector = projector(&stack);
    let handler = ProjectorHandler::new(audit_index::PROJECTION, projector.clone());
    assert!(deliver(&handler, &messages_of(&batches(&stack, &order).await)).await.is_empty());
    let search = AuditSearch {
        actor: None,
        event_type: Some("$Refused".to_owned()),
        command: None,
        correlation: None,
        from: None,
        to: None,
        direction: Direction::Forwards,
        limit: 10,
        after: None,
        until: None,
        without: None,
    };
    let found = projector.audit_search(&search).await.unwrap();
    let places: Vec<_> = found.found.iter().map(|found| (&found.stream, found.version)).collect();
    assert_eq!(places, [(&order, 1), (&order, 3)]);
}

/// The same rule applies to a process.
#[tokio::test]
async fn every_projection_ignores_the_events_of_the_store() {
    let stack = TestStack::start().await;
    let stream = new_order();
    let refusal = refuse(&stack.store, &stream).await.commit.unwrap().events.remove(0).body;
    for projection in read_models().iter().chain([&bookshop::fulfilment()]) {
        assert_eq!(projection.ignores(&refusal), Ok(true), "{}", projection.name);
    }
    // Any program's, also a newer one's.
    let newer = eventstore::NewEvent { event_type: "$Newer".to_owned(), schema: 7, ..refusal };
    assert_eq!(orders().ignores(&newer), Ok(true));
}
