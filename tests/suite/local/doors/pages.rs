//! Requests to the API of `dev` as web pages send them.

use super::{DEADLINE, Program, raw};
use crate::harness::program::{Dev, ledgerfold};
use reqwest::Method;
use serde_json::Value;

async fn answered(
    system: &Program,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, Value) {
    let mut request = system.http.request(method, format!("{}{path}", system.dev.url));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    assert!(!answer.headers().keys().any(|name| name.as_str().starts_with("access-control-")));
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_foreign_pages_request_is_rejected_with_the_reason() {
    let system = Program::start().await;
    let own = system.dev.url.clone();
    for (headers, status, slug) in [
        (("origin", "http://evil.example"), 403, "foreign-page"),
        (("origin", "null"), 403, "foreign-page"),
        (("sec-fetch-site", "cross-site"), 403, "foreign-page"),
        (("sec-fetch-site", "same-site"), 403, "foreign-page"),
        (("host", "evil.example"), 421, "unknown-host"),
    ] {
        for (method, path) in
            [(Method::GET, "/orders/o"), (Method::POST, "/orders"), (Method::OPTIONS, "/orders")]
        {
            let (found, problem) = answered(&system, method, path, &[headers]).await;
            assert_eq!(found, status, "{headers:?}: {problem}");
            assert_eq!(problem["type"], format!("https://ledgerfold.dev/problems/{slug}"));
            assert!(problem["instance"].is_string() && problem["detail"].is_string(), "{problem}");
        }
    }
    for headers in
        [("origin", &*own), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
    {
        assert_eq!(
            answered(&system, Method::GET, "/projections", &[headers]).await.0,
            200,
            "{headers:?}"
        );
    }
}

#[tokio::test]
async fn a_step_needs_a_content_type() {
    let system = Program::start().await;
    for step in [
        "rebuild",
        "pause",
        "resume",
        "cancel",
        "switch",
        "rollback",
        "drop",
        "reconcile",
        "redrive",
    ] {
        let path = format!("/projections/orders/{step}");
        assert_eq!(answered(&system, Method::POST, &path, &[]).await.0, 415, "{step}");
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert_eq!(answered(&system, Method::POST, &path, &[form]).await.0, 415, "{step}");
    }
}

#[tokio::test]
async fn http_2_without_tls_and_requests_without_a_host_are_refused() {
    let system = Program::start().await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let answer = raw(&system.dev.url, preface).await;
    assert!(!answer.as_bytes().starts_with(b"\0\0") && !answer.contains("HTTP/2"), "{answer:?}");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer:?}");
    let old = raw(&system.dev.url, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 421"), "{old}");
    let named = raw(&system.dev.url, b"GET /healthz HTTP/1.0\r\nHost: LOCALHOST\r\n\r\n").await;
    assert!(named.starts_with("HTTP/1.0 200"), "{named}");
}

#[tokio::test]
async fn with_tokens_any_host_is_served_and_no_foreign_page() {
    let (folder, http) =
        (tempfile::tempdir().unwrap(), reqwest::Client::builder().timeout(DEADLINE).no_proxy());
    let (keys, data) = (folder.path().join("keys"), folder.path().join("data"));
    let (keys, data) = (keys.to_str().unwrap(), data.to_str().unwrap());
    assert!(
        ledgerfold(["tokens", "create", "--dir", keys]).output().await.unwrap().status.success()
    );
    let key_set = format!("{keys}/jwks.json");
    let auth = ["--auth", &key_set, "--issuer", "ledgerfold-tokens", "--audience", "ledgerfold"];
    let arguments =
        [&["dev", "--port", "0", "--without-processes", "--data", data], &auth[..]].concat();
    let dev = Dev::start_command(&mut ledgerfold(arguments)).await;
    let (http, url) = (http.build().unwrap(), format!("{}/healthz", dev.url));
    for (headers, status) in
        [(("host", "shop.example"), 200), (("origin", "http://evil.example"), 403)]
    {
        let answer = http.get(&url).header(headers.0, headers.1).send().await.unwrap();
        assert_eq!(answer.status(), status, "{headers:?}");
    }
}
