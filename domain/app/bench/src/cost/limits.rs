//! The limits of AWS, and what a rate needs of each.

use super::bill::Load;
use super::workload::{CONSUMERS, SNAPSHOTS};
use serde::Serialize;

/// A limit, and what the rate needs of it.
#[derive(Debug, Serialize)]
pub(super) struct Limit {
    /// What is limited.
    pub(super) what: String,
    /// The default of an account in us-east-1, or the template's setting.
    pub(super) limit: f64,
    /// What the rate needs.
    pub(super) needs: f64,
    /// Whether it is enough.
    pub(super) within: bool,
    /// What to do if it is not.
    pub(super) beyond: &'static str,
}

/// Units per second of an on-demand table, written or read.
const TABLE_UNITS_PER_S: f64 = 40_000.0;
/// Units per second of a new table:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput.html>
const NEW_TABLE_WRITES_PER_S: f64 = 4_000.0;
const NEW_TABLE_READS_PER_S: f64 = 12_000.0;
/// Write units per second of one partition, such as all items of one key.
const PARTITION_UNITS_PER_S: f64 = 1_000.0;
/// Requests per second and kind of a FIFO queue in high-throughput mode.
const QUEUE_REQUESTS_PER_S: f64 = 70_000.0;
/// Messages per second of one message group, one per send. Batches allow ten times as many.
const GROUP_MESSAGES_PER_S: f64 = 300.0;
/// Concurrent invocations.
const CONCURRENCY: f64 = 1_000.0;
/// Requests per second of the API gateway.
const API_REQUESTS_PER_S: f64 = 10_000.0;

const ASK: &str = "ask AWS for a higher quota";
const WARM: &str =
    "deploy with WarmWritesPerSecond, or let the load grow: to twice the last peak in 30 minutes";
const GROW: &str = "let the load grow: to twice the last peak in 30 minutes";
const SET: &str = "raise the mapping's MaximumConcurrency in infra/template.yaml";
const SPREAD: &str = "spread the orders over more books, or divide the stock of one book";
const LIST: &str = "the table is throttled with its index until DynamoDB has split the day's list; or divide the list";

/// All limits, with what the load needs.
pub(super) fn limits(load: &Load) -> Vec<Limit> {
    let orders_per_s = load.commands_per_s;
    let first = [
        limit(
            "requests a second, API gateway",
            API_REQUESTS_PER_S,
            orders_per_s + load.reads_per_s,
            ASK,
        ),
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
