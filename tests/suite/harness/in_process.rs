//! The API in this process, for cases that need an app or a clock of their own.

use crate::harness::idle::Idle;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use eventstore::Id;
use handlers::app::App;
use handlers::http::{Api, router};
use serde_json::Value;

/// The API of an app, on tables that no consumer reads.
pub(crate) fn api(idle: &Idle, app: App) -> Router {
    let system = idle.clients().system(&app.checked().unwrap(), &idle.names);
    let projector = system.projector();
    router(Api::new(system.command_store(), projector.clone(), system.operations(projector), Id::new("dev").unwrap()))
}

/// Asks, under a key where one is given.
pub(crate) async fn ask(api: &Router, method: Method, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
    let mut request = Request::builder().method(method).uri(path).header("Content-Type", "application/json");
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    let request = request.body(Body::from(body.to_string())).unwrap();
    let response = tower::ServiceExt::oneshot(api.clone(), request).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap())
}
