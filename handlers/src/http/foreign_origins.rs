//! Rejects requests of foreign web pages. Any page in a browser can send requests to a server on
//! the same machine.
//!
//! `Origin` and `Sec-Fetch-Site` show a page of another origin; pages cannot change these headers.
//! A page whose name resolves to this machine (DNS rebinding) has the same origin for the browser,
//! and is found by `Host`.
//!
//! The console's files may be opened from anywhere: they hold no data, and a link or the issuer of
//! tokens leads to them.

use crate::access::scopes::is_console;
use crate::problem::Problem;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Which `Host` headers a server accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedHosts {
    /// Loopback names and addresses: for a server without tokens.
    Loopback,
    /// Any: for a server that checks tokens.
    Any,
}

/// The service without requests of foreign pages.
pub fn refuse_foreign_origins(service: Router, hosts: AllowedHosts) -> Router {
    service.layer(from_fn_with_state(hosts, check))
}

async fn check(State(hosts): State<AllowedHosts>, request: Request, next: Next) -> Response {
    match rejection(hosts, request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(problem) => problem.into_response(),
    }
}

fn rejection(hosts: AllowedHosts, uri: &Uri, headers: &HeaderMap) -> Option<Problem> {
    // An absolute URI in the request line overrides `Host`.
    let host = single(headers, &header::HOST);
    let requested = uri.authority().map(Authority::as_str).or(host.flatten());
    if hosts == AllowedHosts::Loopback
        && !(requested.is_some_and(is_loopback) && host.flatten().is_none_or(is_loopback))
    {
        return Some(Problem::unknown_host());
    }
    if is_asset(uri.path()) {
        return None;
    }
    let is_same_site = match single(headers, &SEC_FETCH_SITE) {
        None => true,
        Some(site) => matches!(site, Some("same-origin" | "none")),
    };
    let is_same_origin = match single(headers, &header::ORIGIN) {
        None => true,
        Some(origin) => {
            origin.zip(requested).is_some_and(|(origin, requested)| is_of(origin, requested))
        }
    };
    (!is_same_site || !is_same_origin).then(Problem::foreign_origin)
}

/// Whether the path is a file of the console, or `/`, which leads to it.
fn is_asset(path: &str) -> bool {
    path == "/" || is_console(path)
}

/// The value of a header, if it is sent. `Some(None)` if it is sent twice or is not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { None } else { first.to_str().ok() })
}

/// Whether an authority is this machine's loopback, on any port. Unlike a name, a loopback address
/// cannot point elsewhere.
fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let (host, is_bare) = (authority.host(), !authority.as_str().contains('@'));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_address = address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_bare && (host.eq_ignore_ascii_case("localhost") || is_address)
}

/// Whether an origin has the requested host. The scheme may differ: a proxy may use another.
fn is_of(origin: &str, requested: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(requested))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn passes(hosts: AllowedHosts, uri: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        rejection(hosts, &uri.parse().unwrap(), &map).is_none()
    }

    #[test]
    fn without_tokens_only_loopback_is_called() {
        for host in
            ["localhost:8080", "LocalHost:1", "127.0.0.1", "127.0.0.2:8080", "[::1]:8080", "[::1]"]
        {
            assert!(passes(AllowedHosts::Loopback, "/orders", &[("host", host)]), "{host}");
        }
        for host in [
            "evil.example:8080",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "localhost.",
            "a@localhost",
            "[::2]",
        ] {
            assert!(!passes(AllowedHosts::Loopback, "/orders", &[("host", host)]), "{host}");
            assert!(passes(AllowedHosts::Any, "/orders", &[("host", host)]), "{host}");
        }
        assert!(!passes(AllowedHosts::Loopback, "/orders", &[]), "HTTP/1.0 names no host");
        assert!(!passes(
            AllowedHosts::Loopback,
            "/orders",
            &[("host", "localhost"), ("host", "evil.example")]
        ));
        assert!(!passes(
            AllowedHosts::Loopback,
            "http://evil.example/orders",
            &[("host", "localhost")]
        ));
        assert!(!passes(
            AllowedHosts::Loopback,
            "http://localhost/orders",
            &[("host", "evil.example")]
        ));
        assert!(passes(AllowedHosts::Loopback, "http://localhost/orders", &[]));
    }

    #[test]
    fn a_link_of_another_site_opens_the_console_and_nothing_else() {
        let (host, foreign) = (("host", "localhost:8080"), ("sec-fetch-site", "cross-site"));
        for path in ["/", "/console", "/console/", "/console/app.js"] {
            assert!(passes(AllowedHosts::Loopback, path, &[host, foreign]), "{path}");
            let rebound = ("host", "evil.example:8080");
            assert!(!passes(AllowedHosts::Loopback, path, &[rebound]), "{path}");
        }
        for path in ["/consoles", "/projections", "/audit/tail", "/openapi.json"] {
            assert!(!passes(AllowedHosts::Loopback, path, &[host, foreign]), "{path}");
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:8080");
        for hosts in [AllowedHosts::Loopback, AllowedHosts::Any] {
            for origin in ["http://localhost:8080", "https://LOCALHOST:8080"] {
                assert!(passes(hosts, "/orders", &[host, ("origin", origin)]), "{origin}");
            }
            for origin in [
                "null",
                "http://evil.example",
                "http://localhost:3000",
                "http://127.0.0.1:8080",
                "",
            ] {
                assert!(!passes(hosts, "/orders", &[host, ("origin", origin)]), "{origin}");
            }
            for site in ["same-origin", "none"] {
                assert!(passes(hosts, "/orders", &[host, ("sec-fetch-site", site)]), "{site}");
            }
            for site in ["cross-site", "same-site", ""] {
                assert!(!passes(hosts, "/orders", &[host, ("sec-fetch-site", site)]), "{site}");
            }
            let twice = [host, ("origin", "http://localhost:8080"), ("origin", "null")];
            assert!(!passes(hosts, "/orders", &twice));
        }
    }
}
