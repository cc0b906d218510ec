//! Programs with different shapes run at once: each writes only generations of its shape.

use super::rebuild::jobs::{self, Calls, NO_END, finish, projector, rebuild, reconcile, work};
use crate::harness::events::{Stored, Writer, confirmed, new_order, placed, shipped, write};
use crate::harness::messages::{Message, deliver, ids, messages_of};
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::AttributeValue;
use bookshop::orders;
use eventstore::{Item, StreamId};
use projections::rebuild::RebuildError;
use projections::{FoldError, Kind, Projection, RecordedEvent, RowData};
use serde_json::{Value, json};

/// The fold of a newer program: one more field.
fn newer_fold(row: Option<&Value>, fact: &RecordedEvent<'_>) -> Result<RowData, FoldError> {
    let Kind::SingleStream { fold } = orders().kind else { panic!("it is one") };
    let seen = row.and_then(|row| row["events"].as_u64()).unwrap_or(0);
    let mut data = fold(row, fact)?;
    data.data["events"] = json!(seen + 1);
    Ok(data)
}

fn newer_orders() -> Projection {
    Projection { shape: "orders/2", kind: Kind::SingleStream { fold: &newer_fold }, ..orders() }
}

/// The version of the order in a generation, and its row's count of events, if it has one.
async fn row(stack: &TestStack, generation: u32, order: &StreamId) -> Option<(String, Value)> {
    let rows = jobs::rows(stack, &orders(), generation).await;
    let row = rows.iter().find(|item| jobs::key(item).ends_with(&format!("/{order}")))?;
    let data: Value = serde_json::from_str(row["data"].as_s().unwrap()).unwrap();
    Some((row["version"].as_n().unwrap().clone(), data["events"].clone()))
}

fn at(version: u64, events: &Value) -> Option<(String, Value)> {
    Some((version.to_string(), events.clone()))
}

#[tokio::test]
async fn an_older_program_writes_nothing_of_a_newer_shape() {
    let stack = TestStack::start().await;
    let order = new_order();
    let mut writer = Writer::new(&stack.store, &order);
    let first = writer.append(vec![placed("c", [(1, 1)]).stored()]).await;
    let older = stack.handler(orders());
    assert!(deliver(&older, &messages_of([&first])).await.is_empty());
    let operator = projector(&stack);
    let calls = operator.rebuild(&newer_orders(), 1).await.unwrap();
    let second = writer.append(vec![confirmed().stored()]).await;
    assert!(deliver(&older, &messages_of([&second])).await.is_empty(), "what is read is its own");
    assert_eq!(row(&stack, 2, &order).await, None);
    let report = finish(&operator, &newer_orders(), calls).await;
    assert!(report.complete, "{report:?}");
    assert!(
        deliver(&stack.handler(newer_orders()), &messages_of([&first, &second])).await.is_empty()
    );
    assert_eq!(row(&stack, 2, &order).await, at(2, &json!(2)));
    assert_eq!(row(&stack, 1, &order).await, at(2, &Value::Null));

    let behind = operator.switch(&newer_orders(), false).await.unwrap();
    assert!(finish(&operator, &newer_orders(), behind).await.complete);
    let third = Message::of(&writer.append(vec![shipped().stored()]).await);
    let late = stack.handler(orders());
    assert_eq!(
        deliver(&late, std::slice::from_ref(&third)).await,
        ids([&third]),
        "it is left to a newer program"
    );
    assert_eq!(row(&stack, 2, &order).await, at(2, &json!(2)));
    assert!(deliver(&stack.handler(newer_orders()), &[third]).await.is_empty());
    assert_eq!(row(&stack, 2, &order).await, at(3, &json!(3)));
}

#[tokio::test]
async fn a_newer_program_writes_nothing_of_an_older_shape() {
    let stack = TestStack::start().await;
    let order = new_order();
    let mut writer = Writer::new(&stack.store, &order);
    let first = writer.append(vec![placed("c", [(1, 1)]).stored()]).await;
    assert!(deliver(&stack.handler(orders()), &messages_of([&first])).await.is_empty());
    let second = writer.append(vec![confirmed().stored()]).await;
    let (newer, operator) = (stack.handler(newer_orders()), projector(&stack));
    let mut message = Message::of(&second);
    assert_eq!(
        deliver(&newer, std::slice::from_ref(&message)).await,
        ids([&message]),
        "it is not applied"
    );
    message.receives = 5;
    assert!(deliver(&newer, &[message]).await.is_empty(), "it is parked");
    let status = operator.status(&newer_orders()).await.unwrap();
    assert_eq!(
        (status.foreign_shape(), status.shape, status.parked),
        (Some("orders/1"), "orders/2", 1)
    );
    let reason = "generation 1 has shape orders/1, this program has orders/2: rebuild with the newer program";
    assert_eq!(jobs::parked(&operator, &newer_orders(), 1).await[0].error, reason);
    let refused = operator.reconcile(&newer_orders(), 1).await.unwrap_err();
    assert!(matches!(refused, RebuildError::OtherShape(_)), "{refused}");
    assert_eq!(row(&stack, 1, &order).await, at(1, &Value::Null));
    let read = operator.row(&newer_orders(), &order, 0).await.unwrap().unwrap();
    assert_eq!(
        (read.version, &read.read::<Value>().unwrap()["events"]),
        (2, &json!(2)),
        "what it reads is its own"
    );

    assert!(
        rebuild(&operator, &newer_orders(), 2).await.complete,
        "the parked event is in the store"
    );
    assert_eq!(row(&stack, 2, &order).await, at(2, &json!(2)));
    let third = writer.append(vec![shipped().stored()]).await;
    assert!(
        deliver(&stack.handler(newer_orders()), &messages_of([&third])).await.is_empty(),
        "what will be read has it"
    );
    assert_eq!(row(&stack, 2, &order).await, at(3, &json!(3)));
    assert_eq!(row(&stack, 1, &order).await, at(1, &Value::Null), "an older program's");
    let older = reconcile(&operator, &orders()).await;
    assert!(
        older.first_pass.behind > 0 && row(&stack, 1, &order).await == at(3, &Value::Null),
        "{older:?}"
    );
}

#[tokio::test]
async fn a_job_is_left_to_workers_of_its_shape() {
    let stack = TestStack::start().await;
    let batches = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed()]).await;
    assert!(deliver(&stack.handler(orders()), &messages_of(&batches)).await.is_empty());
    let operator = projector(&stack);
    let mut calls = Calls::of(operator.rebuild(&newer_orders(), 1).await.unwrap());
    while let Some(wake) = calls.next() {
        let refused = work(&operator, &orders(), &wake, NO_END).await.unwrap_err();
        assert!(matches!(refused, RebuildError::OtherShape(_)), "{refused}");
        calls.send(work(&operator, &newer_orders(), &wake, NO_END).await.unwrap());
    }
    let status = operator.status(&newer_orders()).await.unwrap();
    assert!(status.report.unwrap().complete);
    assert_eq!(status.other_shape.as_deref(), Some("orders/2"));
}

/// The stored generations.
async fn generations(stack: &TestStack) -> (Item, Value) {
    let item = jobs::items(stack, "orders/generations").await.pop().unwrap();
    let data = serde_json::from_str(item["data"].as_s().unwrap()).unwrap();
    (item, data)
}

#[tokio::test]
async fn generations_without_a_shape_are_of_the_first_one() {
    let stack = TestStack::start().await;
    let batches = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)]), &confirmed()]).await;
    assert!(deliver(&stack.handler(newer_orders()), &messages_of(&batches[..1])).await.is_empty());
    let (mut item, mut data) = generations(&stack).await;
    assert_eq!(data["shapes"], json!({"1": "orders/2"}), "who writes first says what it is");
    data.as_object_mut().unwrap().remove("shapes");
    item.insert("data".to_owned(), AttributeValue::S(data.to_string()));
    let request = stack.clients().dynamodb.put_item().table_name(stack.names.read_models());
    request.set_item(Some(item)).send().await.unwrap();
    let message = Message::of(&batches[1]);
    assert_eq!(
        deliver(&stack.handler(newer_orders()), std::slice::from_ref(&message)).await,
        ids([&message])
    );
    assert!(deliver(&stack.handler(orders()), &[message]).await.is_empty());
}
