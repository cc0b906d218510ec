//! Requests of web pages, which a server on one's own machine gets as well: every page that its browser shows can send some.
//!
//! A page of another origin is known by `Origin` and `Sec-Fetch-Site`, which pages cannot change. One that has its own name
//! point to this machine (DNS rebinding) is of the same origin for its browser, and known by `Host`.

use crate::problem::Problem;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// By which names a server may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    /// By those of this machine's loopback: for a server without tokens.
    Loopback,
    /// By any: for a server that checks tokens.
    Any,
}

/// The service without what pages of other origins send.
pub fn without_foreign_pages(service: Router, hosts: Hosts) -> Router {
    service.layer(from_fn_with_state(hosts, check))
}

async fn check(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match refusal(hosts, request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(problem) => problem.into_response(),
    }
}

fn refusal(hosts: Hosts, uri: &Uri, headers: &HeaderMap) -> Option<Problem> {
    // A request's line may name a host too, and the one that is called is then that.
    let host = single(headers, &header::HOST);
    let called = uri.authority().map(Authority::as_str).or(host.flatten());
    if hosts == Hosts::Loopback && !(called.is_some_and(is_loopback) && host.flatten().is_none_or(is_loopback)) {
        return Some(Problem::unknown_host());
    }
    let is_same_site = match single(headers, &SEC_FETCH_SITE) {
        None => true,
        Some(site) => matches!(site, Some("same-origin" | "none")),
    };
    let is_same_origin = match single(headers, &header::ORIGIN) {
        None => true,
        Some(origin) => origin.zip(called).is_some_and(|(origin, called)| is_of(origin, called)),
    };
    (!is_same_site || !is_same_origin).then(Problem::foreign_page)
}

/// The header's value, where it is given; nothing within for one that is given twice, or is no text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Option<&'a str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { None } else { first.to_str().ok() })
}

/// Whether an authority is this machine's loopback, on any port. An address cannot be made to point elsewhere, unlike a name.
fn is_loopback(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let (host, is_bare) = (authority.host(), !authority.as_str().contains('@'));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_address = address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    is_bare && (host.eq_ignore_ascii_case("localhost") || is_address)
}

/// Whether an origin is the one that is called. Its scheme does not matter: a proxy in front may speak another.
fn is_of(origin: &str, called: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(called))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn passes(hosts: Hosts, uri: &str, headers: &[(&'static str, &'static str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        refusal(hosts, &uri.parse().unwrap(), &map).is_none()
    }

    #[test]
    fn without_tokens_only_loopback_is_called() {
        for host in ["localhost:8080", "LocalHost:1", "127.0.0.1", "127.0.0.2:8080", "[::1]:8080", "[::1]"] {
            assert!(passes(Hosts::Loopback, "/orders", &[("host", host)]), "{host}");
        }
        for host in
            ["evil.example:8080", "localhost.evil.example", "10.0.0.1", "", "localhost.", "a@localhost", "[::2]"]
        {
            assert!(!passes(Hosts::Loopback, "/orders", &[("host", host)]), "{host}");
            assert!(passes(Hosts::Any, "/orders", &[("host", host)]), "{host}");
        }
        assert!(!passes(Hosts::Loopback, "/orders", &[]), "HTTP/1.0 names no host");
        assert!(!passes(Hosts::Loopback, "/orders", &[("host", "localhost"), ("host", "evil.example")]));
        assert!(!passes(Hosts::Loopback, "http://evil.example/orders", &[("host", "localhost")]));
        assert!(!passes(Hosts::Loopback, "http://localhost/orders", &[("host", "evil.example")]));
        assert!(passes(Hosts::Loopback, "http://localhost/orders", &[]));
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:8080");
        for hosts in [Hosts::Loopback, Hosts::Any] {
            for origin in ["http://localhost:8080", "https://LOCALHOST:8080"] {
                assert!(passes(hosts, "/orders", &[host, ("origin", origin)]), "{origin}");
            }
            for origin in ["null", "http://evil.example", "http://localhost:3000", "http://127.0.0.1:8080", ""] {
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
