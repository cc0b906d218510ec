//! Checks the caller and the scope of each request, before anything else.

use super::request_headers::id;
use crate::access::caller::{Caller, Scope, Unauthorized};
use crate::access::scopes::{Requirement, required_scope};
use crate::access::system_actors::{ACTOR_OF_SYSTEM, is_actor_of_system};
use crate::app::App;
use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use eventstore::Id;
use std::sync::Arc;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::Type;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ObjectBuilder, OpenApi, Required};

/// The name of the security scheme in the OpenAPI document.
const SCHEME: &str = "token";
/// The header that names the actor if no tokens are checked.
const ACTOR: &str = "X-Actor";

/// Whether requests need a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// All requests are served. The actor is this one, unless `X-Actor` names another. For local
    /// use.
    Open(Id),
    /// A request needs a [`Caller`] among its extensions. The authorizer puts it there.
    Callers,
}

/// The app whose routes need scopes, and whether tokens are checked.
#[derive(Clone)]
pub(super) struct AccessPolicy {
    pub(super) app: App,
    pub(super) access: Access,
}

/// Passes an allowed request to its handler, with its [`Caller`] among its extensions.
pub(super) async fn check(
    State(policy): State<Arc<AccessPolicy>>,
    mut request: Request,
    next: Next,
) -> Response {
    match caller_of(&policy, &request) {
        Err(problem) => return problem.into_response(),
        Ok(None) => {}
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
    }
    next.run(request).await
}

/// The caller of a request; none if it needs none.
fn caller_of(
    AccessPolicy { app, access }: &AccessPolicy,
    request: &Request,
) -> Result<Option<Caller>, Problem> {
    match (required_scope(app, request.method(), request.uri().path()), access) {
        (Requirement::Nothing, _) | (Requirement::Unlisted, Access::Open(_)) => Ok(None),
        (Requirement::Scope(_), Access::Open(default)) => {
            let named = id(request.headers(), ACTOR)?;
            if named.as_ref().is_some_and(is_actor_of_system) {
                return Err(Problem::invalid(ACTOR, ACTOR_OF_SYSTEM));
            }
            let actor = named.unwrap_or_else(|| default.clone());
            Ok(Some(Caller { actor, scopes: Scope::ALL.into() }))
        }
        (Requirement::Unlisted, Access::Callers) => verified(request).map(Some),
        (Requirement::Scope(scope), Access::Callers) => verified_for(scope, request).map(Some),
    }
}

fn verified(request: &Request) -> Result<Caller, Problem> {
    request
        .extensions()
        .get::<Caller>()
        .cloned()
        .ok_or_else(|| Problem::unauthorized(&Unauthorized::Missing))
}

fn verified_for(scope: Scope, request: &Request) -> Result<Caller, Problem> {
    let caller = verified(request)?;
    if !caller.scopes.contains(&scope) {
        return Err(Problem::forbidden(scope));
    }
    // The client would believe that the header has an effect.
    if request.headers().contains_key(ACTOR) {
        return Err(Problem::invalid(
            ACTOR,
            "must not be sent with a token, whose subject is the actor",
        ));
    }
    Ok(caller)
}

impl IntoResponse for Unauthorized {
    fn into_response(self) -> Response {
        Problem::unauthorized(&self).into_response()
    }
}

/// Adds to the OpenAPI document what each operation needs. Without tokens, a header names the
/// actor.
pub(super) fn describe(document: &mut OpenApi, app: &App, access: &Access) {
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(tokens()));
    let is_open = matches!(access, Access::Open(_));
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            let scope = match required_scope(app, &method, path) {
                Requirement::Nothing => {
                    operation.security = Some(Vec::new());
                    continue;
                }
                Requirement::Scope(scope) => vec![scope.name()],
                Requirement::Unlisted => Vec::new(),
            };
            let token = SecurityRequirement::new(SCHEME, scope);
            if is_open {
                operation.security = Some(vec![SecurityRequirement::default(), token]);
                operation.parameters.get_or_insert_default().push(actor_header().into());
            } else {
                operation.security = Some(vec![token]);
            }
        }
    }
}

fn actor_header() -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[!-~]{1,128}$"));
    let header = ParameterBuilder::new()
        .name(ACTOR)
        .parameter_in(ParameterIn::Header)
        .required(Required::False);
    header.description(Some("The actor; `dev` by default.")).schema(Some(schema)).build()
}

fn tokens() -> Http {
    let scopes =
        Scope::ALL.map(|scope| format!("`{}`: {}", scope.name(), scope.purpose())).join("; ");
    let description = format!(
        "A JWT. Its subject is recorded as the actor. Each operation names the scope that it needs ({scopes}). \
         `dev` without `--auth` needs no token."
    );
    Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(description))
        .build()
}

/// The operations of a path.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let read = [
        (Method::GET, &mut item.get),
        (Method::HEAD, &mut item.head),
        (Method::OPTIONS, &mut item.options),
    ];
    let write = [
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
    ];
    let rest = [(Method::DELETE, &mut item.delete), (Method::TRACE, &mut item.trace)];
    let all = read.into_iter().chain(write).chain(rest);
    all.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}
