//! Events as files.

use super::{Program, isbn, sent};
use crate::harness::seed::{clients, indexed, receive_many};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EVENTS: usize = 5_200;
const COLUMNS: [&str; 10] = [
    "stream",
    "version",
    "type",
    "schema",
    "recorded_at",
    "actor",
    "command_id",
    "correlation_id",
    "causation_id",
    "data",
];

/// The events of a stream from its history, page by page, in the form of a search.
async fn history(program: &Program, stream: &str) -> Vec<Value> {
    let (mut events, mut next) = (Vec::new(), Some(1));
    while let Some(from) = next {
        let page =
            program.get(&format!("/audit/streams/{stream}?limit=500&from={from}")).await.body;
        events.extend(page["events"].as_array().unwrap().iter().cloned().map(|mut event| {
            event["stream"] = stream.into();
            event
        }));
        next = page["next_from"].as_u64();
    }
    events
}

async fn file(program: &Program, path: &str, accept: &str) -> (String, String) {
    let answer = program.http.get(program.url(path)).header("Accept", accept).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let media = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (media, answer.text().await.unwrap())
}

async fn lines(program: &Program, path: &str) -> Vec<Value> {
    let (media, text) = file(program, path, "application/x-ndjson").await;
    assert_eq!(media, "application/x-ndjson");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The rows of a CSV file, parsed by another library, in the form of the API's events.
async fn rows(program: &Program, path: &str) -> Vec<Value> {
    let (media, text) = file(program, path, "text/csv").await;
    assert_eq!(media, "text/csv; charset=utf-8");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    assert_eq!(reader.headers().unwrap(), COLUMNS.as_slice());
    let row = |row: BTreeMap<String, String>| {
        let cell = |name: &str| row[name].strip_prefix('\'').unwrap_or(&row[name]).to_owned();
        let number = |name: &str| cell(name).parse::<u64>().unwrap();
        let cause = Some(cell("causation_id")).filter(|cause| !cause.is_empty());
        let data: Value = serde_json::from_str(&cell("data")).unwrap();
        json!({"stream": cell("stream"), "version": number("version"), "type": cell("type"), "schema": number("schema"),
            "recorded_at": cell("recorded_at"), "actor": cell("actor"), "command_id": cell("command_id"),
            "correlation_id": cell("correlation_id"), "causation_id": cause, "data": data})
    };
    reader.deserialize().map(|found| row(found.unwrap())).collect()
}

#[tokio::test]
async fn a_file_holds_every_event_that_the_history_shows() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    receive_many(&exports, &isbn(7), EVENTS).await;
    let stream = format!("stock-{}", isbn(7));
    let all = history(&program, &stream).await;
    assert_eq!(all.len(), EVENTS);
    let path = format!("/audit/streams/{stream}");
    assert_eq!(lines(&program, &path).await, all);
    assert_eq!(rows(&program, &path).await, all);
    assert_eq!(lines(&program, &format!("{path}?from=4995&limit=7")).await, all[4_994..5_001]);
    assert_eq!(lines(&program, &format!("{path}?from=5200")).await, all[5_199..]);
    assert_eq!(lines(&program, &format!("{path}?from=5201")).await, [Value::Null; 0]);
    let one = format!("/audit/events?stream={stream}");
    assert_eq!(lines(&program, &format!("{one}&order=asc")).await, all);
    let newest: Vec<Value> = all.iter().rev().take(1_234).cloned().collect();
    assert_eq!(rows(&program, &format!("{one}&order=desc&limit=1234")).await, newest);
    // Over the whole store: all events but the records of queries.
    indexed(&exports, &stream, 5_200).await;
    assert_eq!(lines(&program, "/audit/events?type=StockReceived&order=asc").await, all);
    assert_eq!(rows(&program, "/audit/events?type=StockReceived&order=asc").await, all);
    assert_eq!(
        lines(&program, "/audit/events?type=StockReceived&order=desc&limit=1234").await,
        newest
    );
    assert_eq!(rows(&program, "/audit/events?actor=nobody").await, [Value::Null; 0]);
}

#[tokio::test]
async fn the_same_address_answers_in_one_order_in_every_form() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    receive_many(&exports, &isbn(7), 20).await;
    let stream = format!("stock-{}", isbn(7));
    indexed(&exports, &stream, 20).await;
    let mut newest = history(&program, &stream).await;
    newest.reverse();
    for path in
        [format!("/audit/events?stream={stream}"), "/audit/events?type=StockReceived".to_owned()]
    {
        assert_eq!(*program.get(&path).await.body["events"].as_array().unwrap(), newest, "{path}");
        assert_eq!(lines(&program, &path).await, newest, "{path}");
        assert_eq!(rows(&program, &path).await, newest, "{path}");
    }
    newest.reverse();
    let path = format!("/audit/streams/{stream}");
    assert_eq!(history(&program, &stream).await, newest, "a history begins with its first event");
    assert_eq!(
        (lines(&program, &path).await, rows(&program, &path).await),
        (newest.clone(), newest)
    );
}

#[tokio::test]
async fn a_failed_export_breaks_its_connection() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    receive_many(&exports, &isbn(7), EVENTS).await;
    let stream = format!("stock-{}", isbn(7));
    let path = "/audit/events?type=StockReceived&order=asc";
    indexed(&exports, &stream, 5_200).await;
    // The fourth item, with events 3,001 to 4,000, is changed.
    let update = clients(&exports).dynamodb.update_item().table_name("ledgerfold-events");
    let update = update.key("stream_id", AttributeValue::S(stream.clone()));
    let update = update.key("version", AttributeValue::N("3001".to_owned()));
    let update = update
        .update_expression("SET #format = :strange")
        .expression_attribute_names("#format", "format");
    update
        .expression_attribute_values(":strange", AttributeValue::N("999".to_owned()))
        .send()
        .await
        .unwrap();
    for accept in ["application/x-ndjson", "text/csv"] {
        let mut answer =
            program.http.get(program.url(path)).header("Accept", accept).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut bytes = 0;
        let broken = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => bytes += chunk.len(),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken && bytes > 100_000, "{accept}: {bytes} bytes and a clean end");
    }
    // An early failure is a problem document.
    let path = format!("/audit/streams/{stream}?from=3500");
    sent(program.http.get(program.url(&path)).header("Accept", "text/csv"))
        .await
        .is_problem(500, "internal-error");
}

#[tokio::test]
async fn an_export_of_a_missing_stream_is_a_problem() {
    let program = Program::start().await;
    for accept in ["application/x-ndjson", "text/csv"] {
        let ask = |path: &str| sent(program.http.get(program.url(path)).header("Accept", accept));
        ask("/audit/streams/note-1").await.is_problem(404, "not-found");
        ask("/audit/events?stream=note-1").await.is_problem(404, "not-found");
        ask("/audit/events?limit=0").await.breaks("limit", "whole number from 1");
        ask("/audit/events?order=up").await.breaks("order", "asc or desc");
        ask("/audit/streams/x").await.breaks("stream", "a stream");
    }
}
