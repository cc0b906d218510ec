//! Functions that die in the middle of a request.

use crate::stack::{Answer, PREFIX, Stack, eventually, order};
use std::time::Duration;
use tokio::process::Command;

/// How often a function is killed at some moment of a request.
const ROUNDS: u64 = 12;

/// The processes of a function.
fn processes(function: &str) -> Vec<String> {
    let name = format!("AWS_LAMBDA_FUNCTION_NAME={PREFIX}-{function}");
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let ids = all.filter_map(|entry| entry.file_name().into_string().ok()).filter(|id| id.parse::<u32>().is_ok());
    let is_it = |id: &String| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == name.as_bytes())
    };
    ids.filter(is_it).collect()
}

async fn signal(signal: &str, ids: &[String]) {
    // One that has ended meanwhile is no failure.
    Command::new("kill").args(["-s", signal]).args(ids).status().await.unwrap();
}

/// Tries again until there is an answer to keep, as a client does.
async fn retried(stack: &Stack, key: &str, isbn: &str) -> Answer {
    eventually("the retry is answered", || async {
        stack.command("/orders", key, &order(isbn)).await.filter(|answer| answer.status < 500)
    })
    .await
}

/// Asserts that the key means one order, placed once.
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
    // Certainly in the middle: it stands still when the request comes, and never gets to answer.
    let ids = processes("command-api");
    assert!(!ids.is_empty(), "the book was received by a function");
    signal("STOP", &ids).await;
    let kill = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        signal("KILL", &ids).await;
    };
    let body = order(&isbn);
    let (answer, ()) = tokio::join!(stack.command("/orders", "stopped", &body), kill);
    assert!(answer.as_ref().is_none_or(|answer| answer.status >= 500), "it is not answered: {answer:?}");
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
    assert!(died > 0, "none of {ROUNDS} was killed in the middle: the moments do not fit");
}
