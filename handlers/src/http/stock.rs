//! Commands to the stock of a book.

use super::commands::{self, Answer};
use super::extract::{Body, Segment, Sender};
use super::faults::{Faults, Fields};
use super::problem::Problem;
use super::schema::{CommandHeaders, CommandOutcome, CommandTaken, QuantityBody, ReservationBody};
use super::{Api, Shared};
use crate::bookshop::Command;
use crate::canonical_json::CanonicalJson;
use axum::extract::State;
use domain::stock::{self, StockCommand};
use domain::{Isbn, OrderId, StockQuantity};
use eventstore::StreamId;
use serde::Deserialize;

/// Takes copies into the house.
#[utoipa::path(post, path = "/stock/{isbn}/receive", tag = "stock", request_body = QuantityBody,
    params(("isbn" = String, Path, pattern = "^97[89][0-9]{10}$", description = "The book's ISBN-13, digits only"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn receive(
    State(api): Shared,
    Segment(isbn): Segment,
    sender: Sender,
    Body(body, sent): Body<GivenQuantity>,
) -> Result<Answer, Problem> {
    send(&api, sender, &isbn, StockCommand::ReceiveStock { quantity: body.quantity }, &sent).await
}

/// Sets copies aside for an order.
#[utoipa::path(post, path = "/stock/{isbn}/reserve", tag = "stock", request_body = ReservationBody,
    params(("isbn" = String, Path, pattern = "^97[89][0-9]{10}$", description = "The book's ISBN-13, digits only"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn reserve(
    State(api): Shared,
    Segment(isbn): Segment,
    sender: Sender,
    Body(GivenReservation { order_id, quantity }, sent): Body<GivenReservation>,
) -> Result<Answer, Problem> {
    send(&api, sender, &isbn, StockCommand::ReserveStock { order_id, quantity }, &sent).await
}

/// Makes the copies of an order free again.
#[utoipa::path(post, path = "/stock/{isbn}/release", tag = "stock", request_body = ReservationBody,
    params(("isbn" = String, Path, pattern = "^97[89][0-9]{10}$", description = "The book's ISBN-13, digits only"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn release(
    State(api): Shared,
    Segment(isbn): Segment,
    sender: Sender,
    Body(GivenReservation { order_id, quantity }, sent): Body<GivenReservation>,
) -> Result<Answer, Problem> {
    send(&api, sender, &isbn, StockCommand::ReleaseStock { order_id, quantity }, &sent).await
}

/// Tells that the copies of an order have left the house.
#[utoipa::path(post, path = "/stock/{isbn}/commit", tag = "stock", request_body = ReservationBody,
    params(("isbn" = String, Path, pattern = "^97[89][0-9]{10}$", description = "The book's ISBN-13, digits only"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn commit(
    State(api): Shared,
    Segment(isbn): Segment,
    sender: Sender,
    Body(GivenReservation { order_id, quantity }, sent): Body<GivenReservation>,
) -> Result<Answer, Problem> {
    send(&api, sender, &isbn, StockCommand::CommitStock { order_id, quantity }, &sent).await
}

#[derive(Deserialize)]
pub(crate) struct GivenQuantity {
    quantity: StockQuantity,
}

#[derive(Deserialize)]
pub(crate) struct GivenReservation {
    order_id: OrderId,
    quantity: StockQuantity,
}

impl Fields for GivenQuantity {
    fn look(at: &mut Faults<'_>) {
        at.required::<StockQuantity>("quantity");
    }
}

impl Fields for GivenReservation {
    fn look(at: &mut Faults<'_>) {
        at.required::<OrderId>("order_id");
        at.required::<StockQuantity>("quantity");
    }
}

/// The book from a path.
pub(crate) fn parse_isbn(isbn: &str) -> Result<Isbn, Problem> {
    Isbn::try_from(isbn.to_owned()).map_err(|rule| Problem::invalid("isbn", rule.to_string()))
}

/// The stream of a book's stock.
pub(crate) fn stream(isbn: &Isbn) -> Result<StreamId, Problem> {
    StreamId::new(stock::stream(isbn)).map_err(|rule| Problem::invalid("isbn", rule.to_string()))
}

async fn send(
    api: &Api,
    sender: Sender,
    isbn: &str,
    command: StockCommand,
    sent: &CanonicalJson,
) -> Result<Answer, Problem> {
    commands::send(api, sender, stream(&parse_isbn(isbn)?)?, Command::Stock(command), sent).await
}
