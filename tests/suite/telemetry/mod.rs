//! Logs, reports, metrics and traces.
//!
//! | module | what it tests |
//! |---|---|
//! | [`calls`] | an invocation as on Lambda: reports before the freeze, log and metrics |
//! | [`reports`] | the running program: one report per failure, with tags and trace, without personal data |
//! | [`lines`] | the log of the running program; an invalid DSN |
#![cfg(test)]

mod calls;
mod lines;
mod reports;

use crate::harness::program::ledgerfold;
use tokio::process::Command;

/// The stage and the release of all programs in these tests.
const STAGE: &str = "stage-of-the-test";
const RELEASE: &str = "ledgerfold@test";

/// The program with arguments and that DSN, without settings of this machine.
fn reporting<'a>(arguments: impl IntoIterator<Item = &'a str>, dsn: &str) -> Command {
    let mut command = ledgerfold(arguments);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("SENTRY_")
            || name.to_ascii_lowercase().ends_with("_proxy")
            || name.starts_with("RUST_")
        {
            command.env_remove(name);
        }
    }
    command.env("SENTRY_DSN", dsn).env("SENTRY_ENVIRONMENT", STAGE).env("SENTRY_RELEASE", RELEASE);
    command
}
