//! The HTTP API: one [`Router`] for all platforms.

mod access;
mod async_status;
mod audit;
mod commands;
mod console;
mod dead_letters;
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
mod request_headers;
mod routes;
mod rows;
mod schema;
pub mod server;
mod trace_layer;

pub use crate::problem::Problem;
pub use console::{ConsoleLogin, ConsoleSettings, InvalidLogin};
pub use endpoints::{Endpoint, endpoints};
pub use extract::PathParameter;
pub use foreign_origins::{AllowedHosts, refuse_foreign_origins};
pub use params::{PageCursor, Params, cursor_text};

use crate::app::Dispatcher;
use crate::audit::AuditTrail;
use crate::command_queue::CommandQueue;
use crate::operations::Operations;
use ::projections::Projector;
use access::{Access, AccessPolicy};
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

/// What the API's handlers need.
#[derive(Clone)]
pub struct Api {
    store: EventStore,
    commands: Dispatcher,
    command_queue: Option<CommandQueue>,
    projector: Projector,
    operations: Operations,
    audit: AuditTrail,
    access: Access,
    console: ConsoleSettings,
    /// How long one response reports progress. Then clients connect again, as browsers do.
    progress: Duration,
    /// Limits the responses that report progress.
    watchers: Arc<Semaphore>,
}

/// The most responses that report progress at once. Each reads the tables every second.
const MAX_WATCHERS: usize = 64;
/// How long one response reports progress, if responses are streamed.
const MAX_PROGRESS: Duration = Duration::from_secs(60 * 60);

/// The state of the API's handlers.
pub(crate) type ApiState = axum::extract::State<Arc<Api>>;

impl Api {
    /// An API over that store. It needs no tokens: a request without `X-Actor` has the default
    /// actor.
    pub fn new(
        store: EventStore,
        projector: Projector,
        operations: Operations,
        default_actor: Id,
    ) -> Self {
        let commands = Dispatcher::new(operations.app(), &store);
        let audit = AuditTrail::new(operations.app().clone(), store.clone(), projector.clone());
        let access = Access::Open(default_actor);
        let (progress, watchers) = (MAX_PROGRESS, Arc::new(Semaphore::new(MAX_WATCHERS)));
        Self {
            store,
            commands,
            command_queue: None,
            projector,
            operations,
            audit,
            access,
            console: ConsoleSettings::default(),
            progress,
            watchers,
        }
    }

    /// Uses this dispatcher, to share its stream caches.
    #[must_use]
    pub fn with_commands(self, commands: Dispatcher) -> Self {
        Self { commands, ..self }
    }

    /// Accepts `Prefer: respond-async`, with this command queue. Without one, all commands are
    /// answered at once.
    #[must_use]
    pub fn with_command_queue(self, queue: CommandQueue) -> Self {
        Self { command_queue: Some(queue), ..self }
    }

    /// Requires a [`Caller`](crate::access::Caller) among the extensions of each request, with the
    /// scope that [`required_scope`](crate::access::required_scope) names.
    #[must_use]
    pub fn require_tokens(self) -> Self {
        Self { access: Access::Callers, ..self }
    }

    /// Tells the console where it is deployed, and how people sign in.
    #[must_use]
    pub fn with_console(self, console: ConsoleSettings) -> Self {
        Self { console, ..self }
    }

    /// Limits how long one response reports progress.
    #[must_use]
    pub fn with_progress_limit(self, progress: Duration) -> Self {
        Self { progress, ..self }
    }

    /// For an API gateway that buffers responses. A response reports progress once.
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
    components(schemas(Problem, crate::problem::FieldError, schema::AcceptedCommand)),
    tags(
        (name = "commands", description = "The status of asynchronous commands"),
        (name = "audit", description = "Who did what, when and why, and whether it is still as written"),
        (name = "projections", description = "Read models and other projections: their status, and steps of operators"),
        (name = "operation", description = "Health")
    )
)]
struct Description;

/// Only the health check, for a process without the API.
pub(crate) fn health_alone() -> Router {
    let router = Router::new().route("/healthz", get(health));
    router.fallback(unknown_path).method_not_allowed_fallback(unknown_method)
}

/// The API as a router.
pub fn router(api: Api) -> Router {
    let app = api.operations.app();
    let extra = app.extra_routes().map(|extra| extra.with_state(api.projector.clone()));
    let router = extra.fold(routes::add(base_routes(), app), OpenApiRouter::merge);
    let (router, mut description) = router.split_for_parts();
    description::complete(&mut description, app, &api.access);
    let description = Arc::new(description);
    let console = console::routes(app, &api.access, &api.console, api.progress.as_secs());
    let policy = Arc::new(AccessPolicy { app: app.clone(), access: api.access.clone() });
    router
        .route("/openapi.json", get(move || std::future::ready(Json(description.as_ref().clone()))))
        .merge(console)
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(Arc::new(api))
        .layer(from_fn_with_state(policy, access::check))
        .layer(from_fn(console::redirect_browsers))
        .layer(from_fn(trace_layer::trace))
}

/// The routes of every app.
fn base_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(async_status::status))
        .routes(routes!(audit::history))
        .routes(routes!(audit::verify))
        .routes(routes!(audit::search))
        .routes(routes!(audit::tail))
        .routes(routes!(audit::streams))
        .routes(routes!(audit::verify_all))
        .routes(routes!(projections::list))
        .routes(routes!(projections::status))
        .routes(routes!(progress::progress))
        .routes(routes!(projections::parked))
        .routes(routes!(dead_letters::dead_letters))
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

/// Whether the API responds.
#[utoipa::path(get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "It responds", body = schema::Health)))]
async fn health() -> Json<schema::Health> {
    Json(schema::Health { status: "ok" })
}

async fn unknown_path(uri: Uri) -> Problem {
    Problem::not_found(format!("there is no path {}", uri.path()))
}

async fn unknown_method(uri: Uri) -> Problem {
    Problem::method_not_allowed(uri.path())
}
