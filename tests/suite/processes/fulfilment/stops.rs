//! What stops a stream, its position then, and which streams continue.

use super::orders::{Line, deliver, new_book, order_stream, stock_stream};
use crate::harness::events::{commit, raw};
use crate::harness::messages::{Message, ids, messages_of};
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::AttributeValue;
use bookshop::fulfilment;
use domain::order::OrderStatus;
use domain::{Isbn, OrderId};
use eventstore::{Consistency, Id, NewCommit, NewEvent, StreamId};
use uuid::Uuid;

impl TestStack {
    /// Appends a commit of unknown events.
    async fn write(&self, stream: &StreamId, new: NewCommit) {
        let (head, _) = self.store.head(stream, Consistency::Strong).await.unwrap();
        self.store.append(&head, vec![new]).await.unwrap();
    }

    /// The position of fulfilment in the stream.
    async fn handled(&self, stream: &StreamId) -> Option<u64> {
        let row = self.row(&format!("fulfilment.1/fence/{stream}")).await?;
        row["version"].as_n().unwrap().parse().ok()
    }

    async fn messages(&self, stream: &StreamId) -> Vec<Message> {
        messages_of(&self.batches(stream).await)
    }

    /// An order for one copy in stock.
    async fn ordinary_order(&self) -> (OrderId, Isbn) {
        let book = new_book();
        self.receive(&book, 1).await;
        (self.place(&[(book.clone(), 1)]).await, book)
    }

    /// The id of fulfilment's command that confirms the order.
    async fn id_of_confirmation(&self, order_id: OrderId) -> Id {
        let recorded_at =
            self.commits(&order_stream(order_id)).await[0].recorded_at.timestamp_millis();
        let namespace = Uuid::new_v5(&Uuid::NAMESPACE_URL, b"https://ledgerfold.dev/fulfilment");
        let name = format!("order-{order_id}:1 order-{order_id} confirm");
        let [a, b, c, d, e, f, _, _, _, g, h, i, j, ..] =
            Uuid::new_v5(&namespace, name.as_bytes()).into_bytes();
        let time_ms = u64::try_from(recorded_at).unwrap();
        let random = [a, b, c, d, e, f, g, h, i, j];
        Id::of_process(uuid::Builder::from_unix_timestamp_millis(time_ms, &random).into_uuid())
    }
}

/// An event of an order that only a newer program knows.
fn newer() -> NewEvent {
    raw("OrderCancelled", 2, r#"{"reason":"r","by":"me"}"#)
}

#[tokio::test]
async fn an_event_of_a_newer_program_stops_its_stream_and_no_other() {
    let (stack, unreadable) =
        (TestStack::start().await, raw("OrderCancelled", 1, r#"{"reason":7}"#));
    for event in [newer(), unreadable] {
        let (stopped, its_book) = stack.ordinary_order().await;
        let (other, book) = stack.ordinary_order().await;
        for event in [event, raw("OrderConfirmed", 1, "{}")] {
            stack.write(&order_stream(stopped), commit(vec![event])).await;
        }
        let bad = stack.messages(&order_stream(stopped)).await;
        let good = stack.messages(&order_stream(other)).await;
        let event = [bad[0].clone(), good[0].clone(), bad[1].clone(), bad[2].clone()];
        assert_eq!(deliver(&stack.runner(), &event).await, ids(&event[2..]));
        assert_eq!(stack.handled(&order_stream(stopped)).await, Some(1));
        for book in [&its_book, &book] {
            assert_eq!(stack.stock(book).await.reserved(), 1, "what came before is done");
        }
        Line::of(other, std::slice::from_ref(&book)).run_dry(&stack, &stack.runner()).await;
        assert_eq!(stack.unsettled(&[other], &[book]).await, [""; 0]);
    }
}

#[tokio::test]
async fn an_event_of_an_unknown_type_stops_its_stream() {
    let stack = TestStack::start().await;
    let (order_id, book) = stack.ordinary_order().await;
    // The order's commands come first: a stream with such an event takes no command.
    Line::of(order_id, std::slice::from_ref(&book)).run_dry(&stack, &stack.runner()).await;
    for stream in [order_stream(order_id), stock_stream(&book)] {
        stack
            .write(&stream, commit(vec![raw("SomethingElse", 1, "{}"), raw("AndMore", 1, "7")]))
            .await;
        let messages = stack.messages(&stream).await;
        assert_eq!(deliver(&stack.runner(), &messages[2..]).await, ids(&messages[2..]));
        assert_eq!(stack.handled(&stream).await, Some(2));
    }
}

/// Two orders for copies of one book; the second takes no command any more.
#[tokio::test]
async fn a_failing_ask_leaves_the_position_right_before_its_event() {
    let stack = TestStack::start().await;
    let book = new_book();
    stack.receive(&book, 2).await;
    let orders = [stack.place(&[(book.clone(), 1)]).await, stack.place(&[(book.clone(), 1)]).await];
    let runner = stack.runner();
    for order_id in orders {
        assert!(deliver(&runner, &stack.messages(&order_stream(order_id)).await).await.is_empty());
    }
    stack.write(&order_stream(orders[1]), commit(vec![newer()])).await;
    let messages = stack.messages(&stock_stream(&book)).await;
    for _ in 0..2 {
        assert_eq!(deliver(&runner, &messages).await, ids(&messages[2..]));
        assert_eq!(stack.handled(&stock_stream(&book)).await, Some(2));
    }
    assert_eq!(stack.order(orders[0]).await.status(), Some(OrderStatus::Confirmed));
}

/// The fifth receive of the book's messages: the other order of the book gets them, and the failing
/// one is held, until a program that knows its events resumes it.
#[tokio::test]
async fn at_the_fifth_receive_an_order_is_held_and_its_book_continues() {
    let stack = TestStack::start().await;
    let book = new_book();
    stack.receive(&book, 2).await;
    let orders = [stack.place(&[(book.clone(), 1)]).await, stack.place(&[(book.clone(), 1)]).await];
    let runner = stack.runner();
    for order_id in orders {
        assert!(deliver(&runner, &stack.messages(&order_stream(order_id)).await).await.is_empty());
    }
    let held = order_stream(orders[0]);
    stack.write(&held, commit(vec![newer()])).await;
    let mut messages = stack.messages(&stock_stream(&book)).await;
    assert_eq!(
        deliver(&runner, &messages).await,
        ids(&messages[1..]),
        "at first it is tried again"
    );
    messages.iter_mut().for_each(|message| message.receives = 5);
    assert!(deliver(&runner, &messages).await.is_empty());
    assert_eq!(stack.handled(&stock_stream(&book)).await, Some(3));
    assert_eq!(stack.order(orders[1]).await.status(), Some(OrderStatus::Confirmed));
    let parked = stack.projector().parked(&fulfilment(), 1, 10, None).await.unwrap().streams;
    assert_eq!(parked.iter().map(|parked| &parked.stream).collect::<Vec<_>>(), [&held]);
    // As with a program that knows the event: without the event, the order takes commands.
    let key = crate::harness::stack::event_key(held.as_str(), 2);
    let events = stack.names.events();
    stack
        .clients()
        .dynamodb
        .delete_item()
        .table_name(events)
        .set_key(Some(key))
        .send()
        .await
        .unwrap();
    stack.projector().rewind(fulfilment().consumer(), &held).await.unwrap();
    assert!(deliver(&stack.runner(), &stack.messages(&held).await).await.is_empty());
    assert_eq!(stack.order(orders[0]).await.status(), Some(OrderStatus::Confirmed));
}

/// An earlier release may have written the command in another way: its fingerprint is not compared.
#[tokio::test]
async fn what_is_recorded_under_an_id_of_the_systems_is_done() {
    let stack = TestStack::start().await;
    let (order_id, book) = stack.ordinary_order().await;
    let runner = stack.runner();
    assert!(deliver(&runner, &stack.messages(&order_stream(order_id)).await).await.is_empty());
    let mut earlier = commit(vec![raw("OrderConfirmed", 1, "{}")]);
    earlier.metadata.command_id = stack.id_of_confirmation(order_id).await;
    stack.write(&order_stream(order_id), earlier).await;
    assert!(deliver(&runner, &stack.messages(&stock_stream(&book)).await).await.is_empty());
    assert_eq!(stack.types(&order_stream(order_id)).await, ["OrderPlaced", "OrderConfirmed"]);
    let reserved = stack.commits(&stock_stream(&book)).await.remove(1).metadata;
    let placed_at = stack.commits(&order_stream(order_id)).await[0].recorded_at;
    assert!(reserved.command_id.as_str().starts_with("~process:"), "{reserved:?}");
    assert_eq!(reserved.command_id.time(), Some(placed_at));
}

#[tokio::test]
async fn a_state_that_cannot_be_read_stops_its_order_only() {
    let stack = TestStack::start().await;
    let ((stopped, its_book), (other, book)) =
        (stack.ordinary_order().await, stack.ordinary_order().await);
    let runner = stack.runner();
    for order_id in [stopped, other] {
        assert!(deliver(&runner, &stack.messages(&order_stream(order_id)).await).await.is_empty());
    }
    let mut row = stack.row(&format!("fulfilment.1/state/{stopped}")).await.unwrap();
    row.insert("data".to_owned(), AttributeValue::S("{}".to_owned()));
    let table = stack.names.read_models();
    stack.clients().dynamodb.put_item().table_name(table).set_item(Some(row)).send().await.unwrap();
    let mut event = stack.messages(&stock_stream(&its_book)).await;
    event.extend(stack.messages(&stock_stream(&book)).await);
    assert_eq!(deliver(&runner, &event).await, ids(&event[1..2]));
    assert_eq!(stack.order(stopped).await.status(), Some(OrderStatus::Placed));
    assert_eq!(stack.order(other).await.status(), Some(OrderStatus::Confirmed));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_holds_up_its_group_only() {
    let stack = TestStack::start().await;
    let ((order_id, _), (other, book)) =
        (stack.ordinary_order().await, stack.ordinary_order().await);
    let (behind, good) =
        (stack.messages(&order_stream(order_id)).await, stack.messages(&order_stream(other)).await);
    let event = [
        Message::new(order_stream(order_id).as_str(), "no JSON"),
        behind[0].clone(),
        good[0].clone(),
    ];
    assert_eq!(deliver(&stack.runner(), &event).await, ids(&event[..2]));
    assert_eq!(stack.handled(&order_stream(order_id)).await, None);
    assert_eq!(stack.stock(&book).await.reserved(), 1);
}

#[tokio::test]
async fn a_stream_of_another_app_is_reported() {
    let stack = TestStack::start().await;
    let (foreign, unfollowed) =
        (StreamId::new("order-of-mine").unwrap(), StreamId::new("purse-1").unwrap());
    for stream in [&foreign, &unfollowed] {
        stack.write(stream, commit(vec![raw("OrderConfirmed", 1, "{}")])).await;
    }
    let messages = stack.messages(&foreign).await;
    assert_eq!(deliver(&stack.runner(), &messages).await, ids(&messages));
    assert!(deliver(&stack.runner(), &stack.messages(&unfollowed).await).await.is_empty());
    assert_eq!(stack.handled(&unfollowed).await, None);
}
