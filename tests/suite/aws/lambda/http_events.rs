//! Requests that come through an API gateway.

use super::gateway::{Body, Caller, GatewayResponse, send};
use super::{COMMAND_API, QUERY_API, function};
use crate::harness::seed;
use crate::harness::stack::TestStack;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

fn order() -> serde_json::Value {
    json!({"customer_id": "c-1", "currency": "EUR", "lines": [{"isbn": "9780306406157", "quantity": 1, "unit_price_minor": 995}]})
}

#[tokio::test]
async fn a_command_is_answered_once_and_has_the_tokens_subject() {
    let system = TestStack::start().await;
    let (commands, queries) =
        (function(&system, COMMAND_API, &[]).await, function(&system, QUERY_API, &[]).await);
    let anna = Caller { function: &commands, subject: "anna", scope: "ledgerfold/write" };
    let first = anna.post("/orders", "an-order", &order()).await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = anna.post("/orders", "an-order", &order()).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let auditor = Caller { function: &queries, subject: "carl", scope: "ledgerfold/audit" };
    let stream = first.json()["stream"].as_str().unwrap().to_owned();
    let history = auditor.get(&format!("/audit/streams/{stream}?limit=5")).await.json();
    assert_eq!(
        (&history["events"][0]["actor"], &history["head"]["version"]),
        (&json!("anna"), &json!(1))
    );
    let other = Caller { subject: "bert", ..anna }.post("/orders", "an-order", &order()).await;
    assert_ne!(other.json()["stream"], json!(stream), "bert's key is not anna's");
}

#[tokio::test]
async fn a_request_needs_a_token_with_its_scope() {
    let system = TestStack::start().await;
    let (commands, queries) =
        (function(&system, COMMAND_API, &[]).await, function(&system, QUERY_API, &[]).await);
    let headers = json!({"content-type": "application/json", "x-actor": "anna"});
    let unknown =
        send(&commands, "POST", "/orders", headers.clone(), Body::Text(order().to_string()), None)
            .await;
    assert_eq!(unknown.status, 401, "{unknown:?}");
    for (function, path, scope) in [
        (&commands, "/orders", "ledgerfold/read"),
        (&queries, "/orders/6f0f9d3e-0000-4000-8000-000000000000", "ledgerfold/write"),
        (&queries, "/audit/events", "ledgerfold/read"),
        (&queries, "/projections", "ledgerfold/audit"),
    ] {
        let caller = Caller { function, subject: "anna", scope };
        let answer = if path == "/orders" {
            caller.post(path, "k", &order()).await
        } else {
            caller.get(path).await
        };
        assert_eq!(answer.status, 403, "{path} with {scope}: {answer:?}");
    }
    let healthy = send(&queries, "GET", "/healthz", json!({}), Body::None, None).await;
    assert_eq!(healthy.status, 200);
}

#[tokio::test]
async fn what_the_gateway_decodes_is_read_as_it_was_meant() {
    let system = TestStack::start().await;
    let queries = function(&system, QUERY_API, &[]).await;
    let auditor = Caller { function: &queries, subject: "carl", scope: "ledgerfold/audit" };
    for path in ["/audit/streams/or der-ä%/verify", "/audit/streams/order-1?from=\"<>"] {
        let answer = auditor.get(path).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.json()["type"], "https://ledgerfold.dev/problems/invalid-request");
    }
    let found = auditor.get("/audit/events?type=%4FrderPlaced&limit=3").await;
    assert_eq!((found.status, &found.json()["events"]), (200, &json!([])));
}

/// An id may have `/`, `?`, `#` and `%`; the gateway gives the path decoded, and may cut it at a
/// decoded `?`.
#[tokio::test]
async fn an_id_is_what_the_gateways_route_says() {
    let system = TestStack::start().await;
    let queries = function(&system, QUERY_API, &[]).await;
    let auditor = Caller { function: &queries, subject: "carl", scope: "ledgerfold/audit" };
    // Nothing has the id, and the answer names it.
    let asked_for = |answer: &GatewayResponse| {
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        detail.rsplit(' ').next().unwrap().to_owned()
    };
    let id = "shop/order?1#50%2F";
    for (route, path) in [
        ("GET /audit/trace/{correlation}", format!("/audit/trace/{id}")),
        ("GET /audit/trace/{correlation}", "/audit/trace/shop/order".to_owned()),
        ("GET /audit/trace/{correlation+}", format!("/audit/trace/{id}")),
    ] {
        let found = auditor.get_by(route, &path, json!({"correlation": id})).await;
        assert_eq!((found.status, asked_for(&found)), (404, id.to_owned()), "{route} {path}");
    }
    // A catch-all route has no parameters: only the decoded path is known.
    let parameters = json!({"proxy": "audit/trace/order-1"});
    let found = auditor.get_by("ANY /{proxy+}", "/audit/trace/order-1", parameters).await;
    assert_eq!(asked_for(&found), "order-1");
}

#[tokio::test]
async fn a_body_in_base64_is_the_same_body() {
    let system = TestStack::start().await;
    let commands = function(&system, COMMAND_API, &[]).await;
    let anna = Caller { function: &commands, subject: "anna", scope: "ledgerfold/write" };
    let plain = anna.post("/orders", "an-order", &order()).await;
    for (body, status) in
        [(BASE64_STANDARD.encode(order().to_string()), 201), ("no Base64!".to_owned(), 400)]
    {
        let headers = json!({"content-type": "application/json", "idempotency-key": "an-order"});
        let answer = anna.send("POST", "/orders", headers, Body::Base64(body)).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(status == 400 || answer.body == plain.body, "{answer:?}");
    }
}

/// The gateway buffers answers: one answer has the progress once, and the caller polls.
#[tokio::test]
async fn progress_is_returned_once_per_answer() {
    let system = TestStack::start().await;
    let queries = function(&system, QUERY_API, &[]).await;
    let operator = Caller { function: &queries, subject: "olga", scope: "ledgerfold/operate" };
    let begun = operator.post("/projections/stock/rebuild", "k", &json!({"segments": 2})).await;
    assert_eq!(begun.status, 202, "{begun:?}");
    // The job has no worker, so it never ends.
    let progress = operator.get("/projections/stock/progress").await;
    assert_eq!(
        (progress.status, &progress.headers["content-type"]),
        (200, &json!("text/event-stream"))
    );
    assert!(progress.body.starts_with("event: progress\ndata: {"), "{progress:?}");
    assert_eq!(progress.body.matches("event:").count(), 1, "{progress:?}");
}

#[tokio::test]
async fn an_answer_that_lambda_cannot_take_is_refused_with_what_to_do() {
    let system = TestStack::start().await;
    let queries = function(&system, QUERY_API, &[]).await;
    let auditor = Caller { function: &queries, subject: "carl", scope: "ledgerfold/audit" };
    let data = json!({"reason": "long ".repeat(200_000)}).to_string();
    seed::append_each(&system.store, "order-long", &[("OrderRejected", 1, data.as_str()); 5]).await;
    let lines = json!({"accept": "application/x-ndjson"});
    let answer = auditor.send("GET", "/audit/streams/order-long", lines.clone(), Body::None).await;
    assert_eq!(answer.status, 413, "{} bytes", answer.body.len());
    assert_eq!(answer.json()["type"], "https://ledgerfold.dev/problems/answer-too-large");
    let less = auditor.send("GET", "/audit/streams/order-long?from=3", lines, Body::None).await;
    assert_eq!((less.status, less.body.lines().count()), (200, 3), "{} bytes", less.body.len());
}
