//! The HTTP server of the container: the API with its own check of tokens, and health.

use super::StartFailure;
use super::readiness::Readiness;
use super::settings::{Settings, Tokens};
use crate::access::{Authorizer, IssuerKeys, authorize};
use crate::aws::composition::System;
use crate::http::{self, AllowedHosts, Api, ConsoleSettings, refuse_foreign_origins};
use crate::telemetry::{Component, InvocationLayer};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// The longest stream of a job's progress: a stop waits for it.
const MAX_PROGRESS: Duration = Duration::from_secs(10);

/// Requests that are being answered. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenRequests(Arc<AtomicUsize>);

/// A request, until it is dropped.
struct OpenRequest(OpenRequests);

impl OpenRequests {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(&self) -> OpenRequest {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenRequest(self.clone())
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The layers around requests.
#[derive(Clone)]
struct Watched {
    watch: InvocationLayer,
    open: OpenRequests,
}

/// All routes, and the task that refreshes the issuer's keys.
pub(super) async fn router(
    system: &System,
    settings: &Settings,
    readiness: &Readiness,
    watch: &InvocationLayer,
) -> Result<(Router, Option<AbortOnDropHandle<()>>, OpenRequests), StartFailure> {
    let open = OpenRequests::default();
    let (answers, keys) = match &settings.api {
        None => (http::health_alone(), None),
        Some(Tokens { keys, audience }) => {
            let keys = Arc::new(IssuerKeys::fetch(keys.clone()).await?);
            let authorizer = Arc::new(Authorizer::of_issuer(Arc::clone(&keys), audience));
            let checked =
                http::router(api(system).await?).layer(from_fn_with_state(authorizer, authorize));
            let refresh =
                AbortOnDropHandle::new(tokio::spawn(async move { keys.keep_current().await }));
            (refuse_foreign_origins(checked, AllowedHosts::Any), Some(refresh))
        }
    };
    let watched = Watched { watch: watch.clone(), open: open.clone() };
    let answers = answers.layer(from_fn_with_state(watched, count));
    let ready =
        Router::new().route("/readyz", get(super::readiness::readyz)).with_state(readiness.clone());
    Ok((ready.fallback_service(answers), keys, open))
}

async fn api(system: &System) -> Result<Api, StartFailure> {
    let projector = system.projector();
    for projection in system.app().read_models() {
        projector.warm(projection).await?;
    }
    let operations = system.operations(projector.clone());
    let api =
        Api::new(system.command_store(), projector, operations, eventstore::Id::new("nobody")?);
    let api =
        api.with_commands(system.commands()).with_command_queue(system.command_queue().await?);
    let console = ConsoleSettings { stage: system.stage(), login: None };
    Ok(api.require_tokens().with_progress_limit(MAX_PROGRESS).with_console(console))
}

/// Traces each request as the component that handles it on Lambda.
async fn count(
    State(Watched { watch, open }): State<Watched>,
    request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let _open = open.begin();
    let component =
        if request.method() == Method::POST { Component::CommandApi } else { Component::QueryApi };
    let watch = watch.of(component);
    let answer = watch.invoke(async { Ok::<_, Infallible>(next.run(request).await) });
    // A panic is already an answer, so a failure here is not of a request.
    answer.await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
