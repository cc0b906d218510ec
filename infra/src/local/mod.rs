//! The parts of AWS that a laptop does not have: an embedded DynamoDB, the event source mappings that carry stream
//! records and queue messages to handlers as Lambda does, and the gateway's check of tokens.
//!
//! | module | what it stands for |
//! |---|---|
//! | [`access_key`] | the key that requests to the engines are signed with |
//! | [`authorizer`] | the JWT authorizer of the API gateway |
//! | [`data_dir`] | the folder that holds everything, owned by one process at a time |
//! | [`http_server`] | the limits of every server here |
//! | [`dynamodb`] | DynamoDB and its streams, over HTTP on loopback |
//! | [`in_process`] | requests of this process to the engines, without a socket |
//! | [`running`] | the file by which commands find a running system |
//! | [`sqs`] | SQS, over HTTP on loopback |
//! | [`stack`] | both engines of one data folder |
//! | [`stream_trim`] | the 24 hours that a stream keeps its records |
//! | [`stream_mapping`] | Lambda's event source mapping of a stream |
//! | [`queue_mapping`] | Lambda's event source mapping of a queue |
//! | [`stream_event`], [`queue_event`] | what Lambda sends a function for records and messages |

pub mod access_key;
pub mod authorizer;
pub mod backup;
pub mod data_dir;
pub mod dynamodb;
pub mod http_server;
pub mod in_process;
pub mod manifest;
pub mod queue_event;
pub mod queue_mapping;
pub mod running;
pub mod sqs;
pub mod stack;
pub mod stream_event;
pub mod stream_mapping;
pub mod stream_trim;

mod checkpoint;
mod door;
mod invocation;
pub(crate) mod jwt_crypto;
mod key_set;
mod outage;
mod queue_answers;
mod shard;
