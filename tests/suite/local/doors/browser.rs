//! A page of another origin, in a real browser.

use super::{ISBN, Program};
use crate::harness::http::Response;
use axum::Router;
use axum::response::Html;
use axum::routing::get;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

const CHROMIUM: &str = "/usr/bin/chromium";
/// Generous: a browser starts slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Shows a page. Returns what its script has written when it is done.
async fn shown(script: String) -> String {
    let page = format!(
        "<!doctype html><pre id=out></pre><script>
         const say = text => document.getElementById('out').append(text + '\\n');
         (async () => {{ {script} }})().catch(error => say('failed: ' + error)).finally(() => say('the end'));
         </script>"
    );
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let service = Router::new().route("/", get(move || std::future::ready(Html(page))));
    let server = tokio::spawn(async move { axum::serve(listener, service).await });
    assert!(
        Path::new(CHROMIUM).exists(),
        "{CHROMIUM} is missing: apt-get install --no-install-recommends chromium"
    );
    let profile = TempDir::new().unwrap();
    let mut browser = Command::new(CHROMIUM);
    browser.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-dev-shm-usage",
    ]);
    browser.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]);
    browser.arg(format!("--user-data-dir={}", profile.path().display()));
    browser.args(["--timeout=20000", "--virtual-time-budget=20000", "--dump-dom", &url]);
    let output = browser.stdin(Stdio::null()).kill_on_drop(true).output();
    let output =
        tokio::time::timeout(PATIENCE, output).await.expect("the browser does not end").unwrap();
    server.abort();
    let (dom, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let written =
        dom.split_once("<pre id=\"out\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let (written, _) = written.unwrap_or_else(|| panic!("{dom}\n{said}"));
    assert!(written.ends_with("the end\n"), "{dom}\n{said}");
    written.to_owned()
}

/// A page tries requests to an engine, with a preflight and without.
#[tokio::test]
async fn a_page_of_another_origin_does_not_delete_a_commit() {
    let system = Program::start().await;
    system.receive(ISBN, 5).await;
    let engine = system.variable("AWS_ENDPOINT_URL_DYNAMODB");
    let script = format!(
        "const signed = {{
           'X-Amz-Target': 'DynamoDB_20120810.DeleteItem', 'Content-Type': 'application/x-amz-json-1.0',
           'X-Amz-Date': '20261130T000000Z',
           'Authorization': 'AWS4-HMAC-SHA256 Credential=test/20261130/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=0' }};
         const item = {{ TableName: 'ledgerfold-events', Key: {{ stream_id: {{S: 'stock-{ISBN}'}}, version: {{N: '1'}} }} }};
         for (const options of [{{headers: signed}}, {{}}, {{mode: 'no-cors'}}]) {{
           try {{
             const answer = await fetch('{engine}', {{method: 'POST', body: JSON.stringify(item), ...options}});
             say('answered ' + answer.type + ' ' + answer.status + ' ' + await answer.text());
           }} catch (error) {{ say('blocked'); }}
         }}"
    );
    let dom = shown(script).await;
    // The last one is sent, but the page cannot read the response.
    assert_eq!(dom.matches("blocked").count(), 2, "{dom}");
    assert!(dom.contains("answered opaque 0"), "{dom}");
    assert_eq!(system.events(&format!("stock-{ISBN}")).await.len(), 1, "the commit is still there");
}

/// A simple request needs no preflight: it is sent, but the page cannot read the response.
#[tokio::test]
async fn a_page_of_another_origin_takes_no_operators_step() {
    let system = Program::start().await;
    let url = &system.dev.url;
    let script = format!(
        "for (const options of [
           {{method: 'POST', mode: 'no-cors'}},
           {{method: 'POST', mode: 'no-cors', headers: {{'Content-Type': 'text/plain'}}, body: '{{}}'}},
           {{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: '{{}}'}}, {{}}]) {{
           try {{ say((await fetch('{url}/projections/orders/rebuild', options)).type); }}
           catch (error) {{ say('blocked'); }}
         }}"
    );
    let dom = shown(script).await;
    assert_eq!(dom.matches("blocked").count(), 2, "{dom}");
    let Response { status, body: orders, .. } = system.get("/projections/orders").await;
    assert_eq!(
        (status, &orders["job"], &orders["report"]),
        (200, &serde_json::Value::Null, &serde_json::Value::Null)
    );
}
