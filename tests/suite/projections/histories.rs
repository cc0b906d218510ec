//! Long random histories with every fault of queues and processes, drawn by a seed.
//!
//! `LEDGERFOLD_TEST_SEED=<number>` repeats a run; a failed one prints its number.

use super::random_history::write_history;
use super::read_models;
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver};
use crate::harness::stack::TestStack;
use eventstore::Batch;
use fastrand::Rng;
use futures::future::join_all;
use projections::Projection;

/// How often the queue redelivers a failed message.
const MAX_RECEIVES: usize = 50;

pub(crate) fn seed() -> u64 {
    let given = std::env::var("LEDGERFOLD_TEST_SEED").ok();
    given.map_or_else(
        || fastrand::u64(..),
        |text| text.parse().expect("LEDGERFOLD_TEST_SEED is a number"),
    )
}

/// The batches as messages: delayed, repeated, lost; some without their commits.
fn queue(batches: &[&Batch], rng: &mut Rng) -> Vec<Message> {
    let mut places: Vec<(usize, Message)> = Vec::new();
    for (index, batch) in batches.iter().enumerate() {
        let message =
            if rng.u32(..10) == 0 { Message::address_of(batch) } else { Message::of(batch) };
        let copies = [0, 1, 1, 1, 1, 2][rng.usize(..6)];
        for _ in 0..copies {
            let delay = if rng.u32(..5) == 0 { rng.usize(..200) } else { rng.usize(..3) };
            places.push((index + delay, message.clone()));
        }
    }
    places.sort_by_key(|(place, _)| *place);
    places.into_iter().map(|(_, message)| message).collect()
}

fn fault(rng: &mut Rng) -> Option<Fault> {
    let request = rng.usize(1..=4);
    [
        None,
        None,
        Some(Fault::DiesBefore(request)),
        Some(Fault::DiesAfter(request)),
        Some(Fault::LosesAnswer(request)),
    ][rng.usize(..5)]
}

/// One projector: handles its share of the queue in events of Lambda, dies repeatedly, and returns
/// the failed messages.
async fn project(
    stack: &TestStack,
    projection: Projection,
    share: Vec<Message>,
    mut rng: Rng,
) -> Vec<Message> {
    let wire = FaultInjector::default();
    let handler = stack.handler_over(projection, &wire);
    let (mut rest, mut left) = (share.as_slice(), Vec::new());
    while !rest.is_empty() {
        let (event, behind) = rest.split_at(rng.usize(1..=10).min(rest.len()));
        wire.arm(fault(&mut rng));
        let failed = deliver(&handler, event).await;
        // Half of the failed messages are lost.
        let again = event.iter().filter(|message| failed.contains(&message.id) && rng.bool());
        left.extend(again.cloned());
        rest = behind;
    }
    left
}

/// Two to four projectors at once, until no message fails.
async fn project_together(
    stack: &TestStack,
    projection: Projection,
    mut queue: Vec<Message>,
    rng: &mut Rng,
) {
    // A message that still fails is lost: the last messages fill the gap.
    for _ in 0..MAX_RECEIVES {
        let projectors = rng.usize(2..=4);
        let mut shares = vec![Vec::new(); projectors];
        for message in queue {
            shares[rng.usize(..projectors)].push(message);
        }
        let work = shares.into_iter().map(|share| project(stack, projection, share, rng.fork()));
        queue = join_all(work).await.concat();
        if queue.is_empty() {
            return;
        }
    }
}

/// One delivery of the last message of each stream, without any fault.
async fn deliver_last(stack: &TestStack, projection: Projection, batches: &[&Batch]) {
    let handler = stack.handler(projection);
    let messages: Vec<Message> = batches.iter().map(|batch| Message::of(batch)).collect();
    for event in messages.chunks(10) {
        assert!(deliver(&handler, event).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_random_history_ends_in_the_pure_fold() {
    let seed = seed();
    let seed_text = format!("LEDGERFOLD_TEST_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let stack = TestStack::start().await;
    let history = write_history(&stack.store, &mut rng).await;
    let mut batches: Vec<&Batch> = history.iter().flat_map(|(_, batches)| batches).collect();
    batches.sort_by_key(|batch| batch.commits[0].recorded_at);
    let lines = read_models().into_iter().map(|projection| {
        let concerned = |batch: &&&Batch| projection.follows.includes(&batch.stream);
        let concerned: Vec<&Batch> = batches.iter().filter(concerned).copied().collect();
        let (queue, mut rng) = (queue(&concerned, &mut rng), rng.fork());
        let stack = &stack;
        async move { project_together(stack, projection, queue, &mut rng).await }
    });
    join_all(lines).await;
    for projection in read_models() {
        let last = history.iter().filter(|(stream, _)| projection.follows.includes(stream));
        let last: Vec<&Batch> = last.filter_map(|(_, batches)| batches.last()).collect();
        deliver_last(&stack, projection, &last).await;
    }
    let streams = history.iter().map(|(stream, _)| stream);
    let expected = ReadModel::of_streams(&stack.store, streams).await;
    assert!(expected.len() > 40, "{seed_text}: the history is too short");
    assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected, "{seed_text}");
}
