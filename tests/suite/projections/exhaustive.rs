//! Every sequence of at most six deliveries of the four messages of two streams, and every loss.
//!
//! Two orders that share a book, each of two messages: `placed` and `cancelled`, `placed` and
//! `confirmed`. A sequence has each message at least once, and others again at any place: there are
//! 24 of length four, 240 of length five, and 1,560 of length six. Each is delivered message by
//! message to a separate projection. [`super::orderings`] has the permutations of six messages,
//! with a sample of repetitions.
//!
//! The losses are the 41 sequences of at most three different messages, the empty one included. A
//! pass over all streams finds the missing messages.

use crate::harness::depth::all_or;
use crate::harness::events::{cancelled, confirmed, new_order, placed, write};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::TestStack;
use bookshop::{bestsellers, orders};
use eventstore::{Item, StreamId};
use futures::StreamExt;
use handlers::ProjectorHandler;
use projections::{Kind, Projection, Projector};
use std::collections::HashMap;
use std::sync::Arc;

const MESSAGES: usize = 4;
const LONGEST: usize = 6;
/// How many sequences are tried by default.
const SAMPLE: usize = 30;
/// How many sequences are tried at once.
const CONCURRENT: usize = 8;

/// Every sequence of so many deliveries.
fn sequences(length: usize) -> Vec<Vec<usize>> {
    let longer = |sequences: Vec<Vec<usize>>| {
        let longer = sequences.into_iter().flat_map(|sequence| {
            (0..MESSAGES).map(move |next| sequence.iter().copied().chain([next]).collect())
        });
        longer.collect()
    };
    (0..length).fold(vec![vec![]], |sequences, _| longer(sequences))
}

fn distinct(sequence: &[usize]) -> usize {
    (0..MESSAGES).filter(|message| sequence.contains(message)).count()
}

/// The sequences with every message.
fn complete() -> Vec<Vec<usize>> {
    let all = (MESSAGES..=LONGEST).flat_map(sequences);
    all.filter(|sequence| distinct(sequence) == MESSAGES).collect()
}

/// The sequences that lack some messages and repeat none.
fn losses() -> Vec<Vec<usize>> {
    let all = (0..MESSAGES).flat_map(sequences);
    all.filter(|sequence| distinct(sequence) == sequence.len()).collect()
}

#[test]
fn as_many_sequences_as_are_said_are_tried() {
    let of_length = |length| complete().iter().filter(|sequence| sequence.len() == length).count();
    assert_eq!([4, 5, 6].map(of_length), [24, 240, 1_560]);
    assert_eq!(losses().len(), 41);
}

async fn history(stack: &TestStack) -> (Vec<StreamId>, Vec<Message>) {
    let streams = vec![new_order(), new_order()];
    let first =
        write(&stack.store, &streams[0], &[&placed("a", [(1, 2), (2, 1)]), &cancelled("late")])
            .await;
    let second =
        write(&stack.store, &streams[1], &[&placed("b-usd", [(1, 3)]), &confirmed()]).await;
    (streams, messages_of(first.iter().chain(&second)))
}

/// Delivers each sequence to a new projection, runs `then`, and compares with the fold.
async fn all_equal_the_fold(
    projection: Projection,
    sequences: Vec<Vec<usize>>,
    then: impl AsyncFn(&Projector, &Projection) + Copy,
) {
    let stack = Arc::new(TestStack::start().await);
    let (streams, messages) = history(&stack).await;
    // One process: the projections share connections, but no cache.
    let projector = stack.projector();
    let own = |number: usize| Projection {
        name: format!("{}-{number}", projection.name).leak(),
        ..projection
    };
    let work = sequences.iter().enumerate().map(|(number, sequence)| {
        let (projection, projector, messages) = (own(number), &projector, &messages);
        async move {
            let handler = ProjectorHandler::new(projection, projector.clone());
            for index in sequence {
                let failed = deliver(&handler, std::slice::from_ref(&messages[*index])).await;
                assert!(failed.is_empty(), "{sequence:?}");
            }
            then(projector, &projection).await;
        }
    });
    futures::stream::iter(work).buffer_unordered(CONCURRENT).collect::<Vec<()>>().await;
    let expected = ReadModel::of_streams(&stack.store, &streams).await.only(projection.name);
    let rows = by_projection(stack.rows().await);
    for (number, sequence) in sequences.iter().enumerate() {
        let suffix = format!("-{number}");
        let found = ReadModel::of_rows(&rows[own(number).name], &suffix);
        assert_eq!(found, expected, "{} after {sequence:?}", projection.name);
    }
}

fn by_projection(rows: Vec<Item>) -> HashMap<String, Vec<Item>> {
    let mut by_projection: HashMap<String, Vec<Item>> = HashMap::new();
    for item in rows {
        let name = item["row"].as_s().unwrap().split('.').next().unwrap().to_owned();
        by_projection.entry(name).or_default().push(item);
    }
    by_projection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_equal_the_fold_after_every_sequence_of_six_deliveries() {
    all_equal_the_fold(orders(), all_or(complete(), SAMPLE), async |_, _| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bestsellers_equal_the_fold_after_any_six_deliveries() {
    all_equal_the_fold(bestsellers(), all_or(complete(), SAMPLE), async |_, _| {}).await;
}

/// Reconciles, as an operator does.
async fn reconcile(projector: &Projector, projection: &Projection) {
    let mut calls = projector.reconcile(projection, 1).await.unwrap();
    while let Some(call) = calls.pop() {
        let budget = std::time::Duration::ZERO;
        calls = projector
            .work(projection, &call, budget, |_| std::future::ready(Ok(())))
            .await
            .unwrap();
    }
    assert!(projector.status(projection).await.unwrap().report.unwrap().complete);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_every_loss_a_pass_over_all_streams_makes_it_good() {
    for projection in [orders(), bestsellers()] {
        assert!(!matches!(projection.kind, Kind::Process));
        all_equal_the_fold(projection, all_or(losses(), 6), reconcile).await;
    }
}
