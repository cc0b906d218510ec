//! What the API of an app answers, for those who must know it without asking: the template's routes.

use super::access::operations;
use super::{base_routes, routes};
use crate::access::{Requirement, required_scope};
use crate::app::App;
use crate::telemetry::Component;
use axum::http::Method;
use utoipa_axum::router::OpenApiRouter;

/// The path of the API's own description, which does not describe itself.
const DESCRIPTION: &str = "/openapi.json";

/// A method of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path with its parameters, as `/orders/{id}`.
    pub path: String,
    /// What a request must bring.
    pub requirement: Requirement,
    /// The function that answers it: [`Component::CommandApi`] or [`Component::QueryApi`].
    pub component: Component,
}

/// Every method of every path, in the order of the description.
pub fn endpoints(app: &App) -> Vec<Endpoint> {
    let router = app.extra_routes().fold(routes::add(base_routes(), app), OpenApiRouter::merge);
    let mut document = router.into_openapi();
    let mut found = Vec::new();
    for (path, item) in &mut document.paths.paths {
        found.extend(operations(item).map(|(method, _)| endpoint(app, method, path)));
    }
    found.push(endpoint(app, Method::GET, DESCRIPTION));
    found
}

fn endpoint(app: &App, method: Method, path: &str) -> Endpoint {
    let requirement = required_scope(app, &method, path);
    let reads = method == Method::GET || method == Method::HEAD;
    // What became of a command is asked of those who take commands; an operator's steps change no stream.
    let is_command = path.starts_with("/commands/") || !reads && !path.starts_with("/projections/");
    let component = if is_command { Component::CommandApi } else { Component::QueryApi };
    Endpoint { method, path: path.to_owned(), requirement, component }
}
