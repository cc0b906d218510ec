//! Unreadable items in the event table: a rebuild continues after them, and reports them.

use super::jobs::{assert_exact, assert_same, parked, projector, rebuild, reconcile};
use crate::harness::events::{
    Stored, Writer, confirmed, new_order, placed, received, shipped, stock_of,
};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::{TestStack, event_key};
use aws_sdk_dynamodb::types::AttributeValue;
use bookshop::{bestsellers, orders};
use eventstore::{Item, StreamId};
use handlers::ProjectorHandler;
use projections::rebuild::RebuildError;
use projections::{GenerationState, Projection};
use std::collections::BTreeSet;

async fn item(stack: &TestStack, stream: &StreamId, version: u64) -> Item {
    let request = stack.clients().dynamodb.get_item().table_name(stack.names.events());
    let request = request.set_key(Some(event_key(stream.as_str(), version))).consistent_read(true);
    request.send().await.unwrap().item.unwrap()
}

/// Makes an item unreadable. Returns the original.
async fn damage(stack: &TestStack, stream: &StreamId, version: u64) -> Item {
    let sound = item(stack, stream, version).await;
    let mut damaged = sound.clone();
    damaged.insert("format".to_owned(), AttributeValue::N("9".to_owned()));
    stack.put_raw(damaged).await;
    sound
}

async fn order(stack: &TestStack, projector: &ProjectorHandler) -> StreamId {
    let order = new_order();
    let mut writer = Writer::new(&stack.store, &order);
    for event in [placed("c", [(1, 2)]), confirmed(), shipped()] {
        let batch = writer.append(vec![event.stored()]).await;
        assert!(deliver(projector, &messages_of([&batch])).await.is_empty());
    }
    order
}

async fn is_incomplete_until_they_are_repaired(projection: Projection) {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    let handler = ProjectorHandler::new(projection, projector.clone());
    let [sound, middle, end] = [
        order(&stack, &handler).await,
        order(&stack, &handler).await,
        order(&stack, &handler).await,
    ];
    let book = stock_of(1);
    Writer::new(&stack.store, &book).append(vec![received(5).stored()]).await;
    // This projection does not follow the book.
    damage(&stack, &book, 1).await;
    let repairs = [damage(&stack, &middle, 2).await, damage(&stack, &end, 3).await];
    stack.put_raw(event_key("No Stream", 1)).await;

    let report = rebuild(&projector, &projection, 2).await;
    assert_eq!(
        (report.complete, report.last_pass.damaged, report.last_pass.parked),
        (false, 3, 2),
        "{report:?}"
    );
    for named in [
        format!("{middle} is damaged at version 2"),
        format!("{end} is damaged at version 3"),
        "No Stream".into(),
    ] {
        assert!(
            report.first_pass.damages.iter().any(|said| said.contains(&named)),
            "{named}: {report:?}"
        );
    }
    assert_eq!(report.last_pass.present, 3, "the others are there, and so are the beginnings");
    let notes: BTreeSet<_> = parked(&projector, &projection, 2)
        .await
        .into_iter()
        .map(|note| (note.stream, note.version))
        .collect();
    assert_eq!(notes, BTreeSet::from([(middle.clone(), Some(2)), (end.clone(), Some(3))]));
    let refused = projector.switch(&projection, false).await.unwrap_err();
    assert!(
        matches!(refused, RebuildError::NotComplete { state: GenerationState::Incomplete, .. }),
        "{refused}"
    );
    assert!(
        super::jobs::rows(&stack, &projection, 2)
            .await
            .iter()
            .any(|item| super::jobs::key(item).ends_with(sound.as_str()))
    );

    for item in repairs {
        stack.put_raw(item).await;
    }
    let request = stack.clients().dynamodb.delete_item().table_name(stack.names.events());
    request.set_key(Some(event_key("No Stream", 1))).send().await.unwrap();
    let resumed = projector.resume_all(&projection).await.unwrap();
    assert!(
        resumed.len() == 2 && resumed.iter().all(|resumed| resumed.still.is_none()),
        "{resumed:?}"
    );
    assert!(reconcile(&projector, &projection).await.complete);
    assert_eq!(
        projector.status(&projection).await.unwrap().other.unwrap().state,
        GenerationState::Complete
    );
    assert_same(&stack, &projection, 1, 2).await;
    assert_exact(&stack, &projection, 2).await;
}

#[tokio::test]
async fn orders_are_incomplete_until_corrupt_items_are_repaired() {
    is_incomplete_until_they_are_repaired(orders()).await;
}

#[tokio::test]
async fn bestsellers_are_incomplete_until_corrupt_items_are_repaired() {
    is_incomplete_until_they_are_repaired(bestsellers()).await;
}

#[tokio::test]
async fn many_corrupt_items_are_all_counted_and_ten_are_named() {
    let stack = TestStack::start().await;
    let projector = projector(&stack);
    for number in 0..25 {
        stack.put_raw(event_key(&format!("order-{number}"), 1)).await;
    }
    let report = rebuild(&projector, &orders(), 4).await;
    assert_eq!(
        (report.first_pass.damaged, report.first_pass.damages.len()),
        (25, 10),
        "{report:?}"
    );
    assert_eq!(
        (report.last_pass.damaged, report.last_pass.damages.len(), report.complete),
        (25, 10, false)
    );
}

#[tokio::test]
async fn an_item_of_no_stream_may_have_been_anybodys() {
    let stack = TestStack::start().await;
    let (of, projector) = (&orders(), projector(&stack));
    let handler = ProjectorHandler::new(*of, projector.clone());
    order(&stack, &handler).await;
    stack.put_raw(event_key("No Stream", 1)).await;
    let report = rebuild(&projector, of, 2).await;
    assert_eq!(
        (report.complete, report.last_pass.damaged, report.last_pass.parked),
        (false, 1, 0),
        "{report:?}"
    );
    assert!(report.last_pass.damages[0].contains("No Stream"), "{report:?}");
    assert_same(&stack, of, 1, 2).await;
}
