//! What the functions of AWS cost to start: runs their programs under Lambda's Runtime API, with
//! the embedded engines as their AWS, and reports how long they take until they ask for work, for
//! their first event and for later ones, and their memory.
//!
//! ```sh
//! cargo build --profile deploy --bins -p ledgerfold-bookshop --no-default-features && cargo run -p ledgerfold-tests --example functions -- target/deploy/bookshop-service
//! ```
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a tool for measuring: what it cannot do ends it"
)]

#[path = "suite/aws/lambda/runtime_api.rs"]
#[allow(dead_code, reason = "the suite uses the rest")]
mod runtime_api;

use handlers::{Names, NotificationMessage};
use ledgerfold::local::data_folder::DataFolder;
use ledgerfold::local::stack::Stack;
use ledgerfold::resources;
use runtime_api::Function;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Starts of each function.
const STARTS: usize = 20;
/// Events behind the first one of a start.
const EVENTS: usize = 50;

/// The stream of the worker's commands.
const STREAM: &str = "stock-9780306406157";

/// A function, its projection, and an event of a kind; the number tells events apart.
type Case = (&'static str, &'static str, fn(usize) -> Value);

#[tokio::main]
async fn main() {
    let program = std::env::args().nth(1).expect("the program: target/deploy/bookshop-service");
    let data = tempfile::tempdir().unwrap();
    let stack = Stack::start(DataFolder::open(data.path()).unwrap()).await.unwrap();
    resources::create(&bookshop::app(), &stack.clients, &Names::new("ledgerfold")).await.unwrap();
    // The worker's commands are what projectors and fulfilment are told of.
    let cases: [Case; 7] = [
        ("command-worker", "", command),
        ("command-api", "", order),
        ("query-api", "", |_| request("GET", "/bestsellers", "read", None)),
        ("fan-out", "", |_| json!({"Records": []})),
        ("projector", "stock", news),
        ("process-manager", "fulfilment", news),
        ("rebuild-worker", "", |_| json!({"Records": []})),
    ];
    println!("median (longest) of {STARTS} starts; later events: median of {EVENTS} a start");
    println!(
        "{:16} {:>16} {:>16} {:>14} {:>12}",
        "FUNCTION", "UNTIL READY, MS", "FIRST EVENT, MS", "LATER, MS", "MEMORY, MB"
    );
    for (component, projection, event) in cases {
        measure(&program, component, &environment(&stack, component, projection), event).await;
    }
    stack.stop().await;
}

fn environment(stack: &Stack, component: &str, projection: &str) -> Vec<(String, String)> {
    let of_all = [
        ("AWS_ENDPOINT_URL_DYNAMODB", stack.dynamodb.endpoint()),
        ("AWS_ENDPOINT_URL_SQS", stack.sqs.endpoint()),
        ("AWS_ACCESS_KEY_ID", &stack.endpoints.key.id),
        ("AWS_SECRET_ACCESS_KEY", &stack.endpoints.key.secret),
        ("LEDGERFOLD_PREFIX", "ledgerfold"),
        ("LEDGERFOLD_COMPONENT", component),
        ("LEDGERFOLD_PROJECTION", projection),
        ("RUST_LOG", "error"),
    ];
    of_all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

async fn measure(
    program: &str,
    name: &str,
    environment: &[(String, String)],
    event: fn(usize) -> Value,
) {
    let (mut ready, mut first, mut later, mut memory) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for start in 0..STARTS {
        let begun = Instant::now();
        let mut function = Function::start(program, environment).await;
        function.ready().await;
        ready.push(begun.elapsed());
        first.push(invoke(&function, &event(start * (EVENTS + 1))).await);
        for number in 1..=EVENTS {
            later.push(invoke(&function, &event(start * (EVENTS + 1) + number)).await);
        }
        memory = memory.max(resident_mb(function.child.id().unwrap()));
    }
    let (ready, first, later) = (shown(ready), shown(first), shown(later));
    println!("{name:16} {ready:>16} {first:>16} {later:>14} {memory:>12}");
}

async fn invoke(function: &Function, event: &Value) -> Duration {
    let begun = Instant::now();
    let answer = function.invoke(event).await.unwrap();
    let took = begun.elapsed();
    assert!(
        answer["batchItemFailures"] == json!([])
            || answer["statusCode"].as_u64().is_some_and(|status| status < 300),
        "{answer}"
    );
    took
}

/// Median and maximum in milliseconds.
fn shown(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    format!("{:.1} ({:.1})", ms(times[times.len() / 2]), ms(times[times.len() - 1]))
}

/// Resident memory of a process, as Linux counts it.
fn resident_mb(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn request(method: &str, path: &str, scope: &str, body: Option<(usize, Value)>) -> Value {
    let scope = format!("ledgerfold/{scope}");
    let key = body.as_ref().map_or(0, |(key, _)| *key).to_string();
    json!({
        "version": "2.0", "rawPath": path, "rawQueryString": "", "isBase64Encoded": false,
        "headers": {"content-type": "application/json", "idempotency-key": key}, "body": body.map(|(_, body)| body.to_string()),
        "requestContext": {
            "stage": "$default", "timeEpoch": 0, "authorizer": {"jwt": {"claims": {"sub": "anna", "scope": scope}}},
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "functions"},
        },
    })
}

fn order(number: usize) -> Value {
    let lines = json!([{"isbn": "9780306406157", "quantity": 1, "unit_price_minor": 995}]);
    let order = json!({"customer_id": "c-1", "currency": "EUR", "lines": lines});
    request("POST", "/orders", "write", Some((number, order)))
}

/// A message of a queue.
fn message(group: &str, body: &str) -> Value {
    let attributes = json!({"MessageGroupId": group, "ApproximateReceiveCount": "1"});
    json!({"Records": [{"messageId": "m", "body": body, "attributes": attributes}]})
}

/// News of the commit of one of the worker's commands, which is read from the store.
fn news(number: usize) -> Value {
    let version = u64::try_from(number).unwrap() + 1;
    let announcement =
        NotificationMessage::address(eventstore::StreamId::new(STREAM).unwrap(), version);
    message(STREAM, &serde_json::to_string(&announcement).unwrap())
}

/// A command that waits in the queue.
fn command(number: usize) -> Value {
    let metadata = json!({"command_id": format!("later-{number}"), "fingerprint": "A".repeat(22), "correlation_id": "k", "actor": "anna"});
    let command = json!({"stock": {"type": "ReceiveStock", "data": {"quantity": 1}}});
    let body =
        json!({"v": 2, "round": 1, "stream": STREAM, "envelope": metadata, "command": command});
    message(STREAM, &body.to_string())
}
