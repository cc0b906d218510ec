//! The endpoints of an app's API as data. The template for AWS makes its routes of them.

use super::access::operations;
use super::{base_routes, console, routes};
use crate::access::{Requirement, required_scope};
use crate::app::App;
use crate::telemetry::Component;
use axum::http::Method;

/// The path of the OpenAPI document, which does not describe itself.
const DESCRIPTION: &str = "/openapi.json";

/// A method of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path with its parameters, as `/orders/{id}`.
    pub path: String,
    /// What a request needs.
    pub requirement: Requirement,
    /// The function that serves it: [`Component::CommandApi`] or [`Component::QueryApi`].
    pub component: Component,
}

/// Every method of every path, in the order of the OpenAPI document; then those that it does not
/// describe.
pub fn endpoints(app: &App) -> Vec<Endpoint> {
    let mut document = routes::add(base_routes(), app).into_openapi();
    app.extra_routes().for_each(|extra| document.merge(extra.into_openapi()));
    let mut found = Vec::new();
    for (path, item) in &mut document.paths.paths {
        found.extend(operations(item).map(|(method, _)| endpoint(app, method, path)));
    }
    found.push(endpoint(app, Method::GET, DESCRIPTION));
    found.extend(console::PATHS.map(|path| endpoint(app, Method::GET, path)));
    found
}

fn endpoint(app: &App, method: Method, path: &str) -> Endpoint {
    let requirement = required_scope(app, &method, path);
    let reads = method == Method::GET || method == Method::HEAD;
    // The command API also serves the status of commands. Steps of operators write no stream.
    let is_command = path.starts_with("/commands/") || !reads && !path.starts_with("/projections/");
    let component = if is_command { Component::CommandApi } else { Component::QueryApi };
    Endpoint { method, path: path.to_owned(), requirement, component }
}
