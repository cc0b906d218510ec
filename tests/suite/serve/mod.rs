//! The container's program as a process, with embedded engines for AWS and an issuer on loopback.
//!
//! | module | what it tests |
//! |---|---|
//! | [`start`] | failures at start: are all of them reported? |
//! | [`tokens`] | tokens, and which keys are in use when |
//! | [`stop`] | a clean stop, and an immediate one |
//! | [`kills`] | are read models right after kills in the middle of batches? |
//! | [`outages`] | does it survive queues and tables that do not answer, and report them? |
//! | [`beside`] | can it continue the work of functions, and share it with another container? |
//! | [`rights`] | does it send any request that its role does not allow? |
//! | [`gate`] | a proxy to an engine that can be closed |
//! | [`issuer`] | an issuer that publishes its keys |
//! | [`process`] | the process, its log, and its callers |
//! | [`shop`] | orders, and their expected rows |
#![cfg(test)]

mod beside;
mod gate;
mod issuer;
mod kills;
mod outages;
mod process;
mod rights;
mod shop;
mod start;
mod stop;
mod tokens;

use crate::idle::Idle;
use issuer::Issuer;
use process::{Caller, Service};
use std::time::Duration;
use tokio::time::Instant;

/// The program for functions and container.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bookshop-service-under-test");
const ALL_SCOPES: [&str; 4] = ["ledgerfold/write", "ledgerfold/read", "ledgerfold/audit", "ledgerfold/operate"];

/// How long anything may take: far longer than on an idle machine.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Polls until there is a value.
async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Engines, tables and queues, and an issuer of tokens.
struct World {
    system: Idle,
    issuer: Issuer,
}

impl World {
    async fn start() -> Self {
        Self { system: Idle::start().await, issuer: Issuer::start().await }
    }

    /// The environment of the program.
    fn environment(&self) -> Vec<(String, String)> {
        let own = [
            ("LEDGERFOLD_PREFIX", "ledgerfold"),
            ("LEDGERFOLD_LISTEN", "127.0.0.1:0"),
            ("LEDGERFOLD_TOKEN_ISSUER", &self.issuer.url),
            ("LEDGERFOLD_TOKEN_AUDIENCE", issuer::AUDIENCE),
            ("LEDGERFOLD_POLL", "1"),
            ("LEDGERFOLD_LINGER", "0"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.system.exports().into_iter().chain(own).collect()
    }

    /// Starts the program, and waits until it serves.
    async fn serve(&self, what: &[&str]) -> Service {
        Service::start(what, self.environment()).await
    }

    /// A caller with all scopes.
    fn caller(&self, service: &Service) -> Caller {
        Caller::new(&service.url, self.issuer.token("anna", &ALL_SCOPES))
    }
}
