//! Many orders for too few copies: through fan-out, queue and several runners, and through a
//! program that is killed.

use super::client::order;
use super::orders::new_book;
use crate::harness::depth::full_or;
use crate::harness::http::{Client, Response};
use crate::harness::program::Dev;
use crate::harness::stack::TestStack;
use crate::harness::waiting::PATIENCE;
use bookshop::fulfilment;
use domain::order::OrderStatus;
use domain::{Isbn, OrderId};
use futures::future::join_all;
use handlers::FanOut;
use handlers::delivery::QueueMapping;
use ledgerfold::local::event_source::mapping::StreamMapping;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const BOOKS: usize = 5;
/// Copies of a book that come in at each start.
const COPIES: u32 = 15;
const RUNNERS: usize = 3;

/// Starts fan-out, queue and that many runners, each with its own caches.
async fn start(stack: &TestStack, folder: &TempDir, stop: &CancellationToken) -> JoinSet<()> {
    let (clients, mut running) = (stack.clients(), JoinSet::new());
    let route = stack.route(fulfilment().name).clone();
    let queue = route.queue_url.clone();
    let fan_out = FanOut::new(clients.sqs.clone(), vec![route]);
    let mapping = StreamMapping::new(stack.stream_arn().await, folder.path().join("fan-out"))
        .woken_by(stack.engines.dynamodb.changes());
    let handler = move |event| {
        let fan_out = fan_out.clone();
        async move { Ok::<_, Infallible>(fan_out.handle(event).await) }
    };
    running.spawn(mapping.run(clients.streams.clone(), handler, stop.clone()));
    for _ in 0..RUNNERS {
        let (runner, mut mapping) = (stack.runner(), QueueMapping::new(&queue));
        (mapping.concurrency, mapping.retry_after) = (3, Some(Duration::from_secs(1)));
        let handler = move |event| {
            let runner = runner.clone();
            async move { Ok::<_, Infallible>(runner.handle(event).await) }
        };
        running.spawn(mapping.run(clients.sqs.clone(), handler, stop.clone()));
    }
    running
}

/// An order of one or two books, one or two copies of each.
fn lines(books: &[Isbn], number: usize) -> Vec<(Isbn, u32)> {
    let of =
        |place: usize| (books[place % BOOKS].clone(), if number.is_multiple_of(4) { 2 } else { 1 });
    if number.is_multiple_of(3) { vec![of(number), of(number + 2)] } else { vec![of(number)] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_for_too_few_copies_are_answered_exactly() {
    let (orders, copies) = full_or((200, 30), (40, 6));
    let (stack, folder, stop) =
        (TestStack::start().await, TempDir::new().unwrap(), CancellationToken::new());
    let books: Vec<Isbn> = (0..BOOKS).map(|_| new_book()).collect();
    for book in &books {
        stack.receive(book, copies).await;
    }
    let running = start(&stack, &folder, &stop).await;
    let orders: Vec<OrderId> = join_all((0..orders).map(|number| {
        let (stack, lines) = (&stack, lines(&books, number));
        async move { stack.place(&lines).await }
    }))
    .await;
    stack.settles(&orders, &books).await;
    stop.cancel();
    tokio::time::timeout(PATIENCE, running.join_all()).await.expect("the runners do not end");
    let (mut confirmed, mut rejected) = (BTreeMap::<Isbn, u32>::new(), 0);
    for order_id in &orders {
        let order = stack.order(*order_id).await;
        match order.status().unwrap() {
            OrderStatus::Confirmed => {
                for line in &order.details().unwrap().lines {
                    *confirmed.entry(line.isbn.clone()).or_default() += line.quantity.get();
                }
            }
            OrderStatus::Rejected => rejected += 1,
            other @ (OrderStatus::Placed | OrderStatus::Cancelled | OrderStatus::Shipped) => {
                panic!("unexpected {other}")
            }
        }
    }
    assert!(
        rejected > 0 && confirmed.len() == BOOKS,
        "{rejected} rejected, {confirmed:?} confirmed"
    );
    for book in &books {
        let stock = stack.stock(book).await;
        assert_eq!((stock.on_hand(), stock.reserved()), (copies, confirmed[book]));
    }
}

const KILLS: usize = 5;
const CLIENTS: usize = 4;

/// A client of the program across restarts.
struct Shopper {
    name: usize,
    placed: Vec<String>,
}

impl Shopper {
    /// Places the next order, with the same key until it is answered; false if the program ends.
    async fn place(&mut self, client: &Client, books: &[Isbn]) -> bool {
        let number = self.placed.len();
        let lines = lines(books, self.name + number);
        let texts: Vec<(String, u32)> =
            lines.iter().map(|(isbn, copies)| (isbn.to_string(), *copies)).collect();
        let texts: Vec<(&str, u32)> =
            texts.iter().map(|(isbn, copies)| (&**isbn, *copies)).collect();
        let key = format!("client-{}-order-{number}", self.name);
        let Some(answer) = client.try_correlated("/orders", &key, &order(&texts)).await else {
            return false;
        };
        assert!((200..300).contains(&answer.status), "{answer:?}");
        self.placed
            .push(answer.body["stream"].as_str().unwrap().trim_start_matches("order-").to_owned());
        true
    }

    async fn shop(&mut self, client: &Client, books: &[Isbn], answers: &AtomicUsize) {
        while self.place(client, books).await {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One run of the program: killed after some answers, at any point.
async fn live_and_die(data: &TempDir, shoppers: &mut [Shopper], books: &[Isbn]) {
    let dev = Dev::start_whole(data.path()).await;
    let (client, answers) = (Client::of(&dev.url), AtomicUsize::new(0));
    for book in books {
        client.receive(&book.to_string(), COPIES).await;
    }
    let enough = fastrand::usize(10..40);
    let killer = async {
        while answers.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        dev.kill().await;
    };
    let shopping = shoppers.iter_mut().map(|shopper| shopper.shop(&client, books, &answers));
    tokio::join!(killer, join_all(shopping));
}

/// Waits until every order is decided. Returns the copies of each book in confirmed ones.
async fn all_decided(client: &Client, placed: &[String]) -> BTreeMap<String, u32> {
    let mut reserved = BTreeMap::<String, u32>::new();
    for order_id in placed {
        let decided = |order: &Response| {
            order.body["status"].as_str().is_some_and(|status| status != "placed")
        };
        let order = client.until(&format!("/orders/{order_id}"), decided).await;
        for line in
            order["lines"].as_array().unwrap().iter().filter(|_| order["status"] == "confirmed")
        {
            let copies = u32::try_from(line["quantity"].as_u64().unwrap()).unwrap();
            *reserved.entry(line["isbn"].as_str().unwrap().to_owned()).or_default() += copies;
        }
    }
    reserved
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_killed_often_answers_every_order() {
    let data = TempDir::new().unwrap();
    let books: Vec<Isbn> = (0..BOOKS).map(|_| new_book()).collect();
    let mut shoppers: Vec<Shopper> =
        (0..CLIENTS).map(|name| Shopper { name, placed: Vec::new() }).collect();
    for _ in 0..full_or(KILLS, 2) {
        live_and_die(&data, &mut shoppers, &books).await;
    }
    let dev = Dev::start_whole(data.path()).await;
    let client = Client::of(&dev.url);
    for shopper in &mut shoppers {
        assert!(shopper.place(&client, &books).await, "it is not killed any more");
    }
    let placed: Vec<String> = shoppers.into_iter().flat_map(|shopper| shopper.placed).collect();
    let reserved = all_decided(&client, &placed).await;
    for book in &books {
        let copies = reserved.get(&book.to_string()).copied().unwrap_or(0);
        client.holds(&book.to_string(), COPIES, copies).await;
    }
    assert_eq!(dev.interrupt().await, 0);
    let orders: Vec<OrderId> =
        placed.into_iter().map(|id| OrderId::try_from(id).unwrap()).collect();
    let stack = TestStack::over(data).await;
    assert_eq!(stack.unsettled(&orders, &books).await, [""; 0]);
    let confirmed = reserved.values().sum::<u32>();
    assert!(confirmed > 0, "{} orders, and no copy for any", orders.len());
}
