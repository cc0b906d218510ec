//! The contract of SQS, checked on the engine that the environment names: one suite for the
//! embedded queues, for ministack and for AWS. Known differences of ministack are in the cases.
//!
//! [`crate::harness::engine`] describes the environment variables.

/// Turns each case into a test.
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
