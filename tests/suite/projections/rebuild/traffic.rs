//! Writers of the shop: new and continued orders or stock, drawn by a seed.

use crate::harness::events::{
    Stored, Writer, cancelled, committed, confirmed, placed, received, rejected, released,
    reserved, shipped, stock_of,
};
use bookshop::stock;
use eventstore::{Batch, EventStore, NewEvent, StreamId};
use fastrand::Rng;
use projections::Projection;
use std::collections::VecDeque;
use uuid::Uuid;

/// The events that a stream will still get.
struct Life {
    writer: Writer,
    events: VecDeque<NewEvent>,
}

/// Streams with more events to come.
pub(super) struct Traffic {
    store: EventStore,
    rng: Rng,
    of_stock: bool,
    begun: u32,
    open: Vec<Life>,
}

impl Traffic {
    /// Of streams that the projection follows.
    pub(super) fn of(store: &EventStore, projection: &Projection, rng: Rng) -> Self {
        let of_stock = projection.name == stock().name;
        Self { store: store.clone(), rng, of_stock, begun: 0, open: Vec::new() }
    }

    /// Appends a commit of one or two events to some stream, every third time to a new one.
    pub(super) async fn step(&mut self) -> Batch {
        if self.open.is_empty() || self.rng.u32(..3) == 0 {
            self.begin();
        }
        let index = self.rng.usize(..self.open.len());
        let many = self.rng.usize(1..=2);
        let life = &mut self.open[index];
        let events: Vec<NewEvent> = life.events.drain(..many.min(life.events.len())).collect();
        let batch = life.writer.append(events).await;
        if life.events.is_empty() {
            self.open.swap_remove(index);
        }
        batch
    }

    /// That many steps.
    pub(super) async fn steps(&mut self, count: usize) -> Vec<Batch> {
        let mut batches = Vec::new();
        for _ in 0..count {
            batches.push(self.step().await);
        }
        batches
    }

    fn begin(&mut self) {
        self.begun += 1;
        let (stream, events) = if self.of_stock {
            (stock_of(self.begun), self.stock())
        } else {
            (
                StreamId::new(format!("order-{}", Uuid::from_u128(self.rng.u128(..)))).unwrap(),
                self.order(),
            )
        };
        self.open.push(Life { writer: Writer::new(&self.store, &stream), events: events.into() });
    }

    fn order(&mut self) -> Vec<NewEvent> {
        let mut books: Vec<u32> = (0..5).collect();
        self.rng.shuffle(&mut books);
        let lines: Vec<(u32, u32)> = books[..self.rng.usize(1..=3)]
            .iter()
            .map(|book| (*book, self.rng.u32(1..=4)))
            .collect();
        let currency = if self.rng.bool() { "usd" } else { "eur" };
        let mut events =
            vec![placed(&format!("c-{}-{currency}", self.rng.u32(..4)), lines).stored()];
        events.extend(match self.rng.u32(..5) {
            0 => vec![rejected("sold out").stored()],
            1 => vec![cancelled("another shop was quicker").stored()],
            2 => vec![confirmed().stored(), cancelled("too late").stored()],
            _ => vec![confirmed().stored(), shipped().stored()],
        });
        events
    }

    fn stock(&mut self) -> Vec<NewEvent> {
        let mut events = vec![received(1_000).stored()];
        for order in 0..self.rng.u128(1..4) {
            let copies = self.rng.u32(1..50);
            events.push(reserved(order, copies).stored());
            events.push(
                if self.rng.bool() { released(order, copies) } else { committed(order, copies) }
                    .stored(),
            );
        }
        events
    }
}
