//! An app without the audit index: all that is asked of one stream is answered.

use crate::idle::Idle;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use eventstore::Id;
use handlers::http::{Api, router};
use serde_json::{Value, json};

const STREAM: &str = "stock-9780306406157";

fn api(idle: &Idle) -> Router {
    let app = bookshop::app().without_audit_index().checked().unwrap();
    let system = idle.clients().system(&app, &idle.names);
    let projector = system.projector();
    router(Api::new(system.command_store(), projector.clone(), system.operations(projector), Id::new("dev").unwrap()))
}

async fn ask(api: &Router, method: Method, path: &str) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("Content-Type", "application/json");
    let request = request.header("Idempotency-Key", "k").body(Body::from(r#"{"quantity":1}"#)).unwrap();
    let response = tower::ServiceExt::oneshot(api.clone(), request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn one_stream_is_audited_without_the_index() {
    let idle = Idle::start().await;
    let api = api(&idle);
    let receive = || ask(&api, Method::POST, "/stock/9780306406157/receive");
    assert_eq!(receive().await, receive().await, "the command is known again");
    let asked = |path: String| {
        let api = &api;
        async move { ask(api, Method::GET, &path).await }
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
        let told = body["detail"].as_str().unwrap();
        assert_eq!((status, told), (404, "this app has no audit index: name a stream"), "{path}");
    }
    let (_, listed) = asked("/projections".to_owned()).await;
    let names: Vec<_> = listed["projections"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["orders", "stock", "bestsellers", "fulfilment"]);
}
