//! Rows from before asks were stored: the state of an order, and whether its commands must be sent
//! again.

use super::Known;
use domain::fulfilment::{Fulfilment, FulfilmentCommand, decide};
use domain::stock::StockCommand;
use handlers::process::Ask;
use serde_json::Value;

/// The state, and the commands to send again if one could not be sent. Their ids stay the same.
pub(super) fn lift(row: Value) -> serde_json::Result<(Known, Vec<Ask>)> {
    let held = row.get("held").is_some_and(|held| *held == Value::Bool(true));
    let known: Known = serde_json::from_value(row)?;
    let fulfilment = known.fulfilment.as_ref().filter(|_| held);
    let commands = fulfilment.map(|known| {
        decide(known).into_iter().filter(|issued| !was_refused(known, &issued.command))
    });
    let asks = commands.into_iter().flatten().map(|issued| known.ask(&issued)).collect();
    Ok((known, asks))
}

/// A refused line stays refused. Sending it again could reserve new copies for an order that is
/// already rejected.
fn was_refused(known: &Fulfilment, command: &FulfilmentCommand) -> bool {
    match command {
        FulfilmentCommand::Stock { isbn, command: StockCommand::ReserveStock { .. } } => {
            known.is_refused(isbn)
        }
        FulfilmentCommand::Stock { .. } | FulfilmentCommand::Order { .. } => false,
    }
}
