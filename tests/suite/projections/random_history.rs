//! A long history of the shop, drawn by a seed.

use crate::harness::events::{
    Stored, Writer, cancelled, committed, confirmed, new_order, placed, received, rejected,
    released, reserved, shipped, stock_of,
};
use eventstore::{Batch, EventStore, NewEvent, StreamId};
use fastrand::Rng;
use futures::future::join_all;

const BOOKS: u32 = 4;
const STOCK_COMMITS: u64 = 100;
const ORDERS: u64 = 40;
/// Events of a commit that no message can carry.
const LARGE_COMMIT: u128 = 1_200;

/// Draws a history, writes it, and gives the batches of each stream.
pub(super) async fn write_history(
    store: &EventStore,
    rng: &mut Rng,
) -> Vec<(StreamId, Vec<Batch>)> {
    let mut plans: Vec<(StreamId, Vec<Vec<NewEvent>>)> =
        (0..BOOKS).map(|book| (stock_of(book), stock_plan(rng))).collect();
    plans.extend((0..ORDERS).map(|_| (new_order(), order_plan(rng))));
    let work = plans.into_iter().map(|(stream, plan)| async move {
        let (mut writer, mut batches) = (Writer::new(store, &stream), Vec::new());
        for events in plan {
            batches.push(writer.append(events).await);
        }
        (stream, batches)
    });
    join_all(work).await
}

/// What happens to an order, cut into commits.
fn order_plan(rng: &mut Rng) -> Vec<Vec<NewEvent>> {
    let mut books: Vec<u32> = (0..6).collect();
    rng.shuffle(&mut books);
    let lines: Vec<(u32, u32)> =
        books[..rng.usize(1..=6)].iter().map(|book| (*book, rng.u32(1..=5))).collect();
    let customer =
        if rng.bool() { format!("c-{}", rng.u32(..5)) } else { format!("c-{}-usd", rng.u32(..5)) };
    let mut events = vec![placed(&customer, lines).stored()];
    events.extend(match rng.u32(..6) {
        0 => vec![],
        1 => vec![rejected("sold out").stored()],
        2 => vec![cancelled("another shop was quicker").stored()],
        3 => vec![confirmed().stored()],
        4 => vec![confirmed().stored(), cancelled("too late").stored()],
        _ => vec![confirmed().stored(), shipped().stored()],
    });
    cut(events, rng)
}

/// Reservations that are opened and closed again, never more than there are copies.
fn stock_plan(rng: &mut Rng) -> Vec<Vec<NewEvent>> {
    let mut plan = vec![vec![received(1_000_000).stored()]];
    let mut open: Vec<(u128, u32)> = Vec::new();
    for number in 1..STOCK_COMMITS {
        let order = u128::from(number) * LARGE_COMMIT;
        let events = match rng.u32(..100) {
            0 => (0..LARGE_COMMIT).map(|_| received(1).stored()).collect(),
            1..=20 => vec![received(rng.u32(1..100)).stored(), received(1).stored()],
            21..=60 => {
                open.push((order, rng.u32(1..50)));
                open.last()
                    .map(|(order, copies)| reserved(*order, *copies).stored())
                    .into_iter()
                    .collect()
            }
            _ => match open.pop() {
                Some((order, copies)) if rng.bool() => vec![released(order, copies).stored()],
                Some((order, copies)) => {
                    vec![committed(order, copies).stored(), received(2).stored()]
                }
                None => vec![received(3).stored()],
            },
        };
        plan.push(events);
    }
    plan
}

/// Cuts events into commits.
fn cut(events: Vec<NewEvent>, rng: &mut Rng) -> Vec<Vec<NewEvent>> {
    let mut commits: Vec<Vec<NewEvent>> = Vec::new();
    for event in events {
        match commits.last_mut().filter(|_| rng.u32(..4) == 0) {
            Some(commit) => commit.push(event),
            None => commits.push(vec![event]),
        }
    }
    commits
}
