//! The API in this process, for cases that need an app, a clock or a queue that no program has.

use super::http::Response;
use super::stack::TestStack;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use eventstore::Id;
use handlers::app::App;
use handlers::http::{Api, router};
use serde_json::Value;
use tower::ServiceExt;

/// The API of an app, on tables that no consumer reads.
pub(crate) fn api(stack: &TestStack, app: App) -> Router {
    let system = stack.clients().system(&app.checked().unwrap(), &stack.names);
    let projector = system.projector();
    router(Api::new(
        system.command_store(),
        projector.clone(),
        system.operations(projector),
        Id::new("dev").unwrap(),
    ))
}

/// Sends a request, with a key if there is one.
pub(crate) async fn ask(
    api: &Router,
    method: Method,
    path: &str,
    key: Option<&str>,
    body: &Value,
) -> (u16, Value) {
    let headers: Vec<(&str, &str)> = key.into_iter().map(|key| ("Idempotency-Key", key)).collect();
    let Response { status, body, .. } = send(api, method, path, &headers, body).await;
    (status, body)
}

pub(crate) async fn send(
    api: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &Value,
) -> Response {
    let request =
        Request::builder().method(method).uri(path).header("Content-Type", "application/json");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    answer(api, request.body(Body::from(body.to_string())).unwrap()).await
}

pub(crate) async fn answer(api: &Router, request: Request<Body>) -> Response {
    let response = api.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Response { status, headers, body: serde_json::from_slice(&bytes).unwrap() }
}
