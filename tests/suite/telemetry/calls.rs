//! Invocations as on Lambda, in a process that ends right after its last response.

use super::{RELEASE, STAGE, reporting};
use crate::harness::sentry::{Ingest, chain};
use crate::harness::waiting::PATIENCE;
use serde_json::{Value, json};
use std::process::Output;
use tokio::net::TcpListener;

/// Invokes twice; the first fails in that way. Returns the log lines as JSON.
async fn call(what: &str, dsn: &str) -> Vec<Value> {
    let mut command = reporting(["call", what], dsn);
    let output =
        tokio::time::timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
    let Output { status, stdout, stderr } = output;
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success() && stderr.is_empty(), "{stdout}{stderr}");
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}")))
        .collect()
}

/// The results of the invocations.
fn answers(lines: &[Value]) -> Vec<&str> {
    lines.iter().filter_map(|line| line["with"].as_str()).collect()
}

/// The one line with that message.
#[track_caller]
fn line<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let found: Vec<&Value> = lines.iter().filter(|line| line["message"] == message).collect();
    let [line] = found.as_slice() else { panic!("{message}: {lines:#?}") };
    line
}

#[tokio::test]
async fn a_panic_is_reported_and_ends_only_its_invocation() {
    let ingest = Ingest::open().await;
    let lines = call("panic", &ingest.dsn).await;
    assert_eq!(answers(&lines), ["panic", "done"]);
    let [event] = ingest.events().try_into().unwrap();
    assert_eq!(
        (&event["message"], &event["contexts"]["fields"]["panic"]),
        (&json!("a panic"), &json!("a defect"))
    );
    assert!(
        event["contexts"]["fields"]["location"].as_str().unwrap().contains("call.rs"),
        "{event:#}"
    );
    let logged = line(&lines, "a panic");
    assert_eq!((&logged["error_id"], &logged["level"]), (&event["event_id"], &json!("ERROR")));
}

#[tokio::test]
async fn an_error_is_reported_with_its_tags_and_causes() {
    let ingest = Ingest::open().await;
    let lines = call("error", &ingest.dsn).await;
    assert_eq!(answers(&lines), ["error", "done"]);
    let [event] = ingest.events().try_into().unwrap();
    assert_eq!(chain(&event)[0], "the message cannot be read");
    assert!(chain(&event)[1].starts_with("invalid type: string \"…\", expected u32"), "{event:#}");
    assert_eq!(
        (&event["message"], &event["environment"]),
        (&json!("a call failed"), &json!(STAGE))
    );
    assert_eq!((&event["release"], &event["server_name"]), (&json!(RELEASE), &json!("local")));
    let tags = json!({"component": "projector", "request_id": "call-1"});
    assert_eq!(event["tags"], tags, "the call's own");
}

/// A failure within traced work has its ids and its trace, a panic as well.
#[tokio::test]
async fn a_report_has_the_ids_and_the_trace_of_its_work() {
    let ingest = Ingest::open().await;
    call("panic", &ingest.dsn).await;
    let [event] = ingest.events().try_into().unwrap();
    let tags = json!({
        "component": "projector", "request_id": "call-1", "stream": "order-1", "version": "7", "command_id": "command-1",
        "correlation_id": "process-1", "actor": "operator:ann", "error_id": event["event_id"],
    });
    assert_eq!(event["tags"], tags);
    assert_eq!(event["user"], json!({"id": "operator:ann"}));
    let trace = &event["contexts"]["trace"];
    assert_eq!(trace["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(trace["parent_span_id"], "b7ad6b7169203331");
    let [before] =
        event["breadcrumbs"]["values"].as_array().cloned().unwrap_or_default().try_into().unwrap();
    assert_eq!((&before["message"], &before["data"]), (&json!("before"), &Value::Null));
    assert!(!event.to_string().contains("customer-of-the-log"), "{event:#}");
}

#[tokio::test]
async fn each_log_line_has_the_ids_of_its_work() {
    let lines = call("nothing", "").await;
    let before: Vec<&Value> = lines.iter().filter(|line| line["message"] == "before").collect();
    assert_eq!(before.len(), 2, "{lines:#?}");
    for (line, request_id) in before.into_iter().zip(["call-1", "call-2"]) {
        let mut line = line.as_object().unwrap().clone();
        assert!(line.remove("time").unwrap().as_str().unwrap().ends_with('Z'));
        let expected = json!({
            "level": "INFO", "target": "ledgerfold_under_test::call", "message": "before",
            "component": "projector", "request_id": request_id, "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "stream": "order-1", "version": 7, "command_id": "command-1", "correlation_id": "process-1",
            "actor": "operator:ann", "customer_id": "customer-of-the-log",
        });
        assert_eq!(Value::Object(line), expected);
    }
}

#[tokio::test]
async fn each_invocation_has_one_line_of_metrics() {
    let lines = call("error", "").await;
    let metrics: Vec<&Value> = lines.iter().filter(|line| line.get("_aws").is_some()).collect();
    let [first, second] = metrics.as_slice() else { panic!("{lines:#?}") };
    let fields = |line: &Value| {
        (line["request_id"].clone(), line["Messages"].clone(), line["Reports"].clone())
    };
    assert_eq!(fields(first), (json!("call-1"), json!(1.0), json!(1.0)));
    assert_eq!(fields(second), (json!("call-2"), json!(1.0), Value::Null));
    assert_eq!((&first["Stage"], &first["Component"]), (&json!(STAGE), &json!("projector")));
    let directive = &first["_aws"]["CloudWatchMetrics"][0];
    assert_eq!(
        (&directive["Namespace"], &directive["Dimensions"]),
        (&json!("Ledgerfold"), &json!([["Stage", "Component"]]))
    );
    let names =
        |line: &Value| line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap().len();
    assert_eq!((names(first), names(second)), (2, 1));
}

#[tokio::test]
async fn without_a_dsn_the_id_is_in_the_log() {
    let lines = call("panic", "").await;
    assert_eq!(answers(&lines), ["panic", "done"]);
    assert_eq!(line(&lines, "a panic")["error_id"].as_str().unwrap().len(), 32);
}

#[tokio::test]
async fn a_sentry_that_is_down_delays_no_response() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("http://key@{}/1", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(answers(&call("error", &dsn).await), ["error", "done"]);
}

/// It accepts connections and never responds.
#[tokio::test]
async fn a_sentry_that_hangs_delays_a_response_within_bounds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dsn = format!("http://key@{}/1", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    assert_eq!(answers(&call("error", &dsn).await), ["error", "done"]);
    silent.abort();
}
