//! What a rate of commands costs a month.

use super::prices::{self, Price};
use super::workload::{self as per_command, Consumer};
use serde::Serialize;

/// Seconds of a month: 730 hours.
pub(super) const MONTH_S: f64 = 730.0 * 3_600.0;
/// Seconds of a day.
const DAY_S: f64 = 86_400.0;
/// Bytes of a gigabyte, as AWS counts.
const GB: f64 = 1024.0 * 1024.0 * 1024.0;
/// Bytes of a write unit, and of a consistent read unit.
const WRITE_UNIT_BYTES: f64 = 1024.0;
const READ_UNIT_BYTES: f64 = 4.0 * 1024.0;

/// What is asked of the system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Commands of clients a second.
    pub(super) commands_per_s: f64,
    /// Reads of clients a second.
    pub(super) reads_per_s: f64,
    /// Bytes of an event.
    pub(super) event_bytes: f64,
    /// Days that the store holds.
    pub(super) history_days: f64,
}

/// A line of the bill.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) price: Price,
    /// So many a month.
    pub(super) quantity: f64,
    /// What they cost.
    pub(super) usd_per_month: f64,
}

/// Units a second of one table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Units {
    pub(super) write: f64,
    pub(super) read: f64,
}

impl Load {
    /// The lines of the bill.
    pub(super) fn bill(&self) -> Vec<Line> {
        let [metrics, alarms, dashboards] = per_command::WATCHED;
        let (invocations, units, stored_gb) = (self.invocations(), self.units(), self.stored_gb());
        let per_month = |per_s: f64| per_s * MONTH_S;
        let lines = [
            (prices::HTTP_API, per_month(self.requests_per_s())),
            (prices::INVOCATIONS, per_month(invocations.per_s)),
            (prices::DURATION, per_month(invocations.busy) * per_command::MEMORY_GB),
            (prices::WRITES, per_month(units.iter().map(|(_, units)| units.write).sum())),
            (prices::READS, per_month(units.iter().map(|(_, units)| units.read).sum())),
            (prices::STORAGE, stored_gb),
            (prices::RECOVERY, stored_gb),
            (prices::QUEUES, per_month(self.queue_requests_per_s())),
            (prices::LOGS, per_month(self.logged_bytes_per_s(invocations.per_s)) / GB),
            (prices::ACCESS_LOGS, per_month(self.requests_per_s() * per_command::ACCESS_LOG_BYTES) / GB),
            (prices::METRICS, metrics),
            (prices::ALARMS, alarms),
            (prices::DASHBOARDS, dashboards),
            (prices::CLIENTS, per_command::MACHINE_CLIENTS),
            (prices::TOKENS, per_command::MACHINE_CLIENTS * per_command::TOKENS_A_CLIENT),
        ];
        lines.map(|(price, quantity)| Line { price, quantity, usd_per_month: price.of(quantity) }).into()
    }

    /// The tables, and their units a second.
    pub(super) fn units(&self) -> [(&'static str, Units); 3] {
        let (write_item, read_item) = (self.commit_units(), (self.large_item_bytes() / READ_UNIT_BYTES).ceil());
        let (orders, audit) = (per_command::ORDERS, per_command::AUDIT);
        let others = [per_command::BESTSELLERS, per_command::STOCK, per_command::FULFILMENT];
        let a_second = |write, read| Units { write: write * self.commands_per_s, read: read * self.commands_per_s };
        let commits = per_command::COMMITS * write_item + per_command::SNAPSHOTS;
        let rows = a_second(
            orders.write_units * write_item + others.map(|consumer| consumer.write_units).iter().sum::<f64>(),
            orders.read_units * read_item + others.map(|consumer| consumer.read_units).iter().sum::<f64>(),
        );
        [
            ("events", a_second(commits, per_command::COMMAND_READ_UNITS * read_item)),
            ("read models", Units { read: rows.read + self.reads_per_s * per_command::READ * read_item, ..rows }),
            ("audit index", a_second(audit.write_units, audit.read_units)),
        ]
    }

    /// Bytes of a commit, and of an order's row.
    fn large_item_bytes(&self) -> f64 {
        self.event_bytes + per_command::ENVELOPE_BYTES
    }

    /// Units that a commit writes.
    pub(super) fn commit_units(&self) -> f64 {
        (self.large_item_bytes() / WRITE_UNIT_BYTES).ceil()
    }

    /// Messages of a batch of that queue.
    fn batch(&self, consumer: &Consumer) -> f64 {
        filled(self.commands_per_s * consumer.messages, per_command::MAX_MESSAGES)
    }

    /// Batches a second of that queue: sends, receives, deletions, invocations.
    pub(super) fn batches_per_s(&self, consumer: &Consumer) -> f64 {
        self.commands_per_s * consumer.messages / self.batch(consumer)
    }

    /// The invocations of that consumer.
    pub(super) fn batches(&self, consumer: &Consumer) -> Invocations {
        let requests = consumer.shared_requests + self.batch(consumer) * consumer.requests;
        Invocations::of(self.batches_per_s(consumer), requests)
    }

    fn queue_requests_per_s(&self) -> f64 {
        let requests = per_command::CONSUMERS.iter().map(|consumer| {
            // What is sent and received counts by its size, what is deleted does not.
            let chunks = (self.batch(consumer) * self.large_item_bytes() / per_command::REQUEST_BYTES).ceil();
            self.batches_per_s(consumer) * (2.0 * chunks + 1.0)
        });
        requests.sum::<f64>() + per_command::POLLED_QUEUES * per_command::EMPTY_POLLS_PER_S
    }

    /// Requests of clients a second.
    fn requests_per_s(&self) -> f64 {
        self.commands_per_s + self.reads_per_s
    }

    /// Bytes that functions log a second: a line for each request, commit and message, and what
    /// each invocation adds.
    fn logged_bytes_per_s(&self, invocations_per_s: f64) -> f64 {
        let messages: f64 = per_command::CONSUMERS.iter().map(|consumer| consumer.messages).sum();
        let lines = self.requests_per_s() + self.commands_per_s * (per_command::COMMITS + messages);
        lines * per_command::LINE_BYTES + invocations_per_s * per_command::INVOCATION_LOG_BYTES
    }

    /// All invocations of functions.
    pub(super) fn invocations(&self) -> Invocations {
        let commits_per_s = self.commands_per_s * per_command::COMMITS;
        let fan_out = commits_per_s / filled(commits_per_s, per_command::MAX_RECORDS);
        let sent_per_s: f64 = per_command::CONSUMERS.iter().map(|consumer| self.batches_per_s(consumer)).sum();
        let queues = per_command::CONSUMERS.map(|consumer| self.batches(&consumer));
        let others = [
            Invocations::of(self.commands_per_s, 1.0),
            Invocations::of(self.reads_per_s, per_command::READ),
            Invocations::of(fan_out, if fan_out > 0.0 { sent_per_s / fan_out } else { 0.0 }),
        ];
        let all = queues.into_iter().chain(others);
        all.fold(Invocations { per_s: 0.0, busy: 0.0 }, |sum, some| Invocations {
            per_s: sum.per_s + some.per_s,
            busy: sum.busy + some.busy,
        })
    }

    /// What the tables hold behind the days of the history.
    fn stored_gb(&self) -> f64 {
        let large = per_command::LARGE_ITEMS * self.large_item_bytes();
        let small = per_command::SMALL_ITEMS * per_command::SMALL_ITEM_BYTES;
        let items = per_command::LARGE_ITEMS + per_command::SMALL_ITEMS;
        let bytes = large + small + items * per_command::ITEM_OVERHEAD_BYTES;
        self.commands_per_s * self.history_days * DAY_S * bytes / GB
    }
}

/// How often functions are invoked, and how many are at work at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Invocations {
    pub(super) per_s: f64,
    /// Seconds of work a second.
    pub(super) busy: f64,
}

impl Invocations {
    /// So many a second, each of which sends so many requests.
    pub(super) fn of(per_s: f64, requests: f64) -> Self {
        Self { per_s, busy: per_s * (per_command::INVOCATION_S + requests * per_command::REQUEST_S) }
    }
}

/// How many of what arrives at that rate travel together.
fn filled(per_s: f64, most: f64) -> f64 {
    (per_s * per_command::BATCH_S).clamp(1.0, most)
}
