//! The event table is restored to an earlier time and gets new commits. Read models find the
//! diverged streams, name and park them; a rebuild repairs them.

use super::rebuild::jobs::{self, assert_exact, finish, projector, rebuild, reconcile};
use crate::harness::events::{
    Stored, cancelled, commit, confirmed, new_order, placed, rejected, shipped, write,
};
use crate::harness::messages::{Message, deliver, ids, messages_of};
use crate::harness::stack::{TestStack, event_key};
use bookshop::fulfilment;
use bookshop::{bestsellers, orders};
use eventstore::{Batch, Consistency, NewEvent, StreamId};
use projections::{Divergence, Kind, ProjectError, Projection, ReactError};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// Removes the stream's commits after the version.
async fn cut(stack: &TestStack, stream: &StreamId, version: u64) {
    let (head, _) = stack.store.head(stream, Consistency::Strong).await.unwrap();
    for gone in version + 1..=head.version() {
        let request = stack.clients().dynamodb.delete_item().table_name(stack.names.events());
        request.set_key(Some(event_key(stream.as_str(), gone))).send().await.unwrap();
    }
}

/// Appends to the stream's current end.
async fn go_on(stack: &TestStack, stream: &StreamId, events: Vec<NewEvent>) -> Batch {
    let (head, _) = stack.store.head(stream, Consistency::Strong).await.unwrap();
    stack.store.append(&head, vec![commit(events)]).await.unwrap().batch
}

/// An order with two or three events, all applied.
async fn applied(
    stack: &TestStack,
    projection: &Projection,
    events: &[&dyn Stored],
) -> (StreamId, Vec<Batch>) {
    let order = new_order();
    let batches = write(&stack.store, &order, events).await;
    assert!(deliver(&stack.handler(*projection), &messages_of(&batches)).await.is_empty());
    (order, batches)
}

#[tokio::test]
async fn what_a_restored_table_lacks_is_named_and_rebuilt() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let operator = projector(&stack);
        let all: [&dyn Stored; 3] = [&placed("c", [(1, 2)]), &confirmed(), &shipped()];
        applied(&stack, &projection, &all).await;
        let (gone, _) = applied(&stack, &projection, &all).await;
        let (shorter, _) = applied(&stack, &projection, &all).await;
        let (same, _) = applied(&stack, &projection, &all).await;
        let (longer, _) = applied(&stack, &projection, &all).await;
        assert!(reconcile(&operator, &projection).await.complete, "before it is restored");
        for (stream, version) in [(&gone, 0), (&shorter, 2), (&same, 1), (&longer, 1)] {
            cut(&stack, stream, version).await;
        }
        go_on(&stack, &same, vec![confirmed().stored(), cancelled("late").stored()]).await;
        go_on(&stack, &longer, vec![confirmed().stored()]).await;
        go_on(&stack, &longer, vec![confirmed().stored()]).await;
        go_on(&stack, &longer, vec![cancelled("late").stored()]).await;

        let report = reconcile(&operator, &projection).await;
        let found = (
            report.complete,
            report.last_pass.behind,
            report.last_pass.ahead,
            report.last_pass.other_chain,
        );
        assert_eq!(found, (false, 0, 2, 2), "{report:?}");
        let mut named = report.last_pass.strays.clone();
        named.sort();
        let at = |stream: &StreamId, how: &str| {
            format!("{stream} at version 3 in generation 1 is {how}")
        };
        let mut expected = [
            at(&gone, "ahead of the stream, which is gone"),
            at(&shorter, "ahead of the stream, which ends at 2"),
            at(&same, "on another chain than the stream"),
            at(&longer, "on another chain than the stream"),
        ];
        expected.sort();
        assert_eq!(named, expected);
        assert_eq!(
            jobs::parked(&operator, &projection, 1).await.len(),
            4,
            "all are listed, not ten only"
        );
        let resumed = operator.resume_stream(&projection, &shorter).await.unwrap();
        assert!(
            matches!(resumed[..], [ref one] if matches!(one.still, Some(ProjectError::Diverged { version: 3, .. })))
        );

        let report = rebuild(&operator, &projection, 2).await;
        assert!(report.complete, "{report:?}");
        let behind = operator.switch(&projection, false).await.unwrap();
        assert!(
            !finish(&operator, &projection, behind).await.complete,
            "the old generation is as it was"
        );
        let removal = operator.drop_generation(&projection, None).await.unwrap();
        finish(&operator, &projection, removal).await;
        assert!(reconcile(&operator, &projection).await.complete);
        assert_exact(&stack, &projection, 2).await;
    }
}

#[tokio::test]
async fn an_event_after_another_chain_is_not_applied() {
    for projection in [orders(), bestsellers()] {
        for carried in [true, false] {
            let stack = TestStack::start().await;
            let (order, _) =
                applied(&stack, &projection, &[&placed("c", [(1, 2)]), &confirmed()]).await;
            cut(&stack, &order, 1).await;
            let same = go_on(&stack, &order, vec![rejected("no books").stored()]).await;
            let next = go_on(&stack, &order, vec![confirmed().stored()]).await;
            let handler = stack.handler(projection);
            let before = stack.rows().await;
            let mut message = if carried { Message::of(&next) } else { Message::address_of(&next) };
            for message in [Message::of(&same), message.clone()] {
                assert_eq!(
                    deliver(&handler, std::slice::from_ref(&message)).await,
                    ids([&message])
                );
            }
            assert_eq!(stack.rows().await, before);
            message.receives = 5;
            assert!(deliver(&handler, &[message.clone()]).await.is_empty(), "it is parked");
            let parked = jobs::parked(&stack.projector(), &projection, 1).await;
            let reason = "the position at version 2 is on another chain than the stream: rebuild";
            assert_eq!(
                parked.iter().map(|parked| parked.error.as_str()).collect::<Vec<_>>(),
                [reason]
            );
            assert!(
                deliver(&handler, &[Message::of(&same)]).await.is_empty(),
                "a later event stops no stream"
            );
        }
    }
}

#[tokio::test]
async fn a_message_older_than_the_restored_table_is_let_go() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let order = new_order();
        let old =
            write(&stack.store, &order, &[&placed("c", [(1, 2)]), &confirmed(), &shipped()]).await;
        cut(&stack, &order, 1).await;
        let second = go_on(&stack, &order, vec![confirmed().stored()]).await;
        let third = go_on(&stack, &order, vec![cancelled("late").stored()]).await;
        let handler = stack.handler(projection);
        assert!(deliver(&handler, &messages_of([&old[0], &second])).await.is_empty());
        // One commit follows the position, the other does not. The store has the right one.
        for late in [&old[1], &old[2], &third] {
            assert!(deliver(&handler, &[Message::of(late)]).await.is_empty());
        }
        assert_exact(&stack, &projection, 1).await;
    }
}

#[tokio::test]
async fn a_row_without_a_hash_is_refused_by_name() {
    let stack = TestStack::start().await;
    let (projection, operator) = (orders(), projector(&stack));
    let (order, _) = applied(&stack, &projection, &[&placed("c", [(1, 2)])]).await;
    let mut row = stack.rows().await.pop().unwrap();
    assert_eq!(row.remove("hash").unwrap().as_s().unwrap().len(), 43);
    let request = stack.clients().dynamodb.put_item().table_name(stack.names.read_models());
    request.set_item(Some(row)).send().await.unwrap();
    let next = Message::of(&go_on(&stack, &order, vec![confirmed().stored()]).await);
    assert_eq!(
        deliver(&stack.handler(projection), std::slice::from_ref(&next)).await,
        ids([&next])
    );
    let report = reconcile(&operator, &projection).await;
    assert!(!report.complete && report.last_pass.parked == 1, "{report:?}");
    let parked = jobs::parked(&operator, &projection, 1).await;
    assert_eq!(parked[0].error, format!("read-model row \"orders.1/{order}\" cannot be read"));
    assert!(rebuild(&operator, &projection, 1).await.complete);
}

#[tokio::test]
async fn a_row_of_another_chain_is_not_read_on() {
    let stack = TestStack::start().await;
    let (order, _) = applied(&stack, &orders(), &[&placed("c", [(1, 2)]), &confirmed()]).await;
    cut(&stack, &order, 1).await;
    go_on(&stack, &order, vec![rejected("no books").stored()]).await;
    go_on(&stack, &order, vec![confirmed().stored()]).await;
    let row = stack.projector().row(&orders(), &order, 3).await.unwrap().unwrap();
    let row: domain::read_models::orders::OrderRow = row.read().unwrap();
    assert_eq!(row.reason.unwrap().as_str(), "no books");
}

/// The events that a process gets.
pub(super) async fn followed(
    stack: &TestStack,
    batch: &Batch,
) -> Result<Vec<u64>, ReactError<Infallible>> {
    let versions_of_events = Arc::new(Mutex::new(Vec::new()));
    let effect = |_: StreamId, commits: Vec<eventstore::Commit>| {
        versions_of_events.lock().unwrap().extend(commits.iter().map(|commit| commit.version));
        std::future::ready(Ok(()))
    };
    let news = projections::Notification {
        stream: batch.stream.clone(),
        version: batch.last_version(),
        batch: Some(batch.clone()),
    };
    let failed = stack
        .projector()
        .react(fulfilment().consumer(), vec![news], projections::TimeLimit::NONE, effect)
        .await;
    let versions = std::mem::take(&mut *versions_of_events.lock().unwrap());
    failed.into_iter().next().map_or(Ok(versions), |(_, error)| Err(error))
}

#[tokio::test]
async fn a_process_manager_hears_of_no_other_chain_until_rewound() {
    let stack = TestStack::start().await;
    assert!(matches!(fulfilment().kind, Kind::Process));
    let order = new_order();
    let batches = write(&stack.store, &order, &[&placed("c", [(1, 2)]), &confirmed()]).await;
    assert_eq!(followed(&stack, &batches[1]).await.unwrap(), [1, 2]);
    cut(&stack, &order, 1).await;
    let same = go_on(&stack, &order, vec![rejected("no books").stored()]).await;
    let next = go_on(&stack, &order, vec![confirmed().stored()]).await;
    for batch in [&same, &next] {
        let error = followed(&stack, batch).await.unwrap_err();
        let stray = ReactError::<Infallible>::version(&error).is_none();
        let is_stray = matches!(
            error,
            ReactError::Delivery(ProjectError::Diverged {
                version: 2,
                divergence: Divergence::OtherChain
            })
        );
        assert!(stray && is_stray);
    }
    let operator = projector(&stack);
    let report = reconcile(&operator, &fulfilment()).await;
    assert_eq!((report.complete, report.last_pass.other_chain), (false, 1), "{report:?}");
    operator.rewind(fulfilment().consumer(), &order).await.unwrap();
    assert_eq!(followed(&stack, &next).await.unwrap(), [1, 2, 3]);
}
