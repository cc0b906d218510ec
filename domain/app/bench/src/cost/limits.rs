//! The limits of AWS that a rate meets.

use super::bill::Load;
use super::workload::{CONSUMERS, SNAPSHOTS};
use serde::Serialize;

/// A limit, and what the rate needs of it.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    /// Of what.
    pub(super) what: String,
    /// How much an account has by default in us-east-1, or the template sets.
    pub(super) limit: f64,
    /// How much the rate needs.
    pub(super) needs: f64,
    /// Whether that is no more.
    pub(super) within: bool,
    /// What to do beyond it.
    pub(super) beyond: &'static str,
}

/// Units a second of an on-demand table by default, written or read.
const TABLE_UNITS_PER_S: f64 = 40_000.0;
/// The same of one that is new:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html>
const NEW_TABLE_WRITES_PER_S: f64 = 4_000.0;
const NEW_TABLE_READS_PER_S: f64 = 12_000.0;
/// Write units a second of one partition: of all items of one key that are not split.
const PARTITION_UNITS_PER_S: f64 = 1_000.0;
/// Requests a second of a FIFO queue in high-throughput mode, for each kind of request.
const QUEUE_REQUESTS_PER_S: f64 = 70_000.0;
/// Messages a second of one message group, sent one by one; ten times as many in batches.
const GROUP_MESSAGES_PER_S: f64 = 300.0;
/// Functions at work at once.
const CONCURRENCY: f64 = 1_000.0;
/// Requests a second of the API gateway.
const API_REQUESTS_PER_S: f64 = 10_000.0;

const ASK: &str = "ask AWS for a higher quota";
const WARM: &str = "deploy with WarmWritesPerSecond, or let the load grow: to twice the last peak in 30 minutes";
const GROW: &str = "let the load grow: to twice the last peak in 30 minutes";
const SET: &str = "raise the mapping's MaximumConcurrency in infra/template.yaml";
const SPREAD: &str = "orders must be for more books than one, or the stock of one be divided";
const LIST: &str = "the table is throttled with its index until DynamoDB has split the day's list; or divide the list";

/// The limits, each with what that load needs of it.
pub(super) fn limits(load: &Load) -> Vec<Limit> {
    let orders_per_s = load.commands_per_s;
    let first = [
        limit("requests a second, API gateway", API_REQUESTS_PER_S, orders_per_s + load.reads_per_s, ASK),
        limit("functions at work at once", CONCURRENCY, load.invocations().busy, ASK),
    ];
    let queues = CONSUMERS.iter().flat_map(|consumer| {
        let requests = format!("requests a second of one kind, queue {}", consumer.name);
        let batches = format!("batches at work at once, queue {}", consumer.name);
        [
            limit(&requests, QUEUE_REQUESTS_PER_S, load.batches_per_s(consumer), ASK),
            limit(&batches, consumer.batches_at_once, load.batches(consumer).busy, SET),
        ]
    });
    let tables = load.units().into_iter().flat_map(|(table, units)| {
        let what = |done| format!("units {done} a second, table of {table}");
        let new = |done| format!("units {done} a second, new table of {table}");
        [
            limit(&what("written"), TABLE_UNITS_PER_S, units.write, ASK),
            limit(&what("read"), TABLE_UNITS_PER_S, units.read, ASK),
            limit(&new("written"), NEW_TABLE_WRITES_PER_S, units.write, WARM),
            limit(&new("read"), NEW_TABLE_READS_PER_S, units.read, GROW),
        ]
    });
    let one_book = orders_per_s * (load.commit_units() + SNAPSHOTS);
    let hot = [
        limit(
            "units written a second, stock of a book, if all orders are for it",
            PARTITION_UNITS_PER_S,
            one_book,
            SPREAD,
        ),
        limit("messages a second, the same book", GROUP_MESSAGES_PER_S, orders_per_s, SPREAD),
        limit(
            "rows a second, the bestsellers' list of a day, if no two orders are for one book",
            PARTITION_UNITS_PER_S,
            orders_per_s,
            LIST,
        ),
    ];
    first.into_iter().chain(queues).chain(tables).chain(hot).collect()
}

fn limit(what: &str, limit: f64, needs: f64, beyond: &'static str) -> Limit {
    Limit { what: what.to_owned(), limit, needs, within: needs <= limit, beyond }
}
