//! The running program end to end: commands in over HTTP, read models out.

use crate::harness::depth::full_or;
use crate::harness::http::Client;
use crate::harness::program::Dev;
use crate::harness::waiting::eventually;
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const CLIENTS: usize = 8;
const BOOKS: [&str; 3] = ["9780306406157", "9781861972712", "9780131103627"];

/// One client places orders of one to three books, and confirms or cancels two of three. The
/// streams.
async fn shop(client: &Client, name: usize, orders: usize) -> Vec<String> {
    let mut streams = Vec::new();
    for number in 0..orders {
        let key = format!("client-{name}-order-{number}");
        let books = BOOKS.iter().take(1 + (name + number) % BOOKS.len());
        let lines: Vec<Value> = books
            .map(|isbn| json!({"isbn": isbn, "quantity": 1 + number % 3, "unit_price_minor": 995}))
            .collect();
        let order = json!({"customer_id": format!("c-{name}"), "currency": "EUR", "lines": lines});
        let answer = client.done("/orders", &key, &order).await;
        let stream = answer["stream"].as_str().unwrap().to_owned();
        let path = format!("/orders/{}", stream.strip_prefix("order-").unwrap());
        match number % 3 {
            0 => drop(
                client.done(&format!("{path}/confirm"), &format!("{key}-end"), &json!({})).await,
            ),
            1 => {
                let reason = json!({"reason": "changed my mind \u{ffff}"});
                client.done(&format!("{path}/cancel"), &format!("{key}-end"), &reason).await;
            }
            _ => {}
        }
        if number % 3 == 2 || number < 3 {
            let path = format!("/stock/{}/receive", BOOKS[number % BOOKS.len()]);
            client.done(&path, &format!("{key}-copies"), &json!({"quantity": 2})).await;
        }
        streams.push(stream);
    }
    streams
}

async fn shop_together(client: &Client, orders_each: usize) -> Vec<String> {
    join_all((0..CLIENTS).map(|name| shop(client, name, orders_each))).await.concat()
}

/// The expected read models by path, computed from the audit histories.
#[derive(Debug, Default)]
struct Expected {
    orders: BTreeMap<String, Value>,
    customers: BTreeMap<String, BTreeSet<String>>,
    copies: BTreeMap<String, BTreeMap<String, i64>>,
    stock: BTreeMap<String, (u64, u64)>,
}

impl Expected {
    async fn of(client: &Client, streams: &[String]) -> Self {
        let mut expected = Self::default();
        for stream in streams {
            expected.add_order(stream, &client.events(stream).await);
        }
        for book in BOOKS {
            let events = client.events(&format!("stock-{book}")).await;
            let copies =
                events.iter().map(|event| event["data"]["quantity"].as_u64().unwrap()).sum();
            expected.stock.insert(book.to_owned(), (u64::try_from(events.len()).unwrap(), copies));
        }
        expected
    }

    fn add_order(&mut self, stream: &str, events: &[Value]) {
        let (placed, last) = (&events[0], &events[events.len() - 1]);
        let status = match last["type"].as_str().unwrap() {
            "OrderPlaced" => "placed",
            "OrderConfirmed" => "confirmed",
            "OrderCancelled" => "cancelled",
            other => panic!("unexpected {other}"),
        };
        let (order_id, details) = (stream.strip_prefix("order-").unwrap(), &placed["data"]);
        let customer = details["customer_id"].as_str().unwrap().to_owned();
        let view = json!([
            last["version"],
            status,
            customer,
            details["lines"],
            last["data"].get("reason")
        ]);
        self.orders.insert(order_id.to_owned(), view);
        self.customers.entry(customer).or_default().insert(order_id.to_owned());
        if status == "cancelled" {
            return;
        }
        let day = placed["recorded_at"].as_str().unwrap()[..10].to_owned();
        for line in details["lines"].as_array().unwrap() {
            let isbn = line["isbn"].as_str().unwrap().to_owned();
            *self.copies.entry(day.clone()).or_default().entry(isbn).or_default() +=
                line["quantity"].as_i64().unwrap();
        }
    }

    /// Waits until every read model is as expected.
    async fn comes(&self, client: &Client) {
        for (order_id, expected) in &self.orders {
            let path = format!("/orders/{order_id}");
            eventually(&path, async || {
                let order = client.get(&path).await.body;
                let (version, reason) = (&order["version"], &order["reason"]);
                (json!([version, order["status"], order["customer_id"], order["lines"], reason])
                    == *expected)
                    .then_some(())
            })
            .await;
        }
        for (isbn, expected) in &self.stock {
            let path = format!("/stock/{isbn}");
            eventually(&path, async || {
                let stock = client.get(&path).await.body;
                (stock["version"].as_u64().zip(stock["on_hand"].as_u64()) == Some(*expected))
                    .then_some(())
            })
            .await;
        }
        for (day, expected) in &self.copies {
            let path = format!("/bestsellers?day={day}");
            eventually(&path, async || {
                (sold(&client.get(&path).await.body) == *expected).then_some(())
            })
            .await;
        }
        self.customers_have_their_orders(client).await;
    }

    async fn customers_have_their_orders(&self, client: &Client) {
        for (customer, expected) in &self.customers {
            let page = client.get(&format!("/customers/{customer}/orders?limit=500")).await.body;
            let orders = page["orders"]
                .as_array()
                .unwrap()
                .iter()
                .map(|order| order["order_id"].as_str().unwrap());
            assert_eq!(orders.map(str::to_owned).collect::<BTreeSet<_>>(), *expected);
        }
    }
}

/// Copies by book. Every copy has the same price, so the sum must fit.
fn sold(bestsellers: &Value) -> BTreeMap<String, i64> {
    let books = bestsellers["books"].as_array().unwrap().iter().map(|book| {
        let copies = book["copies"].as_i64().unwrap();
        assert_eq!(book["revenue_minor"]["EUR"], copies * 995);
        (book["isbn"].as_str().unwrap().to_owned(), copies)
    });
    books.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_read_models_agree_with_three_hundred_orders_in_the_end() {
    let data = tempfile::tempdir().unwrap();
    let dev = Dev::start(data.path()).await;
    let client = Client::of(&dev.url);
    let streams = shop_together(&client, full_or(38, 5)).await;
    assert!(streams.len() >= full_or(300, 40));
    let expected = Expected::of(&client, &streams).await;
    assert!(expected.orders.len() == streams.len() && expected.customers.len() == CLIENTS);
    expected.comes(&client).await;
    assert_eq!(dev.interrupt().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_without_fan_out_are_projected_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let mut streams = Vec::new();
    for life in 0..2 {
        let dev = Dev::start(data.path()).await;
        let client = Client::of(&dev.url);
        // Each run needs other keys. With the same ones, the API returns the orders of the first
        // run.
        for client_number in 0..CLIENTS {
            streams.extend(shop(&client, life * CLIENTS + client_number, 3).await);
        }
        dev.kill().await;
    }
    let dev = Dev::start(data.path()).await;
    let client = Client::of(&dev.url);
    let expected = Expected::of(&client, &streams).await;
    assert_eq!(expected.orders.len(), 2 * CLIENTS * 3);
    expected.comes(&client).await;
    assert_eq!(dev.interrupt().await, 0);
}
