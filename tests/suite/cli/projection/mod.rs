//! `ledgerfold projection`, on a system without workers, on a stopped folder and on a running system.
//!
//! | module | what it tests |
//! |---|---|
//! | [`steps`] | the order of steps, and refusals |
//! | [`workers`] | workers, waiting for jobs, kills |
//! | [`standstill`] | parked streams, and resuming them |
//! | [`redrive`] | dead letters and lag |

mod redrive;
mod standstill;
mod steps;
mod workers;

use super::{Dev, Ended, ended};
use crate::idle::Idle;
use crate::program::ledgerfold;
use serde_json::Value;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Far more than any case needs.
const PATIENCE: Duration = Duration::from_secs(60);

impl Idle {
    async fn operate<const N: usize>(&self, arguments: [&str; N]) -> Ended {
        let mut command = ledgerfold(arguments);
        command.envs(self.exports());
        ended(command).await
    }

    /// The status of a projection.
    async fn status(&self, projection: &str) -> Value {
        self.operate(["projection", "status", projection, "--json"]).await.json()
    }
}

/// A running system, and an operator's environment.
struct Running {
    dev: Dev,
    exports: Vec<(String, String)>,
}

impl Running {
    async fn over(data: &TempDir) -> Self {
        Self::of(Dev::start(data.path()).await).await
    }

    /// With an injected fault.
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

    /// The API's answer.
    async fn get(&self, path: &str) -> Value {
        super::client().get(format!("{}{path}", self.dev.url)).send().await.unwrap().json().await.unwrap()
    }

    /// Sends a command or an operation, which must succeed.
    async fn post(&self, path: &str, body: Value) -> Value {
        let request = super::client().post(format!("{}{path}", self.dev.url)).json(&body);
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.json().await.unwrap()
    }

    /// Polls until the projection's status matches.
    async fn until(&self, projection: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.get(&format!("/projections/{projection}")).await;
            // A problem document has no status.
            if status["name"] == *projection && so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "did not happen: {what}, but {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
