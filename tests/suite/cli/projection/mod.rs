//! `ledgerfold projection`, on a system without workers, on a stopped folder and on a running
//! system.
//!
//! | module | what it tests |
//! |---|---|
//! | [`steps`] | the order of steps, and refusals |
//! | [`workers`] | workers, waiting for jobs, kills |
//! | [`parked_streams`] | parked streams, and resuming them |
//! | [`redrive`] | dead letters and lag |

mod parked_streams;
mod redrive;
mod steps;
mod workers;

use super::{Ended, ended};
use crate::harness::http::sent;
use crate::harness::program::{Program, ledgerfold};
use crate::harness::stack::TestStack;
use crate::harness::waiting::{PATIENCE, becomes};
use serde_json::Value;

impl TestStack {
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

impl Program {
    /// Sends a command, or an operator's step; it must be done.
    async fn done_step(&self, path: &str, body: Value) -> Value {
        let answer = sent(self.post(path, &body)).await;
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        answer.body
    }

    /// Looks until the projection's status is so.
    async fn until_status(
        &self,
        projection: &str,
        what: &str,
        so: impl Fn(&Value) -> bool,
    ) -> Value {
        let look = async || self.get(&format!("/projections/{projection}")).await.body;
        // A problem document is no status.
        becomes(what, look, |status| status["name"] == *projection && so(status)).await
    }
}
