//! Rows from before asks were stored, as the program of 2026-11-30 wrote them.

use super::{Known, older};
use serde_json::{Value, json};

/// A placed order of two books, of which one is reserved and one was refused.
fn row() -> Value {
    json!({
        "causes": {"1": {"correlation_id": "rejected", "trace_parent": "00-01a22b8db8ff73148bb038b0e5acd397-8bb038b1af39e2c1-00"}},
        "fulfilment": {
            "end": null,
            "order_id": "adfc37f8-e71c-5064-be8f-6877d81bcb23",
            "placed": {
                "lines": [
                    {"isbn": "9780306406157", "quantity": 2, "unit_price_minor": 1999},
                    {"isbn": "9781861972712", "quantity": 1, "unit_price_minor": 1999},
                ],
                "recorded_at_ms": 1_796_027_037_952_u64,
                "version": 1,
            },
            "refused": ["9781861972712"],
            "reserved": {"9780306406157": {"121": 2}},
            "verdict": {"Reject": {"missing": "9781861972712"}},
        },
    })
}

#[test]
fn an_older_row_is_the_state_of_today() {
    let (known, asks) = older::lift(row()).unwrap();
    assert_eq!(serde_json::to_value(&known).unwrap(), row());
    assert_eq!(asks, []);
    assert!(older::lift(json!({})).is_err());
    assert_eq!(serde_json::from_value::<Known>(row()).unwrap(), known);
}

#[test]
fn an_older_row_that_was_held_asks_again_but_for_what_was_refused() {
    let mut held = row();
    held["held"] = json!(true);
    let (_, asks) = older::lift(held).unwrap();
    let asked: Vec<_> = asks.iter().map(|ask| (ask.name.as_str(), ask.stream.as_str())).collect();
    let order = "order-adfc37f8-e71c-5064-be8f-6877d81bcb23";
    assert_eq!(asked, [("reserve 2", "stock-9780306406157"), ("reject 9781861972712", order)]);
}
