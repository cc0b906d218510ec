//! What the event store promises, checked with the real SDK client on whatever engine the environment names (see
//! [`crate::harness::engine`]): the embedded one, ministack or AWS. What no engine gives (a stale read, a lost answer, throttling)
//! is made at the wire, under the SDK and its retries.
//!
//! ministack's read capacity is wrong (it rounds an eventually consistent read down): read units are asserted elsewhere
//! only, write units and requests everywhere.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is how a case fails"
)]
#![allow(clippy::print_stderr, reason = "a seed and a measured budget are worth reading")]

/// Makes a test of each case. Three minutes are far above what any needs, also on another engine.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod on_this_engine {
            $(
                #[tokio::test]
                async fn $case() {
                    let engine = crate::store::Engine::start().await;
                    let case = super::$case(&engine);
                    tokio::time::timeout(std::time::Duration::from_secs(180), case).await.expect("ends within three minutes");
                    engine.stop().await;
                }
            )+
        }
    };
}

mod command;
mod dedup;
mod engine;
mod log;
mod metering;
mod peers;
mod schema;
mod snapshot;
mod stream;
mod tally;
mod transaction;

use crate::harness::engine::EngineKind;
use crate::harness::wire::{Act, Seen, Spent};
use engine::{Engine, Process, Table};
use tally::{
    Answer, Refusal, TALLY, Tally, Told, close, count, id_made_at, metadata, new_commit, note, open, request, stream,
};
