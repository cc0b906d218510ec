//! Each query of the audit trail is recorded.

use super::{Program, isbn, line, order, order_stream, sent, text};
use crate::harness::seed::{clients, store};
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Days, Utc};
use eventstore::{Consistency, StreamId};
use serde_json::{Value, json};

/// The first 16 digits of what `printf ann | sha256sum` prints.
const ANN: &str = "49915e0d7d4b402e";

/// The streams of a digest's queries, for today and tomorrow: midnight may be near.
fn streams(digest: &str) -> [String; 2] {
    let today = DateTime::<Utc>::from(std::time::SystemTime::now()).date_naive();
    [today, today + Days::new(1)].map(|day| format!("access-{day}.{digest}"))
}

/// The recorded queries of a reader, oldest first: call and parameters.
async fn recorded(exports: &[(String, String)], digest: &str) -> Vec<(String, Value)> {
    let store = store(exports);
    let mut found = Vec::new();
    for stream in streams(digest) {
        let loaded =
            store.load(&StreamId::new(stream).unwrap(), Consistency::Strong).await.unwrap();
        for commit in loaded.batches.iter().flat_map(|batch| &batch.commits) {
            let [event] = commit.events.as_slice() else { panic!("{commit:?}") };
            assert_eq!((event.body.event_type.as_str(), event.body.schema), ("AuditTrailRead", 1));
            assert_eq!(commit.metadata.actor.as_str(), "ann");
            let data: Value = serde_json::from_str(event.body.data.get()).unwrap();
            found.push((text(&data["call"]).to_owned(), data["about"].clone()));
        }
    }
    found
}

/// Sends a query as ann.
async fn ask(program: &Program, path: &str, accept: &str) -> super::Response {
    sent(program.http.get(program.url(path)).header("X-Actor", "ann").header("Accept", accept))
        .await
}

#[tokio::test]
async fn each_query_is_recorded_once_with_reader_and_parameters() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let placed =
        program.post("/orders", &order("c", &[line(1, 1, 5)])).header("X-Correlation-Id", "p");
    let stream = order_stream(sent(placed.header("Idempotency-Key", "k")).await.header("location"));
    let history = format!("/audit/streams/{stream}");
    let (json, lines) = ("application/json", "application/x-ndjson");
    let mut wanted = Vec::new();
    for (path, accept, call, about) in [
        (history.clone(), json, "history", json!({"stream": stream})),
        (
            format!("{history}?from=1&limit=2"),
            json,
            "history",
            json!({"stream": stream, "from": "1", "limit": "2"}),
        ),
        (format!("{history}/verify"), json, "verify", json!({"stream": stream})),
        (format!("{history}/at?version=1"), json, "at", json!({"stream": stream, "version": "1"})),
        (format!("{history}/diff?to=1"), json, "diff", json!({"stream": stream, "to": "1"})),
        (
            format!("/audit/events?stream={stream}&cursor=&limit=1"),
            json,
            "search",
            json!({"stream": stream, "limit": "1"}),
        ),
        ("/audit/events?actor=nobody".to_owned(), json, "search", json!({"actor": "nobody"})),
        (history.clone(), lines, "export", json!({"stream": stream, "format": "jsonl"})),
        (
            "/audit/events?actor=nobody".to_owned(),
            "text/csv",
            "export",
            json!({"actor": "nobody", "format": "csv"}),
        ),
    ] {
        assert_eq!(ask(&program, &path, accept).await.status, 200, "{path}");
        wanted.push((call.to_owned(), about));
        assert_eq!(recorded(&exports, ANN).await, wanted, "{path}");
    }
    // A query for something missing is recorded, too.
    assert_eq!(ask(&program, "/audit/trace/nothing", json).await.status, 404);
    wanted.push(("trace".to_owned(), json!({"correlation": "nothing"})));
    assert_eq!(ask(&program, "/audit/streams/note-1", json).await.status, 404);
    wanted.push(("history".to_owned(), json!({"stream": "note-1"})));
    // An invalid query is not recorded.
    for path in [
        "/audit/events?order=up",
        "/audit/streams/x",
        "/audit/streams/note-1/at",
        "/audit/trace/a%20b",
    ] {
        assert_eq!(ask(&program, path, json).await.status, 400, "{path}");
    }
    assert_eq!(recorded(&exports, ANN).await, wanted);
}

#[tokio::test]
async fn records_of_queries_are_ordinary_events() {
    let program = Program::start().await;
    program.command(&format!("/stock/{}/receive", isbn(7)), "k", &json!({"quantity": 1})).await;
    let path = format!("/audit/streams/stock-{}", isbn(7));
    let asked = program
        .http
        .get(program.url(&path))
        .header("X-Actor", "ann")
        .header("X-Correlation-Id", "inquiry");
    assert_eq!(sent(asked).await.status, 200);
    let found = super::eventually("the reading is found", || async {
        let page = program.get("/audit/events?actor=ann&type=AuditTrailRead").await.body;
        page["events"].as_array().unwrap().first().cloned()
    });
    let found = found.await;
    assert_eq!(
        (&found["correlation_id"], &found["data"]["call"]),
        (&json!("inquiry"), &json!("history"))
    );
    let stream = text(&found["stream"]);
    assert!(streams(ANN).iter().any(|name| name == stream), "{stream}");
    let verified = program.get(&format!("/audit/streams/{stream}/verify")).await.body;
    assert_eq!((&verified["verified"], &verified["commits"]), (&json!(true), &json!(1)));
}

/// Every query about that stream, and about all streams.
fn questions(stream: &str) -> Vec<String> {
    let history = format!("/audit/streams/{stream}");
    let calls = ["", "/verify", "/at?version=1", "/diff"].map(|call| format!("{history}{call}"));
    calls.into_iter().chain(["/audit/events".to_owned(), "/audit/trace/k".to_owned()]).collect()
}

#[tokio::test]
async fn a_query_that_cannot_be_recorded_is_not_answered() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    clients(&exports).dynamodb.delete_table().table_name("ledgerfold-events").send().await.unwrap();
    for path in questions(&format!("stock-{}", isbn(7))) {
        for accept in ["application/json", "text/csv"] {
            let answer = ask(&program, &path, accept).await;
            answer.is_problem(500, "internal-error");
            assert!(text(&answer.body["detail"]).contains("cannot be recorded"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn corrupt_records_of_queries_block_no_queries() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let stream = format!("stock-{}", isbn(7));
    let receive = program.post(&format!("/stock/{}/receive", isbn(7)), &json!({"quantity": 1}));
    sent(receive.header("Idempotency-Key", "k")).await;
    super::eventually("the commit is found", || async {
        (program.get("/audit/trace/k").await.status == 200).then_some(())
    })
    .await;
    // The stream of ann's queries gets an unexpected item.
    let table = clients(&exports).dynamodb;
    for stream in streams(ANN) {
        let put = table
            .put_item()
            .table_name("ledgerfold-events")
            .item("stream_id", AttributeValue::S(stream));
        put.item("version", AttributeValue::N("1".to_owned())).send().await.unwrap();
    }
    let questions = questions(&stream);
    for path in &questions {
        assert_eq!(ask(&program, path, "application/json").await.status, 200, "{path}");
    }
    let broken =
        ask(&program, &format!("/audit/streams/{}/verify", streams(ANN)[0]), "application/json")
            .await;
    assert_eq!((broken.status, &broken.body["verified"]), (200, &json!(false)));
    // Each is recorded nevertheless, in another stream.
    let found = super::eventually("the readings are found", || async {
        let page = program.get("/audit/events?actor=ann&type=AuditTrailRead").await.body;
        let events = page["events"].as_array().unwrap();
        (events.len() == questions.len() + 1).then(|| events.clone())
    });
    for reading in found.await {
        let stream = text(&reading["stream"]).to_owned();
        let beside = |damaged: &String| {
            *damaged == stream.replace(&format!(".{}", text(&reading["command_id"])), "")
        };
        assert!(
            streams(ANN).iter().any(|damaged| beside(damaged) && *damaged != stream),
            "{stream}"
        );
    }
}
