//! The process, its log, and its callers.

use super::PROGRAM;
use super::{PATIENCE, eventually};
use crate::harness::program::without_settings;
use serde_json::Value;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// `serve`, running. Killed when dropped.
pub(super) struct Service {
    /// Its address, as `http://127.0.0.1:<port>`.
    pub(super) url: String,
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

/// The program with `serve` and arguments, not yet started.
pub(super) fn command(arguments: &[&str], environment: Vec<(String, String)>) -> Command {
    let mut command =
        without_settings(PROGRAM, ["serve"].into_iter().chain(arguments.iter().copied()));
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
                let line =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
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
        self.lines
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line["message"] == message)
            .cloned()
            .collect()
    }

    /// All lines.
    pub(super) fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Kills it at once (SIGKILL).
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
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it does not end")
            .unwrap();
        status.code().expect("it was killed")
    }

    /// Stops it, and asserts a clean end.
    pub(super) async fn stop(mut self) {
        self.signal("TERM").await;
        assert_eq!(self.ended().await, 0, "{:?}", self.lines());
    }
}

/// Runs it to its end: exit status, standard output, standard error.
pub(super) async fn run(
    arguments: &[&str],
    environment: Vec<(String, String)>,
) -> (i32, String, String) {
    let output = command(arguments, environment).stderr(Stdio::piped()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("it does not end").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("it was killed"), text(output.stdout), text(output.stderr))
}
