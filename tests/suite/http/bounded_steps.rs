//! Long steps of operators: a call ends in time, and the next one continues.

use crate::harness::in_process::ask;
use crate::harness::seed::append_each;
use crate::harness::stack::TestStack;
use axum::Router;
use axum::http::Method;
use eventstore::{Id, StreamId};
use handlers::http::{Api, router};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const DEAD: &str = "ledgerfold-stock-dead.fifo";
const QUEUE: &str = "ledgerfold-stock.fifo";
/// More than one call handles.
const STREAMS: usize = 60;

/// The API whose calls are out of time at once: each handles one page.
fn hasty(idle: &TestStack) -> Router {
    let system = idle.clients().system(&bookshop::app().checked().unwrap(), &idle.names);
    let projector = system.projector();
    let operations = system.operations(projector.clone()).with_step_time(Duration::ZERO);
    router(Api::new(system.command_store(), projector, operations, Id::new("dev").unwrap()))
}

async fn step(api: &Router, path: &str, body: Value) -> Value {
    let (status, answer) = ask(api, Method::POST, path, None, &body).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

#[derive(Debug, thiserror::Error)]
#[error("a defect that is mended")]
struct Mended;

#[tokio::test]
async fn a_redrive_out_of_time_continues_with_the_next_call() {
    let idle = TestStack::start().await;
    for number in 0..25 {
        let body = json!({"stream": format!("stock-{number}"), "version": 1, "last_version": 1});
        idle.send(DEAD, &format!("stock-{number}"), &body.to_string()).await;
    }
    let api = hasty(&idle);
    let (mut sent, mut calls) = (0, 0);
    loop {
        let redriven = step(&api, "/projections/stock/redrive", json!({})).await;
        assert_eq!(redriven["stays"], json!([]));
        (sent, calls) = (sent + redriven["sent"].as_u64().unwrap(), calls + 1);
        assert_eq!(redriven["left"].as_u64().unwrap(), 25 - sent, "{redriven}");
        if redriven["more"] == json!(false) {
            break;
        }
        assert!(redriven["sent"].as_u64().unwrap() > 0, "{redriven}");
    }
    assert_eq!((sent, calls), (25, 4), "ten a call, and one that finds nothing");
    assert_eq!(idle.take_all(QUEUE).await.len(), 25);
}

#[tokio::test]
async fn messages_that_stay_block_no_redrive() {
    let idle = TestStack::start().await;
    for number in 0..12 {
        idle.send(DEAD, &format!("nowhere{number}"), "{").await;
    }
    let api = hasty(&idle);
    let mut stay = BTreeSet::new();
    for more in [true, true, false] {
        let redriven = step(&api, "/projections/stock/redrive", json!({})).await;
        assert_eq!(
            (&redriven["sent"], &redriven["left"], &redriven["more"]),
            (&json!(0), &json!(12), &json!(more))
        );
        for stays in redriven["stays"].as_array().unwrap() {
            assert!(stay.insert(stays["message_id"].clone().to_string()), "{stays} comes twice");
        }
    }
    assert_eq!(stay.len(), 12);
}

#[tokio::test]
async fn a_resume_out_of_time_continues_with_its_cursor() {
    let idle = TestStack::start().await;
    let streams: Vec<StreamId> =
        (0..STREAMS).map(|number| StreamId::new(format!("stock-{number}")).unwrap()).collect();
    for stream in &streams {
        append_each(&idle.store, stream.as_str(), &[("StockReceived", 1, r#"{"quantity":5}"#)])
            .await;
    }
    let api = hasty(&idle);
    for (projection, state) in
        [(bookshop::stock(), "caught_up"), (bookshop::fulfilment(), "announced")]
    {
        for stream in &streams {
            idle.projector().park(&projection, 1, stream, Some(1), &Mended).await.unwrap();
        }
        let path = format!("/projections/{}/resume", projection.name);
        let (mut resumed, mut body, mut calls) = (BTreeSet::new(), json!({}), 0);
        while body["cursor"] != Value::Null || calls == 0 {
            let answer = step(&api, &path, body).await;
            for stream in answer["streams"].as_array().unwrap() {
                assert_eq!(stream["state"], state, "{stream}");
                assert!(resumed.insert(stream["stream"].to_string()), "{stream} comes twice");
            }
            (body, calls) = (json!({"cursor": answer["next_cursor"]}), calls + 1);
        }
        assert_eq!((resumed.len(), calls), (STREAMS, 3), "{}: 25 streams a call", projection.name);
        let again = step(&api, &path, json!({})).await;
        assert_eq!((&again["streams"], &again["next_cursor"]), (&json!([]), &Value::Null));
    }
    let body = json!({"cursor": "another"});
    let (status, refused) = ask(&api, Method::POST, "/projections/stock/resume", None, &body).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (400, &json!("cursor")), "{refused}");
}
