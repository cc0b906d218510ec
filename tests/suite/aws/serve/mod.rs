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
//! | [`process`] | the process, its log, and its callers |
//! | [`shop`] | orders, and their expected rows |
#![cfg(test)]

mod beside;
mod kills;
mod outages;
mod process;
mod rights;
mod shop;
mod start;
mod stop;
mod tokens;

use crate::harness::http::Client;
use crate::harness::published_issuer::{AUDIENCE, Issuer};
use crate::harness::stack::TestStack;
use crate::harness::waiting::{PATIENCE, eventually};
use process::Service;

/// The program for functions and container.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bookshop-service-under-test");
const ALL_SCOPES: [&str; 4] =
    ["ledgerfold/write", "ledgerfold/read", "ledgerfold/audit", "ledgerfold/operate"];

/// Engines, tables and queues, and an issuer of tokens.
struct Deployment {
    stack: TestStack,
    issuer: Issuer,
}

impl Deployment {
    async fn start() -> Self {
        Self { stack: TestStack::start().await, issuer: Issuer::start().await }
    }

    /// The environment of the program.
    fn environment(&self) -> Vec<(String, String)> {
        let own = [
            ("LEDGERFOLD_PREFIX", "ledgerfold"),
            ("LEDGERFOLD_LISTEN", "127.0.0.1:0"),
            ("LEDGERFOLD_TOKEN_ISSUER", &self.issuer.url),
            ("LEDGERFOLD_TOKEN_AUDIENCE", AUDIENCE),
            ("LEDGERFOLD_POLL", "1"),
            ("LEDGERFOLD_LINGER", "0"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.stack.exports().into_iter().chain(own).collect()
    }

    /// Starts the program, and waits until it serves.
    async fn serve(&self, what: &[&str]) -> Service {
        Service::start(what, self.environment()).await
    }

    /// A caller with all scopes.
    fn caller(&self, service: &Service) -> Client {
        Client::of(&service.url).with_token(&self.issuer.token("anna", &ALL_SCOPES))
    }
}
