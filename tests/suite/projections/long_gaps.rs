//! Gaps that take longer than one call. Several calls fill them, count no receive, and delay no
//! other stream.

use crate::harness::depth::full_or;
use crate::harness::events::{
    Stored, Writer, commit, confirmed, new_order, placed, received, stock_of, write,
};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, event_of, told_again};
use crate::harness::stack::TestStack;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_sdk_sqs::types::MessageSystemAttributeName;
use bookshop::fulfilment;
use bookshop::{bestsellers, orders};
use eventstore::{Batch, NewEvent, StreamId};
use handlers::{Continuations, ProjectorHandler};
use projections::audit_index::{EntryMatch, PROJECTION as AUDIT};
use projections::{Consumer, Projection};
use std::time::Duration;

/// Commits in an item.
const TOGETHER: usize = 100;

/// Appends that many commits to a stream of one. Returns the last batch.
async fn long_stream(
    stack: &TestStack,
    stream: &StreamId,
    first: NewEvent,
    then: &NewEvent,
    commits: usize,
) -> Batch {
    let mut writer = Writer::new(&stack.store, stream);
    let mut last = writer.append(vec![first]).await;
    for _ in 0..commits / TOGETHER {
        last = writer.batch((0..TOGETHER).map(|_| commit(vec![then.clone()])).collect()).await;
    }
    last
}

/// How the messages of a queue were handled.
#[derive(Debug, Default)]
struct Ended {
    calls: usize,
    /// The highest receive count.
    receives: u32,
    /// The groups that the first call finished.
    done_first: Vec<String>,
}

async fn send(stack: &TestStack, consumer: Consumer, message: &Message) {
    let request =
        stack.clients().sqs.send_message().queue_url(&stack.route(consumer.name).queue_url);
    let request = request.message_group_id(&message.group).message_deduplication_id(&message.id);
    request.message_body(message.body.clone().unwrap()).send().await.unwrap();
}

/// Gives the messages of the queue to a handler, until there are none.
async fn drain(
    stack: &TestStack,
    consumer: Consumer,
    handle: impl AsyncFn(SqsEvent) -> SqsBatchResponse,
) -> Ended {
    let (sqs, url) = (&stack.clients().sqs, &stack.route(consumer.name).queue_url);
    let mut ended = Ended::default();
    loop {
        let request = sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let answer = request
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await
            .unwrap();
        let (mut messages, mut handles) = (Vec::new(), Vec::new());
        for taken in answer.messages.unwrap_or_default() {
            let attributes = taken.attributes.unwrap();
            let group = &attributes[&MessageSystemAttributeName::MessageGroupId];
            let receives =
                attributes[&MessageSystemAttributeName::ApproximateReceiveCount].parse().unwrap();
            let message = Message::new(group, &taken.body.unwrap());
            messages.push(Message { id: taken.message_id.unwrap(), receives, ..message });
            handles.push(taken.receipt_handle.unwrap());
            ended.receives = ended.receives.max(receives);
        }
        if messages.is_empty() {
            return ended;
        }
        let again = told_again(&messages, handle(event_of(&messages)).await);
        assert!(again.is_empty(), "a receive is counted for {again:?}");
        if ended.calls == 0 {
            ended.done_first = messages.iter().map(|message| message.group.clone()).collect();
        }
        ended.calls += 1;
        for handle in handles {
            sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.unwrap();
        }
    }
}

fn continuations(stack: &TestStack, consumer: Consumer) -> Continuations {
    Continuations::new(stack.clients().sqs.clone(), &stack.route(consumer.name).queue_url)
}

/// A new projector for each call, with that much time.
async fn project(stack: &TestStack, projection: Projection, left: Duration) -> Ended {
    let consumer = projection.consumer();
    drain(stack, consumer, async |event| {
        let handler = stack.handler(projection).with_continuations(continuations(stack, consumer));
        handler.handle_within(event, left).await
    })
    .await
}

fn assert_in_steps(ended: &Ended, name: &str) {
    assert!(ended.calls > 2 && ended.receives == 1, "{name}: {ended:?}");
    assert_eq!(ended.done_first.len(), 2, "{name}: {ended:?}");
}

#[tokio::test]
async fn a_gap_of_twenty_thousand_commits_ends_over_several_calls() {
    let commits = full_or(20_000, 3_000);
    let stack = TestStack::start().await;
    let (long, neighbour) = (new_order(), new_order());
    let first = placed("c", [(1, 2)]).stored();
    let last = long_stream(&stack, &long, first, &confirmed().stored(), commits).await;
    let other = write(&stack.store, &neighbour, &[&placed("d", [(2, 1)])]).await;
    for projection in [orders(), bestsellers()] {
        for message in [Message::address_of(&last), Message::of(&other[0])] {
            send(&stack, projection.consumer(), &message).await;
        }
        // The first call finishes the other stream, and applies a page of the long one.
        let handler = stack.handler(projection);
        let both = [Message::address_of(&last), Message::of(&other[0])];
        let again = told_again(&both, handler.handle_within(event_of(&both), Duration::ZERO).await);
        assert_eq!(again, [both[0].id.clone()], "without a queue to go on by, it comes again");
        let ended = project(&stack, projection, Duration::ZERO).await;
        assert_in_steps(&ended, projection.name);
    }
    let model = ReadModel::of_rows(&stack.rows().await, "");
    assert_eq!(model.applied(orders().name, &long), Some(1 + u64::try_from(commits).unwrap()));
    stack.assert_exact([&long, &neighbour]).await;
}

#[tokio::test]
async fn a_long_gap_of_fulfilment_and_the_audit_index_ends_in_steps() {
    let stack = TestStack::start().await;
    let (long, neighbour) = (stock_of(1), stock_of(2));
    let commits = full_or(2_000, 1_200);
    let last =
        long_stream(&stack, &long, received(1).stored(), &received(1).stored(), commits).await;
    let other = write(&stack.store, &neighbour, &[&received(5)]).await;
    for projection in [fulfilment(), AUDIT] {
        let consumer = projection.consumer();
        for message in [Message::address_of(&last), Message::of(&other[0])] {
            send(&stack, consumer, &message).await;
        }
        let ended = if projection.is_read_model() {
            project(&stack, projection, Duration::ZERO).await
        } else {
            let system = stack.system();
            drain(&stack, consumer, async |event| {
                let handler = system.process("fulfilment", stack.projector()).unwrap();
                handler
                    .with_continuations(continuations(&stack, consumer))
                    .handle_within(event, Duration::ZERO)
                    .await
            })
            .await
        };
        assert_in_steps(&ended, projection.name);
    }
    let audit_index = stack.system().audit_index();
    let commits = stack.store.load(&long, eventstore::Consistency::Strong).await.unwrap().batches;
    let commits = commits
        .into_iter()
        .flat_map(|batch| batch.commits)
        .map(|commit| (long.clone(), commit))
        .collect::<Vec<_>>();
    assert!(
        audit_index
            .entered(1, &commits)
            .await
            .unwrap()
            .into_iter()
            .all(|entry| entry == EntryMatch::Same)
    );
}

/// The batch is handled twice, as after a crash before the acknowledgement.
#[tokio::test]
async fn a_crash_after_a_continuation_loses_no_stream() {
    let stack = TestStack::start().await;
    let long = stock_of(1);
    let last = long_stream(&stack, &long, received(1).stored(), &received(1).stored(), 2_000).await;
    let consumer = bookshop::stock().consumer();
    let handler = || -> ProjectorHandler {
        stack.handler(bookshop::stock()).with_continuations(continuations(&stack, consumer))
    };
    let message = Message::address_of(&last);
    for _ in 0..2 {
        let response =
            handler().handle_within(event_of(std::slice::from_ref(&message)), Duration::ZERO).await;
        assert!(response.batch_item_failures.is_empty());
    }
    let ended =
        drain(&stack, consumer, async |event| handler().handle_within(event, Duration::ZERO).await)
            .await;
    assert_eq!(ended.calls, 3, "five pages of 500, and no message twice: {ended:?}");
    stack.assert_exact([&long]).await;
}
