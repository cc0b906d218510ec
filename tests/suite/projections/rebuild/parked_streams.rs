//! Parked streams while a generation is built, and how it becomes complete.

use super::jobs::{
    assert_exact, assert_same, finish, parked, projector, rebuild, reconcile, ruled,
};
use crate::harness::events::{
    Stored, Writer, cancelled, confirmed, new_order, placed, shipped, write,
};
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::harness::wire::Act;
use bookshop::{bestsellers, orders};
use eventstore::Batch;
use handlers::ProjectorHandler;
use projections::rebuild::RebuildError;
use projections::{GenerationState, ProjectError, Projection};
use std::sync::Arc;
use tokio::sync::Mutex;

async fn state(stack: &TestStack, projection: &Projection) -> Option<GenerationState> {
    projector(stack).status(projection).await.unwrap().other.map(|other| other.state)
}

/// Three orders, of which one is shipped; all in the first generation.
async fn orders_of(stack: &TestStack, projection: Projection) -> eventstore::StreamId {
    let handler = ProjectorHandler::new(projection, projector(stack));
    let odd = new_order();
    let mut batches =
        write(&stack.store, &new_order(), &[&placed("c", [(1, 2)]), &cancelled("late")]).await;
    batches.extend(
        write(&stack.store, &odd, &[&placed("c", [(1, 5)]), &confirmed(), &shipped()]).await,
    );
    batches
        .extend(write(&stack.store, &new_order(), &[&placed("d", [(1, 1)]), &confirmed()]).await);
    assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
    odd
}

async fn is_complete_after_the_fix(projection: Projection) {
    let stack = TestStack::start().await;
    let odd = orders_of(&stack, projection).await;
    let older = projector(&stack).with_fault(projection.name, "OrderShipped");
    let report = rebuild(&older, &projection, 3).await;
    assert!(!report.complete, "{report:?}");
    assert_eq!(
        (report.last_pass.parked, report.last_pass.behind, report.last_pass.streams),
        (1, 0, 3),
        "{report:?}"
    );
    assert_eq!(report.passes, 2, "a parked stream needs no further pass");
    assert_eq!(state(&stack, &projection).await, Some(GenerationState::Incomplete));
    let notes = parked(&older, &projection, 2).await;
    assert_eq!(notes.len(), 1);
    assert_eq!((&notes[0].stream, notes[0].generation, notes[0].version), (&odd, 2, Some(3)));
    assert!(notes[0].error.contains("OrderShipped"), "{notes:?}");
    assert!(
        parked(&older, &projection, 1).await.is_empty(),
        "it is parked in the new generation only"
    );
    let refused = older.switch(&projection, false).await.unwrap_err();
    let incomplete = GenerationState::Incomplete;
    assert!(
        matches!(refused, RebuildError::NotComplete { number: 2, state } if state == incomplete),
        "{refused}"
    );

    // The older program cannot resume it, and a reconciliation leaves the generation incomplete.
    let resumed = older.resume_all(&projection).await.unwrap();
    assert!(
        matches!(resumed[..], [ref one] if matches!(one.still, Some(ProjectError::Fold { version: 3, .. })))
    );
    assert!(!reconcile(&older, &projection).await.complete);
    assert_eq!(state(&stack, &projection).await, Some(GenerationState::Incomplete));

    let newer = projector(&stack);
    let resumed = newer.resume_stream(&projection, &odd).await.unwrap();
    assert!(
        matches!(resumed[..], [ref one] if one.still.is_none() && one.parked.version == Some(3)),
        "{resumed:?}"
    );
    assert!(parked(&newer, &projection, 2).await.is_empty());
    assert_same(&stack, &projection, 1, 2).await;
    assert_eq!(
        state(&stack, &projection).await,
        Some(GenerationState::Incomplete),
        "nothing proves it yet"
    );
    assert!(reconcile(&newer, &projection).await.complete);
    assert_eq!(state(&stack, &projection).await, Some(GenerationState::Complete));
    let wakes = newer.switch(&projection, false).await.unwrap();
    assert!(finish(&newer, &projection, wakes).await.complete);
    assert_exact(&stack, &projection, 2).await;
}

#[tokio::test]
async fn a_parked_stream_makes_orders_incomplete_until_resumed() {
    is_complete_after_the_fix(orders()).await;
}

#[tokio::test]
async fn a_parked_stream_makes_bestsellers_incomplete_until_resumed() {
    is_complete_after_the_fix(bestsellers()).await;
}

#[tokio::test]
async fn an_incomplete_generation_is_switched_to_only_if_accepted() {
    let stack = TestStack::start().await;
    let of = &orders();
    let odd = orders_of(&stack, *of).await;
    let older = projector(&stack).with_fault(of.name, "OrderShipped");
    rebuild(&older, of, 1).await;
    let wakes = older.switch(of, true).await.unwrap();
    assert!(!finish(&older, of, wakes).await.complete);
    let row = older.row(of, &odd, 0).await.unwrap().unwrap();
    assert_eq!(row.version, 2, "readers see it as far as it goes");
    let refused = older.row(of, &odd, 3).await.unwrap_err();
    assert!(refused.to_string().contains("event 3"), "{refused}");
}

#[tokio::test]
async fn an_outdated_parked_row_parks_no_later_event() {
    let stack = TestStack::start().await;
    let of = &orders();
    let order = new_order();
    let mut writer = Writer::new(&stack.store, &order);
    let mut batches = Vec::new();
    for event in [placed("c", [(1, 1)]).stored(), confirmed().stored(), shipped().stored()] {
        batches.push(writer.append(vec![event]).await);
    }
    let mut messages = messages_of(&batches);
    for message in &mut messages {
        message.receives = 5;
    }
    let older = ProjectorHandler::new(*of, projector(&stack).with_fault(of.name, "OrderConfirmed"));
    assert!(deliver(&older, &messages[..2]).await.is_empty(), "it is parked at version 2");
    // Another program applies version 2, but not version 3.
    let newer = ProjectorHandler::new(*of, projector(&stack).with_fault(of.name, "OrderShipped"));
    messages[2].receives = 1;
    assert_eq!(deliver(&newer, &messages[2..]).await.len(), 1, "version 3 has not been tried yet");
    messages[2].receives = 5;
    assert!(deliver(&newer, &messages[2..]).await.is_empty());
    assert_eq!(parked(&projector(&stack), of, 1).await[0].version, Some(3));
    assert!(
        deliver(&ProjectorHandler::new(*of, projector(&stack)), &messages[2..]).await.is_empty()
    );
    assert_exact(&stack, of, 1).await;
}

fn at_the_fifth_receive(batch: &Batch) -> Vec<Message> {
    let mut messages = messages_of([batch]);
    messages[0].receives = 5;
    messages
}

/// After the stream has caught up and before it is unparked, it is parked again.
#[tokio::test]
async fn a_stream_parked_again_during_a_resume_stays_parked() {
    let stack = TestStack::start().await;
    let of = &orders();
    let order = new_order();
    let mut writer = Writer::new(&stack.store, &order);
    let placed = writer.append(vec![placed("c", [(1, 1)]).stored()]).await;
    let older = ProjectorHandler::new(*of, projector(&stack).with_fault(of.name, "OrderPlaced"));
    assert!(deliver(&older, &at_the_fifth_receive(&placed)).await.is_empty());
    let meanwhile =
        ProjectorHandler::new(*of, projector(&stack).with_fault(of.name, "OrderShipped"));
    let writer = Arc::new(Mutex::new(writer));
    let (operator, wire) = ruled(&stack);
    wire.rule(move |seen| {
        let (meanwhile, writer) = (meanwhile.clone(), writer.clone());
        async move {
            if seen.operation == "DeleteItem" {
                let shipped = writer.lock().await.append(vec![shipped().stored()]).await;
                let again = at_the_fifth_receive(&shipped);
                assert!(
                    deliver(&meanwhile, &again).await.is_empty(),
                    "it is parked, and done with"
                );
            }
            Act::Pass
        }
    });
    let resumed = operator.resume_stream(of, &order).await.unwrap();
    assert_eq!(resumed.len(), 1);
    let notes = parked(&operator, of, 1).await;
    let versions: Vec<_> = notes.iter().map(|note| note.version).collect();
    assert_eq!(versions, [Some(2)], "it is parked and listed");
}
