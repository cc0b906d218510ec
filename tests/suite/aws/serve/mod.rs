//! The container's program as a process: the embedded engines are its AWS, and an issuer on loopback its issuer.
//!
//! | module | what it asks |
//! |---|---|
//! | [`start`] | what keeps it from starting, and is all of it told? |
//! | [`tokens`] | who is let in, and which keys are believed when |
//! | [`stop`] | does it end in order, and at once when it must? |
//! | [`kills`] | are read models right after kills in the middle of batches? |
//! | [`outages`] | does it wait out queues and tables that do not answer, and say so? |
//! | [`beside`] | does it do the work of functions, and of another process like it? |
//! | [`rights`] | does it ask for anything that its roles do not allow? |
//! | [`process`] | the process, what it writes, and callers of it |
//! | [`shop`] | orders, and what they must come to |
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

/// The program of functions and container.
const PROGRAM: &str = env!("CARGO_BIN_EXE_bookshop-service-under-test");
const ALL_SCOPES: [&str; 4] = ["ledgerfold/write", "ledgerfold/read", "ledgerfold/audit", "ledgerfold/operate"];

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

    /// A caller who may do everything.
    fn caller(&self, service: &Service) -> Client {
        Client::of(&service.url).with_token(&self.issuer.token("anna", &ALL_SCOPES))
    }
}
