//! The contract of the event store, checked with the real SDK client on the engine that the
//! environment names (see [`crate::harness::engine`]): the embedded one, ministack or AWS. The wire
//! below the SDK adds what no engine here does: stale reads, lost answers, throttling. ministack
//! reports wrong read units: it rounds an eventually consistent read down. So read units are
//! asserted on other engines only; write units and requests on all.
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
    Answer, Refusal, TALLY, Tally, TallyEvent, close, count, id_made_at, metadata, new_commit,
    note, open, request, stream,
};
