//! Kills the program again and again under load. No answered command is lost, and none is done
//! twice.

use crate::harness::depth::full_or;
use crate::harness::http::{Client, unless_busy};
use crate::harness::program::Dev;
use crate::harness::waiting::becomes;
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const KILLS: usize = 20;
const CLIENTS: usize = 8;
/// Few, so that clients share streams; not too few, so that no stream gets long.
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

/// A command with its key. It is sent again until it is answered.
#[derive(Debug, Clone)]
struct Command {
    key: String,
    path: String,
    body: Value,
}

/// An answered command: its stream, version and answer.
#[derive(Debug, Clone)]
struct Acknowledged {
    stream: String,
    version: u64,
}

/// The commands of a client over all runs of the program.
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

/// Sends commands, each until it is answered, until the program is killed.
async fn work(http: &Client, client: usize, memory: &mut Memory, answers: &AtomicUsize) {
    loop {
        let number = memory.acknowledged.len();
        let command = memory.unanswered.take().unwrap_or_else(|| next_command(client, number));
        match send(http, &command).await {
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

/// The answer; none if the program was killed before. After 503 the command is sent again.
async fn send(client: &Client, command: &Command) -> Option<Acknowledged> {
    let answer = unless_busy(client.keyed(&command.path, &command.key, &command.body)).await?;
    assert!((200..300).contains(&answer.status), "{command:?} was answered with {answer:?}");
    let (stream, version) =
        (answer.body["stream"].as_str()?.to_owned(), answer.body["version"].as_u64()?);
    Some(Acknowledged { stream, version })
}

/// One run of the program. It is killed after some answers, at any point.
async fn live_and_die(data: &std::path::Path, memories: &mut [Memory]) {
    let dev = Dev::start(data).await;
    let (http, answers) = (Client::of(&dev.url), AtomicUsize::new(0));
    let enough = fastrand::usize(full_or(20, 60)..full_or(120, 90));
    let killer = async {
        while answers.load(Ordering::Relaxed) < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        dev.kill().await;
    };
    let clients = memories
        .iter_mut()
        .enumerate()
        .map(|(client, memory)| work(&http, client, memory, &answers));
    tokio::join!(killer, join_all(clients));
}

/// Repeats the request until the expected answer comes.
async fn eventually(client: &Client, path: &str, read: fn(&Value) -> u64, expected: u64) {
    client.until(path, |answer| read(&answer.body) == expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_and_double_no_acknowledged_command() {
    let data = tempfile::tempdir().unwrap();
    let mut memories: Vec<Memory> = (0..CLIENTS).map(|_| Memory::default()).collect();
    for _ in 0..full_or(KILLS, 3) {
        live_and_die(data.path(), &mut memories).await;
    }
    let dev = Dev::start(data.path()).await;
    let client = Client::of(&dev.url);
    for memory in &mut memories {
        if let Some(command) = memory.unanswered.take() {
            let answer = send(&client, &command).await.expect("it is not killed any more");
            memory.acknowledged.push((command, answer));
        }
    }
    let acknowledged: Vec<(Command, Acknowledged)> =
        memories.into_iter().flat_map(|memory| memory.acknowledged).collect();
    let copies = each_command_stands_once(&client, &acknowledged).await;
    read_models_agree(&client, &acknowledged, &copies).await;
    assert_eq!(dev.interrupt().await, 0);
}

/// Checks that every command has one commit, at the version in its answer. Returns the received
/// copies of each book.
async fn each_command_stands_once(
    client: &Client,
    acknowledged: &[(Command, Acknowledged)],
) -> BTreeMap<String, u64> {
    let streams: BTreeSet<&str> =
        acknowledged.iter().map(|(_, answer)| answer.stream.as_str()).collect();
    let (mut found, mut copies) = (BTreeMap::<(String, String), Vec<u64>>::new(), BTreeMap::new());
    for stream in streams {
        let verified = client.read(&format!("/audit/streams/{stream}/verify")).await;
        assert_eq!(verified["verified"], true, "{verified}");
        for event in client.events(stream).await {
            let key = (stream.to_owned(), event["command_id"].as_str().unwrap().to_owned());
            found.entry(key).or_default().push(event["version"].as_u64().unwrap());
            if let Some(book) = stream.strip_prefix("stock-") {
                *copies.entry(book.to_owned()).or_default() +=
                    event["data"]["quantity"].as_u64().unwrap();
            }
        }
    }
    for (command, Acknowledged { stream, version }) in acknowledged {
        let versions = found.remove(&(stream.clone(), command.key.clone()));
        assert_eq!(versions, Some(vec![*version]), "{command:?} in {stream}");
    }
    assert!(found.is_empty(), "no client sent {found:?}");
    copies
}

/// Waits until the read models match the streams.
async fn read_models_agree(
    client: &Client,
    acknowledged: &[(Command, Acknowledged)],
    copies: &BTreeMap<String, u64>,
) {
    let orders: Vec<&Acknowledged> =
        acknowledged.iter().filter(|(c, _)| c.path == "/orders").map(|(_, a)| a).collect();
    assert!(!orders.is_empty() && copies.len() == BOOKS.len(), "the load was too small");
    for (book, copies) in copies {
        eventually(
            client,
            &format!("/stock/{book}"),
            |stock| stock["on_hand"].as_u64().unwrap_or(0),
            *copies,
        )
        .await;
    }
    for order in &orders {
        let path = format!("/orders/{}", order.stream.trim_start_matches("order-"));
        eventually(client, &path, |order| order["version"].as_u64().unwrap_or(0), 1).await;
    }
    // If the test runs over midnight, two days share the copies.
    let sold = |answer: &Value| {
        let books = answer["books"].as_array().cloned().unwrap_or_default();
        books.iter().filter_map(|book| book["copies"].as_u64()).sum::<u64>()
    };
    let days: BTreeSet<String> = {
        let mut days = BTreeSet::new();
        for order in &orders {
            let events = client.events(&order.stream).await;
            days.insert(events[0]["recorded_at"].as_str().unwrap()[..10].to_owned());
        }
        days
    };
    let total = async || {
        let mut total = 0;
        for day in &days {
            total += sold(&client.read(&format!("/bestsellers?day={day}&limit=500")).await);
        }
        total
    };
    let expected = u64::try_from(orders.len()).unwrap();
    becomes("bestsellers count every copy", total, |total| *total == expected).await;
}
