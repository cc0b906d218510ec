//! Fulfilment as a process: connects the rules in [`domain::fulfilment`] to events and commands.

mod older;

use crate::events;
use chrono::{DateTime, Utc};
use domain::fulfilment::{Fulfilment, FulfilmentCommand, FulfilmentInput, IssuedCommand};
use domain::order::{self, OrderEvent};
use domain::stock::{self, StockCommand, StockEvent};
use domain::{Isbn, OrderId};
use eventstore::{Id, StreamId};
use handlers::process::{
    Ask, AskAnswer, EventOrigin, FollowedCategory, Input, InstanceKey, Process, ask,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The process, with one instance per order.
pub(crate) fn process() -> Process {
    let sources = [
        FollowedCategory::of(order::CATEGORY, events::ORDER, ShopEvent::Order),
        FollowedCategory::of(stock::CATEGORY, events::STOCK, ShopEvent::Stock),
    ];
    Process::named("fulfilment", "fulfilment/1", sources, key, react).lifting(older::lift)
}

/// An event that fulfilment reacts to.
#[derive(Debug)]
enum ShopEvent {
    Order(OrderEvent),
    Stock(StockEvent),
}

/// The state of an instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    /// None until the first event.
    fulfilment: Option<Fulfilment>,
    /// Correlation and trace that commands inherit, by version of the causing event in the order's
    /// stream.
    causes: BTreeMap<u64, Origin>,
}

/// The correlation and trace of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    correlation_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_parent: Option<Id>,
}

/// The order that an event concerns. A confirmed order needs no more commands.
fn key(origin: &EventOrigin, event: &ShopEvent) -> InstanceKey {
    let order_id = match event {
        ShopEvent::Order(event) => {
            let order_id = OrderId::try_from(origin.stream.key().to_owned())?;
            Some(order_id).filter(|_| !matches!(event, OrderEvent::OrderConfirmed {}))
        }
        ShopEvent::Stock(event) => {
            let isbn = Isbn::try_from(origin.stream.key().to_owned())?;
            FulfilmentInput::of_stock(&isbn, origin.version, event).map(|(order_id, _)| order_id)
        }
    };
    Ok(order_id.map(|order_id| order_id.to_string()))
}

/// The next state, and the commands to send.
fn react(known: Known, input: Input<'_, ShopEvent>) -> (Known, Vec<Ask>) {
    match input {
        Input::Event(origin, event) => match fact(origin, event) {
            Some((order_id, fact)) => learn(known, order_id, &fact, Some(origin)),
            None => (known, Vec::new()),
        },
        Input::Answer { ask, answer: AskAnswer::Refused { .. } } => {
            match (refused_book(ask), known.order_id()) {
                (Some(isbn), Some(order_id)) => {
                    learn(known, order_id, &FulfilmentInput::Refused { isbn }, None)
                }
                (None, _) | (_, None) => (known, Vec::new()),
            }
        }
        Input::Answer { answer: AskAnswer::Done, .. } => (known, Vec::new()),
    }
}

fn fact(origin: &EventOrigin, event: ShopEvent) -> Option<(OrderId, FulfilmentInput)> {
    let key = origin.stream.key().to_owned();
    match event {
        ShopEvent::Order(event) => {
            let recorded_at_ms =
                u64::try_from(origin.recorded_at.timestamp_millis()).unwrap_or_default();
            let fact = FulfilmentInput::of_order(origin.version, recorded_at_ms, event)?;
            Some((OrderId::try_from(key).ok()?, fact))
        }
        ShopEvent::Stock(event) => {
            FulfilmentInput::of_stock(&Isbn::try_from(key).ok()?, origin.version, &event)
        }
    }
}

/// The book of a refused reservation.
fn refused_book(ask: &Ask) -> Option<Isbn> {
    let command = StockCommand::deserialize(&ask.command).ok()?;
    let reserves = matches!(command, StockCommand::ReserveStock { .. });
    let stream = StreamId::new(ask.stream.as_str()).ok().filter(|_| reserves)?;
    Isbn::try_from(stream.key().to_owned()).ok()
}

fn learn(
    known: Known,
    order_id: OrderId,
    fact: &FulfilmentInput,
    origin: Option<&EventOrigin>,
) -> (Known, Vec<Ask>) {
    let Known { fulfilment, mut causes } = known;
    let (fulfilment, commands) =
        domain::fulfilment::react(fulfilment.unwrap_or_else(|| Fulfilment::new(order_id)), fact);
    if let (FulfilmentInput::Order { version, .. }, Some(origin)) = (fact, origin) {
        let EventOrigin { correlation_id, trace_parent, .. } = origin.clone();
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

    /// The ask for a command of the domain. Cause, stream and name identify it.
    fn ask(&self, issued: &IssuedCommand) -> Ask {
        let (name, stream) = (issued.name.as_str(), issued.command.stream());
        let asked = match &issued.command {
            FulfilmentCommand::Order { command, .. } => ask(name, stream, command),
            FulfilmentCommand::Stock { command, .. } => ask(name, stream, command),
        };
        match self.cause(issued) {
            Some(origin) => asked.because(&origin).named_in_full(),
            None => asked.named_in_full(),
        }
    }

    /// The event that caused a command. It always exists, because the domain names only events that
    /// it has received.
    fn cause(&self, issued: &IssuedCommand) -> Option<EventOrigin> {
        let cause = &issued.cause;
        let Origin { correlation_id, trace_parent } = self.causes.get(&cause.version)?.clone();
        let recorded_at =
            DateTime::<Utc>::from_timestamp_millis(i64::try_from(cause.recorded_at_ms).ok()?)?;
        let stream = StreamId::new(cause.stream.as_str()).ok()?;
        Some(EventOrigin {
            stream,
            version: cause.version,
            recorded_at,
            correlation_id,
            trace_parent,
        })
    }
}

#[cfg(test)]
mod specs;
