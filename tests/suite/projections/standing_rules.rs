//! Rules of operations that a case can check only between two requests.

use super::rebuild::ruled;
use crate::harness::events::{
    Stored, Writer, confirmed, new_order, placed, received, shipped, stock_of, write,
};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::{TestStack, event_key};
use crate::harness::wire::Act;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use bookshop::fulfilment;
use bookshop::{bestsellers, orders, stock};
use eventstore::{Consistency, StreamId};
use handlers::{Names, Operations, ProjectorHandler, ResumedState};
use projections::Projection;
use projections::audit_index::{self, EntryMatch};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// While the stream is parked, a program that cannot apply the event drops its messages.
#[tokio::test]
async fn what_comes_while_a_stream_is_unparked_is_applied() {
    let stack = TestStack::start().await;
    let (of, order) = (&orders(), new_order());
    let mut writer = Writer::new(&stack.store, &order);
    let batches = [
        writer.append(vec![placed("c", [(1, 2)]).stored()]).await,
        writer.append(vec![confirmed().stored()]).await,
    ];
    let older = ProjectorHandler::new(*of, stack.projector().with_fault(of.name, "OrderConfirmed"));
    let messages =
        messages_of(&batches).into_iter().map(|message| Message { receives: 5, ..message });
    assert!(deliver(&older, &messages.collect::<Vec<_>>()).await.is_empty(), "it is parked");
    let (newer, wire) = ruled(&stack);
    let writer = Arc::new(Mutex::new(writer));
    wire.rule(move |seen| {
        let writer = writer.clone();
        async move {
            if seen.operation == "DeleteItem" && seen.nth == 0 {
                writer.lock().await.append(vec![shipped().stored()]).await;
            }
            Act::Pass
        }
    });
    let resumed = newer.resume_stream(of, &order).await.unwrap();
    assert!(matches!(resumed[..], [ref one] if one.still.is_none()), "{resumed:?}");
    let row = stack.projector().row(of, &order, 0).await.unwrap().unwrap();
    assert_eq!(row.version, 3);
}

/// The process gets a notification while the stream is parked, and drops it.
#[tokio::test]
async fn a_resumed_process_is_notified_again_after_it_is_unparked() {
    let stack = Arc::new(TestStack::start().await);
    let order = new_order();
    write(&stack.store, &order, &[&placed("c", [(1, 2)]), &confirmed()]).await;
    let (projector, wire) = ruled(&stack);
    let reason = std::io::Error::other("for this case");
    projector.park(&fulfilment(), 1, &order, Some(2), &reason).await.unwrap();
    let (witness, told) = (stack.clone(), Arc::new(Mutex::new(Vec::new())));
    let before = told.clone();
    wire.rule(move |seen| {
        let (stack, before) = (witness.clone(), before.clone());
        async move {
            if seen.operation == "DeleteItem" {
                before.lock().await.extend(stack.receive_all(fulfilment().name).await);
            }
            Act::Pass
        }
    });
    let operations = Operations::new(
        bookshop::app(),
        stack.store.clone(),
        projector,
        stack.clients().sqs.clone(),
        Names::new("ledgerfold"),
    );
    operations.resume(&fulfilment(), Some(&order), None).await.unwrap();
    let after = stack.receive_all(fulfilment().name).await;
    for told in [&*told.lock().await, &after] {
        assert!(matches!(&told[..], [one] if one.body["last_version"] == 2), "{told:?}");
    }
}

async fn count(stack: &TestStack, url: &str) -> u32 {
    let counted = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let request = stack.clients().sqs.get_queue_attributes().queue_url(url);
    let answer = request.set_attribute_names(Some(counted.to_vec())).send().await.unwrap();
    answer.attributes.unwrap().values().map(|number| number.parse::<u32>().unwrap()).sum()
}

#[tokio::test]
async fn a_redrive_that_dies_anywhere_loses_no_dead_letter() {
    let stack = TestStack::start().await;
    let (consumer, book) = (stock().consumer(), stock_of(1));
    let batches = write(&stack.store, &book, &[&received(5)]).await;
    let queue = stack.route(stock().name).queue_url.clone();
    let dead =
        queue.replace(&stack.names.queue(&consumer), &stack.names.dead_letter_queue(&consumer));
    let sqs = &stack.clients().sqs;
    let mut struck = 0;
    for (sent, fault) in (1..=6)
        .flat_map(|n| [Fault::DiesBefore(n), Fault::DiesAfter(n)])
        .zip(1..)
        .map(|(f, n)| (n, f))
    {
        let letter = Message::of(&batches[0]);
        let request = sqs.send_message().queue_url(&dead).message_group_id(format!("stock-{sent}"));
        let request =
            request.message_deduplication_id(&letter.id).message_body(letter.body.unwrap());
        request.send().await.unwrap();
        let wire = FaultInjector::default();
        let operations = Operations::new(
            bookshop::app(),
            stack.store.clone(),
            stack.projector(),
            wire.sqs(sqs),
            stack.names.clone(),
        );
        wire.arm(Some(fault));
        let _ = operations.redrive(&stock()).await;
        struck += u32::from(!wire.is_armed());
        assert!(
            count(&stack, &dead).await + count(&stack, &queue).await >= sent,
            "lost by {fault:?}"
        );
    }
    assert!(struck >= 8, "only {struck} faults came to pass");
}

/// Makes an item of the event table unreadable.
async fn damage(stack: &TestStack, stream: &StreamId, version: u64) {
    let request = stack.clients().dynamodb.get_item().table_name(stack.names.events());
    let item =
        request.set_key(Some(event_key(stream.as_str(), version))).send().await.unwrap().item;
    let mut item = item.unwrap();
    item.insert("format".to_owned(), AttributeValue::N("99".to_owned()));
    stack.put_raw(item).await;
}

/// The applied version of the stream.
async fn applied(stack: &TestStack, projection: &Projection, stream: &StreamId) -> Option<String> {
    let keys = [
        format!("{}.1/{stream}", projection.name),
        format!("{}.1/fence/{stream}", projection.name),
    ];
    let rows = stack.rows().await;
    let row = rows.iter().find(|item| keys.contains(item["row"].as_s().unwrap()));
    row.map(|row| row["version"].as_n().unwrap().clone())
}

#[tokio::test]
async fn events_before_a_corrupt_item_are_applied_for_any_item_sizes() {
    for (commits, projection) in [1, 2].into_iter().flat_map(|commits| {
        [orders(), bestsellers(), audit_index::PROJECTION].map(|projection| (commits, projection))
    }) {
        let (stack, order) = (TestStack::start().await, new_order());
        let mut writer = Writer::new(&stack.store, &order);
        let (first, second) = (placed("c", [(1, 1)]).stored(), confirmed().stored());
        if commits == 1 {
            writer.append(vec![first, second]).await;
        } else {
            writer.append(vec![first]).await;
            writer.append(vec![second]).await;
        }
        let sound = stack.store.load(&order, Consistency::Strong).await.unwrap().batches;
        let last = writer.append(vec![shipped().stored()]).await;
        damage(&stack, &order, 3).await;
        let message = Message::address_of(&last);
        assert_eq!(deliver(&stack.handler(projection), &[message]).await.len(), 1);
        if projection.name == audit_index::PROJECTION.name {
            let sound = sound
                .into_iter()
                .flat_map(|batch| batch.commits)
                .map(|commit| (order.clone(), commit));
            let index = stack.system().audit_index();
            let entries = index.entered(1, &sound.collect::<Vec<_>>()).await.unwrap();
            assert!(
                entries.iter().all(|entry| *entry == EntryMatch::Same),
                "in {commits} commits: {entries:?}"
            );
        } else {
            let applied = applied(&stack, &projection, &order).await;
            assert_eq!(applied.as_deref(), Some("2"), "{} in {commits} commits", projection.name);
        }
    }
}

/// A resumed stream that is far behind continues by messages after the call has ended.
#[tokio::test]
async fn a_long_stream_is_resumed_by_a_page_and_then_by_messages() {
    let stack = TestStack::start().await;
    let (of, order) = (&orders(), new_order());
    let mut writer = Writer::new(&stack.store, &order);
    let mut batches = vec![writer.append(vec![placed("c", [(1, 2)]).stored()]).await];
    for _ in 0..3 {
        batches.push(writer.append((0..500).map(|_| confirmed().stored()).collect()).await);
    }
    let older = ProjectorHandler::new(*of, stack.projector().with_fault(of.name, "OrderConfirmed"));
    let messages =
        messages_of(&batches).into_iter().map(|message| Message { receives: 5, ..message });
    assert!(deliver(&older, &messages.collect::<Vec<_>>()).await.is_empty(), "it is parked");
    let projector = stack.projector().with_resume_time(Duration::ZERO);
    let sqs = stack.clients().sqs.clone();
    let operations = Operations::new(
        bookshop::app(),
        stack.store.clone(),
        projector.clone(),
        sqs,
        stack.names.clone(),
    );
    let resumed = operations.resume(of, Some(&order), None).await.unwrap();
    assert_eq!(resumed.streams[0].state, ResumedState::Announced, "{resumed:?}");
    assert!(projector.parked(of, 1, 10, None).await.unwrap().streams.is_empty());
    let told = stack.receive_all(of.name).await;
    assert_eq!(told.len(), 2, "before and after it is unparked: {told:?}");
    let message = Message::new(order.as_str(), &told[0].body.to_string());
    assert!(deliver(&stack.handler(*of), &[message]).await.is_empty());
    assert_eq!(applied(&stack, of, &order).await.as_deref(), Some("1501"));
}
