//! The console: static pages that show and operate the system through its API.
//!
//! The pages are public. What they show comes from the API, which checks the caller's scopes.

mod assets;
mod settings;

pub use settings::{ConsoleLogin, ConsoleSettings, InvalidLogin};

use super::access::Access;
use crate::app::App;
use crate::problem::Problem;
use assets::{Asset, INDEX};
use axum::extract::{Path, Request};
use axum::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// The paths of the console, with parameters as the gateway needs them.
pub(super) const PATHS: [&str; 4] = ["/", "/console", "/console/", "/console/{file}"];

/// Browsers keep a file and ask whether it has changed: names of files have no version.
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// Where the console is, as seen from `/` and from `/console`. Relative, because a proxy may serve
/// the API below a path.
const LOCATION_OF_CONSOLE: HeaderValue = HeaderValue::from_static("console/");

/// An asset, ready to be sent.
struct ServedAsset {
    asset: &'static Asset,
    etag: HeaderValue,
}

/// Everything that the console's routes serve.
struct Console {
    assets: HashMap<&'static str, ServedAsset>,
    policy: HeaderValue,
}

/// The routes of the console.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    app: &App,
    access: &Access,
    settings: &ConsoleSettings,
    wait_s: u64,
) -> Router<S> {
    let config = settings.config(app, access, wait_s);
    let console = Arc::new(Console::new(settings.content_security_policy()));
    let index = Arc::clone(&console);
    let page = move |headers: HeaderMap| async move { index.answer(INDEX, &headers) };
    let file = move |Path(name): Path<String>, headers: HeaderMap| async move {
        console.answer(&name, &headers)
    };
    Router::new()
        .route("/console", get(redirect))
        .route("/console/", get(page))
        .route("/console/config.json", get(move || std::future::ready(described(&config))))
        .route("/console/{file}", get(file))
}

/// Sends browsers that request `/` to the console. All other requests pass.
pub(super) async fn redirect_browsers(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads && request.uri().path() == "/" && accepts_html(request.headers()) {
        return redirect().await;
    }
    next.run(request).await
}

fn accepts_html(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().starts_with("text/html"))
}

async fn redirect() -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, LOCATION_OF_CONSOLE)]).into_response()
}

fn described(config: &serde_json::Value) -> Response {
    ([(CACHE_CONTROL, REVALIDATE)], Json(config)).into_response()
}

impl Console {
    fn new(policy: HeaderValue) -> Self {
        let served = |asset: &'static Asset| {
            let etag = etag(asset.bytes)?;
            Some((asset.name, ServedAsset { asset, etag }))
        };
        Self { assets: assets::ASSETS.iter().filter_map(served).collect(), policy }
    }

    fn answer(&self, name: &str, headers: &HeaderMap) -> Response {
        let Some(ServedAsset { asset, etag }) = self.assets.get(name) else {
            return Problem::not_found(format!("the console has no file {name}")).into_response();
        };
        let always = [
            (ETAG, etag.clone()),
            (CACHE_CONTROL, REVALIDATE),
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        ];
        if is_known(headers, etag) {
            return (StatusCode::NOT_MODIFIED, always).into_response();
        }
        let content_type = HeaderValue::from_static(asset.content_type);
        (always, [(CONTENT_TYPE, content_type)], asset.bytes).into_response()
    }
}

/// Whether the client has this version. A proxy that compresses makes the tag a weak one.
fn is_known(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

fn etag(bytes: &[u8]) -> Option<HeaderValue> {
    let digest = Sha256::digest(bytes);
    let mut text = String::from("\"");
    for byte in digest {
        write!(text, "{byte:02x}").ok()?;
    }
    text.push('"');
    HeaderValue::try_from(text).ok()
}
