//! Commands to orders.

use super::commands::{self, Answer};
use super::extract::{Body, Segment, Sender};
use super::faults::{Faults, Fields};
use super::problem::Problem;
use super::schema::{
    CommandAnswer, CommandHeaders, CommandOutcome, CommandTaken, Nothing, PlaceOrderBody, ReasonBody, TrackingCodeBody,
};
use super::{Api, Shared};
use crate::bookshop::Command;
use crate::canonical_json::CanonicalJson;
use axum::extract::State;
use axum::response::Response;
use domain::order::{self, OrderCommand, OrderDetails};
use domain::{Currency, CustomerId, Isbn, OrderId, OrderLines, OrderQuantity, Reason, TrackingCode, UnitPriceMinor};
use eventstore::{Id, StreamId};
use serde::Deserialize;
use uuid::Uuid;

/// Order ids are made in this namespace, of caller and key.
const ORDER_NAMESPACE: Uuid = Uuid::from_u128(0x9a3d_6d6c_52a1_4f0e_8f5a_2b1e_7c40_d5f1);

/// Places an order. The order's id follows from caller and key, so a retry is the same order.
#[utoipa::path(post, path = "/orders", tag = "orders", request_body = PlaceOrderBody,
    params(CommandHeaders),
    responses((status = 201, description = "Placed, now or by an earlier try", body = CommandAnswer), CommandTaken))]
pub(crate) async fn place(
    State(api): Shared,
    sender: Sender,
    Body(details, sent): Body<OrderDetails>,
) -> Result<Response, Problem> {
    let order_id = order_id(&sender.actor, &sender.key);
    let location = format!("/orders/{order_id}");
    let answer = send(&api, sender, order_id, OrderCommand::PlaceOrder(details), &sent).await?;
    Ok(answer.created(&location))
}

/// The order that a caller's key means: nobody can meet another's, by chance or on purpose.
fn order_id(actor: &Id, key: &Id) -> OrderId {
    // Ids have no line breaks, so that no two pairs make the same name.
    OrderId::new(Uuid::new_v5(&ORDER_NAMESPACE, format!("{actor}\n{key}").as_bytes()))
}

/// Promises to deliver.
#[utoipa::path(post, path = "/orders/{id}/confirm", tag = "orders", request_body = Nothing,
    params(("id" = Uuid, Path, description = "The order's id"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn confirm(
    State(api): Shared,
    Segment(id): Segment,
    sender: Sender,
    Body(Nothing {}, sent): Body<Nothing>,
) -> Result<Answer, Problem> {
    send(&api, sender, parse_id(&id)?, OrderCommand::ConfirmOrder {}, &sent).await
}

/// Declines to deliver.
#[utoipa::path(post, path = "/orders/{id}/reject", tag = "orders", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "The order's id"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn reject(
    State(api): Shared,
    Segment(id): Segment,
    sender: Sender,
    Body(body, sent): Body<GivenReason>,
) -> Result<Answer, Problem> {
    send(&api, sender, parse_id(&id)?, OrderCommand::RejectOrder { reason: body.reason }, &sent).await
}

/// Calls the order off.
#[utoipa::path(post, path = "/orders/{id}/cancel", tag = "orders", request_body = ReasonBody,
    params(("id" = Uuid, Path, description = "The order's id"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn cancel(
    State(api): Shared,
    Segment(id): Segment,
    sender: Sender,
    Body(body, sent): Body<GivenReason>,
) -> Result<Answer, Problem> {
    send(&api, sender, parse_id(&id)?, OrderCommand::CancelOrder { reason: body.reason }, &sent).await
}

/// Tells that the parcel has left the house.
#[utoipa::path(post, path = "/orders/{id}/ship", tag = "orders", request_body = TrackingCodeBody,
    params(("id" = Uuid, Path, description = "The order's id"), CommandHeaders),
    responses(CommandOutcome, CommandTaken))]
pub(crate) async fn ship(
    State(api): Shared,
    Segment(id): Segment,
    sender: Sender,
    Body(body, sent): Body<GivenTrackingCode>,
) -> Result<Answer, Problem> {
    send(&api, sender, parse_id(&id)?, OrderCommand::ShipOrder { tracking_code: body.tracking_code }, &sent).await
}

#[derive(Deserialize)]
pub(crate) struct GivenReason {
    reason: Reason,
}

#[derive(Deserialize)]
pub(crate) struct GivenTrackingCode {
    tracking_code: TrackingCode,
}

impl Fields for OrderDetails {
    fn look(at: &mut Faults<'_>) {
        at.required::<CustomerId>("customer_id");
        at.required::<Currency>("currency");
        at.list::<OrderLines>("lines", |line| {
            line.required::<Isbn>("isbn");
            line.required::<OrderQuantity>("quantity");
            line.required::<UnitPriceMinor>("unit_price_minor");
        });
    }
}

impl Fields for Nothing {
    fn look(_: &mut Faults<'_>) {}
}

impl Fields for GivenReason {
    fn look(at: &mut Faults<'_>) {
        at.required::<Reason>("reason");
    }
}

impl Fields for GivenTrackingCode {
    fn look(at: &mut Faults<'_>) {
        at.required::<TrackingCode>("tracking_code");
    }
}

/// The order's id from a path.
pub(crate) fn parse_id(id: &str) -> Result<OrderId, Problem> {
    OrderId::try_from(id.to_owned()).map_err(|rule| Problem::invalid("id", rule.to_string()))
}

/// The stream of an order.
pub(crate) fn stream(order_id: OrderId) -> Result<StreamId, Problem> {
    StreamId::new(order::stream(order_id)).map_err(|rule| Problem::invalid("id", rule.to_string()))
}

async fn send(
    api: &Api,
    sender: Sender,
    order_id: OrderId,
    command: OrderCommand,
    sent: &CanonicalJson,
) -> Result<Answer, Problem> {
    commands::send(api, sender, stream(order_id)?, Command::Order(command), sent).await
}
