//! Fan-out, consumers and workers under Lambda's event sources: what the functions make of every
//! failure.
//!
//! | module | what it asks |
//! |---|---|
//! | [`stream_rules`], [`fifo_rules`] | the simulated event sources themselves: a harness that is too kind proves nothing |
//! | [`fan_out`], [`consumers`], [`overlaps`], [`jobs`] | what the functions make of failures |
//! | [`job_messages`] | does the worker of jobs bear lost, doubled and unreadable calls? |
//! | [`histories`] | random faults in random histories |
#![cfg(test)]

mod consumers;
mod fan_out;
mod fifo_rules;
mod histories;
mod job_messages;
mod jobs;
mod overlaps;
mod stream_rules;
