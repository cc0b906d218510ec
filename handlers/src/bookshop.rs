//! The bookshop's commands and who handles them: over HTTP at once, and from the command queue later.

use crate::http::Problem;
use crate::models::{ORDER, STOCK};
use crate::{sending, telemetry};
use domain::order::{self, Order, OrderCommand, OrderEvent, OrderRefusal};
use domain::stock::{self, Stock, StockCommand, StockEvent, StockRefusal};
use eventstore::{CommandHandler, EventStore, ExecuteError, Handled, Hash, Id, Request};
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
    /// The category of the streams that it may address.
    pub(crate) fn category(&self) -> &'static str {
        match self {
            Self::Order(_) => order::CATEGORY,
            Self::Stock(_) => stock::CATEGORY,
        }
    }

    /// Whether it can only start its stream.
    pub(crate) fn creates(&self) -> bool {
        matches!(self, Self::Order(OrderCommand::PlaceOrder(_)))
    }

    /// What tells it from another command under the same id.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(crate) fn fingerprint(&self, actor: &Id) -> serde_json::Result<Hash> {
        match self {
            Self::Order(command) => sending::fingerprint(actor, command),
            Self::Stock(command) => sending::fingerprint(actor, command),
        }
    }
}

/// Handles the commands of the bookshop, each once. Clones share what they remember of streams.
#[derive(Clone)]
pub(crate) struct Bookshop {
    orders: CommandHandler<Order, OrderEvent, OrderRefusal>,
    stock: CommandHandler<Stock, StockEvent, StockRefusal>,
}

impl Bookshop {
    pub(crate) fn new(store: EventStore) -> Self {
        Self { orders: CommandHandler::new(store.clone(), ORDER), stock: CommandHandler::new(store, STOCK) }
    }

    /// Handles a command.
    ///
    /// # Errors
    /// The problem that its sender is told.
    pub(crate) async fn handle(&self, request: Request, command: Command) -> Result<Handled, Problem> {
        let handled = match command {
            Command::Order(command) => {
                told(self.orders.handle(request.clone(), move |order| order::decide(order, &command)).await)
            }
            Command::Stock(command) => {
                told(self.stock.handle(request.clone(), move |stock| stock::decide(stock, &command)).await)
            }
        }?;
        sending::log(&request, &handled);
        telemetry::reached(handled.version);
        Ok(handled)
    }
}

/// Counts what kept a command from being handled, and says it in its sender's words.
fn told<R>(handled: Result<Handled, ExecuteError<R>>) -> Result<Handled, Problem>
where
    Problem: From<ExecuteError<R>>,
{
    handled.inspect_err(sending::count_failed).map_err(Problem::from)
}
