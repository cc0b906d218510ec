//! What a commit costs in the journal, counted at the wire and by the engine.

use super::{append, items, process_over, stream, write};
use crate::harness::faults::FaultInjector;
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use eventstore::{Batch, Item, StreamId};

/// The write units of putting the item as it is.
async fn units(stack: &TestStack, item: &Item) -> f64 {
    let put = stack.clients().dynamodb.put_item().table_name(stack.names.journal());
    let put = put.set_item(Some(item.clone()));
    let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
    put.consumed_capacity.unwrap().capacity_units.unwrap()
}

#[tokio::test]
async fn a_commit_alone_costs_two_write_units() {
    let stack = TestStack::start().await;
    let wire = FaultInjector::default();
    let writer = process_over(&stack, &wire);
    let longest = StreamId::new(format!("{}-{}", "c".repeat(40), "k".repeat(59))).unwrap();
    let all = write(&stack, &longest, 3).await;
    append(&writer, &all[..1]).await;
    assert_eq!(wire.operations(), ["Query", "BatchGetItem", "PutItem", "PutItem"], "a new process");
    append(&writer, &all[1..2]).await;
    assert_eq!(wire.operations(), ["PutItem", "PutItem"]);
    let other = write(&stack, &stream("a"), 1).await;
    append(&writer, &other).await;
    assert_eq!(wire.operations(), ["BatchGetItem", "PutItem", "PutItem"], "a new stream");
    let items = items(&stack).await;
    assert_eq!(items.len(), 5, "three batches and two ends");
    for item in &items {
        assert_eq!(units(&stack, item).await, 1.0, "{item:?}");
    }
}

#[tokio::test]
async fn a_commit_in_a_full_batch_costs_at_most_1_3_write_units() {
    let stack = TestStack::start().await;
    let mut batches: Vec<Batch> = Vec::new();
    for number in 0..100 {
        // As long as the name of an order.
        batches.extend(write(&stack, &stream(&format!("{number:036}")), 1).await);
    }
    let wire = FaultInjector::default();
    let writer = process_over(&stack, &wire);
    append(&writer, &batches).await;
    let puts = wire.operations().into_iter().filter(|operation| operation == "PutItem").count();
    assert_eq!(puts, 101, "one batch and a hundred ends");
    let mut all = 0.0;
    for item in &items(&stack).await {
        all += units(&stack, item).await;
    }
    assert!(all <= 130.0, "{all} units for 100 commits");
    println!("a commit in a batch of 100 streams costs {} write units", all / 100.0);
}

#[tokio::test]
async fn a_reader_at_the_end_costs_half_a_unit() {
    let stack = TestStack::start().await;
    let all = write(&stack, &stream("a"), 250).await;
    append(&stack.projector(), &all).await;
    let wire = FaultInjector::default();
    let journal = stack.system_over(&wire).journal();
    assert!(journal.page(1, 250, 100).await.unwrap().entries.is_empty());
    assert_eq!(wire.operations(), ["Query"]);
    assert_eq!(journal.page(1, 0, 250).await.unwrap().entries.len(), 250);
    assert_eq!(wire.operations().len(), 2, "the end, and three batches at once");
}
