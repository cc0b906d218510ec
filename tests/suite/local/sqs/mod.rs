//! What SQS promises, checked on whatever engine the environment names: one suite for the embedded queues, for
//! ministack and for AWS. Where ministack is known to be wrong the case says what it does instead.
//!
//! [`crate::harness::engine`] tells how the environment names it.

/// Makes a test of each case.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        mod on_this_engine {
            $(
                #[tokio::test]
                async fn $case() {
                    let engine = super::super::QueueEngine::start().await;
                    super::$case(&engine).await;
                    engine.stop().await;
                }
            )+
        }
    };
}

mod batches;
mod consumers;
mod dead_letters;
mod deduplication;
mod engine;
mod fifo;
mod limits;
mod messages;
mod moves;
mod queues;
mod restart;
mod tags;
mod visibility;
mod waiting;

use engine::{EngineKind, QueueEngine, bodies, code, handle, sorted_bodies};
