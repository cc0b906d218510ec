//! The running program confirms, rejects, releases and commits without a client's help.

use super::orders::new_book;
use crate::harness::http::{Client, Response};
use crate::harness::program::Dev;
use crate::harness::seed::clients;
use crate::harness::waiting::becomes;
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Program {
    dev: Dev,
    client: Client,
    data: TempDir,
}

impl Program {
    async fn start() -> Self {
        let data = TempDir::new().unwrap();
        let dev = Dev::start_whole(data.path()).await;
        Self { client: Client::of(&dev.url), dev, data }
    }
}

fn two_books() -> (String, String) {
    (new_book().to_string(), new_book().to_string())
}

#[tokio::test]
async fn an_order_is_confirmed_if_its_books_are_there_then_shipped() {
    let Program { dev, client, data: _data } = Program::start().await;
    let (one, other) = two_books();
    client.receive(&one, 3).await;
    client.receive(&other, 1).await;
    let order_id = client.order("k", &[(&one, 2), (&other, 1)]).await;
    client.becomes(&order_id, "confirmed").await;
    client.holds(&one, 3, 2).await;
    client.holds(&other, 1, 1).await;
    client
        .correlated(&format!("/orders/{order_id}/ship"), "s", &json!({"tracking_code": "1Z"}))
        .await;
    client.holds(&one, 1, 0).await;
    client.holds(&other, 0, 0).await;
    assert_eq!(dev.interrupt().await, 0);
}

#[tokio::test]
async fn an_order_without_a_book_is_rejected_and_the_others_released() {
    let Program { dev, client, data: _data } = Program::start().await;
    let (there, missing) = two_books();
    client.receive(&there, 3).await;
    client.receive(&missing, 1).await;
    let order_id = client.order("k", &[(&there, 2), (&missing, 2)]).await;
    let order = client.becomes(&order_id, "rejected").await;
    assert_eq!(order["reason"], format!("book {missing} is not available"));
    client.holds(&there, 3, 0).await;
    client.holds(&missing, 1, 0).await;
    let types: Vec<Value> = client
        .events(&format!("stock-{there}"))
        .await
        .into_iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(types, ["StockReceived", "StockReserved", "StockReleased"]);
    assert_eq!(dev.interrupt().await, 0);
}

#[tokio::test]
async fn a_confirmed_order_that_is_cancelled_gives_its_books_back() {
    let Program { dev, client, data: _data } = Program::start().await;
    let (book, _) = two_books();
    client.receive(&book, 2).await;
    let order_id = client.order("k", &[(&book, 2)]).await;
    client.becomes(&order_id, "confirmed").await;
    client
        .correlated(
            &format!("/orders/{order_id}/cancel"),
            "c",
            &json!({"reason": "changed my mind"}),
        )
        .await;
    client.holds(&book, 2, 0).await;
    assert_eq!(dev.interrupt().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_orders_for_the_last_copy_one_is_confirmed() {
    let Program { dev, client, data: _data } = Program::start().await;
    for _ in 0..10 {
        let (book, _) = two_books();
        client.receive(&book, 1).await;
        let (keys, lines) = ([format!("{book}-a"), format!("{book}-b")], [(&*book, 1)]);
        let orders = tokio::join!(client.order(&keys[0], &lines), client.order(&keys[1], &lines));
        let mut ends = Vec::new();
        for order_id in [orders.0, orders.1] {
            let decided = |order: &Response| {
                order.body["status"].as_str().is_some_and(|status| status != "placed")
            };
            let order = client.until(&format!("/orders/{order_id}"), decided).await;
            ends.push(order["status"].as_str().unwrap().to_owned());
        }
        ends.sort();
        assert_eq!(ends, ["confirmed", "rejected"]);
        client.holds(&book, 1, 1).await;
    }
    assert_eq!(dev.interrupt().await, 0);
}

/// Actor, cause and process of an event.
fn why(event: &Value) -> (&str, &str, Option<&str>, &str) {
    let text = |name: &str| event[name].as_str();
    (
        text("type").unwrap(),
        text("actor").unwrap(),
        text("causation_id"),
        text("correlation_id").unwrap(),
    )
}

#[tokio::test]
async fn every_command_has_the_causation_and_correlation_of_its_cause() {
    let Program { dev, client, data: _data } = Program::start().await;
    let (one, other) = two_books();
    client.receive(&one, 2).await;
    client.receive(&other, 2).await;
    let bought = client.order("bought", &[(&one, 1)]).await;
    let called_off = client.order("called-off", &[(&other, 1)]).await;
    for (order_id, path, body) in [
        (&bought, "ship", json!({"tracking_code": "1Z"})),
        (&called_off, "cancel", json!({"reason": "r"})),
    ] {
        client.becomes(order_id, "confirmed").await;
        client.correlated(&format!("/orders/{order_id}/{path}"), path, &body).await;
    }
    client.holds(&one, 1, 0).await;
    client.holds(&other, 2, 0).await;
    for (order_id, book, key, last, end) in [
        (&bought, &one, "bought", "StockCommitted", ("OrderShipped", "ship")),
        (&called_off, &other, "called-off", "StockReleased", ("OrderCancelled", "cancel")),
    ] {
        let (placed, ended) = (format!("order-{order_id}:1"), format!("order-{order_id}:3"));
        let (shopping, ending) = (format!("shopping-{key}"), format!("shopping-{}", end.1));
        let history = client.events(&format!("order-{order_id}")).await;
        let wanted = [
            ("OrderPlaced", "dev", None, &*shopping),
            ("OrderConfirmed", "fulfilment", Some(&*placed), &*shopping),
            (end.0, "dev", None, &*ending),
        ];
        assert_eq!(history.iter().map(why).collect::<Vec<_>>(), wanted);
        let history = client.events(&format!("stock-{book}")).await;
        let wanted = [
            ("StockReserved", "fulfilment", Some(&*placed), &*shopping),
            (last, "fulfilment", Some(&*ended), &*ending),
        ];
        assert_eq!(history[1..].iter().map(why).collect::<Vec<_>>(), wanted);
    }
    assert_eq!(dev.interrupt().await, 0);
}

/// Waits until so many messages wait in fulfilment's queue, all at the same time.
async fn wait_in_the_queue(sqs: &aws_sdk_sqs::Client, count: &str) {
    let queue = sqs
        .get_queue_url()
        .queue_name("ledgerfold-fulfilment.fifo")
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let waiting = async || {
        let answer = sqs
            .get_queue_attributes()
            .queue_url(&queue)
            .attribute_names(name.clone())
            .send()
            .await
            .unwrap();
        answer.attributes.unwrap().remove(&name).unwrap()
    };
    becomes("messages wait", waiting, |waiting| waiting == count).await;
}

#[tokio::test]
async fn without_fulfilment_nothing_happens_and_nothing_is_forgotten() {
    let data = TempDir::new().unwrap();
    let mut dev = Dev::start(data.path()).await;
    let (client, sqs) = (Client::of(&dev.url), clients(&dev.exports().await).sqs);
    let (book, _) = two_books();
    client.receive(&book, 1).await;
    let order_id = client.order("k", &[(&book, 1)]).await;
    wait_in_the_queue(&sqs, "2").await;
    let other = client.order("another", &[(&book, 1)]).await;
    // Earlier messages would be handled by now.
    wait_in_the_queue(&sqs, "3").await;
    for order_id in [&order_id, &other] {
        assert_eq!(client.events(&format!("order-{order_id}")).await.len(), 1);
    }
    assert_eq!(dev.interrupt().await, 0);
    let dev = Dev::start_whole(data.path()).await;
    let client = Client::of(&dev.url);
    for order_id in [&order_id, &other] {
        client.until(&format!("/orders/{order_id}"), |order| order.body["version"] == 2).await;
    }
    client.holds(&book, 1, 1).await;
    assert_eq!(dev.interrupt().await, 0);
}
