//! The program under test, in its own process.
#![cfg(test)]

use super::http::Client;
use crate::harness::waiting::PATIENCE;
use std::ops::Deref;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// `ledgerfold dev`, running. Killed when dropped.
pub(crate) struct Dev {
    /// Where it answers, as `http://127.0.0.1:<port>`.
    pub(crate) url: String,
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
}

/// The program with arguments, not yet started.
pub(crate) fn ledgerfold<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    without_settings(env!("CARGO_BIN_EXE_ledgerfold-under-test"), arguments)
}

/// The benchmarks with arguments, not yet started.
pub(crate) fn ledgerfold_bench<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    without_settings(env!("CARGO_BIN_EXE_bench-under-test"), arguments)
}

/// A program with arguments, not started yet, without the AWS settings of the environment.
pub(crate) fn without_settings<'a>(
    program: &str,
    arguments: impl IntoIterator<Item = &'a str>,
) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_")
            || name.to_string_lossy().starts_with("LEDGERFOLD_")
        {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Dev {
    /// Starts it on a free port over the data folder, and waits until it says that it is ready.
    /// Fulfilment does not run.
    pub(crate) async fn start(data: &Path) -> Self {
        let arguments =
            ["dev", "--port", "0", "--without-processes", "--data", data.to_str().unwrap()];
        Self::start_command(&mut ledgerfold(arguments)).await
    }

    /// As [`Dev::start`], with fulfilment, which confirms and rejects orders.
    pub(crate) async fn start_whole(data: &Path) -> Self {
        Self::start_command(&mut ledgerfold([
            "dev",
            "--port",
            "0",
            "--data",
            data.to_str().unwrap(),
        ]))
        .await
    }

    /// As [`Dev::start`], with a command of the case.
    pub(crate) async fn start_command(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = tokio::time::timeout(PATIENCE, stdout.next_line())
            .await
            .expect("it prints nothing")
            .unwrap();
        let first = first.expect("it ended before it was ready");
        let (_, url) =
            first.split_once(" is ready at ").unwrap_or_else(|| panic!("it says {first:?}"));
        let url = url.to_owned();
        Self { url, child, stdout }
    }

    /// The next line that it prints.
    pub(crate) async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.stdout.next_line()).await;
        line.expect("it prints no further line").unwrap().expect("it ended")
    }

    /// The next line that begins with that name, without the name.
    pub(crate) async fn printed(&mut self, name: &str) -> String {
        loop {
            let line = self.line().await;
            if let Some(rest) = line.trim_start().strip_prefix(name) {
                return rest.trim_start().to_owned();
            }
        }
    }

    /// The variables of its line `operate`, as a shell would set them.
    pub(crate) async fn exports(&mut self) -> Vec<(String, String)> {
        let line = self.printed("operate").await;
        let variables = line.strip_prefix("export ").unwrap().split(' ');
        variables
            .map(|variable| variable.split_once('=').unwrap())
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it ended")
    }

    /// Kills it (SIGKILL).
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Interrupts it, as Ctrl-C does, and waits for its end. Returns the exit status.
    pub(crate) async fn interrupt(self) -> i32 {
        self.end_by("INT").await
    }

    /// Sends that signal, and waits for its end. Returns the exit status.
    pub(crate) async fn end_by(mut self, signal: &str) -> i32 {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().await.unwrap().success());
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it does not end")
            .unwrap();
        status.code().expect("it was killed")
    }
}

/// `dev` over a folder, with its client and the environment of its operator. Killed when dropped.
pub(crate) struct Program {
    pub(crate) dev: Dev,
    pub(crate) client: Client,
    pub(crate) exports: Vec<(String, String)>,
    pub(crate) data: TempDir,
}

impl Deref for Program {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Program {
    /// Over a new folder. No process runs in it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--without-processes"]).await
    }

    /// Over a new folder, with arguments of the case.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        Self::over(TempDir::new().unwrap(), arguments).await
    }

    pub(crate) async fn over(data: TempDir, arguments: &[&str]) -> Self {
        let fixed = ["dev", "--port", "0", "--data", data.path().to_str().unwrap()];
        Self::of(&mut ledgerfold(fixed.into_iter().chain(arguments.iter().copied())), data).await
    }

    /// A command that starts a `dev` over that folder.
    pub(crate) async fn of(command: &mut Command, data: TempDir) -> Self {
        let mut dev = Dev::start_command(command).await;
        let exports = dev.exports().await;
        Self { client: Client::of(&dev.url), dev, exports, data }
    }

    /// A variable of its operator.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.exports.iter().find(|(found, _)| found == name).unwrap().1
    }
}
