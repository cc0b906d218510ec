//! `ledgerfold projection`, on a system on which nobody works, on a stopped folder and on a running one.
//!
//! | module | what it asks |
//! |---|---|
//! | [`steps`] | what may follow on what, and what is refused |
//! | [`workers`] | who works on jobs, who waits for them, and what a kill does |
//! | [`standstill`] | streams that stand still, and how they go on |
//! | [`redrive`] | dead letters, and how far a projection is behind |

mod redrive;
mod standstill;
mod steps;
mod workers;

use super::{Dev, Ended, ended};
use crate::harness::idle::Idle;
use crate::harness::program::ledgerfold;
use serde_json::Value;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Far above what any case needs, so that only a broken one meets it.
const PATIENCE: Duration = Duration::from_secs(60);

impl Idle {
    async fn operate<const N: usize>(&self, arguments: [&str; N]) -> Ended {
        let mut command = ledgerfold(arguments);
        command.envs(self.exports());
        ended(command).await
    }

    /// How a projection stands.
    async fn status(&self, projection: &str) -> Value {
        self.operate(["projection", "status", projection, "--json"]).await.json()
    }
}

/// A running system, and the environment in which its operator works.
struct Running {
    dev: Dev,
    exports: Vec<(String, String)>,
}

impl Running {
    async fn over(data: &TempDir) -> Self {
        Self::of(Dev::start(data.path()).await).await
    }

    /// With a projection that fails on purpose.
    async fn broken(data: &TempDir, defect: &str) -> Self {
        let folder = data.path().to_str().unwrap();
        let arguments = ["dev", "--port", "0", "--without-processes", "--data", folder, "--break", defect];
        Self::of(Dev::start_command(&mut ledgerfold(arguments)).await).await
    }

    async fn of(mut dev: Dev) -> Self {
        let exports = dev.exports().await;
        Self { dev, exports }
    }

    async fn operate<const N: usize>(&self, arguments: [&str; N]) -> Ended {
        let mut command = ledgerfold(arguments);
        command.envs(self.exports.iter().cloned());
        ended(command).await
    }

    /// What the API answers.
    async fn get(&self, path: &str) -> Value {
        super::client().get(format!("{}{path}", self.dev.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Sends a command, or an operator's step; it must be done.
    async fn post(&self, path: &str, body: Value) -> Value {
        let request = super::client().post(format!("{}{path}", self.dev.url)).json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.json().await.unwrap()
    }

    /// Looks until the projection's status is so.
    async fn until(&self, projection: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.get(&format!("/projections/{projection}")).await;
            // A problem document is no status.
            if status["name"] == *projection && so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "did not happen: {what}, but {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
