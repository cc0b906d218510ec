//! A second app on the machine, `tests/billing`: nothing of the bookshop is in it.
//!
//! | module | what it asks |
//! |---|---|
//! | [`http`] | commands at once and later, a transfer over two streams, rows, bad requests, the OpenAPI document |
//! | [`payments`] | is a renewal paid once, and never after it was refused? |
//! | [`cli`] | does the program call itself and its parts by the app's names, and operate them? |
#![cfg(test)]

mod cli;
mod http;
mod payments;

use crate::harness::program::{Dev, without_settings};
use crate::http::eventually;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// The program with arguments, not yet started.
fn billing<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    without_settings(env!("CARGO_BIN_EXE_billing-under-test"), arguments)
}

/// The program, running, and a client of it.
struct Bank {
    dev: Dev,
    http: Client,
    data: TempDir,
}

/// A status, what the headers say of a replay, and the body.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    replayed: bool,
    body: Value,
}

impl Bank {
    async fn open() -> Self {
        Self::open_in(TempDir::new().unwrap()).await
    }

    async fn open_in(data: TempDir) -> Self {
        let dev =
            Dev::start_command(&mut billing(["dev", "--port", "0", "--data", data.path().to_str().unwrap()])).await;
        Self { dev, http: Client::builder().no_proxy().build().unwrap(), data }
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, replayed) = (response.status().as_u16(), response.headers().contains_key("idempotency-replayed"));
        Answer { status, replayed, body: response.json().await.unwrap() }
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self.http.post(format!("{}{path}", self.dev.url)).header("Idempotency-Key", key).json(body);
        self.sent(request).await
    }

    /// Sends a command that is handled.
    #[track_caller]
    fn done(answer: &Answer) {
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn get(&self, path: &str) -> Answer {
        self.sent(self.http.get(format!("{}{path}", self.dev.url))).await
    }

    /// Opens an account with so much in it.
    async fn account(&self, name: &str, minor: u64) {
        Self::done(
            &self.post(&format!("/accounts/{name}/open"), &format!("open-{name}"), &json!({"owner": name})).await,
        );
        if minor > 0 {
            let (path, key) = (format!("/accounts/{name}/deposit"), format!("first-{name}"));
            Self::done(&self.post(&path, &key, &json!({"minor": minor})).await);
        }
    }

    async fn subscription(&self, name: &str, account: &str) {
        let start = json!({"account": account, "price_minor": 1000});
        Self::done(&self.post(&format!("/subscriptions/{name}/start"), &format!("start-{name}"), &start).await);
    }

    /// The types of a stream's events, once there are so many.
    async fn types(&self, stream: &str, count: usize) -> Vec<String> {
        eventually("the stream has its events", || async {
            let history = self.get(&format!("/audit/streams/{stream}?limit=100")).await.body;
            let events = history["events"].as_array()?;
            let types = || events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
            (events.len() >= count).then(types)
        })
        .await
    }

    async fn balance(&self, account: &str, version: u64) -> u64 {
        let row = self.get(&format!("/accounts/{account}?at_least={version}")).await;
        row.body["balance_minor"].as_u64().unwrap_or_else(|| panic!("{row:?}"))
    }
}
