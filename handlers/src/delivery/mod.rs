//! Messages from the table's stream to the consumers' queues, and from a queue to its handler.

pub(crate) mod continuation;
pub(crate) mod fan_out;
pub(crate) mod notification;
pub(crate) mod parking;
pub(crate) mod projector;
pub(crate) mod queue;
mod queue_mapping;
pub(crate) mod rebuild;
pub(crate) mod sqs_batch;

pub use queue_mapping::{Activity, Backoff, Outage, QueueMapping, causes, invocation, queue_event};
