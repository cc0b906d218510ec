//! The program as a process: its output and exit status.
//!
//! | module | what it tests |
//! |---|---|
//! | [`wording`] | help, and messages for wrong use |
//! | [`start`] | `dev`: where it cannot run, and what it stores |
//! | [`stop`] | `dev` answers open requests before it ends |
//! | [`bench`] | the benchmarks of the store equal the budget and leave nothing |
//! | [`cost`] | the estimate equals figures computed by hand |
//! | [`audit`] | queries over many streams and about past states |
//! | [`audit_export`] | complete files, or none |
//! | [`audit_tail`] | all commits from a position on, and the names of streams |
//! | [`backup`] | a copy under load is complete; refusals |
//! | [`bench_projections`] | the benchmarks of read models |
//! | [`new`] | `new`: its files, and refusals |
//! | [`operate`] | `tables` and `audit`, on a folder and on a running system |
//! | [`tokens`] | `tokens`, and the callers that `dev` accepts |
//! | [`profiles`] | credentials from profiles of the AWS configuration |
//! | [`projection`] | `projection`: steps and refusals, jobs and workers, parked streams, redrive |
#![cfg(test)]

mod audit;
mod audit_export;
mod audit_tail;
mod backup;
mod bench;
mod bench_projections;
mod cost;
mod new;
mod operate;
mod profiles;
mod projection;
mod start;
mod stop;
mod tokens;
mod wording;

use crate::harness::http::sent;
use crate::harness::program::{Dev, ledgerfold, ledgerfold_bench};
use crate::harness::waiting::PATIENCE;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::Command;

/// The result of a run.
#[derive(Debug)]
struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Asserts that it failed with one line on standard error and no other output.
    #[track_caller]
    fn failed_saying(&self, part: &str) {
        assert_eq!((self.status, &*self.stdout), (3, ""), "{self:?}");
        let one_line = self.stderr.lines().count() == 1 && self.stderr.starts_with("ledgerfold: ");
        assert!(one_line && self.stderr.contains(part), "not {part:?}: {self:?}");
    }

    /// Asserts that it reported wrong use.
    #[track_caller]
    fn is_wrong_use(&self, part: &str) {
        assert_eq!((self.status, &*self.stdout), (2, ""), "{self:?}");
        assert!(
            self.stderr.starts_with("error: ") && self.stderr.contains(part),
            "not {part:?}: {self:?}"
        );
    }

    /// Asserts success without output on standard error.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!((self.status, &*self.stderr), (0, ""), "{self:?}");
        self.stdout
    }

    /// Asserts a negative answer with this reason.
    #[track_caller]
    fn was_refused(&self, reason: &str) {
        assert_eq!((self.status, &*self.stdout), (1, ""), "{self:?}");
        assert_eq!(self.stderr, format!("ledgerfold: {reason}\n"), "{self:?}");
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs the benchmarks to their end.
async fn run_bench<const N: usize>(arguments: [&str; N]) -> Ended {
    ended(ledgerfold_bench(arguments)).await
}

/// Runs the program to its end.
async fn run<const N: usize>(arguments: [&str; N]) -> Ended {
    ended(ledgerfold(arguments)).await
}

async fn ended(mut command: Command) -> Ended {
    let output =
        tokio::time::timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().expect("it was killed");
    Ended { status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn client() -> Client {
    Client::builder().timeout(PATIENCE).no_proxy().build().unwrap()
}

/// Receives copies of a book, this number of times.
async fn receive(dev: &Dev, times: usize) {
    let client = crate::harness::http::Client::of(&dev.url);
    for _ in 0..times {
        let answer =
            sent(client.post("/stock/9780306406157/receive", &json!({"quantity": 5}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
