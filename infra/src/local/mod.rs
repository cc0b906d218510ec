//! The parts of AWS that a laptop does not have: an embedded DynamoDB, the event source mapping that carries
//! stream records to fan-out as Lambda does. That of a queue is [`handlers::delivery`], the gateway's check of tokens
//! [`handlers::access`].
//!
//! | module | what it stands for |
//! |---|---|
//! | [`access_key`] | the key that requests to the engines are signed with |
//! | [`data_dir`] | the folder that holds everything, owned by one process at a time |
//! | [`dynamodb`] | DynamoDB and its streams, over HTTP on loopback |
//! | [`in_process`] | requests of this process to the engines, without a socket |
//! | [`running`] | the file by which commands find a running system |
//! | [`sqs`] | SQS, over HTTP on loopback |
//! | [`stack`] | both engines of one data folder |
//! | [`stream_trim`] | the 24 hours that a stream keeps its records |
//! | [`stream_mapping`] | Lambda's event source mapping of a stream |
//! | [`stream_event`] | what Lambda sends a function for records |

pub mod access_key;
pub mod backup;
pub mod data_dir;
pub mod dynamodb;
pub mod in_process;
pub mod manifest;
pub mod running;
pub mod sqs;
pub mod stack;
pub mod stream_event;
pub mod stream_mapping;
pub mod stream_trim;

mod checkpoint;
mod door;
mod shard;
