//! The process, what it writes, and callers of it.

use super::PROGRAM;
use super::{PATIENCE, eventually};
use crate::harness::program::without_settings;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// `serve`, running. Killed when dropped.
pub(super) struct Service {
    /// Where it answers, as `http://127.0.0.1:<port>`.
    pub(super) url: String,
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

/// The program with `serve` and arguments, not yet started.
pub(super) fn command(arguments: &[&str], environment: Vec<(String, String)>) -> Command {
    let mut command = without_settings(PROGRAM, ["serve"].into_iter().chain(arguments.iter().copied()));
    command.envs(environment).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

impl Service {
    /// Starts it, and waits until it serves.
    pub(super) async fn start(arguments: &[&str], environment: Vec<(String, String)>) -> Self {
        let mut child = command(arguments, environment).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let written = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok(Some(line)) = stdout.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                written.lock().unwrap().push(line);
            }
        });
        let mut service = Self { url: String::new(), child, lines };
        let serving = service.says("serving").await;
        service.url = format!("http://{}", serving["address"].as_str().unwrap());
        service
    }

    /// Waits for a line with that message.
    pub(super) async fn says(&self, message: &str) -> Value {
        eventually(message, || async { self.said(message).first().cloned() }).await
    }

    /// All lines with that message.
    pub(super) fn said(&self, message: &str) -> Vec<Value> {
        self.lines.lock().unwrap().iter().filter(|line| line["message"] == message).cloned().collect()
    }

    /// All lines.
    pub(super) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Kills it as the system would: no time for last words.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends it a signal.
    pub(super) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it has ended").to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().await.unwrap().success());
    }

    /// Waits until it has ended. Its exit status.
    pub(super) async fn ended(&mut self) -> i32 {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap();
        status.code().expect("it was killed")
    }

    /// Asks it to end, and asserts that it does so in order.
    pub(super) async fn stop(mut self) {
        self.signal("TERM").await;
        assert_eq!(self.ended().await, 0, "{:?}", self.lines());
    }
}

/// Runs it to its end: exit status, standard output, standard error.
pub(super) async fn run(arguments: &[&str], environment: Vec<(String, String)>) -> (i32, String, String) {
    let output = command(arguments, environment).stderr(Stdio::piped()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it does not end").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("it was killed"), text(output.stdout), text(output.stderr))
}

/// A caller with a token.
#[derive(Clone)]
pub(super) struct Caller {
    http: Client,
    url: String,
    token: String,
}

impl Caller {
    pub(super) fn new(url: &str, token: String) -> Self {
        let http = Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { http, url: url.to_owned(), token }
    }

    /// The same without a token, or with another.
    pub(super) fn with(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// A command under a key, not yet sent.
    pub(super) fn command(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        self.authorized(self.http.post(format!("{}{path}", self.url))).header("Idempotency-Key", key).json(body)
    }

    /// Sends a command: status and body.
    pub(super) async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        answer(self.command(path, key, body)).await
    }

    /// Status and body.
    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.authorized(self.http.get(format!("{}{path}", self.url)))).await
    }

    /// The body of a good answer.
    pub(super) async fn read(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Asks until the answer is as wanted.
    pub(super) async fn until(&self, path: &str, wanted: impl Fn(u16, &Value) -> bool) -> Value {
        eventually(path, || async {
            let (status, body) = self.get(path).await;
            wanted(status, &body).then_some(body)
        })
        .await
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
