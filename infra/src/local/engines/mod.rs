//! The local engines of DynamoDB and SQS, and how requests reach them.
//!
//! | module | what it does |
//! |---|---|
//! | [`access_key`] | the key that signs requests; each start has a new one |
//! | [`dynamodb`] | DynamoDB and its streams, over HTTP on loopback |
//! | [`in_process`] | requests from this process, without a socket |
//! | `request_auth` | checks host, origin and signature of all other requests |
//! | [`sqs`] | SQS, over HTTP on loopback |
//! | [`stream_retention`] | removes stream records after 24 hours |

pub mod access_key;
pub mod dynamodb;
pub mod in_process;
mod request_auth;
pub mod sqs;
pub mod stream_retention;
