//! Read models equal the pure fold of the store under every fault of the queue. Fan-out delivers
//! every commit.
//!
//! The engines are real; the handlers are called with the payloads of Lambda. [`fold`]
//! folds the store a second time, by other code. [`wire`] stands between a projector and DynamoDB:
//! it counts requests and kills the projector.
#![cfg(test)]

mod audit_index;
mod crowds;
mod exhaustive;
mod fan_out;
mod fences;
mod foreign_items;
pub(crate) mod histories;
mod journal;
mod long_gaps;
mod older_program;
mod orderings;
mod parking;
mod poison;
mod queue_failures;
mod random_history;
mod rebuild;
mod recorded_refusals;
mod reported_once;
mod restored;
mod several_streams;
mod shapes;
mod standing_rules;
mod strong_reads;
mod whole_line;

/// The bookshop's read models, and the audit index.
pub(crate) fn read_models() -> Vec<::projections::Projection> {
    bookshop::app().read_models().copied().collect()
}
