//! The bookshop's commands and who handles them: over HTTP at once, and from the command queue later.

use domain::order::OrderCommand;
use domain::stock::StockCommand;
use serde::{Deserialize, Serialize};

/// A command to an order or to the stock of a book.
///
/// Messages of the command queue carry it: of what it holds, fields may be added, none renamed or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Command {
    Order(OrderCommand),
    Stock(StockCommand),
}

impl Command {
    /// What it is called. Its fingerprint covers the name: to change it makes retries of older commands unknown.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Order(command) => match command {
                OrderCommand::PlaceOrder(_) => "PlaceOrder",
                OrderCommand::ConfirmOrder {} => "ConfirmOrder",
                OrderCommand::RejectOrder { .. } => "RejectOrder",
                OrderCommand::CancelOrder { .. } => "CancelOrder",
                OrderCommand::ShipOrder { .. } => "ShipOrder",
            },
            Self::Stock(command) => match command {
                StockCommand::ReceiveStock { .. } => "ReceiveStock",
                StockCommand::ReserveStock { .. } => "ReserveStock",
                StockCommand::ReleaseStock { .. } => "ReleaseStock",
                StockCommand::CommitStock { .. } => "CommitStock",
            },
        }
    }
}
