//! What reaches a running program without being asked for: web pages, other programs, slow and greedy clients.
//!
//! | module | what it asks |
//! |---|---|
//! | [`browser`] | can a page of another origin, in Chromium, do anything to the engines or the API? |
//! | [`engines`] | do the engines answer only requests signed with the key of this start? |
//! | [`found`] | do commands find a running `dev` through its folder, and only its owner? |
//! | [`limits`] | is each limit of time and number held, and told? |
//! | [`pages`] | which requests does the API take for those of a foreign page? |
#![cfg(test)]

mod browser;
mod engines;
mod found;
mod limits;
mod pages;

use crate::harness::program::Dev;
use reqwest::Client;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far above what any case needs, so that only a broken one meets it.
const DEADLINE: Duration = Duration::from_secs(30);
const ISBN: &str = "9780306406157";

/// A running program, and what it prints for operators.
struct System {
    dev: Dev,
    exports: Vec<(String, String)>,
    http: Client,
    data: TempDir,
}

impl System {
    async fn start() -> Self {
        let data = TempDir::new().unwrap();
        let mut dev = Dev::start(data.path()).await;
        let exports = dev.exports().await;
        let http = Client::builder().timeout(DEADLINE).no_proxy().build().unwrap();
        Self { dev, exports, http, data }
    }

    fn variable(&self, name: &str) -> &str {
        &self.exports.iter().find(|(found, _)| found == name).unwrap().1
    }

    /// Takes copies of a book in, as anybody here may.
    async fn receive(&self) {
        let request = self.http.post(format!("{}/stock/{ISBN}/receive", self.dev.url));
        assert_eq!(request.json(&json!({"quantity": 5})).send().await.unwrap().status(), 200);
    }

    /// What the API answers: status and body.
    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.dev.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The events of the book's stream.
    async fn events(&self) -> Vec<Value> {
        let (_, history) = self.get(&format!("/audit/streams/stock-{ISBN}")).await;
        history["events"].as_array().cloned().unwrap_or_default()
    }
}

/// Sends those bytes, and reads until the connection ends or nothing comes any more.
async fn raw(url: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    rest(&mut stream).await
}

/// What a connection brings until it is closed.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    // A connection that is reset has brought what it has.
    let _ = read.expect("the connection is not closed");
    String::from_utf8_lossy(&answer).into_owned()
}
