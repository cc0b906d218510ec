//! A look at dead letters shows them as they are, and moves nothing.

use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::http::{Response, text};
use crate::harness::in_process::{answer, api, ask};
use crate::harness::messages::Message;
use crate::harness::pipeline::clock::Clock;
use crate::harness::seed::append_each;
use crate::harness::stack::TestStack;
use aws_sdk_sqs::types::QueueAttributeName;
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use eventstore::StreamId;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const DEAD: &str = "ledgerfold-stock-dead.fifo";
const QUEUE: &str = "ledgerfold-stock.fifo";
const PATH: &str = "/projections/stock/dead";

async fn get(api: &Router, path: &str) -> Response {
    answer(api, Request::get(path).body(Body::empty()).unwrap()).await
}

/// A look that is answered: its messages.
async fn look(api: &Router, path: &str) -> Vec<Value> {
    let sample = get(api, path).await;
    assert_eq!(sample.status, 200, "{path}: {sample:?}");
    sample.body["messages"].as_array().unwrap().clone()
}

async fn redrive(api: &Router) -> Value {
    let (status, redriven) =
        ask(api, Method::POST, "/projections/stock/redrive", None, &json!({})).await;
    assert_eq!(status, 200, "{redriven}");
    redriven
}

fn address(stream: &str) -> String {
    json!({"stream": stream, "version": 1, "last_version": 1}).to_string()
}

impl TestStack {
    /// Receives all messages of the queue until each is a dead letter.
    async fn let_all_die(&self) {
        let sqs = &self.clients().sqs;
        let url = &self.route("stock").queue_url;
        let names = [QueueAttributeName::RedrivePolicy];
        let request = sqs.get_queue_attributes().queue_url(url);
        let request = request.set_attribute_names(Some(names.to_vec()));
        let attributes = request.send().await.unwrap().attributes.unwrap();
        let mut policy: Value =
            serde_json::from_str(&attributes[&QueueAttributeName::RedrivePolicy]).unwrap();
        policy["maxReceiveCount"] = json!(2);
        self.set_queue(QUEUE, QueueAttributeName::RedrivePolicy, policy).await;
        while self.held(QUEUE).await > 0 {
            let request = sqs.receive_message().queue_url(url).max_number_of_messages(10);
            request.visibility_timeout(0).wait_time_seconds(0).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn dead_letters_are_shown_and_then_redriven_once() {
    let stack = TestStack::start().await;
    let api = api(&stack, bookshop::app());
    let received = ("StockReceived", 1, r#"{"quantity":5}"#);
    append_each(&stack.store, "stock-1", &[received, received]).await;
    let batches = stack.batches(&StreamId::new("stock-1").unwrap()).await;
    let first = Message::of(&batches[0]).body.unwrap();
    for (group, body) in [("stock-1", &*first), ("stock-1", "{"), ("nowhere", "<b>")] {
        stack.send(QUEUE, group, body).await;
    }
    stack.let_all_die().await;

    let seen = look(&api, PATH).await;
    let of = |group: &str| {
        let of_group = seen.iter().filter(|letter| letter["group"] == group);
        of_group.map(|letter| text(&letter["body"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (of("stock-1"), of("nowhere")),
        (vec![first, "{".to_owned()], vec!["<b>".to_owned()])
    );
    let known = seen.iter().find(|letter| letter["version"] == 1).unwrap();
    assert_eq!((&known["stream"], &known["truncated"]), (&json!("stock-1"), &json!(false)));
    let sent_at: chrono::DateTime<chrono::Utc> = text(&known["sent_at"]).parse().unwrap();
    assert!((chrono::Utc::now() - sent_at).num_minutes() < 5, "{known}");
    let unknown = seen.iter().filter(|letter| letter["stream"].is_null());
    assert_eq!(unknown.filter(|letter| letter["version"].is_null()).count(), 2);

    // A second look sees the same, and one receive more.
    assert_eq!((stack.waiting(DEAD).await, stack.held(DEAD).await), (3, 3));
    let again = look(&api, PATH).await;
    for (letter, before) in again.iter().zip(&seen) {
        let receives = |letter: &Value| letter["receives"].as_u64().unwrap();
        assert_eq!(receives(letter), receives(before) + 1, "{letter}");
        assert_eq!(
            (&letter["message_id"], &letter["body"]),
            (&before["message_id"], &before["body"])
        );
    }
    assert_eq!(again.len(), 3);

    let redriven = redrive(&api).await;
    assert_eq!((&redriven["sent"], &redriven["left"]), (&json!(2), &json!(1)), "{redriven}");
    let sent = stack.receive_all("stock").await;
    let versions: Vec<&Value> = sent.iter().map(|sent| &sent.body["last_version"]).collect();
    assert_eq!(versions, [&json!(1), &json!(2)], "each once, in order");
    let left = look(&api, PATH).await;
    assert_eq!((left.len(), &left[0]["group"]), (1, &json!("nowhere")));
}

#[tokio::test]
async fn a_body_is_shown_as_text_of_at_most_16_kb() {
    let stack = TestStack::start().await;
    let api = api(&stack, bookshop::app());
    let (long, longest) = ("é".repeat(10_000), "\"".repeat(200_000));
    let nul = r#"{"stream":"stock-\u0000","version":1,"last_version":1}"#;
    let bodies =
        ["<script>alert(1)</script>", nul, "\u{9b}2J\u{202e}\t\r\n😀", "null", &long, &longest];
    for (number, body) in bodies.iter().enumerate() {
        stack.send(DEAD, &format!("stock-{number}"), body).await;
    }
    let seen = look(&api, PATH).await;
    assert_eq!(seen.len(), bodies.len());
    for (letter, body) in seen.iter().zip(bodies) {
        let shown = text(&letter["body"]);
        assert_eq!((&letter["stream"], &letter["version"]), (&Value::Null, &Value::Null));
        assert!(body.starts_with(shown) && letter["body"].to_string().len() <= 16 * 1024 + 2);
        assert_eq!(letter["truncated"], json!(shown.len() < body.len()));
    }
    let truncated = seen.iter().filter(|letter| letter["truncated"] == json!(true));
    assert_eq!(truncated.count(), 2);
}

#[tokio::test]
async fn a_sample_has_at_most_the_limit_and_ten_of_a_group() {
    let stack = TestStack::start().await;
    let api = api(&stack, bookshop::app());
    let none = get(&api, PATH).await;
    assert_eq!((none.status, none.body), (200, json!({"messages": [], "in_queue": 0})));
    for group in 0..25 {
        stack.send(DEAD, &format!("stock-{group}"), "{").await;
    }
    for _ in 0..12 {
        stack.send(DEAD, "stock-many", "{").await;
    }
    // A receive that takes some messages of a group blocks the others.
    let cases =
        [("", 20..=20), ("?limit=1", 1..=1), ("?limit=11", 11..=11), ("?limit=100", 26..=35)];
    for (query, counts) in cases {
        let sample = get(&api, &format!("{PATH}{query}")).await.body;
        let ids: BTreeSet<String> = sample["messages"]
            .as_array()
            .unwrap()
            .iter()
            .map(|letter| text(&letter["message_id"]).to_owned())
            .collect();
        assert!(counts.contains(&ids.len()) && sample["in_queue"] == json!(37), "{query} {sample}");
        assert_eq!(stack.waiting(DEAD).await, 37, "all are visible again");
    }
    for limit in ["0", "101", "-1", "1.5", "x", "99999999999999999999"] {
        let wrong = get(&api, &format!("{PATH}?limit={limit}")).await;
        wrong.breaks("limit", "must be a whole number from 1 to 100");
    }
    get(&api, &format!("{PATH}?limit=")).await.breaks("limit", "must not be empty");
    get(&api, &format!("{PATH}?cursor=x")).await.breaks("cursor", "is unknown");
    let unknown = get(&api, "/projections/stocks/dead").await;
    unknown.is_problem(404, "not-found");
    assert!(text(&unknown.body["detail"]).contains("known: orders, stock"), "{unknown:?}");
}

#[tokio::test]
async fn a_redrive_in_progress_refuses_a_look() {
    let clock = Clock::new();
    let stack = TestStack::with_queues_on(clock.of_queues()).await;
    for number in 0..12 {
        stack.send(DEAD, &format!("nowhere{number}"), "{").await;
    }
    let operations = stack.operations().with_step_time(Duration::ZERO);
    assert!(operations.redrive(&bookshop::stock()).await.unwrap().more);
    let api = api(&stack, bookshop::app());
    let refused = get(&api, PATH).await;
    refused.is_problem(409, "not-now");
    assert!(text(&refused.body["detail"]).ends_with("try again in a minute"), "{refused:?}");
    clock.pass(59_000);
    get(&api, PATH).await.is_problem(409, "not-now");
    clock.pass(2_000);
    assert_eq!(look(&api, PATH).await.len(), 12);
}

#[tokio::test]
async fn a_look_that_dies_hides_letters_for_ten_seconds() {
    let clock = Clock::new();
    let stack = TestStack::with_queues_on(clock.of_queues()).await;
    for number in 0..15 {
        stack.send(DEAD, &format!("stock-{number}"), &address(&format!("stock-{number}"))).await;
    }
    let (mut struck, mut failed) = (0, 0);
    // The address of the queue, the counts, two receives, two requests that give back.
    for fault in (1..=6).flat_map(|n| [Fault::DiesBefore(n), Fault::DiesAfter(n)]) {
        let wire = FaultInjector::default();
        let operations = stack.system_over(&wire).operations(stack.projector());
        wire.arm(Some(fault));
        let sample = operations.dead_letters(&bookshop::stock(), 100).await;
        (struck, failed) =
            (struck + u32::from(!wire.is_armed()), failed + u32::from(sample.is_err()));
        clock.pass(10_001);
        assert_eq!(stack.waiting(DEAD).await, 15, "{fault:?}");
        let seen = stack.operations().dead_letters(&bookshop::stock(), 100).await.unwrap();
        assert_eq!(seen.messages.len(), 15, "{fault:?}");
    }
    assert_eq!((struck, failed), (12, 8), "what was received is shown if only giving back fails");
    assert_eq!(redrive(&api(&stack, bookshop::app())).await["sent"], json!(15));
    assert_eq!(stack.take_all(QUEUE).await.len(), 15);
}

#[tokio::test]
async fn looks_during_redrives_neither_lose_nor_double() {
    let stack = TestStack::start().await;
    let api = api(&stack, bookshop::app());
    for number in 0..40 {
        let stream = format!("stock-{}", number / 2);
        stack.send(DEAD, &stream, &address(&stream)).await;
    }
    let looks = async {
        while stack.held(DEAD).await > 0 {
            let status = get(&api, PATH).await.status;
            assert!([200, 409].contains(&status), "{status}");
        }
    };
    let redrives = async {
        let mut sent = 0;
        while stack.held(DEAD).await > 0 {
            sent += redrive(&api).await["sent"].as_u64().unwrap();
        }
        sent
    };
    let ((), sent) = tokio::join!(looks, redrives);
    assert_eq!((sent, stack.take_all(QUEUE).await.len()), (40, 40));
}
