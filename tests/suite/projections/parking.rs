//! A stream that cannot be applied is retried, then parked. Other streams continue, and no event is
//! lost.

use crate::harness::events::{
    Stored, Writer, cancelled, confirmed, new_order, placed, raw, received, released, reserved,
    shipped, stock_of, write,
};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver, ids, messages_of};
use crate::harness::stack::TestStack;
use bookshop::{bestsellers, orders, stock};
use eventstore::{Batch, StreamId};
use handlers::ProjectorHandler;
use projections::{Parked, ProjectError, Projection, Projector};

/// The type that an older program cannot apply.
fn poison(projection: &Projection) -> &'static str {
    if projection.name == stock().name { "StockReserved" } else { "OrderConfirmed" }
}

fn older(stack: &TestStack, projection: &Projection) -> Projector {
    stack.projector().with_fault(projection.name, poison(projection))
}

/// A stream that an older program cannot apply from its second event on, and one that it can.
async fn streams(stack: &TestStack, projection: &Projection) -> [(StreamId, Vec<Batch>); 2] {
    let (bad, good, histories): (_, _, [Vec<Box<dyn Stored>>; 2]) =
        if projection.name == stock().name {
            let bad: Vec<Box<dyn Stored>> =
                vec![Box::new(received(9)), Box::new(reserved(1, 2)), Box::new(released(1, 2))];
            (stock_of(1), stock_of(2), [bad, vec![Box::new(received(5)), Box::new(received(1))]])
        } else {
            let bad: Vec<Box<dyn Stored>> =
                vec![Box::new(placed("c", [(1, 2)])), Box::new(confirmed()), Box::new(shipped())];
            (
                new_order(),
                new_order(),
                [bad, vec![Box::new(placed("d", [(1, 1)])), Box::new(cancelled("late"))]],
            )
        };
    let [bad_events, good_events] = histories;
    let mut written = Vec::new();
    for (stream, events) in [(bad, bad_events), (good, good_events)] {
        let events: Vec<&dyn Stored> = events.iter().map(|event| &**event).collect();
        let batches = write(&stack.store, &stream, &events).await;
        written.push((stream, batches));
    }
    written.try_into().unwrap()
}

/// The messages with that receive count.
fn given_out(messages: &[Message], receives: u32) -> Vec<Message> {
    messages.iter().map(|message| Message { receives, ..message.clone() }).collect()
}

async fn parked(stack: &TestStack, projection: &Projection, generation: u32) -> Vec<Parked> {
    stack.projector().parked(projection, generation, 100, None).await.unwrap().streams
}

async fn rows(stack: &TestStack) -> Vec<eventstore::Item> {
    let mut rows = stack.rows().await;
    rows.retain(|item| !item["row"].as_s().unwrap().contains("/parked/"));
    rows
}

async fn is_parked_at_the_fifth_receive(projection: Projection) {
    let stack = TestStack::start().await;
    let [(bad, bad_batches), (good, good_batches)] = streams(&stack, &projection).await;
    let (messages, sound) = (messages_of(&bad_batches), messages_of(&good_batches));
    let older = ProjectorHandler::new(projection, older(&stack, &projection));
    let event = |receives| [given_out(&messages[..2], receives), vec![sound[0].clone()]].concat();
    for receives in 1..5 {
        assert_eq!(
            deliver(&older, &event(receives)).await,
            ids(&messages[1..2]),
            "at receive {receives}"
        );
        assert!(parked(&stack, &projection, 1).await.is_empty(), "at receive {receives}");
    }
    assert!(deliver(&older, &event(5)).await.is_empty(), "it is done with: the stream is parked");
    let notes = parked(&stack, &projection, 1).await;
    assert_eq!((notes.len(), &notes[0].stream, notes[0].version), (1, &bad, Some(2)));
    assert!(notes[0].error.contains(poison(&projection)), "{notes:?}");
    // A later message is acknowledged at its first receive. Other streams continue.
    assert!(deliver(&older, &[messages[2].clone(), sound[1].clone()]).await.is_empty());
    let model = ReadModel::of_rows(&rows(&stack).await, "");
    assert_eq!(
        (model.applied(projection.name, &bad), model.applied(projection.name, &good)),
        (Some(1), Some(2))
    );

    let resumed = stack
        .projector()
        .with_fault(projection.name, poison(&projection))
        .resume_stream(&projection, &bad)
        .await
        .unwrap();
    assert!(
        matches!(resumed[..], [ref one] if matches!(one.still, Some(ProjectError::Fold { version: 2, .. }))),
        "{resumed:?}"
    );
    assert_eq!(parked(&stack, &projection, 1).await.len(), 1, "it is still parked");
    let resumed = stack.projector().resume_stream(&projection, &good).await.unwrap();
    assert!(resumed.is_empty(), "this one was never parked");
    let resumed = stack.projector().resume_stream(&projection, &bad).await.unwrap();
    assert!(
        matches!(resumed[..], [ref one] if one.still.is_none() && one.parked.version == Some(2)),
        "{resumed:?}"
    );
    assert!(parked(&stack, &projection, 1).await.is_empty());
    let expected = ReadModel::of_streams(&stack.store, [&bad, &good]).await.only(projection.name);
    assert_eq!(ReadModel::of_rows(&rows(&stack).await, ""), expected);
}

#[tokio::test]
async fn a_poisoned_order_is_parked_and_resumed_in_order() {
    is_parked_at_the_fifth_receive(orders()).await;
}

#[tokio::test]
async fn a_poisoned_book_is_parked_and_resumed_in_order() {
    is_parked_at_the_fifth_receive(stock()).await;
}

#[tokio::test]
async fn bestsellers_park_a_poisoned_order_and_resume_it_in_order() {
    is_parked_at_the_fifth_receive(bestsellers()).await;
}

#[tokio::test]
async fn many_parked_streams_are_resumed_page_by_page_or_stay() {
    let stack = TestStack::start().await;
    let of = &orders();
    let older = ProjectorHandler::new(*of, stack.projector().with_fault(of.name, "OrderPlaced"));
    let (mut streams, mut hopeless) = (Vec::new(), None);
    for number in 0..115 {
        let order = new_order();
        let mut writer = Writer::new(&stack.store, &order);
        let mut batches = vec![writer.append(vec![placed("c", [(1, 1)]).stored()]).await];
        if number == 50 {
            batches.push(writer.append(vec![raw("OrderConfirmed", 2, "{}")]).await);
            hopeless = Some(order);
        } else {
            streams.push(order);
        }
        assert!(deliver(&older, &given_out(&messages_of(&batches), 5)).await.is_empty());
    }
    let resumed = stack.projector().resume_all(of).await.unwrap();
    assert_eq!(resumed.len(), 115, "each once");
    let still: Vec<&StreamId> =
        resumed.iter().filter(|one| one.still.is_some()).map(|one| &one.parked.stream).collect();
    assert_eq!(still, [hopeless.as_ref().unwrap()]);
    let notes = parked(&stack, of, 1).await;
    assert_eq!(
        (notes.len(), notes[0].version),
        (1, Some(2)),
        "an event of a newer schema is never passed over"
    );
    let mut model = ReadModel::of_rows(&rows(&stack).await, "");
    assert_eq!(model.applied(of.name, hopeless.as_ref().unwrap()), Some(1));
    model = model.without(hopeless.as_ref().unwrap());
    assert_eq!(model, ReadModel::of_streams(&stack.store, &streams).await.only(of.name));
}

#[tokio::test]
async fn a_projector_without_an_answer_parks_no_stream() {
    for projection in [orders(), stock(), bestsellers()] {
        let stack = TestStack::start().await;
        let [(bad, batches), _] = streams(&stack, &projection).await;
        let messages = given_out(&messages_of(&batches), 9);
        for request in 1..=4 {
            let wire = FaultInjector::default();
            let handler = stack.handler_over(projection, &wire);
            wire.arm(Some(Fault::DiesBefore(request)));
            // Without the messages before it, so that the projector must read the gap.
            let failed = deliver(&handler, &messages[2..]).await;
            assert_eq!(failed.is_empty(), wire.is_armed(), "{} {request}", projection.name);
            assert!(
                parked(&stack, &projection, 1).await.is_empty(),
                "{} {request}",
                projection.name
            );
        }
        assert!(deliver(&stack.handler(projection), &messages[2..]).await.is_empty());
        assert_eq!(
            ReadModel::of_rows(&rows(&stack).await, "").applied(projection.name, &bad),
            Some(3)
        );
    }
}

/// DynamoDB throttles; the SDK retries, then returns the error.
#[tokio::test]
async fn a_throttled_projector_parks_no_stream() {
    let stack = TestStack::start().await;
    let of = &orders();
    let [(bad, batches), _] = streams(&stack, of).await;
    let messages = given_out(&messages_of(&batches), 9);
    let (throttled, wire) = super::rebuild::ruled(&stack);
    wire.rule(|seen| {
        let error = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"}"#;
        let put = seen.operation == "PutItem";
        std::future::ready(if put {
            crate::harness::wire::Act::Answer(400, error.into())
        } else {
            crate::harness::wire::Act::Pass
        })
    });
    let handler = ProjectorHandler::new(*of, throttled);
    assert_eq!(deliver(&handler, &messages).await, ids(&messages));
    assert!(parked(&stack, of, 1).await.is_empty());
    wire.no_rule();
    assert!(deliver(&handler, &messages).await.is_empty());
    assert_eq!(ReadModel::of_rows(&rows(&stack).await, "").applied(of.name, &bad), Some(3));
}

#[tokio::test]
async fn a_stream_that_is_parked_in_one_generation_flows_in_the_other() {
    let stack = TestStack::start().await;
    let of = &orders();
    let [(bad, batches), _] = streams(&stack, of).await;
    let messages = messages_of(&batches);
    let newer = stack.handler(*of);
    assert!(deliver(&newer, &messages[..2]).await.is_empty(), "the first generation has the event");
    let older = stack.projector().with_fault(of.name, poison(of));
    let mut calls = older.rebuild(of, 1).await.unwrap();
    while let Some(call) = calls.pop() {
        calls = older
            .work(of, &call, std::time::Duration::ZERO, |_| std::future::ready(Ok(())))
            .await
            .unwrap();
    }
    assert_eq!(parked(&stack, of, 2).await.len(), 1);
    // The older program applies the last event to the first generation, at the message's first
    // receive.
    assert!(deliver(&ProjectorHandler::new(*of, older), &messages[2..]).await.is_empty());
    assert_eq!(applied(&stack, 1, &bad).await, Some(3));
    assert_eq!(applied(&stack, 2, &bad).await, Some(1));
    assert!(parked(&stack, of, 1).await.is_empty());
    let resumed = stack.projector().resume_all(of).await.unwrap();
    assert!(matches!(resumed[..], [ref one] if one.parked.generation == 2 && one.still.is_none()));
    assert_eq!(applied(&stack, 2, &bad).await, Some(3));
}

async fn applied(stack: &TestStack, generation: u32, stream: &StreamId) -> Option<u64> {
    let mut rows = rows(stack).await;
    rows.retain(|item| item["row"].as_s().unwrap().starts_with(&format!("orders.{generation}/")));
    ReadModel::of_rows(&rows, "").applied("orders", stream)
}

/// A message is redelivered to an older program. It cannot apply an event that a newer program
/// applied before.
#[tokio::test]
async fn an_applied_event_of_an_unknown_type_parks_no_stream() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let order = new_order();
        let batches = write(&stack.store, &order, &[&placed("c", [(1, 1)])]).await;
        let messages = given_out(&messages_of(&batches), 9);
        assert!(deliver(&stack.handler(projection), &messages).await.is_empty());
        let older = stack.projector().with_fault(projection.name, "OrderPlaced");
        assert!(deliver(&ProjectorHandler::new(projection, older), &messages).await.is_empty());
        assert!(parked(&stack, &projection, 1).await.is_empty(), "{}", projection.name);
    }
}
