//! The second app, `tests/billing`, without anything of the bookshop.
//!
//! | module | what it checks |
//! |---|---|
//! | [`http`] | commands at once and later, a transfer over two streams, rows, bad requests, the OpenAPI document |
//! | [`payments`] | a renewal is paid once, and never after a refusal |
//! | [`cli`] | names of the app, and operation by its program |
#![cfg(test)]

mod cli;
mod http;
mod payments;

use crate::harness::http::Response;
use crate::harness::program::{Program, without_settings};
use crate::harness::waiting::eventually;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

/// The program with arguments, not yet started.
fn billing<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    without_settings(env!("CARGO_BIN_EXE_billing-under-test"), arguments)
}

/// `dev` of the second app.
async fn open() -> Program {
    open_in(TempDir::new().unwrap()).await
}

async fn open_in(data: TempDir) -> Program {
    Program::of(&mut billing(["dev", "--port", "0", "--data", data.path().to_str().unwrap()]), data)
        .await
}

#[track_caller]
fn is_done(answer: &Response) {
    assert_eq!(answer.status, 200, "{answer:?}");
}

impl Program {
    /// Opens an account with so much in it.
    async fn account(&self, name: &str, minor: u64) {
        is_done(
            &self
                .command(
                    &format!("/accounts/{name}/open"),
                    &format!("open-{name}"),
                    &json!({"owner": name}),
                )
                .await,
        );
        if minor > 0 {
            let (path, key) = (format!("/accounts/{name}/deposit"), format!("first-{name}"));
            is_done(&self.command(&path, &key, &json!({"minor": minor})).await);
        }
    }

    async fn subscription(&self, name: &str, account: &str) {
        let start = json!({"account": account, "price_minor": 1000});
        is_done(
            &self
                .command(&format!("/subscriptions/{name}/start"), &format!("start-{name}"), &start)
                .await,
        );
    }

    /// The types of a stream's events, once there are so many.
    async fn types_of(&self, stream: &str, count: usize) -> Vec<String> {
        eventually("the stream has its events", || async {
            let history = self.get(&format!("/audit/streams/{stream}?limit=100")).await.body;
            let events = history["events"].as_array()?;
            let types = || {
                events
                    .iter()
                    .map(|event| event["type"].as_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            (events.len() >= count).then(types)
        })
        .await
    }

    async fn balance(&self, account: &str, version: u64) -> u64 {
        let row = self.get(&format!("/accounts/{account}?at_least={version}")).await;
        row.body["balance_minor"].as_u64().unwrap_or_else(|| panic!("{row:?}"))
    }
}
