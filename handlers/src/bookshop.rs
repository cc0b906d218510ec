//! The bookshop's commands and who handles them: over HTTP at once, and from the command queue later.

use crate::app::App;
use crate::fulfilment::FULFILMENT;
use crate::http::Problem;
use crate::models::{ORDER, STOCK};
use crate::{sending, telemetry};
use domain::order::{self, Order, OrderCommand, OrderEvent, OrderRefusal};
use domain::stock::{self, Stock, StockCommand, StockEvent, StockRefusal};
use eventstore::{CommandHandler, Commit, EventStore, ExecuteError, Handled, Request};
use serde::{Deserialize, Serialize};

/// The bookshop.
pub fn bookshop() -> App {
    App::new("bookshop")
        .read_model(projections::orders::PROJECTION)
        .read_model(projections::stock::PROJECTION)
        .read_model(projections::bestsellers::PROJECTION)
        .process(FULFILMENT)
}

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
    /// [`CommandError`], not logged yet: its caller knows whether it is tried again.
    pub(crate) async fn handle(&self, request: Request, command: Command) -> Result<Handled, CommandError> {
        let handled = match command {
            Command::Order(command) => {
                let handled = self.orders.handle(request.clone(), move |order| order::decide(order, &command)).await;
                handled.inspect_err(sending::count_failed)?
            }
            Command::Stock(command) => {
                let handled = self.stock.handle(request.clone(), move |stock| stock::decide(stock, &command)).await;
                handled.inspect_err(sending::count_failed)?
            }
        };
        sending::log(&request, &handled);
        telemetry::about(&request.stream, Some(handled.version), &request.envelope);
        telemetry::came_to(handled.replayed, handled.lost_races);
        Ok(handled)
    }

    /// What is recorded of a command at this moment: it is asked to do nothing, and what was recorded before is its answer.
    ///
    /// # Errors
    /// [`CommandError`], not logged yet: it is not known whether something is recorded.
    pub(crate) async fn recorded(&self, request: Request) -> Result<Option<Commit>, CommandError> {
        if request.stream.category() == order::CATEGORY {
            return Ok(recorded(self.orders.handle(request, |_| Ok(Vec::new())).await)?);
        }
        Ok(recorded(self.stock.handle(request, |_| Ok(Vec::new())).await)?)
    }
}

/// The command's commit, or why it is not known whether there is one.
fn recorded<R>(handled: Result<Handled, ExecuteError<R>>) -> Result<Option<Commit>, ExecuteError<R>> {
    match handled {
        Ok(handled) => Ok(handled.commit),
        // The stream has another command under that id.
        Err(ExecuteError::CommandIdReused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why a command was not handled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Order(#[from] ExecuteError<OrderRefusal>),
    #[error(transparent)]
    Stock(#[from] ExecuteError<StockRefusal>),
}

impl CommandError {
    /// Whether it is refused because its id is ahead of the store's clock.
    pub(crate) fn is_from_the_future(&self) -> bool {
        matches!(self, Self::Order(ExecuteError::FromTheFuture(_)) | Self::Stock(ExecuteError::FromTheFuture(_)))
    }

    /// Whether it is the command's own, and will be the same whenever the command is handled again: no fault, and no load.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Order(error) => is_final(error),
            Self::Stock(error) => is_final(error),
        }
    }

    /// Whether the stream cannot be read as it is, which lasts until its operators mend it.
    pub(crate) fn is_unreadable(&self) -> bool {
        match self {
            Self::Order(error) => is_unreadable(error),
            Self::Stock(error) => is_unreadable(error),
        }
    }
}

fn is_unreadable<R>(error: &ExecuteError<R>) -> bool {
    matches!(error, ExecuteError::Damaged(_) | ExecuteError::Unreadable(_))
}

fn is_final<R>(error: &ExecuteError<R>) -> bool {
    match error {
        ExecuteError::Refused(_)
        | ExecuteError::CommandIdReused(_)
        | ExecuteError::VersionMismatch { .. }
        | ExecuteError::FromTheFuture(_)
        | ExecuteError::TooLarge(_)
        | ExecuteError::StreamFull => true,
        ExecuteError::Contention { .. }
        | ExecuteError::Damaged(_)
        | ExecuteError::Unreadable(_)
        | ExecuteError::Codec(_)
        | ExecuteError::Fault(_) => false,
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Order(error) => error.into(),
            CommandError::Stock(error) => error.into(),
        }
    }
}
