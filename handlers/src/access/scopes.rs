//! The scope that a request needs.

use super::caller::Scope;
use crate::app::App;
use axum::http::Method;

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing: the path is public.
    Nothing,
    /// A token that grants this scope.
    Scope(Scope),
    /// No rule has the path: 404 with a token, 401 without one.
    Unlisted,
}

/// Whether the path is public.
pub fn is_public(path: &str) -> bool {
    matches!(path, "/healthz" | "/openapi.json") || is_console(path)
}

/// Whether the path is a file of the console. These hold no data, so a link of another site may
/// open them, and an issuer may send a browser back to them.
pub(crate) fn is_console(path: &str) -> bool {
    path == "/console" || path.starts_with("/console/")
}

/// What a request needs, by its method and path. This is the only rule: OpenAPI document, router
/// and template follow it.
pub fn required_scope(app: &App, method: &Method, path: &str) -> Requirement {
    let reads = *method == Method::GET || *method == Method::HEAD;
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "healthz" | "openapi.json"] | ["", "console", ..] => Requirement::Nothing,
        ["", "commands", ..] => Requirement::Scope(Scope::Write),
        ["", "audit", ..] => Requirement::Scope(Scope::Audit),
        ["", "projections", ..] => Requirement::Scope(Scope::Operate),
        ["", first, ..] if app.has_paths_under(first) => {
            Requirement::Scope(if reads { Scope::Read } else { Scope::Write })
        }
        _ => Requirement::Unlisted,
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use crate::app::command;

    #[test]
    fn a_path_is_known_by_whole_segments_and_any_other_is_unlisted() {
        let app = App::new("shop").routes([command("/orders/{id}/ship", "order", "ShipOrder")]);
        let needs = |method: Method, path| required_scope(&app, &method, path);
        for (method, path, scope) in [
            (Method::POST, "/orders", Scope::Write),
            (Method::POST, "/orders/1/ship", Scope::Write),
            (Method::DELETE, "/orders/c/orders", Scope::Write),
            (Method::GET, "/orders/1", Scope::Read),
            (Method::HEAD, "/orders/1", Scope::Read),
            (Method::GET, "/commands/1", Scope::Write),
            (Method::GET, "/audit/streams/order-1/verify", Scope::Audit),
            (Method::GET, "/projections", Scope::Operate),
            (Method::GET, "/projections/orders/dead", Scope::Operate),
            (Method::POST, "/projections/orders/drop", Scope::Operate),
        ] {
            assert_eq!(needs(method, path), Requirement::Scope(scope), "{path}");
        }
        for path in [
            "/",
            "",
            "orders",
            "/stock",
            "/ordersx",
            "/Orders",
            "//orders",
            "/healthz/",
            "/healthz/x",
            "/%6frders",
            "/x/orders",
        ] {
            assert_eq!(needs(Method::GET, path), Requirement::Unlisted, "{path}");
        }
        for path in ["/healthz", "/console", "/console/", "/console/app.js"] {
            assert_eq!(needs(Method::GET, path), Requirement::Nothing, "{path}");
            assert!(is_public(path), "{path}");
        }
    }
}
