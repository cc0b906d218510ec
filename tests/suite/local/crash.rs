//! Killed at any moment under load, again and again: nothing that was acknowledged is lost, nothing is done twice.

use crate::harness::program::Dev;
use futures::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const KILLS: usize = 20;
const CLIENTS: usize = 8;
/// Few enough that clients meet on a stream, many enough that no stream grows long.
const BOOKS: [&str; 8] = [
    "9780000000002",
    "9780000000019",
    "9780000000026",
    "9780000000033",
    "9780000000040",
    "9780000000057",
    "9780000000064",
    "9780000000071",
];
/// How long the read models may take to catch up at the end. Generous: what counts is that they do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command with its key: sent again until it is answered.
#[derive(Debug, Clone)]
struct Command {
    key: String,
    path: String,
    body: Value,
}

/// An answered command: where it stands, and the answer.
#[derive(Debug, Clone)]
struct Acknowledged {
    stream: String,
    version: u64,
}

/// A client's memory over all lives of the program.
#[derive(Default)]
struct Memory {
    unanswered: Option<Command>,
    acknowledged: Vec<(Command, Acknowledged)>,
}

fn next_command(client: usize, number: usize) -> Command {
    let (key, book) = (format!("client-{client}-command-{number}"), BOOKS[number % BOOKS.len()]);
    if number.is_multiple_of(3) {
        let lines = json!([{"isbn": book, "quantity": 1, "unit_price_minor": 1000}]);
        let body = json!({"customer_id": format!("c-{client}"), "currency": "EUR", "lines": lines});
        return Command { key, path: "/orders".into(), body };
    }
    Command { key, path: format!("/stock/{book}/receive"), body: json!({"quantity": 1}) }
}

/// Sends commands, each until it is answered, until the program is gone.
async fn work(url: &str, client: usize, memory: &mut Memory, answers: &AtomicUsize) {
    let http = Client::new();
    loop {
        let number = memory.acknowledged.len();
        let command = memory.unanswered.take().unwrap_or_else(|| next_command(client, number));
        match send(&http, url, &command).await {
            Some(acknowledged) => {
                memory.acknowledged.push((command, acknowledged));
                answers.fetch_add(1, Ordering::Relaxed);
            }
            None => {
                memory.unanswered = Some(command);
                return;
            }
        }
    }
}

/// The answer, or nothing if the program went away before it came. "Busy" says that the same is to be sent again.
async fn send(http: &Client, url: &str, command: &Command) -> Option<Acknowledged> {
    for _ in 0..100 {
        let request = http.post(format!("{url}{}", command.path)).header("Idempotency-Key", &command.key);
        let response = request.json(&command.body).send().await.ok()?;
        let status = response.status();
        let body: Value = response.json().await.ok()?;
        if status != StatusCode::SERVICE_UNAVAILABLE {
            assert!(status.is_success(), "{command:?} was answered with {status}: {body}");
            return Some(Acknowledged {
                stream: body["stream"].as_str()?.to_owned(),
                version: body["version"].as_u64()?,
            });
        }
    }
    panic!("{command:?} is never answered but with busy");
}

/// One life of the program: killed after some answers, wherever it is then.
async fn live_and_die(data: &std::path::Path, memories: &mut [Memory]) {
    let dev = Dev::start(data).await;
    let (url, answers) = (dev.url.clone(), AtomicUsize::new(0));
    let enough = fastrand::usize(20..120);
    let killer = async {
        while answers.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        dev.kill().await;
    };
    let clients = memories.iter_mut().enumerate().map(|(client, memory)| work(&url, client, memory, &answers));
    tokio::join!(killer, join_all(clients));
}

/// Every event of a stream, page by page.
async fn history(http: &Client, url: &str, stream: &str) -> Vec<Value> {
    let (mut events, mut from) = (Vec::new(), Some(1));
    while let Some(start) = from {
        let page: Value = http
            .get(format!("{url}/audit/streams/{stream}?from={start}&limit=500"))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        events.extend(page["events"].as_array().unwrap_or_else(|| panic!("{page}")).clone());
        from = page["next_from"].as_u64();
    }
    events
}

async fn get(http: &Client, url: &str, path: &str) -> Value {
    http.get(format!("{url}{path}")).send().await.unwrap().json().await.unwrap()
}

/// Asks until the answer is the one that must come.
async fn eventually(http: &Client, url: &str, path: &str, read: fn(&Value) -> u64, expected: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = get(http, url, path).await;
        if read(&answer) == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{path} still answers {answer} and not {expected}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_no_acknowledged_command_and_double_none() {
    let data = tempfile::tempdir().unwrap();
    let mut memories: Vec<Memory> = (0..CLIENTS).map(|_| Memory::default()).collect();
    for _ in 0..KILLS {
        live_and_die(data.path(), &mut memories).await;
    }
    let dev = Dev::start(data.path()).await;
    let (http, url) = (Client::new(), dev.url.clone());
    for memory in &mut memories {
        if let Some(command) = memory.unanswered.take() {
            let answer = send(&http, &url, &command).await.expect("nobody kills it now");
            memory.acknowledged.push((command, answer));
        }
    }
    let acknowledged: Vec<(Command, Acknowledged)> =
        memories.into_iter().flat_map(|memory| memory.acknowledged).collect();
    let copies = each_command_stands_once(&http, &url, &acknowledged).await;
    read_models_agree(&http, &url, &acknowledged, &copies).await;
    assert_eq!(dev.interrupt().await, 0);
}

/// Every command's commit is there, once, where its answer said. The copies that each book's stock was given.
async fn each_command_stands_once(
    http: &Client,
    url: &str,
    acknowledged: &[(Command, Acknowledged)],
) -> BTreeMap<String, u64> {
    let streams: BTreeSet<&str> = acknowledged.iter().map(|(_, answer)| answer.stream.as_str()).collect();
    let (mut found, mut copies) = (BTreeMap::<(String, String), Vec<u64>>::new(), BTreeMap::new());
    for stream in streams {
        let verified = get(http, url, &format!("/audit/streams/{stream}/verify")).await;
        assert_eq!(verified["verified"], true, "{verified}");
        for event in history(http, url, stream).await {
            let key = (stream.to_owned(), event["command_id"].as_str().unwrap().to_owned());
            found.entry(key).or_default().push(event["version"].as_u64().unwrap());
            if let Some(book) = stream.strip_prefix("stock-") {
                *copies.entry(book.to_owned()).or_default() += event["data"]["quantity"].as_u64().unwrap();
            }
        }
    }
    for (command, Acknowledged { stream, version }) in acknowledged {
        let versions = found.remove(&(stream.clone(), command.key.clone()));
        assert_eq!(versions, Some(vec![*version]), "{command:?} in {stream}");
    }
    assert!(found.is_empty(), "nobody sent {found:?}");
    copies
}

/// The read models come to what the streams say.
async fn read_models_agree(
    http: &Client,
    url: &str,
    acknowledged: &[(Command, Acknowledged)],
    copies: &BTreeMap<String, u64>,
) {
    let orders: Vec<&Acknowledged> = acknowledged.iter().filter(|(c, _)| c.path == "/orders").map(|(_, a)| a).collect();
    assert!(!orders.is_empty() && copies.len() == BOOKS.len(), "the load was too small");
    for (book, copies) in copies {
        eventually(http, url, &format!("/stock/{book}"), |stock| stock["on_hand"].as_u64().unwrap_or(0), *copies).await;
    }
    for order in &orders {
        let path = format!("/orders/{}", order.stream.trim_start_matches("order-"));
        eventually(http, url, &path, |order| order["version"].as_u64().unwrap_or(0), 1).await;
    }
    // The test may run over midnight: then two days share the copies.
    let sold = |answer: &Value| {
        let books = answer["books"].as_array().cloned().unwrap_or_default();
        books.iter().filter_map(|book| book["copies"].as_u64()).sum::<u64>()
    };
    let days: BTreeSet<String> = {
        let mut days = BTreeSet::new();
        for order in &orders {
            let events = history(http, url, &order.stream).await;
            days.insert(events[0]["recorded_at"].as_str().unwrap()[..10].to_owned());
        }
        days
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut total = 0;
        for day in &days {
            total += sold(&get(http, url, &format!("/bestsellers?day={day}&limit=500")).await);
        }
        if total == u64::try_from(orders.len()).unwrap() {
            return;
        }
        assert!(Instant::now() < deadline, "bestsellers count {total} of {} copies", orders.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
