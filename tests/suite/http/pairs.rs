//! A command over a pair of aggregates, registered with an app.

use crate::harness::in_process;
use crate::harness::stack::TestStack;
use axum::Router;
use axum::http::Method;
use bookshop::{ORDER, STOCK};
use domain::order::{self, Order, OrderCommand, OrderEvent};
use domain::stock::{self, Stock, StockCommand, StockEvent};
use domain::{OrderId, StockQuantity, TrackingCode};
use handlers::app::{Across, DecidedForPair, across};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

const BOOK: &str = "9780306406157";

/// The last copies of an order leave the house with its parcel.
#[derive(Deserialize, ToSchema)]
struct HandOver {
    order: String,
    isbn: String,
    quantity: StockQuantity,
    tracking_code: TrackingCode,
}

fn hand_over(
    order: &Order,
    stock: &Stock,
    asked: &HandOver,
) -> DecidedForPair<OrderEvent, StockEvent, String> {
    let ship = OrderCommand::ShipOrder { tracking_code: asked.tracking_code.clone() };
    let shipped = order::decide(order, &ship).map_err(|refusal| refusal.to_string())?;
    let order_id = OrderId::try_from(asked.order.clone()).map_err(|error| error.to_string())?;
    let commit = StockCommand::CommitStock { order_id, quantity: asked.quantity };
    Ok((shipped, stock::decide(stock, &commit).map_err(|refusal| refusal.to_string())?))
}

/// The bookshop with that command.
fn api(idle: &TestStack) -> Router {
    let example = r#"{"order": "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", "isbn": "9780306406157", "quantity": 1, "tracking_code": "T"}"#;
    let keys = |asked: &HandOver| (asked.order.clone(), asked.isbn.clone());
    let pair = Across::pair(
        "HandOver",
        (&ORDER, &STOCK),
        keys,
        hand_over,
        |_: &String| "cannot-hand-over",
        example,
    );
    in_process::api(idle, bookshop::app().across(pair).routes([across("/parcels", "HandOver")]))
}

async fn post(api: &Router, path: &str, key: &str, body: &Value) -> (u16, Value) {
    in_process::ask(api, Method::POST, path, Some(key), body).await
}

#[tokio::test]
async fn a_pair_of_aggregates_decides_together_or_not_at_all() {
    let idle = TestStack::start().await;
    let api = api(&idle);
    let line = json!({"isbn": BOOK, "quantity": 2, "unit_price_minor": 5});
    let order = json!({"customer_id": "c", "currency": "EUR", "lines": [line]});
    let (_, placed) = post(&api, "/orders", "o", &order).await;
    let id = placed["stream"].as_str().unwrap().trim_start_matches("order-").to_owned();
    let parcel = json!({"order": id, "isbn": BOOK, "quantity": 2, "tracking_code": "T"});
    let (status, refused) = post(&api, "/parcels", "p", &parcel).await;
    assert_eq!((status, &refused["code"]), (422, &json!("cannot-hand-over")), "{refused}");
    for (path, key, body) in [
        (format!("/stock/{BOOK}/receive"), "r", json!({"quantity": 5})),
        (format!("/stock/{BOOK}/reserve"), "s", json!({"order_id": id, "quantity": 2})),
        (format!("/orders/{id}/confirm"), "c", json!({})),
    ] {
        assert_eq!(post(&api, &path, key, &body).await.0, 200, "{path}");
    }
    let (status, done) = post(&api, "/parcels", "q", &parcel).await;
    let of = |answer: &Value| -> Vec<(String, Value)> {
        let parts = answer["streams"].as_array().unwrap().iter();
        parts
            .map(|part| {
                (part["stream"].as_str().unwrap().to_owned(), part["events"][0]["type"].clone())
            })
            .collect()
    };
    let both = [
        (format!("order-{id}"), json!("OrderShipped")),
        (format!("stock-{BOOK}"), json!("StockCommitted")),
    ];
    assert_eq!((status, of(&done)), (200, both.to_vec()), "{done}");
    assert_eq!(post(&api, "/parcels", "q", &parcel).await.1, done, "sent again");
    let (status, again) = post(&api, "/parcels", "another", &parcel).await;
    assert_eq!(
        (status, &again["reason"]),
        (422, &json!(format!("nothing is reserved for order {id}"))),
        "{again}"
    );
}
