//! What those see who watch the system.
//!
//! | module | what it asks |
//! |---|---|
//! | [`calls`] | one call as on Lambda: what is sent before it is frozen, its log and its metrics |
//! | [`reports`] | the running program: one report a failure, its tags, its trace, and nothing personal |
//! | [`lines`] | the log of the running program; a DSN that is none |
#![cfg(test)]

mod calls;
mod lines;
mod reports;

use crate::harness::program::ledgerfold;
use tokio::process::Command;

/// The stage and the release of all programs here.
const STAGE: &str = "stage-of-the-test";
const RELEASE: &str = "ledgerfold@test";

/// The program with arguments, and with that DSN. Settings of this machine are not for it.
fn reporting<'a>(arguments: impl IntoIterator<Item = &'a str>, dsn: &str) -> Command {
    let mut command = ledgerfold(arguments);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("SENTRY_") || name.to_ascii_lowercase().ends_with("_proxy") || name.starts_with("RUST_") {
            command.env_remove(name);
        }
    }
    command.env("SENTRY_DSN", dsn).env("SENTRY_ENVIRONMENT", STAGE).env("SENTRY_RELEASE", RELEASE);
    command
}
