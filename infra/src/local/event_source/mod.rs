//! Lambda's event source mapping of a DynamoDB stream. That of a queue is [`handlers::delivery`].
//!
//! | module | what it does |
//! |---|---|
//! | [`mapping`] | lists the shards and starts a poller for each |
//! | `shard_poller` | reads the records of one shard in order and invokes the handler |
//! | `checkpoints` | stores how far each shard was handled |
//! | [`stream_event`] | the payload that Lambda sends for records |

mod checkpoints;
pub mod mapping;
mod shard_poller;
pub mod stream_event;
