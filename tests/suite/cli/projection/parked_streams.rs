//! Parked streams, and resuming them.

use super::TestStack;
use super::workers::work_off;
use crate::harness::program::Program;
use crate::harness::seed::{append_each, clients};
use bookshop::stock;
use eventstore::EventStore;
use projections::rebuild::Accepted;
use serde_json::{Value, json};

const BOOK: &str = "9780306406157";
const OTHER_BOOK: &str = "9780000000002";
const ORDER: &str = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";

async fn receive(system: &Program, isbn: &str, quantity: u32) {
    system.done_step(&format!("/stock/{isbn}/receive"), json!({ "quantity": quantity })).await;
}

fn parked(count: u64) -> impl Fn(&Value) -> bool {
    move |status| status["parked"] == json!(count)
}

#[tokio::test]
async fn a_projection_with_a_fault_parks_its_stream_until_resumed() {
    let mut system =
        Program::start_with(&["--without-processes", "--break", "stock=StockReserved"]).await;
    assert!(system.dev.printed("BROKEN").await.starts_with("stock FAILS at every StockReserved"));
    let stream = format!("stock-{BOOK}");
    receive(&system, BOOK, 5).await;
    system
        .done_step(&format!("/stock/{BOOK}/reserve"), json!({"order_id": ORDER, "quantity": 2}))
        .await;
    receive(&system, BOOK, 10).await;
    receive(&system, OTHER_BOOK, 7).await;
    system.until_status("stock", "the stream is parked", parked(1)).await;
    let queue = |status: &Value| status["lag"]["messages"] == json!(0);
    system.until_status("stock", "nothing waits behind it", queue).await;
    assert_eq!(
        system.get(&format!("/stock/{OTHER_BOOK}")).await.body["on_hand"],
        json!(7),
        "others flow"
    );
    assert_eq!(system.get(&format!("/stock/{BOOK}")).await.body["version"], json!(1));

    // While the running program has the fault, the stream stays parked.
    let still = system.done_step("/projections/stock/resume", json!({})).await;
    let outcome = &still["streams"][0];
    assert_eq!(
        (&outcome["stream"], &outcome["state"], &outcome["version"]),
        (&json!(stream), &json!("parked"), &json!(2))
    );
    let reason = outcome["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        "event 2 cannot be applied: a fault is injected for events of type StockReserved"
    );
    assert_eq!(system.dev.interrupt().await, 0);

    let system = Program::over(system.data, &["--without-processes"]).await;
    let listed = system.operate(["projection", "parked", "stock"]).await.done();
    let row = listed.lines().nth(1).unwrap();
    assert!(
        row.starts_with(&stream)
            && row.contains("a fault is injected for events of type StockReserved"),
        "{listed}"
    );
    let list = system.operate(["projection", "list"]).await.done();
    let row = list.lines().find(|line| line.starts_with("stock ")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["stock", "1", "-", "-", "1", "0", "0", "0", "s"]
    );
    let resumed = system.operate(["projection", "resume", "stock"]).await.done();
    assert_eq!(resumed, format!("{stream} has caught up in generation 1\n"));
    let stock = system.get(&format!("/stock/{BOOK}")).await.body;
    assert_eq!(
        (&stock["on_hand"], &stock["reserved"], &stock["version"]),
        (&json!(15), &json!(2), &json!(3))
    );
    assert_eq!(system.operate(["projection", "parked", "stock"]).await.done().lines().count(), 1);
    assert_eq!(
        system.operate(["projection", "resume", "stock"]).await.done(),
        "nothing of stock was parked or paused\n"
    );
}

#[tokio::test]
async fn a_stream_that_still_stands_still_is_named_and_ends_with_1() {
    let system = Program::start().await;
    let store = EventStore::new(clients(&system.exports).dynamodb, "ledgerfold-events");
    let good = ("StockReceived", 1, r#"{"quantity":5}"#);
    let newer = ("StockReceived", 99, r#"{"crates":5}"#);
    for book in [BOOK, OTHER_BOOK] {
        append_each(&store, &format!("stock-{book}"), &[good, newer]).await;
    }
    system.until_status("stock", "both streams are parked", parked(2)).await;
    let stuck = system.operate(["projection", "resume", "stock"]).await;
    assert_eq!(
        (
            stuck.status,
            stuck.stdout.matches("is STILL parked in generation 1 at version 2").count()
        ),
        (1, 2)
    );
    let (one, other) = (format!("stock-{BOOK}"), format!("stock-{OTHER_BOOK}"));
    let only = system.operate(["projection", "resume", "stock", "--stream", &one, "--json"]).await;
    assert_eq!((only.status, only.json()["streams"].as_array().unwrap().len()), (1, 1), "{only:?}");
    assert_eq!(
        (&only.json()["streams"][0]["stream"], &only.json()["job"]),
        (&json!(one), &Value::Null)
    );
    let sound = system.operate(["projection", "resume", "stock", "--stream", "stock-1"]).await;
    assert_eq!((sound.status, &*sound.stdout), (0, "nothing of stock was parked or paused\n"));

    let first =
        system.operate(["projection", "parked", "stock", "--limit", "1", "--json"]).await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = ["projection", "parked", "stock", "--limit", "1", "--json", "--cursor", cursor];
    let second = system.operate(next).await.json();
    let mut found =
        [&first, &second].map(|page| page["streams"][0]["stream"].as_str().unwrap().to_owned());
    found.sort_unstable();
    let mut expected = [one, other];
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(first["streams"][0]["error"].as_str().unwrap().contains("of schema 99"), "{first}");

    // A generation with parked streams is incomplete. Switching to it needs --accept-incomplete.
    let built = system.operate(["projection", "rebuild", "stock", "--wait"]).await;
    assert_eq!(built.status, 1, "{built:?}");
    assert!(built.stdout.starts_with("rebuild of stock, generation 2: INCOMPLETE\n"), "{built:?}");
    assert!(built.stdout.contains("  parked   2 streams\n"), "{built:?}");
    let incomplete =
        "generation 2 is incomplete: it can be switched to when every stream is complete in it";
    system.operate(["projection", "switch", "stock"]).await.was_refused(incomplete);
    let both = system.operate(["projection", "parked", "stock", "--json"]).await.json();
    let generations: Vec<_> =
        both["streams"].as_array().unwrap().iter().map(|parked| &parked["generation"]).collect();
    assert_eq!(
        (generations, &both["next_cursor"]),
        (vec![&json!(1), &json!(1), &json!(2), &json!(2)], &Value::Null)
    );
    assert_eq!(
        system.operate(["projection", "switch", "stock", "--accept-incomplete"]).await.status,
        0
    );
}

/// Writes a parking row for a stream of stock.
async fn park(system: &TestStack, generation: u32, stream: &str) {
    let error: Box<dyn std::error::Error + Send + Sync> = "on purpose".into();
    let projector = system.projector();
    projector
        .park(&stock(), generation, &stream.parse().unwrap(), Some(1), error.as_ref())
        .await
        .unwrap();
}

#[tokio::test]
async fn pages_of_parked_streams_are_complete_during_a_switch() {
    let (system, of) = (TestStack::start().await, stock());
    let operations = system.operations();
    operations.rebuild(&of, 1).await.unwrap();
    work_off(&system).await;
    park(&system, 1, "stock-1").await;
    park(&system, 2, "stock-2").await;
    let first = operations.parked(&of, 1, None).await.unwrap();
    operations.switch(&of, Accepted { incomplete: true, ..Accepted::default() }).await.unwrap();
    let (mut seen, mut cursor) = (first.streams, first.next_cursor);
    while let Some(from) = cursor {
        let page =
            operations.parked(&of, 1, Some(&from.to_string().parse().unwrap())).await.unwrap();
        seen.extend(page.streams);
        cursor = page.next_cursor;
    }
    let seen: Vec<_> =
        seen.iter().map(|parked| (parked.generation, parked.stream.as_str())).collect();
    assert_eq!(seen, [(1, "stock-1"), (2, "stock-2")]);
}
