//! The address of an issuer's keys, and the request for them.

use super::key_set::{KeySet, KeysError};
use crate::aws::https;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest response, in bytes. A set of ten keys has about 8 KB.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// The path of an issuer's configuration, which names the address of its keys.
/// <https://openid.net/specs/openid-connect-discovery-1_0.html>
const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// An issuer, and the address of its key set.
#[derive(Debug, Clone)]
pub struct KeyAddress {
    issuer: String,
    key_set: Option<String>,
}

/// An address that keys must not come from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} must be an address such as https://login.example.org; http is for this machine only"
)]
pub struct InvalidAddress(String);

/// Why keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No complete response within the limits of time and size.
    #[error("{url} did not answer")]
    Request {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: Box<ureq::Error>,
    },
    /// A response with another status than 200.
    #[error("{url} answered with status {status}")]
    Status {
        /// The address.
        url: String,
        /// Its status.
        status: StatusCode,
    },
    /// The response is not a configuration.
    #[error("{url} is not an OpenID configuration")]
    NoConfiguration {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// It is the configuration of another issuer.
    #[error("{url} is the configuration of the issuer {found:?}")]
    OtherIssuer {
        /// The address.
        url: String,
        /// That issuer.
        found: String,
    },
    /// The configuration names an address that keys must not come from.
    #[error("the issuer's configuration has no valid address of keys (jwks_uri)")]
    Address(#[from] InvalidAddress),
    /// The thread of the request ended.
    #[error("the request for keys ended early")]
    Ended(#[source] tokio::task::JoinError),
    /// The response has no usable keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// Keys, and how long the issuer says they may be cached.
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) max_age: Option<Duration>,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

impl KeyAddress {
    /// The key set at that address. Without one, the issuer's configuration names the address.
    ///
    /// # Errors
    /// [`InvalidAddress`]: the address is neither HTTPS nor on this machine.
    pub fn new(issuer: &str, key_set: Option<&str>) -> Result<Self, InvalidAddress> {
        is_safe(key_set.unwrap_or(issuer))?;
        Ok(Self { issuer: issuer.to_owned(), key_set: key_set.map(str::to_owned) })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Fetches the keys, and blocks.
    pub(super) fn fetch(&self) -> Result<Fetched, FetchError> {
        let url = match &self.key_set {
            Some(url) => url.clone(),
            None => self.discover()?,
        };
        let (json, headers) = get(&url)?;
        Ok(Fetched { keys: KeySet::from_json(&json, &url)?, max_age: max_age(&headers) })
    }

    fn discover(&self) -> Result<String, FetchError> {
        let url = format!("{}{CONFIGURATION_PATH}", self.issuer.trim_end_matches('/'));
        let (json, _) = get(&url)?;
        let configuration = serde_json::from_slice(&json);
        let Configuration { issuer, jwks_uri } = configuration
            .map_err(|source| FetchError::NoConfiguration { url: url.clone(), source })?;
        if issuer != self.issuer {
            return Err(FetchError::OtherIssuer { url, found: issuer });
        }
        is_safe(&jwks_uri)?;
        Ok(jwks_uri)
    }
}

/// Forged keys would admit forged tokens, so keys come over TLS or from this machine.
fn is_safe(url: &str) -> Result<(), InvalidAddress> {
    let uri = url.parse::<Uri>().ok();
    let safe = uri.is_some_and(|uri| match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => !host.is_empty(),
        (Some("http"), Some(host)) => is_loopback(host),
        _ => false,
    });
    if safe { Ok(()) } else { Err(InvalidAddress(url.to_owned())) }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One request, without redirects: they could lead away from TLS.
fn get(url: &str) -> Result<(Vec<u8>, HeaderMap), FetchError> {
    let failed = |source| FetchError::Request { url: url.to_owned(), source: Box::new(source) };
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(REQUEST_TIMEOUT)).max_redirects(0);
    let agent = agent.http_status_as_error(false);
    let agent = match url.starts_with("https://") {
        true => agent.https_only(true).tls_config(https::tls()),
        false => agent.proxy(None),
    };
    let answer =
        agent.build().new_agent().get(url).header(header::ACCEPT, "application/json").call();
    let mut answer = answer.map_err(failed)?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status { url: url.to_owned(), status: answer.status() });
    }
    let body =
        answer.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(failed)?;
    Ok((body, answer.headers().clone()))
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values =
        headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives =
        values.flat_map(|value| value.split(',')).filter_map(|directive| directive.split_once('='));
    let (_, seconds) = directives.find(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod specs {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn keys_are_fetched_over_https_or_from_this_machine() {
        for url in [
            "https://login.example.org",
            "https://a.b:8443/x",
            "http://127.0.0.1:9",
            "http://[::1]:9/k",
            "http://localhost",
        ] {
            assert_eq!(KeyAddress::new(url, None).map(|_| ()), Ok(()), "{url}");
            assert!(KeyAddress::new("any", Some(url)).is_ok(), "{url}");
        }
        for url in [
            "http://login.example.org",
            "http://localhost.example.org",
            "ftp://127.0.0.1",
            "login",
            "",
            "https://",
        ] {
            assert!(KeyAddress::new(url, None).is_err(), "{url}");
            assert!(KeyAddress::new("https://login.example.org", Some(url)).is_err(), "{url}");
        }
    }

    #[test]
    fn max_age_is_read_from_the_response() {
        for (value, seconds) in [
            ("max-age=600", Some(600)),
            ("public, Max-Age = 15, must-revalidate", Some(15)),
            ("no-store", None),
            ("max-age=x", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))]);
            assert_eq!(max_age(&headers), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
