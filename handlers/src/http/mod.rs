//! The HTTP API: one [`Router`] for the laptop and for Lambda.

mod access;
mod async_status;
mod audit;
mod commands;
mod description;
mod endpoints;
mod extract;
mod field_errors;
mod foreign_origins;
mod params;
mod prefer;
mod progress;
mod projection_schema;
mod projections;
mod routes;
mod rows;
mod schema;
pub mod server;
mod trace_layer;

pub use crate::problem::Problem;
pub use endpoints::{Endpoint, endpoints};
pub use extract::Segment;
pub use foreign_origins::{Hosts, without_foreign_pages};
pub use params::{PageCursor, Params, cursor_text};

use crate::app::Dispatcher;
use crate::audit::AuditTrail;
use crate::command_queue::CommandQueue;
use crate::operations::Operations;
use ::projections::Projector;
use access::{Access, Doors};
use axum::Json;
use axum::Router;
use axum::http::Uri;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use eventstore::{EventStore, Id};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What the API works on.
#[derive(Clone)]
pub struct Api {
    store: EventStore,
    commands: Dispatcher,
    command_queue: Option<CommandQueue>,
    projector: Projector,
    operations: Operations,
    audit: AuditTrail,
    access: Access,
    /// How long one answer tells of progress; then the caller asks again, as browsers do by themselves.
    progress: Duration,
    /// Room for those who are told of progress.
    watchers: Arc<Semaphore>,
}

/// Answers that tell of progress at once: each looks at the tables every second.
const MAX_WATCHERS: usize = 64;
/// How long one answer tells of progress, where answers flow.
const LONGEST_PROGRESS: Duration = Duration::from_secs(60 * 60);

/// What handlers of a route work on.
pub type Shared = axum::extract::State<Arc<Api>>;

impl Api {
    /// An API on that store, with a projector to its read models and an operator's hands. It is open to everybody: a request
    /// without `X-Actor` is the default actor's.
    pub fn new(store: EventStore, projector: Projector, operations: Operations, default_actor: Id) -> Self {
        let commands = Dispatcher::new(operations.app(), &store);
        let audit = AuditTrail::new(operations.app().clone(), store.clone(), projector.clone());
        let access = Access::Open(default_actor);
        let (progress, watchers) = (LONGEST_PROGRESS, Arc::new(Semaphore::new(MAX_WATCHERS)));
        Self { store, commands, command_queue: None, projector, operations, audit, access, progress, watchers }
    }

    /// The projector to its read models.
    pub fn projector(&self) -> &Projector {
        &self.projector
    }

    /// The same with a dispatcher that others use as well: they share what is remembered of streams.
    #[must_use]
    pub fn with_commands(self, commands: Dispatcher) -> Self {
        Self { commands, ..self }
    }

    /// The same, and it takes commands to be answered later (`Prefer: respond-async`), which it otherwise answers at once.
    #[must_use]
    pub fn with_command_queue(self, queue: CommandQueue) -> Self {
        Self { command_queue: Some(queue), ..self }
    }

    /// The same for callers only. Each request must have a [`Caller`](crate::access::Caller) among
    /// its extensions, with the scope that [`required_scope`](crate::access::required_scope) names.
    #[must_use]
    pub fn for_callers(self) -> Self {
        Self { access: Access::Callers, ..self }
    }

    /// The same, and one answer tells no longer of progress; its caller asks again.
    #[must_use]
    pub fn telling_progress_for(self, progress: Duration) -> Self {
        Self { progress, ..self }
    }

    /// The same where answers are passed on when they are whole, as an API gateway does: how far a job has come is told once an
    /// answer.
    #[must_use]
    pub fn buffered(self) -> Self {
        Self { progress: Duration::ZERO, ..self }
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ledgerfold",
        description = "Every command may be sent again with its Idempotency-Key.",
        license(name = "MIT OR Apache-2.0")
    ),
    servers((url = "/", description = "Where this document is served")),
    components(schemas(Problem, crate::problem::FieldError, schema::TakenCommand)),
    tags(
        (name = "commands", description = "What became of commands that are answered later"),
        (name = "audit", description = "Who did what, when and why; and is it still what was written"),
        (name = "projections", description = "Read models and other consumers: how they stand, and what operators do with them"),
        (name = "operation", description = "For those who run it")
    )
)]
struct Description;

/// Health alone, for a process without the API.
pub(crate) fn health_alone() -> Router {
    let router = Router::new().route("/healthz", get(health));
    router.fallback(unknown_path).method_not_allowed_fallback(unknown_method)
}

/// The API as a router.
pub fn router(api: Api) -> Router {
    let app = api.operations.app();
    let router = app.extra_routes().fold(routes::add(base_routes(), app), OpenApiRouter::merge);
    let (router, mut description) = router.split_for_parts();
    description::complete(&mut description, app, &api.access);
    let description = Arc::new(description);
    let doors = Arc::new(Doors { app: app.clone(), access: api.access.clone() });
    router
        .route("/openapi.json", get(move || std::future::ready(Json(description.as_ref().clone()))))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(Arc::new(api))
        .layer(from_fn_with_state(doors, access::check))
        .layer(from_fn(trace_layer::watch))
}

/// The routes of every app.
fn base_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(async_status::status))
        .routes(routes!(audit::history))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::search))
        .routes(routes!(projections::list))
        .routes(routes!(projections::status))
        .routes(routes!(progress::progress))
        .routes(routes!(projections::parked))
        .routes(routes!(projections::rebuild))
        .routes(routes!(projections::pause))
        .routes(routes!(projections::resume))
        .routes(routes!(projections::cancel))
        .routes(routes!(projections::switch))
        .routes(routes!(projections::rollback))
        .routes(routes!(projections::drop_generation))
        .routes(routes!(projections::reconcile))
        .routes(routes!(projections::redrive))
        .routes(routes!(audit::trace))
        .routes(routes!(audit::at))
        .routes(routes!(audit::diff))
        .routes(routes!(health))
}

/// Whether the API answers.
#[utoipa::path(get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "It answers", body = schema::Health)))]
async fn health() -> Json<schema::Health> {
    Json(schema::Health { status: "ok" })
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is nothing at {}", uri.path()))
}

async fn unknown_method(uri: Uri) -> Problem {
    Problem::method_not_allowed(uri.path())
}
