//! The whole system from outside.
//!
//! | module | what it asks |
//! |---|---|
//! | [`sqs`] | does a queue engine do what AWS documents? The same cases for every engine |
//! | [`mappings`] | are stream records and messages delivered as Lambda delivers them? |

mod mappings;
mod sqs;
