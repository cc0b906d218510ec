//! Fulfilment as a process: [`domain::fulfilment`] says what is asked, and when.

mod older;

use crate::events;
use chrono::{DateTime, Utc};
use domain::fulfilment::{Fulfilment, FulfilmentCommand, FulfilmentInput, IssuedCommand};
use domain::order::{self, OrderEvent};
use domain::stock::{self, StockCommand, StockEvent};
use domain::{Isbn, OrderId};
use eventstore::{Id, StreamId};
use handlers::process::{Answer, Ask, Heard, Key, Process, Source, Told, ask};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An instance an order.
pub(crate) fn process() -> Process {
    let sources = [
        Source::of(order::CATEGORY, events::ORDER, ShopEvent::Order),
        Source::of(stock::CATEGORY, events::STOCK, ShopEvent::Stock),
    ];
    Process::named("fulfilment", "fulfilment/1", sources, key, react).lifting(older::lift)
}

/// What fulfilment hears of.
#[derive(Debug)]
enum ShopEvent {
    Order(OrderEvent),
    Stock(StockEvent),
}

/// What is kept of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// None until something is known.
    fulfilment: Option<Fulfilment>,
    /// By the version of the event in the order's stream: what its commands take over.
    causes: BTreeMap<u64, Origin>,
}

/// The business process that an event belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    correlation_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_parent: Option<Id>,
}

/// The order that an event tells something new of: nothing is asked because an order is confirmed.
fn key(told: &Told, event: &ShopEvent) -> Key {
    let order_id = match event {
        ShopEvent::Order(event) => {
            let order_id = OrderId::try_from(told.stream.key().to_owned())?;
            Some(order_id).filter(|_| !matches!(event, OrderEvent::OrderConfirmed {}))
        }
        ShopEvent::Stock(event) => {
            let isbn = Isbn::try_from(told.stream.key().to_owned())?;
            FulfilmentInput::of_stock(&isbn, told.version, event).map(|(order_id, _)| order_id)
        }
    };
    Ok(order_id.map(|order_id| order_id.to_string()))
}

/// What is known then, and what is asked because of it.
fn react(known: Known, heard: Heard<'_, ShopEvent>) -> (Known, Vec<Ask>) {
    match heard {
        Heard::Event(told, event) => match fact(told, event) {
            Some((order_id, fact)) => learn(known, order_id, &fact, Some(told)),
            None => (known, Vec::new()),
        },
        Heard::Answer { ask, answer: Answer::Refused { .. } } => match (refused_book(ask), known.order_id()) {
            (Some(isbn), Some(order_id)) => learn(known, order_id, &FulfilmentInput::Refused { isbn }, None),
            (None, _) | (_, None) => (known, Vec::new()),
        },
        Heard::Answer { answer: Answer::Done, .. } => (known, Vec::new()),
    }
}

fn fact(told: &Told, event: ShopEvent) -> Option<(OrderId, FulfilmentInput)> {
    let key = told.stream.key().to_owned();
    match event {
        ShopEvent::Order(event) => {
            let recorded_at_ms = u64::try_from(told.recorded_at.timestamp_millis()).unwrap_or_default();
            let fact = FulfilmentInput::of_order(told.version, recorded_at_ms, event)?;
            Some((OrderId::try_from(key).ok()?, fact))
        }
        ShopEvent::Stock(event) => FulfilmentInput::of_stock(&Isbn::try_from(key).ok()?, told.version, &event),
    }
}

/// The book that an ask was to reserve.
fn refused_book(ask: &Ask) -> Option<Isbn> {
    let command = StockCommand::deserialize(&ask.command).ok()?;
    let reserves = matches!(command, StockCommand::ReserveStock { .. });
    let stream = StreamId::new(ask.stream.as_str()).ok().filter(|_| reserves)?;
    Isbn::try_from(stream.key().to_owned()).ok()
}

fn learn(known: Known, order_id: OrderId, fact: &FulfilmentInput, told: Option<&Told>) -> (Known, Vec<Ask>) {
    let Known { fulfilment, mut causes } = known;
    let (fulfilment, commands) =
        domain::fulfilment::react(fulfilment.unwrap_or_else(|| Fulfilment::new(order_id)), fact);
    if let (FulfilmentInput::Order { version, .. }, Some(told)) = (fact, told) {
        let Told { correlation_id, trace_parent, .. } = told.clone();
        causes.entry(*version).or_insert(Origin { correlation_id, trace_parent });
    }
    let known = Known { fulfilment: Some(fulfilment), causes };
    let asks = commands.iter().map(|issued| known.ask(issued)).collect();
    (known, asks)
}

impl Known {
    fn order_id(&self) -> Option<OrderId> {
        self.fulfilment.as_ref().map(Fulfilment::order_id)
    }

    /// The command, caused by the event of the order that the domain names. Cause, stream and name say all of it.
    fn ask(&self, issued: &IssuedCommand) -> Ask {
        let (name, stream) = (issued.name.as_str(), issued.command.stream());
        let asked = match &issued.command {
            FulfilmentCommand::Order { command, .. } => ask(name, stream, command),
            FulfilmentCommand::Stock { command, .. } => ask(name, stream, command),
        };
        match self.cause(issued) {
            Some(told) => asked.because(&told).named_in_full(),
            None => asked.named_in_full(),
        }
    }

    /// Always there: the domain names an event that it was told of.
    fn cause(&self, issued: &IssuedCommand) -> Option<Told> {
        let cause = &issued.cause;
        let Origin { correlation_id, trace_parent } = self.causes.get(&cause.version)?.clone();
        let recorded_at = DateTime::<Utc>::from_timestamp_millis(i64::try_from(cause.recorded_at_ms).ok()?)?;
        let stream = StreamId::new(cause.stream.as_str()).ok()?;
        Some(Told { stream, version: cause.version, recorded_at, correlation_id, trace_parent })
    }
}

#[cfg(test)]
mod specs;
