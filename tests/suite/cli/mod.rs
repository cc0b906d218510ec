//! The program as a process: what it prints, how it ends.
//!
//! | module | what it asks |
//! |---|---|
//! | [`wording`] | can a newcomer find out what it takes, and what is wrong? |
//! | [`start`] | `dev`: where it cannot run, and what it keeps |
//! | [`stop`] | does it end when it is asked to, and not before its answers? |
//! | [`bench`] | are its counts those of the budget, and does it leave nothing behind? |
//! | [`cost`] | are its figures those that come of the same by hand? |
//! | [`audit`] | the questions about many streams and about the past |
//! | [`audit_export`] | files that are whole, or not there |
//! | [`backup`] | is a copy whole that is made under load, and what does it refuse? |
//! | [`bench_projections`] | the same of what read models cost |
//! | [`new`] | `new`: what it writes, and what it refuses |
//! | [`operate`] | `tables` and `audit`, on a folder and on a running system |
//! | [`tokens`] | `tokens`, and who `dev` lets in |
//! | [`profiles`] | who an operator is by a profile of the AWS configuration |
//! | [`projection`] | `projection`: steps and refusals, jobs and their workers, what stands still, redrive |
#![cfg(test)]

mod audit;
mod audit_export;
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
use crate::harness::program::{Dev, ledgerfold};
use crate::harness::waiting::PATIENCE;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::Command;

/// How a run of the program ended.
#[derive(Debug)]
struct Ended {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// Asserts that it failed with one clear line on standard error, and nothing else anywhere.
    #[track_caller]
    fn failed_saying(&self, part: &str) {
        assert_eq!((self.status, &*self.stdout), (3, ""), "{self:?}");
        let one_line = self.stderr.lines().count() == 1 && self.stderr.starts_with("ledgerfold: ");
        assert!(one_line && self.stderr.contains(part), "not {part:?}: {self:?}");
    }

    /// Asserts that it was used wrongly, and said how.
    #[track_caller]
    fn is_wrong_use(&self, part: &str) {
        assert_eq!((self.status, &*self.stdout), (2, ""), "{self:?}");
        assert!(self.stderr.starts_with("error: ") && self.stderr.contains(part), "not {part:?}: {self:?}");
    }

    /// Asserts that it is done, without a word on standard error.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!((self.status, &*self.stderr), (0, ""), "{self:?}");
        self.stdout
    }

    /// Asserts that it was refused in those words: a negative answer, and no failure.
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

/// Runs the program to its end.
async fn run<const N: usize>(arguments: [&str; N]) -> Ended {
    ended(ledgerfold(arguments)).await
}

async fn ended(mut command: Command) -> Ended {
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().expect("it was killed");
    Ended { status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn client() -> Client {
    Client::builder().timeout(PATIENCE).no_proxy().build().unwrap()
}

/// Takes copies of a book in, so many times.
async fn receive(dev: &Dev, times: usize) {
    let client = crate::harness::http::Client::of(&dev.url);
    for _ in 0..times {
        let answer = sent(client.post("/stock/9780306406157/receive", &json!({"quantity": 5}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
