//! Fulfilment's commands to those who handle them.

use crate::models::{ORDER, STOCK};
use crate::process::{Answer, AskError, SendCommand};
use crate::sending;
use crate::telemetry::{Metric, count};
use domain::order::{self, OrderCommand, OrderRefusal};
use domain::stock::{self, StockCommand, StockRefusal};
use eventstore::{CommandHandler, Commit, EventStore, ExecuteError, Refusal, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Sends to orders and to the stock of books.
pub(super) fn to_orders_and_stock(store: EventStore) -> SendCommand {
    let (orders, stock) = (CommandHandler::new(store.clone(), ORDER), CommandHandler::new(store, STOCK));
    Arc::new(move |request, command| {
        let (orders, stock) = (orders.clone(), stock.clone());
        Box::pin(async move {
            if request.stream.category() == order::CATEGORY {
                let command: OrderCommand = read(command)?;
                handle(&orders, request, order_code, move |order| order::decide(order, &command)).await
            } else {
                let command: StockCommand = read(command)?;
                handle(&stock, request, stock_code, move |stock| stock::decide(stock, &command)).await
            }
        })
    })
}

fn read<C: DeserializeOwned>(command: Value) -> Result<C, AskError> {
    serde_json::from_value(command).map_err(|error| AskError { passes: false, source: Box::new(error) })
}

async fn handle<S, E, R>(
    handler: &CommandHandler<S, E, R>,
    request: Request,
    code: fn(&R) -> &'static str,
    decide: impl Fn(&S) -> Result<Vec<E>, R> + Send + Sync + 'static,
) -> Result<Answer, AskError>
where
    S: Clone,
    R: std::error::Error + Send + Sync + 'static,
{
    let handled = handler.handle_recording_refusals(request.clone(), decide, code).await;
    let handled = handled.inspect_err(sending::count_failed).map_err(|error| {
        let passes = matches!(error, ExecuteError::Contention { .. } | ExecuteError::Fault(_));
        AskError { passes, source: Box::new(error) }
    })?;
    let Some(Refusal { code, reason }) = handled.commit.as_ref().and_then(Commit::refusal) else {
        sending::log(&request, &handled);
        return Ok(Answer::Done);
    };
    count(Metric::Refusals);
    let Request { stream, envelope, .. } = &request;
    tracing::debug!(%stream, command_id = %envelope.command_id, code, reason, "command refused");
    Ok(Answer::Refused { code, reason })
}

fn order_code(refusal: &OrderRefusal) -> &'static str {
    match refusal {
        OrderRefusal::NoSuchOrder => "no-such-order",
        OrderRefusal::AlreadyPlaced => "already-placed",
        OrderRefusal::CannotConfirm(_) => "cannot-confirm",
        OrderRefusal::CannotReject(_) => "cannot-reject",
        OrderRefusal::CannotCancel(_) => "cannot-cancel",
        OrderRefusal::CannotShip(_) => "cannot-ship",
        OrderRefusal::AlreadyShipped(_) => "already-shipped",
    }
}

fn stock_code(refusal: &StockRefusal) -> &'static str {
    match refusal {
        StockRefusal::TooManyOnHand { .. } => "too-many-on-hand",
        StockRefusal::NotEnough { .. } => "not-enough",
        StockRefusal::OtherQuantityReserved { .. } => "other-quantity-reserved",
        StockRefusal::NothingReserved(_) => "nothing-reserved",
    }
}
