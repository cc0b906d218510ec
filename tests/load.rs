//! How the program does under load, as it ships: starts it on a fresh folder, takes books into
//! stock, places orders, and reports; fulfilment confirms the orders meanwhile.
//!
//! ```sh
//! cargo build --release && cargo run --release -p ledgerfold-tests --example load -- target/release/ledgerfold 10000 32
//! ```
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a tool for measuring: what it cannot do ends it"
)]

use futures::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const BOOKS: u64 = 100;

/// A book's ISBN-13, with its checksum.
fn isbn(book: u64) -> String {
    let digits = format!("978{book:09}");
    let sum: u32 = digits
        .chars()
        .zip([1, 3].iter().cycle())
        .map(|(c, weight)| c.to_digit(10).unwrap() * weight)
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}

async fn place(http: &Client, url: &str, number: usize) {
    let lines =
        json!([{"isbn": isbn(number as u64 % BOOKS), "quantity": 1, "unit_price_minor": 1999}]);
    let body =
        json!({"customer_id": format!("c-{}", number % 1000), "currency": "EUR", "lines": lines});
    let request =
        http.post(format!("{url}/orders")).header("Idempotency-Key", format!("load-{number}"));
    let response = request.json(&body).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 201, "{}", response.text().await.unwrap());
    response.bytes().await.unwrap();
}

/// Takes more copies of each book into stock than are ordered.
async fn stock_up(url: &str, commands: usize) {
    let http = Client::new();
    for book in 0..BOOKS {
        let request = http.post(format!("{url}/stock/{}/receive", isbn(book)));
        let response = request.json(&json!({"quantity": commands})).send().await.unwrap();
        assert!(response.status().is_success(), "{}", response.text().await.unwrap());
    }
}

/// Places orders with so many clients at once. When each was placed and how long it took, in the
/// order of their ends.
async fn load(url: &str, commands: usize, clients: usize) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let clients = (0..clients).map(|_| {
        let (next, url) = (next.clone(), url.to_owned());
        tokio::spawn(async move {
            let (http, mut took) = (Client::new(), Vec::new());
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= commands {
                    return took;
                }
                let start = Instant::now();
                place(&http, &url, number).await;
                took.push((Instant::now(), start.elapsed()));
            }
        })
    });
    let mut took: Vec<(Instant, Duration)> =
        join_all(clients).await.into_iter().flat_map(Result::unwrap).collect();
    took.sort_unstable();
    took.into_iter().map(|(_, took)| took).collect()
}

/// Copies that the bestsellers count, over yesterday and today.
async fn counted(http: &Client, url: &str) -> u64 {
    let now = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).date_naive();
    let mut copies = 0;
    for day in [now, now.pred_opt().unwrap()] {
        let answer: Value = http
            .get(format!("{url}/bestsellers?day={day}&limit=500"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        copies += answer["books"]
            .as_array()
            .unwrap()
            .iter()
            .map(|book| book["copies"].as_u64().unwrap())
            .sum::<u64>();
    }
    copies
}

/// How many orders the list of a customer shows, and how many of them are confirmed.
async fn listed(http: &Client, url: &str, customer: usize) -> (usize, usize) {
    let (mut cursor, mut all, mut confirmed) = (String::new(), 0, 0);
    loop {
        let path = format!("{url}/customers/c-{customer}/orders?limit=500&cursor={cursor}");
        let page: Value = http.get(path).send().await.unwrap().json().await.unwrap();
        let orders = page["orders"].as_array().unwrap();
        all += orders.len();
        confirmed += orders.iter().filter(|order| order["status"] == "confirmed").count();
        match page["next_cursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return (all, confirmed),
        }
    }
}

/// Until both kinds of read models have every order, and until every order is confirmed in them.
async fn caught_up(url: &str, commands: usize) -> (Duration, Duration) {
    let (http, start) = (Client::new(), Instant::now());
    let in_time =
        || assert!(start.elapsed() < Duration::from_secs(300), "the read models do not catch up");
    while counted(&http, url).await < commands as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        in_time();
    }
    let (mut orders, mut unconfirmed) = (0, Vec::new());
    for customer in 0..1000.min(commands) {
        let (all, confirmed) = listed(&http, url, customer).await;
        orders += all;
        if confirmed < all {
            unconfirmed.push(customer);
        }
    }
    assert_eq!(orders, commands, "orders that the customers' lists show");
    let shown = start.elapsed();
    while let Some(customer) = unconfirmed.pop() {
        let (all, confirmed) = listed(&http, url, customer).await;
        if confirmed < all {
            unconfirmed.push(customer);
            tokio::time::sleep(Duration::from_millis(10)).await;
            in_time();
        }
    }
    (shown, start.elapsed())
}

/// A figure of the process in kilobytes, such as `VmHWM`.
fn memory_kb(process: &Child, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with(figure)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// CPU seconds of the process so far.
fn cpu_s(process: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn mean_ms(took: &[Duration]) -> f64 {
    took.iter().sum::<Duration>().as_secs_f64() * 1000.0 / took.len() as f64
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, commands, clients] = arguments.as_slice() else {
        panic!("usage: load PROGRAM COMMANDS CLIENTS")
    };
    let (commands, clients): (usize, usize) = (commands.parse().unwrap(), clients.parse().unwrap());
    let data = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let mut process = Command::new(program)
        .args(["dev", "--port", "0", "--data", data.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let url =
        first.trim().strip_prefix("ledgerfold is ready at ").expect("it did not start").to_owned();
    println!("ready after            {:.0} ms", started.elapsed().as_secs_f64() * 1000.0);

    stock_up(&url, commands).await;
    let started = Instant::now();
    let took = load(&url, commands, clients).await;
    let elapsed = started.elapsed();
    let cpu = cpu_s(&process);
    let (shown, confirmed) = caught_up(&url, commands).await;
    let mut sorted = took.clone();
    sorted.sort_unstable();
    println!(
        "commands/s             {:.0} with {clients} clients",
        commands as f64 / elapsed.as_secs_f64()
    );
    println!(
        "p50 / p99              {:.2} / {:.2} ms",
        mean_ms(&sorted[commands / 2..=commands / 2]),
        mean_ms(&sorted[commands * 99 / 100..=commands * 99 / 100])
    );
    let thousands: Vec<String> =
        took.chunks(1000).map(|thousand| format!("{:.1}", mean_ms(thousand))).collect();
    println!("ms in each thousand    {}", thousands.join(" "));
    println!(
        "read models caught up  {:.0} ms after the last answer, checked to the last order",
        shown.as_secs_f64() * 1000.0
    );
    println!(
        "all orders confirmed   {:.0} ms after the last answer",
        confirmed.as_secs_f64() * 1000.0
    );
    println!(
        "memory                 {} MB at most, {} MB at the end",
        memory_kb(&process, "VmHWM") / 1024,
        memory_kb(&process, "VmRSS") / 1024
    );
    println!(
        "CPU of the program     {:.2} ms a command until the last answer, engines and projections included",
        cpu * 1000.0 / commands as f64
    );
    println!(
        "CPU until caught up    {:.2} ms a command",
        cpu_s(&process) * 1000.0 / commands as f64
    );
    process.kill().unwrap();
    process.wait().unwrap();
}
