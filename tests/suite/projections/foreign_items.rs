//! Stream records other than new commits: changed and removed items, snapshots, and foreign items.

use super::fan_out::{hand_over, told};
use crate::harness::events::{confirmed, new_order, placed, write};
use crate::harness::log::Log;
use crate::harness::stack::{TestStack, event_key};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::MAX_VERSION;
use serde_json::json;

/// The sort key of a snapshot; no event has it.
const SNAPSHOT: u64 = MAX_VERSION + 1;

async fn touch(stack: &TestStack, stream: &str, version: u64) {
    let request = stack.clients().dynamodb.update_item().table_name(stack.names.events());
    let request =
        request.set_key(Some(event_key(stream, version))).update_expression("SET touched = :yes");
    request.expression_attribute_values(":yes", AttributeValue::Bool(true)).send().await.unwrap();
}

async fn remove(stack: &TestStack, stream: &str, version: u64) {
    let request = stack.clients().dynamodb.delete_item().table_name(stack.names.events());
    request.set_key(Some(event_key(stream, version))).send().await.unwrap();
}

#[tokio::test]
async fn a_changed_or_removed_commit_is_tampering_and_not_forwarded() {
    let stack = TestStack::start().await;
    let order = new_order();
    let batches = write(&stack.store, &order, &[&placed("c", [(1, 1)]), &confirmed()]).await;
    touch(&stack, order.as_str(), 1).await;
    remove(&stack, order.as_str(), 2).await;
    let records = stack.records(4).await;
    assert_eq!(
        records.iter().map(|record| record.event_name.as_str()).collect::<Vec<_>>(),
        ["INSERT", "INSERT", "MODIFY", "REMOVE"]
    );
    let (log, guard) = Log::catch();
    assert_eq!(hand_over(&stack, &records).await, None, "nothing is left to send");
    drop(guard);
    let errors = log.errors();
    assert_eq!(errors.len(), 2, "{errors:?}");
    for (error, (change, version)) in errors.iter().zip([("MODIFY", 1), ("REMOVE", 2)]) {
        assert!(error.contains("tampering") && error.contains(change), "{error}");
        assert!(
            error.contains(order.as_str()) && error.contains(&format!("N(\"{version}\")")),
            "{error}"
        );
    }
    assert_eq!(stack.receive_all("orders").await, batches.iter().map(told).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_snapshot_may_come_change_and_go_without_a_word() {
    let stack = TestStack::start().await;
    let order = new_order();
    stack.put_raw(event_key(order.as_str(), SNAPSHOT)).await;
    touch(&stack, order.as_str(), SNAPSHOT).await;
    remove(&stack, order.as_str(), SNAPSHOT).await;
    let (log, guard) = Log::catch();
    assert_eq!(hand_over(&stack, &stack.records(3).await).await, None);
    drop(guard);
    assert_eq!(log.errors(), [""; 0]);
    assert_eq!(stack.receive_all("orders").await, []);
}

#[tokio::test]
async fn an_unreadable_item_with_a_sound_key_is_notified_by_version() {
    let stack = TestStack::start().await;
    let order = new_order();
    let mut foreign = event_key(order.as_str(), MAX_VERSION);
    foreign.insert("format".to_owned(), AttributeValue::N("9".to_owned()));
    stack.put_raw(foreign).await;
    for (stream, version) in [("No Stream", 1), ("order-", 1), (order.as_str(), 0)] {
        stack.put_raw(event_key(stream, version)).await;
    }
    let sound = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)])]).await;
    let records = stack.records(5).await;
    let (log, guard) = Log::catch();
    assert_eq!(hand_over(&stack, &records).await, None);
    drop(guard);
    let errors = log.errors();
    assert!(
        errors.len() == 4 && errors.iter().all(|error| error.contains("foreign item")),
        "{errors:?}"
    );
    let received = stack.receive_all("orders").await;
    let addresses: Vec<_> =
        received.iter().filter(|message| message.group == order.as_str()).collect();
    assert_eq!(addresses.len(), 1, "{received:?}");
    let address = json!({"stream": order, "version": MAX_VERSION, "last_version": MAX_VERSION});
    assert_eq!(addresses[0].body, address);
    assert_eq!(received.len(), 2);
    assert!(received.contains(&told(&sound[0])));
}
