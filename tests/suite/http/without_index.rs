//! An app without the audit index: queries about one stream work.

use crate::harness::in_process;
use crate::harness::in_process::ask;
use crate::harness::stack::TestStack;
use axum::http::Method;
use serde_json::json;

const STREAM: &str = "stock-9780306406157";

#[tokio::test]
async fn one_stream_is_audited_without_the_index() {
    let idle = TestStack::start().await;
    let api = in_process::api(&idle, bookshop::app().without_audit_index());
    let one = json!({"quantity": 1});
    let receive = || ask(&api, Method::POST, "/stock/9780306406157/receive", Some("k"), &one);
    assert_eq!(receive().await, receive().await, "the command is known again");
    let asked = |path: String| {
        let api = &api;
        async move { ask(api, Method::GET, &path, None, &json!({})).await }
    };
    let stream = format!("/audit/streams/{STREAM}");
    for (path, field, wanted) in [
        (stream.clone(), "/head/version", json!(1)),
        (format!("{stream}/verify"), "/verified", json!(true)),
        (format!("{stream}/at?version=1"), "/state/on_hand", json!(1)),
        (format!("{stream}/diff"), "/changes/0/after", json!(1)),
        (format!("/audit/events?stream={STREAM}"), "/events/0/type", json!("StockReceived")),
    ] {
        let (status, body) = asked(path.clone()).await;
        assert_eq!((status, body.pointer(field)), (200, Some(&wanted)), "{path}: {body}");
    }
    for path in ["/audit/events", "/audit/events?type=StockReceived", "/audit/trace/k"] {
        let (status, body) = asked(path.to_owned()).await;
        let detail = body["detail"].as_str().unwrap();
        assert_eq!((status, detail), (404, "this app has no audit index: name a stream"), "{path}");
    }
    let (_, listed) = asked("/projections".to_owned()).await;
    let names: Vec<_> =
        listed["projections"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["orders", "stock", "bestsellers", "journal", "fulfilment"]);
}
