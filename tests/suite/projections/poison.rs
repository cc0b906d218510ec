//! Events that a fold cannot apply, and messages that cannot be read. They stop only their own
//! stream.

use crate::harness::events::{
    Stored, Writer, cancelled, confirmed, new_order, placed, raw, received, reserved, stock_of,
    write,
};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver, ids, messages_of};
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::AttributeValue;
use bookshop::{bestsellers, orders, stock};
use eventstore::{Batch, Commit, NewEvent, StreamId};
use handlers::ProjectorHandler;

/// Event types of an order, in a newer schema or in an unknown shape.
fn poisons() -> [NewEvent; 5] {
    [
        raw("OrderRejected", 1, "{}"),
        raw("OrderConfirmed", 2, "{}"),
        raw("OrderCancelled", 1, r#"{"reason":7}"#),
        raw("OrderPlaced", 1, r#"{"customer_id":"c","currency":"EUR","lines":[]}"#),
        raw("OrderShipped", 1, "[]"),
    ]
}

fn commits(batches: &[Batch]) -> Vec<Commit> {
    batches.iter().flat_map(|batch| batch.commits.clone()).collect()
}

/// The fold of a whole stream and of the beginning of another.
async fn fold_up_to(
    stack: &TestStack,
    whole: &StreamId,
    (poisoned, batches): (&StreamId, &[Batch]),
    up_to: u64,
) -> ReadModel {
    let mut model = ReadModel::of_streams(&stack.store, [whole]).await;
    model.add(poisoned, &commits(batches), up_to);
    model
}

#[tokio::test]
async fn a_poison_event_stops_only_the_rest_of_its_stream() {
    for (projection, poison) in [orders(), bestsellers()]
        .into_iter()
        .flat_map(|projection| poisons().map(|poison| (projection, poison)))
    {
        let stack = TestStack::start().await;
        let (sound, poisoned) = (new_order(), new_order());
        let good = messages_of(
            &write(&stack.store, &sound, &[&placed("c", [(1, 1)]), &cancelled("late")]).await,
        );
        let mut writer = Writer::new(&stack.store, &poisoned);
        let mut batches = vec![writer.append(vec![placed("d", [(1, 5)]).stored()]).await];
        // The event before the poison, in the same commit, still counts.
        batches.push(writer.append(vec![confirmed().stored(), poison.clone()]).await);
        batches.push(writer.append(vec![cancelled("late").stored()]).await);
        let bad = messages_of(&batches);
        let handler = stack.handler(projection);
        let event = [&bad[0], &good[0], &bad[1], &good[1], &bad[2]].map(Clone::clone);
        for _ in 0..2 {
            assert_eq!(deliver(&handler, &event).await, ids(&bad[1..]), "{poison:?}");
            let expected =
                fold_up_to(&stack, &sound, (&poisoned, &batches), 2).await.only(projection.name);
            assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected, "{poison:?}");
        }
        assert_eq!(
            deliver(&handler, &bad[2..]).await,
            ids(&bad[2..]),
            "nothing gets past the poison"
        );
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_poison_has_no_row() {
    let stack = TestStack::start().await;
    let (order, book) = (new_order(), stock_of(1));
    let mut first =
        vec![Writer::new(&stack.store, &order).append(vec![confirmed().stored()]).await];
    first.push(
        Writer::new(&stack.store, &book)
            .append(vec![raw("StockReceived", 1, r#"{"quantity":0}"#)])
            .await,
    );
    let messages = messages_of(&first);
    assert_eq!(deliver(&stack.handler(orders()), &messages[..1]).await, ids(&messages[..1]));
    assert_eq!(deliver(&stack.handler(stock()), &messages[1..]).await, ids(&messages[1..]));
    assert!(stack.rows().await.is_empty());
}

#[tokio::test]
async fn events_before_a_poison_event_are_applied_to_an_existing_row() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let (order, other) = (new_order(), new_order());
        let sound = write(&stack.store, &other, &[&placed("d", [(1, 1)])]).await;
        let mut writer = Writer::new(&stack.store, &order);
        let mut batches = vec![writer.append(vec![placed("c", [(1, 5)]).stored()]).await];
        let handler = stack.handler(projection);
        assert!(deliver(&handler, &messages_of(sound.iter().chain(&batches))).await.is_empty());
        batches.push(writer.append(vec![cancelled("late").stored()]).await);
        batches.push(writer.append(vec![raw("OrderConfirmed", 2, "{}")]).await);
        // The first message is redelivered together with the others, as if there were no row yet.
        let messages = messages_of(&batches);
        assert_eq!(deliver(&handler, &messages).await, ids(&messages[2..]), "{}", projection.name);
        let expected =
            fold_up_to(&stack, &other, (&order, &batches), 2).await.only(projection.name);
        assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected);
    }
}

#[tokio::test]
async fn a_message_ahead_of_the_store_fails_and_earlier_ones_do_not() {
    let stack = TestStack::start().await;
    let order = new_order();
    let batches = write(&stack.store, &order, &[&placed("c", [(1, 5)]), &confirmed()]).await;
    let mut messages = messages_of(&batches);
    let beyond = format!(r#"{{"stream":"{order}","version":3,"last_version":9}}"#);
    messages.push(Message::new(order.as_str(), &beyond));
    for projection in [orders(), bestsellers()] {
        assert_eq!(deliver(&stack.handler(projection), &messages).await, ids(&messages[2..]));
    }
    stack.assert_exact([&order]).await;
}

/// Bodies that are no notification.
fn unreadable(stream: &StreamId) -> Vec<Option<String>> {
    let with = |rest: &str| Some(format!(r#"{{"stream":"{stream}",{rest}}}"#));
    vec![
        None,
        Some(String::new()),
        Some("{".to_owned()),
        Some("[]".to_owned()),
        Some(r#"{"stream":"Order 1","version":1,"last_version":1}"#.to_owned()),
        with(r#""version":-1,"last_version":1"#),
        with(r#""version":1"#),
        with(r#""version":1,"last_version":1,"format":2,"commits":[]"#),
        with(r#""version":1,"last_version":1,"format":2,"commits":[{"events":[]}]"#),
    ]
}

#[tokio::test]
async fn an_unreadable_message_fails_with_the_rest_of_its_group_only() {
    let stack = TestStack::start().await;
    let (broken, sound) = (new_order(), new_order());
    let events: [&dyn Stored; 3] = [&placed("c", [(1, 5)]), &confirmed(), &cancelled("late")];
    let broken_batches = write(&stack.store, &broken, &events).await;
    let (good, bad) =
        (messages_of(&write(&stack.store, &sound, &events).await), messages_of(&broken_batches));
    let handlers: [ProjectorHandler; 2] = [orders(), bestsellers()].map(|p| stack.handler(p));
    for body in unreadable(&broken) {
        let unreadable = Message { body: body.clone(), ..bad[1].clone() };
        let event = [&bad[0], &unreadable, &good[0], &bad[2], &good[1], &good[2]].map(Clone::clone);
        for handler in &handlers {
            assert_eq!(deliver(handler, &event).await, ids(&bad[1..]), "{body:?}");
        }
        let expected = fold_up_to(&stack, &sound, (&broken, &broken_batches), 1).await;
        assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected, "{body:?}");
    }
}

#[tokio::test]
async fn messages_of_a_category_without_a_consumer_are_done() {
    let stack = TestStack::start().await;
    let order = new_order();
    let messages = messages_of(&write(&stack.store, &order, &[&placed("c", [(1, 5)])]).await);
    assert!(deliver(&stack.handler(stock()), &messages).await.is_empty());
    assert!(stack.rows().await.is_empty());
}

/// Makes a row of the read models unreadable.
async fn damage(stack: &TestStack, ends_with: &str) {
    let mut rows = stack.rows().await.into_iter();
    let mut row = rows.find(|item| item["row"].as_s().unwrap().ends_with(ends_with)).unwrap();
    row.insert("data".to_owned(), AttributeValue::S("{".to_owned()));
    let request = stack
        .clients()
        .dynamodb
        .put_item()
        .table_name(stack.names.read_models())
        .set_item(Some(row));
    request.send().await.unwrap();
}

#[tokio::test]
async fn an_unreadable_row_holds_up_only_the_streams_that_need_it() {
    let stack = TestStack::start().await;
    let handler = stack.handler(bestsellers());
    let mut first = Vec::new();
    for book in [1, 2] {
        first.extend(write(&stack.store, &new_order(), &[&placed("c", [(book, 1)])]).await);
    }
    assert!(deliver(&handler, &messages_of(&first)).await.is_empty());
    damage(&stack, crate::harness::events::isbn(1).as_str()).await;
    let mut messages = Vec::new();
    let mut streams = Vec::new();
    for book in [2, 1, 3] {
        let order = new_order();
        messages
            .extend(messages_of(&write(&stack.store, &order, &[&placed("c", [(book, 1)])]).await));
        streams.push(order);
    }
    assert_eq!(deliver(&handler, &messages).await, ids(&messages[1..2]));
    // A repair of the row restores its state before the failing order.
    let rows = stack.rows().await;
    let readable: Vec<_> =
        rows.into_iter().filter(|item| item["data"].as_s().unwrap() != "{").collect();
    let model = ReadModel::of_rows(&readable, "");
    let applied: Vec<_> =
        streams.iter().map(|stream| model.applied("bestsellers", stream)).collect();
    assert_eq!(applied, [Some(1), None, Some(1)]);
}

#[tokio::test]
async fn a_poisoned_book_does_not_stop_the_stock_of_others() {
    let stack = TestStack::start().await;
    let (sound, poisoned) = (stock_of(1), stock_of(2));
    let good = messages_of(&write(&stack.store, &sound, &[&received(5), &reserved(1, 2)]).await);
    let mut writer = Writer::new(&stack.store, &poisoned);
    let mut batches = vec![writer.append(vec![received(9).stored()]).await];
    batches.push(writer.append(vec![raw("StockReceived", 1, r#"{"quantity":0}"#)]).await);
    let bad = messages_of(&batches);
    let event = [&bad[0], &bad[1], &good[0], &good[1]].map(Clone::clone);
    assert_eq!(deliver(&stack.handler(stock()), &event).await, ids(&bad[1..]));
    let expected = fold_up_to(&stack, &sound, (&poisoned, &batches), 1).await;
    assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected);
}
