//! The monthly bill for a rate of commands.

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

/// The load on the system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Client commands per second.
    pub(super) commands_per_s: f64,
    /// Client reads per second.
    pub(super) reads_per_s: f64,
    /// Bytes per event.
    pub(super) event_bytes: f64,
    /// Days of events in the store.
    pub(super) history_days: f64,
}

/// A line of the bill.
#[derive(Debug, Serialize)]
pub(super) struct BillLine {
    #[serde(flatten)]
    pub(super) price: Price,
    /// Units per month.
    pub(super) quantity: f64,
    /// Their price.
    pub(super) usd_per_month: f64,
}

/// Units per second of one table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Units {
    pub(super) write: f64,
    pub(super) read: f64,
}

impl Load {
    /// The lines of the bill.
    pub(super) fn bill(&self) -> Vec<BillLine> {
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
            (
                prices::ACCESS_LOGS,
                per_month(self.requests_per_s() * per_command::ACCESS_LOG_BYTES) / GB,
            ),
            (prices::METRICS, metrics),
            (prices::ALARMS, alarms),
            (prices::DASHBOARDS, dashboards),
            (prices::CLIENTS, per_command::MACHINE_CLIENTS),
            (prices::TOKENS, per_command::MACHINE_CLIENTS * per_command::TOKENS_A_CLIENT),
        ];
        lines
            .map(|(price, quantity)| BillLine {
                price,
                quantity,
                usd_per_month: price.of(quantity),
            })
            .into()
    }

    /// The units per second of each table.
    pub(super) fn units(&self) -> [(&'static str, Units); 4] {
        let (write_item, read_item) =
            (self.commit_units(), (self.large_item_bytes() / READ_UNIT_BYTES).ceil());
        let (orders, audit) = (per_command::ORDERS, per_command::AUDIT);
        let others = [per_command::BESTSELLERS, per_command::STOCK, per_command::FULFILMENT];
        let a_second = |write, read| Units {
            write: write * self.commands_per_s,
            read: read * self.commands_per_s,
        };
        let commits = per_command::COMMITS * write_item + per_command::SNAPSHOTS;
        let rows = a_second(
            orders.write_units * write_item
                + others.map(|consumer| consumer.write_units).iter().sum::<f64>(),
            orders.read_units * read_item
                + others.map(|consumer| consumer.read_units).iter().sum::<f64>(),
        );
        let journal = per_command::JOURNAL;
        let journal_ends = a_second(journal.write_units, journal.read_units);
        let batch_bytes = self.notifications(&journal) * per_command::JOURNAL_ENTRY_BYTES;
        let journal_batches =
            self.batches_per_s(&journal) * (batch_bytes / WRITE_UNIT_BYTES).ceil();
        [
            ("events", a_second(commits, per_command::COMMAND_READ_UNITS * read_item)),
            (
                "read models",
                Units {
                    read: rows.read + self.reads_per_s * per_command::READ * read_item,
                    ..rows
                },
            ),
            ("audit index", a_second(audit.write_units, audit.read_units)),
            ("journal", Units { write: journal_ends.write + journal_batches, ..journal_ends }),
        ]
    }

    /// Bytes of a commit or of an order's row.
    fn large_item_bytes(&self) -> f64 {
        self.event_bytes + per_command::ENVELOPE_BYTES
    }

    /// Units that a commit writes.
    pub(super) fn commit_units(&self) -> f64 {
        (self.large_item_bytes() / WRITE_UNIT_BYTES).ceil()
    }

    /// Calls of fan-out per second.
    fn fan_out_per_s(&self) -> f64 {
        let commits_per_s = self.commands_per_s * per_command::COMMITS;
        commits_per_s / filled(commits_per_s, per_command::MAX_RECORDS)
    }

    /// Messages per second.
    fn messages_per_s(&self, consumer: &Consumer) -> f64 {
        if consumer.bundled {
            self.fan_out_per_s()
        } else {
            self.commands_per_s * consumer.messages
        }
    }

    /// Messages per batch.
    fn batch(&self, consumer: &Consumer) -> f64 {
        filled(self.messages_per_s(consumer), per_command::MAX_MESSAGES)
    }

    /// Notifications per batch.
    fn notifications(&self, consumer: &Consumer) -> f64 {
        let batches_per_s = self.batches_per_s(consumer);
        if batches_per_s > 0.0 {
            self.commands_per_s * consumer.messages / batches_per_s
        } else {
            0.0
        }
    }

    /// Batches per second. Each is one send, receive, deletion and invocation.
    pub(super) fn batches_per_s(&self, consumer: &Consumer) -> f64 {
        self.messages_per_s(consumer) / self.batch(consumer)
    }

    /// The consumer's invocations.
    pub(super) fn batches(&self, consumer: &Consumer) -> Invocations {
        let requests = consumer.shared_requests + self.notifications(consumer) * consumer.requests;
        Invocations::of(self.batches_per_s(consumer), requests)
    }

    fn queue_requests_per_s(&self) -> f64 {
        let requests = per_command::CONSUMERS.iter().map(|consumer| {
            // Sends and receives count by size, deletions do not.
            let chunks = (self.notifications(consumer) * self.large_item_bytes()
                / per_command::REQUEST_BYTES)
                .ceil();
            self.batches_per_s(consumer) * (2.0 * chunks + 1.0)
        });
        requests.sum::<f64>() + per_command::POLLED_QUEUES * per_command::EMPTY_POLLS_PER_S
    }

    /// Client requests per second.
    fn requests_per_s(&self) -> f64 {
        self.commands_per_s + self.reads_per_s
    }

    /// Logged bytes per second: a line per request, commit and message, and a share per invocation.
    fn logged_bytes_per_s(&self, invocations_per_s: f64) -> f64 {
        let messages: f64 = per_command::CONSUMERS.iter().map(|consumer| consumer.messages).sum();
        let lines = self.requests_per_s() + self.commands_per_s * (per_command::COMMITS + messages);
        lines * per_command::LINE_BYTES + invocations_per_s * per_command::INVOCATION_LOG_BYTES
    }

    /// The invocations of all functions.
    pub(super) fn invocations(&self) -> Invocations {
        let fan_out = self.fan_out_per_s();
        let sent_per_s: f64 =
            per_command::CONSUMERS.iter().map(|consumer| self.batches_per_s(consumer)).sum();
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

    /// Gigabytes in the tables at the end of the days.
    fn stored_gb(&self) -> f64 {
        let large = per_command::LARGE_ITEMS * self.large_item_bytes();
        let small = per_command::SMALL_ITEMS * per_command::SMALL_ITEM_BYTES;
        let items = per_command::LARGE_ITEMS + per_command::SMALL_ITEMS;
        let bytes = large + small + items * per_command::ITEM_OVERHEAD_BYTES;
        self.commands_per_s * self.history_days * DAY_S * bytes / GB
    }
}

/// Invocations per second, and how many run concurrently.
#[derive(Debug, Clone, Copy)]
pub(super) struct Invocations {
    pub(super) per_s: f64,
    /// Seconds of work per second.
    pub(super) busy: f64,
}

impl Invocations {
    /// Invocations of so many requests each.
    pub(super) fn of(per_s: f64, requests: f64) -> Self {
        Self {
            per_s,
            busy: per_s * (per_command::INVOCATION_S + requests * per_command::REQUEST_S),
        }
    }
}

/// How full a batch is at that rate of arrivals.
fn filled(per_s: f64, most: f64) -> f64 {
    (per_s * per_command::BATCH_S).clamp(1.0, most)
}
