//! The gateway's routes, one for each endpoint that the API describes.

use super::{TemplateValues, camel};
use handlers::access::Requirement;
use handlers::app::App;
use handlers::http::{Endpoint, endpoints};
use handlers::telemetry::Component;

/// The throttle of routes without a token, per second and as a burst: enough for health probes and
/// readers of the description.
const OPEN_RATE: u32 = 100;
const OPEN_BURST: u32 = 200;

/// `POST /orders/{id}/cancel` as `PostOrdersIdCancelRoute`, and `GET /console/` as
/// `GetConsoleIndexRoute`.
fn logical(endpoint: &Endpoint) -> String {
    let method = endpoint.method.as_str().to_lowercase();
    let index = if endpoint.path.ends_with('/') { "Index" } else { "" };
    format!("{}{}{index}Route", camel(&method), camel(&endpoint.path))
}

/// Parameters at the end of a path whose values may contain `/`, because callers choose these ids.
/// The gateway decodes a path before it matches it, so `%2F` would end a segment. A greedy
/// parameter contains the whole id.
const MAY_HOLD_SLASHES: [&str; 2] = ["/{command_id}", "/{correlation}"];

/// The key of a route. The gateway's syntax for the rest of a path is `{rest+}`.
fn key(endpoint: &Endpoint) -> String {
    let path = match endpoint.path.split_once("{*") {
        Some((before, rest)) => format!("{before}{{{}", rest.replace('}', "+}")),
        None if MAY_HOLD_SLASHES.iter().any(|end| endpoint.path.ends_with(end)) => {
            endpoint.path.replace('}', "+}")
        }
        None => endpoint.path.clone(),
    };
    format!("{} {path}", endpoint.method)
}

fn route(endpoint: &Endpoint, values: &TemplateValues) -> String {
    let function =
        if endpoint.component == Component::CommandApi { "CommandApi" } else { "QueryApi" };
    let (logical, key) = (logical(endpoint), key(endpoint));
    let fillings = [("Route", &*logical), ("key", &key), ("Function", function)];
    match endpoint.requirement {
        Requirement::Scope(scope) => values.fill(
            include_str!("parts/route.yaml"),
            &[&fillings[..], &[("scope", scope.name())]].concat(),
        ),
        Requirement::Nothing | Requirement::Unlisted => {
            values.fill(include_str!("parts/open-route.yaml"), &fillings)
        }
    }
}

/// The API with all routes.
pub(super) fn section(app: &App, values: &TemplateValues) -> String {
    let endpoints = endpoints(app);
    let open: Vec<&Endpoint> = endpoints
        .iter()
        .filter(|endpoint| !matches!(endpoint.requirement, Requirement::Scope(_)))
        .collect();
    let names: Vec<String> = open.iter().map(|endpoint| logical(endpoint)).collect();
    let setting = |endpoint: &&Endpoint| {
        format!(
            "\"{}\": {{ ThrottlingRateLimit: {OPEN_RATE}, ThrottlingBurstLimit: {OPEN_BURST} }}\n",
            key(endpoint)
        )
    };
    let settings: String = open.iter().map(setting).collect();
    let fillings = [("open routes", &*names.join(", ")), ("open settings", &settings)];
    let routes: String = endpoints.iter().map(|endpoint| route(endpoint, values)).collect();
    values.fill(include_str!("parts/http.yaml"), &fillings) + &routes
}
