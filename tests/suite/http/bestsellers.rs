//! The best-selling books of a day.

use super::{Program, eventually, isbn, line, order, text};
use crate::harness::seed::{Seed, append, clients};
use eventstore::{EventStore, Options};
use serde_json::{Value, json};
use std::sync::Arc;

fn book(number: u32, copies: u32, revenue_minor: &Value) -> Value {
    json!({"isbn": isbn(number), "copies": copies, "revenue_minor": revenue_minor})
}

async fn until_books_are(program: &Program, query: &str, books: &[Value]) {
    let mut last = Value::Null;
    let found = eventually("the books are as wanted", || async {
        let answer = program.get(&format!("/bestsellers{query}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Some(answer.body).filter(|body| body["books"] == json!(books))
    });
    last.clone_from(&found.await);
    assert_eq!(last["books"], json!(books));
}

#[tokio::test]
async fn books_are_ranked_by_copies_without_cancelled_orders() {
    let program = Program::start().await;
    let first =
        program.command("/orders", "k-1", &order("c", &[line(1, 2, 100), line(2, 5, 10)])).await;
    let mut dollars = order("d", &[line(1, 4, 30), line(3, 1, 7)]);
    dollars["currency"] = json!("USD");
    let second = program.place("k-2", &dollars).await;
    let day = text(&first.body["events"][0]["recorded_at"])[..10].to_owned();
    let of_day = format!("?day={day}");
    let all = [
        book(1, 6, &json!({"EUR": 200, "USD": 120})),
        book(2, 5, &json!({"EUR": 50})),
        book(3, 1, &json!({"USD": 7})),
    ];
    until_books_are(&program, &of_day, &all).await;
    until_books_are(&program, &format!("{of_day}&limit=2"), &all[..2]).await;
    until_books_are(&program, "", &all).await;
    assert_eq!(program.get(&format!("/bestsellers{of_day}")).await.body["day"], day);
    let empty = program.get("/bestsellers?day=2001-02-03").await.body;
    assert_eq!(empty, json!({"day": "2001-02-03", "books": []}));

    program.command(&format!("{second}/cancel"), "c", &json!({"reason": "r"})).await;
    until_books_are(
        &program,
        &of_day,
        &[book(2, 5, &json!({"EUR": 50})), book(1, 2, &json!({"EUR": 200}))],
    )
    .await;
    let reject = format!("{}/reject", first.header("location"));
    program.command(&reject, "r", &json!({"reason": "r"})).await;
    until_books_are(&program, &of_day, &[]).await;
}

#[tokio::test]
async fn sales_of_a_fast_clock_are_of_the_newest_day() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let tomorrow = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let options = Options { clock: Arc::new(move || tomorrow), ..Options::default() };
    let store = EventStore::with_options(clients(&exports).dynamodb, "ledgerfold-events", options);
    let seed = Seed {
        command: "k".to_owned(),
        events: vec![("OrderPlaced", order("c", &[line(1, 2, 100)]))],
        ..Seed::default()
    };
    append(&store, "order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", &[seed]).await;
    until_books_are(&program, "", &[book(1, 2, &json!({"EUR": 200}))]).await;
    assert_eq!(program.get("/bestsellers").await.body["day"], tomorrow.date_naive().to_string());
}
