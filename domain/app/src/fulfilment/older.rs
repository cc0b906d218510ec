//! Rows of before the runner: an order's state, and whether everything is to be asked again.

use super::Known;
use domain::fulfilment::{Fulfilment, FulfilmentCommand, decide};
use domain::stock::StockCommand;
use handlers::process::Ask;
use serde_json::Value;

/// The state, and what is to be asked again: nothing, unless something could not be sent. The ids stay the same.
pub(super) fn lift(row: Value) -> serde_json::Result<(Known, Vec<Ask>)> {
    let held = row.get("held").is_some_and(|held| *held == Value::Bool(true));
    let known: Known = serde_json::from_value(row)?;
    let fulfilment = known.fulfilment.as_ref().filter(|_| held);
    let commands =
        fulfilment.map(|known| decide(known).into_iter().filter(|issued| !was_refused(known, &issued.command)));
    let asks = commands.into_iter().flatten().map(|issued| known.ask(&issued)).collect();
    Ok((known, asks))
}

/// A line that was refused stays refused: to ask again would reserve what has come since for an order that is answered.
fn was_refused(known: &Fulfilment, command: &FulfilmentCommand) -> bool {
    match command {
        FulfilmentCommand::Stock { isbn, command: StockCommand::ReserveStock { .. } } => known.is_refused(isbn),
        FulfilmentCommand::Stock { .. } | FulfilmentCommand::Order { .. } => false,
    }
}
