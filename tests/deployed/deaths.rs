//! Functions that are killed during a request.

use crate::stack::{Answer, PREFIX, Stack, eventually, order};
use std::time::Duration;
use tokio::process::Command;

/// How often a function is killed.
const ROUNDS: u64 = 12;

/// The processes of a function.
fn processes(function: &str) -> Vec<String> {
    let name = format!("AWS_LAMBDA_FUNCTION_NAME={PREFIX}-{function}");
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = all
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|id| id.parse::<u32>().is_ok());
    let is_it = |id: &String| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == name.as_bytes())
    };
    ids.filter(is_it).collect()
}

async fn signal(signal: &str, ids: &[String]) {
    // A process may have ended meanwhile.
    Command::new("kill").args(["-s", signal]).args(ids).status().await.unwrap();
}

/// Retries until there is a final answer, as a client does.
async fn retried(stack: &Stack, key: &str, isbn: &str) -> Answer {
    eventually("the retry is answered", || async {
        stack.command("/orders", key, &order(isbn)).await.filter(|answer| answer.status < 500)
    })
    .await
}

/// Asserts that the key belongs to one order, placed once.
async fn placed_once(stack: &Stack, answer: &Answer) {
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = answer.location.as_ref().unwrap().rsplit('/').next().unwrap();
    let history = stack.get(&format!("/audit/streams/order-{id}")).await.body;
    let events = history["events"].as_array().unwrap();
    let placed = events.iter().filter(|event| event["type"] == "OrderPlaced").count();
    assert_eq!(placed, 1, "{history}");
}

#[tokio::test]
async fn a_retry_across_a_killed_function_is_one_order() {
    let stack = Stack::alone("deaths-dora").await;
    let isbn = stack.book(1_000).await;
    // Stopped before the request arrives, so it is certainly killed during the request.
    let ids = processes("command-api");
    assert!(!ids.is_empty(), "a function received the book");
    signal("STOP", &ids).await;
    let kill = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        signal("KILL", &ids).await;
    };
    let body = order(&isbn);
    let (answer, ()) = tokio::join!(stack.command("/orders", "stopped", &body), kill);
    assert!(
        answer.as_ref().is_none_or(|answer| answer.status >= 500),
        "it must not be answered: {answer:?}"
    );
    let answer = retried(&stack, "stopped", &isbn).await;
    placed_once(&stack, &answer).await;
    let orders = stack.get("/audit/events?actor=deaths-dora&type=OrderPlaced").await.body;
    assert!(orders["events"].as_array().unwrap().len() <= 1, "{orders}");
}

#[tokio::test]
async fn at_whatever_moment_a_function_dies_its_order_is_placed_once() {
    let stack = Stack::alone("deaths-dirk").await;
    let isbn = stack.book(1_000).await;
    let mut died = 0;
    for round in 0..ROUNDS {
        let key = format!("round-{round}");
        let kill = async {
            tokio::time::sleep(Duration::from_millis(round * 3)).await;
            signal("KILL", &processes("command-api")).await;
        };
        let body = order(&isbn);
        let (first, ()) = tokio::join!(stack.command("/orders", &key, &body), kill);
        died += u64::from(first.is_none_or(|answer| answer.status >= 500));
        let answer = retried(&stack, &key, &isbn).await;
        placed_once(&stack, &answer).await;
    }
    assert!(died > 0, "none of {ROUNDS} was killed during a request: adjust the moments");
}
