//! What is kept of one order.

use super::FulfilError;
use super::facts::Origin;
use domain::OrderId;
use domain::fulfilment::{Cause, Fact, Fulfilment, FulfilmentCommand, IssuedCommand, decide, react};
use domain::stock::StockCommand;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is known of an order, and of the commits that cause commands. This is what a state row holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    fulfilment: Fulfilment,
    /// By the version of the event in the order's stream.
    causes: BTreeMap<u64, Origin>,
    /// Whether something is asked for that could not be sent: then everything is asked again with the next news.
    #[serde(default, skip_serializing_if = "is_false")]
    held: bool,
}

fn is_false(held: &bool) -> bool {
    !held
}

impl Process {
    /// Nothing is known of the order yet.
    pub(super) fn new(order_id: OrderId) -> Self {
        Self { fulfilment: Fulfilment::new(order_id), causes: BTreeMap::new(), held: false }
    }

    /// Learns a fact, and tells what is to be asked because of it. A fact that is already known changes nothing.
    pub(super) fn learn(mut self, fact: &Fact, origin: &Origin) -> (Self, Vec<IssuedCommand>) {
        let (fulfilment, mut commands) = react(self.fulfilment.clone(), fact);
        if self.held {
            commands = decide(&fulfilment);
            commands.retain(|issued| !asks_for_refused(&fulfilment, &issued.command));
        }
        match fact {
            Fact::Order { version, .. } if fulfilment != self.fulfilment => {
                self.causes.entry(*version).or_insert_with(|| origin.clone());
            }
            Fact::Order { .. } | Fact::Reserved { .. } | Fact::Refused { .. } => {}
        }
        (Self { fulfilment, held: false, ..self }, commands)
    }

    /// Whether something is asked for that could not be sent.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Learns a fact whose commands cannot be sent.
    pub(super) fn hold(self, fact: &Fact, origin: &Origin) -> Self {
        let (known, _) = self.learn(fact, origin);
        Self { held: true, ..known }
    }

    /// Where the event comes from that causes a command.
    pub(super) fn origin(&self, cause: &Cause) -> Result<&Origin, FulfilError> {
        self.causes.get(&cause.version).ok_or_else(|| FulfilError::NoCause(cause.to_string()))
    }
}

/// A line that was refused stays refused: to ask again would reserve what has come since for an order that is answered.
fn asks_for_refused(known: &Fulfilment, command: &FulfilmentCommand) -> bool {
    match command {
        FulfilmentCommand::Stock { isbn, command: StockCommand::ReserveStock { .. } } => known.is_refused(isbn),
        FulfilmentCommand::Stock { .. } | FulfilmentCommand::Order { .. } => false,
    }
}
