//! Lambda's event source mapping of a queue, as a process: for `dev`, and for consumers in a
//! container.
//!
//! | module | what it is |
//! |---|---|
//! | [`QueueMapping`] | batches of a queue to one handler; what is done is deleted |
//! | [`Activity`] | what can be seen of a mapping from outside |
//! | [`queue_event`] | what Lambda sends a function for messages |
//! | `queue_answers` | how each message is settled in the queue |
//! | [`invocation`] | one call of a handler: with a time limit, and with a panic being an error of that call only |
//! | `backoff` | pauses between tries, and what is logged of an outage |

mod activity;
mod backoff;
pub mod invocation;
mod mapping;
mod queue_answers;
pub mod queue_event;

pub use activity::Activity;
pub use backoff::{Backoff, Outage, causes};
pub use mapping::QueueMapping;
