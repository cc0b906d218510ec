//! The functions under Lambda's event sources: every rule of stream and queue that failures meet, on a clock of the case's own.
//!
//! A stack on one machine delivers, but it does not fail as AWS does: it may pass over partial failures, never discard, never
//! bisect. So the rules are modelled here as AWS documents them, and the real functions are called on the embedded engines.
//! Payloads are real ones: records from the event table's stream, messages from the queues that fan-out sends to. Time passes
//! only from one wake to the next, so a day costs nothing. An invocation takes effect at the moment when it begins; its
//! answer comes when it ends.
//!
//! | file | what it is |
//! |---|---|
//! | [`stream_source`], [`fifo_source`] | the two kinds of mapping |
//! | [`pattern`] | a mapping's filter |
//! | [`policy`] | how the mappings are set |
//! | [`line`] | the whole line, driven from wake to wake |
//! | [`outage`] | tables and queues that do not answer |
//! | [`stream_rules`], [`fifo_rules`] | the rules themselves: a harness that is too kind proves nothing |
//! | [`fan_out`], [`consumers`], [`overlaps`], [`jobs`] | what the functions make of it |
//! | [`histories`] | random faults in random histories |
//!
//! Not modelled: child shards (the embedded stream has one shard), tumbling windows, the pace at which Lambda polls and adds
//! functions, throttled invocations, and the length of its pauses.
#![cfg(test)]

mod clock;
mod consumers;
mod fan_out;
mod fifo_rules;
mod fifo_source;
mod histories;
mod jobs;
mod line;
mod outage;
mod overlaps;
pub(crate) mod pattern;
mod policy;
mod stream_rules;
mod stream_source;
mod world;

/// The largest payload of one invocation, in bytes.
const MAX_PAYLOAD_BYTES: i64 = 6 * 1024 * 1024;

/// What Lambda knows of an invocation when it is over.
#[derive(Debug)]
enum Outcome<R> {
    Answered(R),
    /// An error, a panic, a time-out, or a sandbox that died.
    Failed,
}
