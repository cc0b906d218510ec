//! The console's files, and what its pages call.

use super::{Program, sent, text};
use crate::harness::issuer::KeySetFile;
use reqwest::header::{ACCEPT, CONTENT_SECURITY_POLICY, ETAG, IF_NONE_MATCH, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::Value;

const API_MODULE: &str = include_str!("../../../handlers/src/http/console/assets/api.js");

/// A client that shows redirects instead of following them.
fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

async fn get(program: &Program, path: &str) -> Response {
    browser().get(program.url(path)).header(ACCEPT, "text/html,*/*").send().await.unwrap()
}

#[tokio::test]
async fn a_browser_that_opens_the_root_gets_to_the_console() {
    let program = Program::start().await;
    for (path, at) in [("/", "console/"), ("/console", "console/")] {
        let answer = get(&program, path).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[LOCATION]),
            (307, &at.parse().unwrap())
        );
    }
    // Other clients of `/` get what they always got.
    sent(program.http.get(program.url("/"))).await.is_problem(404, "not-found");
    let json = program.http.get(program.url("/")).header(ACCEPT, "application/json");
    sent(json).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn files_have_a_tag_a_type_and_a_strict_policy() {
    let program = Program::start().await;
    for (path, kind) in [
        ("/console/", "text/html; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let answer = get(&program, path).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((answer.status().as_u16(), header("content-type")), (200, kind.to_owned()));
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-cache");
        let policy = header(CONTENT_SECURITY_POLICY.as_str());
        for rule in [
            "default-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.split("; ").any(|known| known == rule), "{rule}: {policy}");
        }
        let tag = header(ETAG.as_str());
        let known =
            browser().get(program.url(path)).header(IF_NONE_MATCH, format!("\"x\", W/{tag}"));
        let known = known.send().await.unwrap();
        assert_eq!((known.status().as_u16(), &known.headers()[ETAG]), (304, &tag.parse().unwrap()));
        let length = answer.bytes().await.unwrap().len();
        let head = browser().request(Method::HEAD, program.url(path)).send().await.unwrap();
        assert_eq!(head.headers()["content-length"], length.to_string());
        assert_eq!((head.status().as_u16(), head.bytes().await.unwrap().len()), (200, 0));
    }
    for path in ["/console/nothing.js", "/console/..", "/console/a/b", "/console/%00"] {
        sent(program.http.get(program.url(path))).await.is_problem(404, "not-found");
    }
    sent(program.http.post(program.url("/console/app.js")))
        .await
        .is_problem(405, "method-not-allowed");
}

#[tokio::test]
async fn the_console_knows_its_app_and_how_to_sign_in() {
    let program = Program::start().await;
    let config = program.get("/console/config.json").await.body;
    assert_eq!(config["auth"]["kind"], "open");
    assert_eq!(config["stage"], "dev");
    assert_eq!(config["wait"], 20);
    assert_eq!(config["categories"], serde_json::json!(["order", "stock"]));
    assert_eq!(config["sample"]["path"], "/orders");

    let issuer = KeySetFile::new();
    let options = issuer.options();
    let guarded =
        Program::start_with(&options.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(get(&guarded, "/").await.status(), 307, "without a token");
    assert_eq!(get(&guarded, "/console/app.js").await.status(), 200, "without a token");
    let config = guarded.get("/console/config.json").await.body;
    assert_eq!(config["auth"]["kind"], "token");
    assert!(text(&config["auth"]["scopes"][0]).ends_with("/write"), "{config}");
}

#[tokio::test]
async fn every_operation_that_the_pages_call_is_described() {
    let program = Program::start().await;
    let document: Value = program.get("/openapi.json").await.body;
    let called: Vec<(&str, &str)> = API_MODULE
        .split('"')
        .filter_map(|text| text.split_once(" /"))
        .filter(|(method, path)| {
            ["GET", "POST"].contains(method) && !path.contains(char::is_whitespace)
        })
        .collect();
    assert!(called.len() >= 20, "{called:?}");
    for (method, path) in called {
        let operation = &document["paths"][format!("/{path}")][method.to_lowercase()];
        assert!(operation.is_object(), "{method} /{path}");
    }
}
