//! The cost of a delivery, counted at the wire, and conflicts of two projectors.

use crate::harness::events::{
    Stored, Writer, cancelled, confirmed, new_order, placed, received, reserved, shipped, stock_of,
    write,
};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::{TestStack, fresh};
use bookshop::{bestsellers, orders, stock};
use eventstore::{Batch, StreamId};
use futures::future::join_all;

/// Events of a long gap, in commits of 500: more rounds than conflicts are allowed.
const LONG_GAP_COMMITS: u128 = 12;

#[tokio::test]
async fn a_first_event_costs_a_write_and_a_later_one_a_read_more() {
    let stack = TestStack::start().await;
    let wire = FaultInjector::default();
    let (order, book) = (new_order(), stock_of(1));
    let batches =
        write(&stack.store, &order, &[&placed("c", [(1, 2)]), &confirmed(), &shipped()]).await;
    let handler = stack.handler_over(orders(), &wire);
    for (message, operations) in messages_of(&batches).iter().zip([
        &["PutItem"][..],
        &["GetItem", "PutItem"],
        &["GetItem", "PutItem"],
    ]) {
        assert!(deliver(&handler, std::slice::from_ref(message)).await.is_empty());
        assert_eq!(wire.operations(), operations);
    }
    let batches = write(&stack.store, &book, &[&received(5), &reserved(1, 2)]).await;
    let handler = stack.handler_over(stock(), &wire);
    assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
    assert_eq!(wire.operations(), ["PutItem"], "two events that come together are one write");
}

#[tokio::test]
async fn ten_new_orders_cost_bestsellers_one_transaction() {
    let stack = TestStack::start().await;
    let wire = FaultInjector::default();
    let streams: Vec<StreamId> = (0..10).map(|_| new_order()).collect();
    let mut messages = Vec::new();
    for stream in &streams {
        messages.extend(messages_of(
            &write(&stack.store, stream, &[&placed("c", [(1, 2), (2, 1)])]).await,
        ));
    }
    let handler = stack.handler_over(bestsellers(), &wire);
    assert!(deliver(&handler, &messages).await.is_empty());
    assert_eq!(wire.operations(), ["BatchGetItem", "TransactWriteItems"]);
    let expected = ReadModel::of_streams(&stack.store, &streams).await.only("bestsellers");
    assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected);
}

/// The writes that DynamoDB accepted.
fn writes_taken(wire: &FaultInjector) -> usize {
    let writes = wire.take().into_iter().filter(|answered| !answered.operation.contains("Get"));
    writes.filter(|answered| answered.operation != "Query" && answered.status == 200).count()
}

#[tokio::test]
async fn a_delivery_at_or_below_the_fence_writes_nothing() {
    let stack = TestStack::start().await;
    let wire = FaultInjector::default();
    let order = new_order();
    let batches =
        write(&stack.store, &order, &[&placed("c", [(1, 2)]), &confirmed(), &shipped()]).await;
    let messages = messages_of(&batches);
    for projection in [orders(), bestsellers()] {
        let handler = stack.handler_over(projection, &wire);
        assert!(deliver(&handler, &messages).await.is_empty());
        assert_eq!(writes_taken(&wire), 1);
        let before = sorted(&stack).await;
        for again in
            [&messages[..], &messages[..1], &messages[1..2], &messages[2..], &messages[1..]]
        {
            assert!(deliver(&handler, again).await.is_empty());
            assert_eq!(writes_taken(&wire), 0, "{} wrote for {again:?}", projection.name);
        }
        let address = Message::address_of(&batches[2]);
        assert!(deliver(&handler, &[address]).await.is_empty());
        assert_eq!(wire.operations().len(), 1, "one look at the fence is enough");
        assert_eq!(sorted(&stack).await, before);
    }
    stack.assert_exact([&order]).await;
}

async fn sorted(stack: &TestStack) -> Vec<String> {
    let mut rows: Vec<String> =
        stack.rows().await.iter().map(|item| format!("{:?}", item.get("data"))).collect();
    rows.sort();
    rows
}

/// A cancelled order, written as three commits.
async fn cancelled_order(stack: &TestStack) -> (StreamId, Vec<Batch>) {
    let order = new_order();
    let events: [&dyn Stored; 3] =
        [&placed("c", [(1, 2), (2, 7)]), &confirmed(), &cancelled("late")];
    let batches = write(&stack.store, &order, &events).await;
    (order, batches)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn projectors_that_race_on_one_stream_end_exact() {
    let stack = TestStack::start().await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let (order, batches) = cancelled_order(&stack).await;
        let messages = messages_of(&batches);
        let racers = [orders(), bestsellers()].into_iter().flat_map(|projection| {
            let parts = [
                messages.clone(),
                messages[..1].to_vec(),
                messages[1..].to_vec(),
                messages.clone(),
            ];
            let handler = stack.handler(projection);
            parts.map(|part| {
                let handler = handler.clone();
                tokio::spawn(async move { assert!(deliver(&handler, &part).await.is_empty()) })
            })
        });
        join_all(racers).await.into_iter().for_each(|raced| raced.unwrap());
        streams.push(order);
    }
    stack.assert_exact(&streams).await;
}

/// Another projector writes between any two of the first requests.
fn faults() -> impl Iterator<Item = Fault> {
    (1..=6).flat_map(|n| [Fault::DiesBefore(n), Fault::DiesAfter(n), Fault::LosesAnswer(n)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_projector_that_dies_at_any_request_did_all_or_nothing() {
    let stack = TestStack::start().await;
    let (order, batches) = cancelled_order(&stack).await;
    let messages = messages_of(&batches);
    let expected = ReadModel::of_streams(&stack.store, [&order]).await;
    let mut struck = 0;
    for (number, fault) in faults().enumerate() {
        let suffix = format!("-{number}");
        for projection in
            fresh(&suffix).into_iter().filter(|projection| projection.follows.includes(&order))
        {
            let wire = FaultInjector::default();
            let handler = stack.handler_over(projection, &wire);
            wire.arm(Some(fault));
            // One by one, so that there are gaps; and each again, as after a missing
            // acknowledgement.
            for message in [&messages[1], &messages[0], &messages[2]] {
                let failed = deliver(&handler, std::slice::from_ref(message)).await;
                if !failed.is_empty() {
                    wire.arm(None);
                    assert!(deliver(&handler, std::slice::from_ref(message)).await.is_empty());
                }
            }
            struck += usize::from(!wire.is_armed());
        }
        assert_eq!(ReadModel::of_rows(&stack.rows().await, &suffix), expected, "after {fault:?}");
    }
    assert!(struck > 20, "only {struck} faults came to pass");
}

#[tokio::test]
async fn a_gap_of_any_length_is_mended_by_one_message() {
    let stack = TestStack::start().await;
    let (book, order) = (stock_of(1), new_order());
    let mut last = Vec::new();
    let mut writer = Writer::new(&stack.store, &book);
    for number in 0..LONG_GAP_COMMITS {
        let events =
            (0..500).map(|n| if n == 0 { received(500) } else { reserved(number * 500 + n, 1) });
        last = vec![writer.append(events.map(|event| event.stored()).collect()).await];
    }
    let mut writer = Writer::new(&stack.store, &order);
    writer.append(vec![placed("c", [(1, 2)]).stored()]).await;
    for _ in 0..LONG_GAP_COMMITS {
        last.truncate(1);
        last.push(writer.append((0..500).map(|_| confirmed().stored()).collect()).await);
    }
    assert!(deliver(&stack.handler(stock()), &[Message::address_of(&last[0])]).await.is_empty());
    for projection in [orders(), bestsellers()] {
        assert!(
            deliver(&stack.handler(projection), &[Message::address_of(&last[1])]).await.is_empty()
        );
    }
    stack.assert_exact([&book, &order]).await;
}
