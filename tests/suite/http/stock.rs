//! Commands to the stock of a book, and its levels.

use super::{Program, isbn};
use crate::harness::seed::receive_at_once;
use serde_json::{Value, json};

const ANN: &str = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";
const BOB: &str = "7a0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";

fn of(order_id: &str, quantity: u32) -> Value {
    json!({"order_id": order_id, "quantity": quantity})
}

#[tokio::test]
async fn levels_follow_each_command_to_stock() {
    let program = Program::start().await;
    let book = isbn(7);
    let steps = [
        ("receive", json!({"quantity": 10}), "StockReceived", (10, 0, 10)),
        ("reserve", of(ANN, 4), "StockReserved", (10, 4, 6)),
        ("reserve", of(BOB, 6), "StockReserved", (10, 10, 0)),
        ("release", of(ANN, 4), "StockReleased", (10, 6, 4)),
        ("commit", of(BOB, 6), "StockCommitted", (4, 0, 4)),
    ];
    for (version, (command, body, event, (on_hand, reserved, available))) in (1..).zip(steps) {
        let done = program
            .command(&format!("/stock/{book}/{command}"), &format!("k-{version}"), &body)
            .await;
        assert_eq!(
            (done.status, done.header("etag")),
            (200, &*format!("\"{version}\"")),
            "{done:?}"
        );
        assert_eq!(done.header("idempotency-key"), format!("k-{version}"));
        let recorded_at = &done.body["events"][0]["recorded_at"];
        let event =
            json!({"version": version, "type": event, "recorded_at": recorded_at, "data": body});
        let whole = json!({"stream": format!("stock-{book}"), "version": version, "events": [event],
            "command_id": format!("k-{version}"), "correlation_id": format!("k-{version}")});
        assert_eq!(done.body, whole);
        let levels = program.get(&format!("/stock/{book}?at_least={version}")).await;
        assert_eq!((levels.status, levels.header("etag")), (200, done.header("etag")));
        let whole = json!({"isbn": book, "version": version, "on_hand": on_hand, "reserved": reserved,
            "available": available});
        assert_eq!(levels.body, whole);
    }
}

#[tokio::test]
async fn reserving_or_releasing_twice_counts_once() {
    let program = Program::start().await;
    let path = format!("/stock/{}", isbn(7));
    program.command(&format!("{path}/receive"), "r", &json!({"quantity": 10})).await;
    for (command, version) in [("reserve", 2), ("release", 3)] {
        let path = format!("{path}/{command}");
        assert_eq!(
            program.command(&path, &format!("{command}-1"), &of(ANN, 4)).await.body["version"],
            version
        );
        let again = program.command(&path, &format!("{command}-2"), &of(ANN, 4)).await;
        assert_eq!((again.status, &again.body["events"]), (200, &json!([])));
        assert_eq!(
            (&again.body["version"], again.header("etag")),
            (&json!(version), &*format!("\"{version}\""))
        );
        assert!(!again.headers.contains_key("idempotency-replayed"));
    }
}

#[tokio::test]
async fn an_impossible_step_of_stock_is_refused_with_its_reason() {
    let program = Program::start().await;
    let book = isbn(7);
    program.command(&format!("/stock/{book}/receive"), "r", &json!({"quantity": 10})).await;
    program.command(&format!("/stock/{book}/reserve"), "a", &of(ANN, 4)).await;
    let other = format!("4 reserved for order {ANN}, not 5");
    let cases = [
        ("reserve", of(BOB, 7), "7 wanted, but only 6 available".to_owned()),
        ("reserve", of(ANN, 5), other.clone()),
        ("release", of(ANN, 5), other.clone()),
        ("commit", of(ANN, 5), other),
        ("commit", of(BOB, 1), format!("nothing is reserved for order {BOB}")),
    ];
    for (command, body, reason) in cases {
        program
            .command(&format!("/stock/{book}/{command}"), "refused", &body)
            .await
            .is_refused(&reason);
    }
    assert_eq!(
        program.history(&format!("stock-{book}")).await,
        ["1 StockReceived", "2 StockReserved"]
    );
}

#[tokio::test]
async fn full_stock_takes_no_more() {
    let program = Program::start().await;
    let book = isbn(7);
    receive_at_once(&program.exports, &book, 1_000, 1_000_000).await;
    let refused =
        program.command(&format!("/stock/{book}/receive"), "k", &json!({"quantity": 1})).await;
    refused.is_refused("1000000000 on hand, and 1 more would be over the limit of 1,000,000,000");
    let levels = program.get(&format!("/stock/{book}?at_least=1000")).await;
    assert_eq!(
        (&levels.body["on_hand"], &levels.body["version"]),
        (&json!(1_000_000_000), &json!(1_000))
    );
}

#[tokio::test]
async fn an_unknown_book_has_no_levels() {
    let program = Program::start().await;
    let book = isbn(8);
    program.get(&format!("/stock/{book}")).await.is_problem(404, "not-found");
    program
        .command(&format!("/stock/{book}/reserve"), "k", &of(ANN, 1))
        .await
        .is_refused("1 wanted, but only 0 available");
    let nothing = program.command(&format!("/stock/{book}/release"), "k", &of(ANN, 1)).await;
    assert_eq!(
        (nothing.status, &nothing.body["version"], nothing.header("etag")),
        (200, &json!(0), "\"0\"")
    );
    assert_eq!(program.history(&format!("stock-{book}")).await, [""; 0]);
}
