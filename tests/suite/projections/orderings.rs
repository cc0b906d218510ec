//! Every order of delivery, with repetitions and losses, of the six messages of two streams.

use crate::harness::depth::all_or;
use crate::harness::events::{
    Stored, Writer, cancelled, committed, confirmed, new_order, placed, received, rejected,
    reserved, shipped, stock_of, write,
};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::{TestStack, fresh};
use eventstore::{EventStore, Item, StreamId};
use fastrand::Rng;
use futures::StreamExt;
use projections::Projection;
use std::collections::HashMap;
use std::sync::Arc;

/// How many orderings run at once.
const CONCURRENT: usize = 8;

/// Two streams of a category and the six messages of their six commits, in the order of writing.
struct History {
    streams: Vec<StreamId>,
    messages: Vec<Message>,
}

/// Two orders that share a book: one is cancelled, one is shipped.
async fn orders(store: &EventStore) -> History {
    let streams = vec![new_order(), new_order()];
    let first = write(
        store,
        &streams[0],
        &[&placed("a", [(1, 2), (2, 1)]), &confirmed(), &cancelled("late")],
    )
    .await;
    let second =
        write(store, &streams[1], &[&placed("b-usd", [(1, 3), (3, 4)]), &confirmed(), &shipped()])
            .await;
    History { streams, messages: messages_of(first.iter().chain(&second)) }
}

/// The stock of two books; commits of one event and of two.
async fn stock(store: &EventStore) -> History {
    let streams = vec![stock_of(1), stock_of(2)];
    let first =
        write(store, &streams[0], &[&received(50), &reserved(1, 20), &committed(1, 20)]).await;
    let mut second = Writer::new(store, &streams[1]);
    let mut batches = first;
    batches.push(second.append(vec![received(7).stored(), reserved(2, 3).stored()]).await);
    batches.push(second.append(vec![received(1).stored()]).await);
    batches.push(second.append(vec![committed(2, 3).stored(), received(90).stored()]).await);
    History { streams, messages: messages_of(&batches) }
}

/// All permutations of that many things.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for next in 0..count {
        let longer = all.iter().flat_map(|order: &Vec<usize>| {
            (0..=order.len()).map(move |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            })
        });
        all = longer.collect();
    }
    all
}

/// The messages in that order, some of them twice, cut into events of Lambda: alone in every eighth
/// ordering.
fn deliveries(messages: &[Message], order: &[usize], number: usize) -> Vec<Vec<Message>> {
    let mut rng = Rng::with_seed(u64::try_from(number).unwrap());
    let mut line: Vec<Message> = order.iter().map(|index| messages[*index].clone()).collect();
    for _ in 0..rng.usize(0..3) {
        let again = line[rng.usize(..line.len())].clone();
        line.insert(rng.usize(..=line.len()), again);
    }
    let mut events: Vec<Vec<Message>> = Vec::new();
    for message in line {
        match events.last_mut().filter(|_| !number.is_multiple_of(8) && rng.u32(..4) != 0) {
            Some(event) => event.push(message),
            None => events.push(vec![message]),
        }
    }
    events
}

async fn deliver_all(stack: &TestStack, projection: Projection, deliveries: Vec<Vec<Message>>) {
    let handler = stack.handler(projection);
    for event in deliveries {
        assert!(deliver(&handler, &event).await.is_empty(), "{event:?} came back");
    }
}

/// Delivers each sequence of events to a new projection, and compares it with the fold.
async fn all_equal_the_fold(
    stack: TestStack,
    history: History,
    followers: &[&str],
    lines: Vec<Vec<Vec<Message>>>,
) {
    let stack = Arc::new(stack);
    let expected = ReadModel::of_streams(&stack.store, &history.streams).await;
    let follow =
        |projection: &Projection| followers.iter().any(|name| projection.name.starts_with(name));
    let work = lines.iter().cloned().enumerate().flat_map(|(number, line)| {
        let projections = fresh(&format!("-{number}")).into_iter().filter(follow);
        let stack = &stack;
        projections.map(move |projection| {
            let (stack, line) = (stack.clone(), line.clone());
            tokio::spawn(async move { deliver_all(&stack, projection, line).await })
        })
    });
    let done: Vec<_> = futures::stream::iter(work).buffer_unordered(CONCURRENT).collect().await;
    assert_eq!(done.len(), lines.len() * followers.len());
    done.into_iter().for_each(|done| done.unwrap());
    let rows = by_projection(stack.rows().await);
    for (number, line) in lines.iter().enumerate() {
        for follower in followers {
            let suffix = format!("-{number}");
            let found = ReadModel::of_rows(&rows[&format!("{follower}{suffix}")], &suffix);
            assert!(found.len() > 0);
            assert_eq!(found, expected.clone().only(follower), "{follower} after {line:?}");
        }
    }
}

/// The rows of each projection, by its name.
fn by_projection(rows: Vec<Item>) -> HashMap<String, Vec<Item>> {
    let mut sorted: HashMap<String, Vec<Item>> = HashMap::new();
    for item in rows {
        let (name, _generation_and_row) = item["row"].as_s().unwrap().split_once('.').unwrap();
        sorted.entry(name.to_owned()).or_default().push(item);
    }
    sorted
}

fn every_ordering(history: &History) -> Vec<Vec<Vec<Message>>> {
    let orders = permutations(history.messages.len());
    assert_eq!(orders.len(), 720);
    let lines = orders
        .iter()
        .enumerate()
        .map(|(number, order)| deliveries(&history.messages, order, number));
    all_or(lines.collect(), 24)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_of_delivery_gives_the_same_read_models() {
    let stack = TestStack::start().await;
    let history = orders(&stack.store).await;
    let lines = every_ordering(&history);
    all_equal_the_fold(stack, history, &["orders", "bestsellers"], lines).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_order_of_delivery_makes_the_same_stock() {
    let stack = TestStack::start().await;
    let history = stock(&stack.store).await;
    let lines = every_ordering(&history);
    all_equal_the_fold(stack, history, &["stock"], lines).await;
}

/// Only the last message of each stream always arrives. These are all choices of the others, in
/// both orders of the streams.
fn every_loss(history: &History) -> Vec<Vec<Vec<Message>>> {
    let (early, last) = ([0, 1, 3, 4], [2, 5]);
    let mut lines = Vec::new();
    for choice in 0..16_u32 {
        let arrived = early
            .iter()
            .enumerate()
            .filter(|(bit, _)| choice & (1 << bit) != 0)
            .map(|(_, index)| *index);
        let arrived: Vec<usize> = arrived.collect();
        let forwards: Vec<usize> = arrived.iter().chain(&last).copied().collect();
        let backwards: Vec<usize> = arrived.iter().rev().chain(&last).copied().collect();
        for order in [forwards, backwards] {
            lines.push(order.iter().map(|index| vec![history.messages[*index].clone()]).collect());
            lines.push(vec![order.iter().map(|index| history.messages[*index].clone()).collect()]);
        }
    }
    all_or(lines, 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_message_of_the_stream_fills_a_lost_one() {
    let stack = TestStack::start().await;
    let history = orders(&stack.store).await;
    let lines = every_loss(&history);
    all_equal_the_fold(stack, history, &["orders", "bestsellers"], lines).await;
    let stack = TestStack::start().await;
    let history = stock(&stack.store).await;
    let lines = every_loss(&history);
    all_equal_the_fold(stack, history, &["stock"], lines).await;
}

#[tokio::test]
async fn a_lost_last_message_is_made_good_by_the_next_one() {
    let stack = TestStack::start().await;
    let order = new_order();
    let mut writer = Writer::new(&stack.store, &order);
    let first = writer.append(vec![placed("c", [(1, 1)]).stored()]).await;
    let rejection = writer.append(vec![rejected("sold out").stored()]).await;
    for name in ["orders", "bestsellers"] {
        let handler = stack.handler(stack.projection(name));
        assert!(deliver(&handler, &messages_of([&first])).await.is_empty());
        let before = ReadModel::of_rows(&stack.rows().await, "");
        assert_eq!(
            before.applied(name, &order),
            Some(1),
            "the message about the rejection is lost"
        );
        assert!(deliver(&handler, &[Message::address_of(&rejection)]).await.is_empty());
    }
    stack.assert_exact([&order]).await;
}
