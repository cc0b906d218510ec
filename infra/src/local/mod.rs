//! What a laptop lacks of AWS.
//!
//! | module | what it is |
//! |---|---|
//! | [`data_folder`] | the folder with both databases, owned by one process at a time |
//! | [`engines`] | DynamoDB and SQS in this process |
//! | [`event_source`] | Lambda's event source mapping of a stream |
//! | [`stack`] | both engines over one data folder, with their clients |

pub mod data_folder;
pub mod engines;
pub mod event_source;
pub mod stack;
