//! The work for one client command: an order of one line, which fulfilment confirms.
//!
//! It results in three commits: `OrderPlaced`, `StockReserved`, `OrderConfirmed`. Requests and
//! units are those of the book's page on costs, which tests count. Other numbers are assumptions;
//! the output lists them.

use serde::Serialize;

/// An assumption of the estimate.
#[derive(Debug, Serialize)]
pub(super) struct Assumption {
    /// What is assumed.
    pub(super) what: &'static str,
    /// Why.
    pub(super) why: &'static str,
}

/// Commits per client command.
pub(super) const COMMITS: f64 = 3.0;
/// Snapshots per reservation of stock.
pub(super) const SNAPSHOTS: f64 = 0.1;
/// Bytes of metadata and hash of a commit, or of a row beside its data.
pub(super) const ENVELOPE_BYTES: f64 = 400.0;
/// Bytes of an audit index entry, of a position, of a row of fulfilment.
pub(super) const SMALL_ITEM_BYTES: f64 = 300.0;
/// Bytes that DynamoDB adds to each item.
pub(super) const ITEM_OVERHEAD_BYTES: f64 = 100.0;
/// Small items stored per command: three audit entries in three places, a position of bestsellers,
/// a position and a row of fulfilment, the order's end in the journal. The three entries of the
/// journal together are about as large as one.
pub(super) const SMALL_ITEMS: f64 = 14.0;
/// Bytes of a journal entry in its batch.
pub(super) const JOURNAL_ENTRY_BYTES: f64 = 160.0;
/// Large items per command: three commits, and the order's row in the table and in its index.
pub(super) const LARGE_ITEMS: f64 = 5.0;

/// A consumer of events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Consumer {
    /// Its name.
    pub(super) name: &'static str,
    /// Notifications per command. Each is a message, unless they are bundled.
    pub(super) messages: f64,
    /// Whether a call of fan-out sends one message with all of its notifications.
    pub(super) bundled: bool,
    /// Requests to DynamoDB per batch.
    pub(super) shared_requests: f64,
    /// Requests to DynamoDB per notification.
    pub(super) requests: f64,
    /// Concurrent batches, as the template's mapping allows.
    pub(super) batches_at_once: f64,
    /// Units written per command in its table.
    pub(super) write_units: f64,
    /// Units read per command in its table.
    pub(super) read_units: f64,
}

/// Each batch reads the list of generations.
pub(super) const ORDERS: Consumer = Consumer {
    name: "orders",
    messages: 2.0,
    bundled: false,
    shared_requests: 1.0,
    requests: 1.7,
    batches_at_once: 20.0,
    write_units: 2.0 * 2.0,
    read_units: 2.0 * 1.7,
};
/// Each batch is one read and one transaction.
pub(super) const BESTSELLERS: Consumer = Consumer {
    name: "bestsellers",
    messages: 2.0,
    bundled: false,
    shared_requests: 3.0,
    requests: 0.0,
    batches_at_once: 2.0,
    write_units: 2.0 * 4.6,
    read_units: 2.0 * 2.3,
};
pub(super) const STOCK: Consumer = Consumer {
    name: "stock",
    messages: 1.0,
    bundled: false,
    shared_requests: 1.0,
    requests: 2.0,
    batches_at_once: 20.0,
    write_units: 1.0,
    read_units: 2.0,
};
pub(super) const AUDIT: Consumer = Consumer {
    name: "audit",
    messages: 3.0,
    bundled: false,
    shared_requests: 1.0,
    requests: 1.0,
    batches_at_once: 20.0,
    write_units: 3.0 * 3.0,
    read_units: 3.0,
};
/// Reads generations and ends of new streams. Then, for a hundred commits, one put and a hundred
/// ends, twenty at once. The unit per commit is that of its stream's end; the batch comes on top.
pub(super) const JOURNAL: Consumer = Consumer {
    name: "journal",
    messages: 3.0,
    bundled: true,
    shared_requests: 2.0,
    requests: 0.06,
    batches_at_once: 2.0,
    write_units: 3.0,
    read_units: 1.0,
};
/// 14 requests, 9 write and 6 read units. Its two commands (2 and 1 units) go to the events table
/// and are not counted here.
pub(super) const FULFILMENT: Consumer = Consumer {
    name: "fulfilment",
    messages: 3.0,
    bundled: false,
    shared_requests: 0.0,
    requests: 14.0 / 3.0,
    batches_at_once: 20.0,
    write_units: 7.0,
    read_units: 5.0,
};
/// Units that fulfilment's commands read in the events table.
pub(super) const COMMAND_READ_UNITS: f64 = 1.0;

pub(super) const CONSUMERS: [Consumer; 6] =
    [ORDERS, BESTSELLERS, STOCK, AUDIT, JOURNAL, FULFILMENT];
/// Queues that are polled even when empty: of consumers, of jobs and of asynchronous commands.
pub(super) const POLLED_QUEUES: f64 = 8.0;
/// Polls per second of an empty queue: Lambda has five pollers, each polls for 20 s.
pub(super) const EMPTY_POLLS_PER_S: f64 = 5.0 / 20.0;

/// Messages that arrive within this time share a batch.
pub(super) const BATCH_S: f64 = 0.1;
/// The most messages per batch of a FIFO queue.
pub(super) const MAX_MESSAGES: f64 = 10.0;
/// The most records per batch of fan-out.
pub(super) const MAX_RECORDS: f64 = 100.0;
/// Bytes that SQS bills as one request.
pub(super) const REQUEST_BYTES: f64 = 64.0 * 1024.0;

/// A function's memory in GB.
pub(super) const MEMORY_GB: f64 = 0.25;
/// Seconds per invocation, without its requests.
pub(super) const INVOCATION_S: f64 = 0.002;
/// Seconds per request to DynamoDB or SQS. Requests are sequential.
pub(super) const REQUEST_S: f64 = 0.005;
/// Requests and units per client read.
pub(super) const READ: f64 = 1.0;
/// Bytes logged per invocation: a line of metrics, and Lambda's START, END and REPORT.
pub(super) const INVOCATION_LOG_BYTES: f64 = 650.0;
/// Bytes of a log line. Each request, commit and message has one.
pub(super) const LINE_BYTES: f64 = 560.0;
/// Bytes of a line of the gateway's access log.
pub(super) const ACCESS_LOG_BYTES: f64 = 150.0;
/// Metrics, alarms and dashboards of a stage.
pub(super) const WATCHED: [f64; 3] = [44.0, 44.0, 1.0];

/// Machine clients of the template, one per scope, and monthly tokens per client, one per hour.
pub(super) const MACHINE_CLIENTS: f64 = 4.0;
pub(super) const TOKENS_A_CLIENT: f64 = 730.0;

pub(super) const ASSUMPTIONS: [Assumption; 11] = [
    Assumption {
        what: "a command is an order of one line that is confirmed: 3 commits, 14 notifications",
        why: "the shop's usual case; more lines, rejections and shipping cost more",
    },
    Assumption {
        what: "units: 1 a commit up to 1 KB; orders 2, bestsellers 4.6, audit 3, stock 1 an event; journal 1 a commit and the batch; fulfilment 7 beside its 2 commands",
        why: "the book's page on costs; the bestsellers' 4.6 are an average measured by `ledgerfold-bench projections`",
    },
    Assumption {
        what: "reads: as many as commands, 1 request and 1 unit each",
        why: "--reads says otherwise",
    },
    Assumption {
        what: "an item has 400 bytes beside its event or data, an index entry or fence 300, and DynamoDB counts 100 more",
        why: "sizes of items here; --event-bytes says how large an event is",
    },
    Assumption {
        what: "what arrives within 100 ms travels together, at most 10 messages or 100 stream records",
        why: "SQS's and the mappings' limits; an estimate of how full batches are",
    },
    Assumption {
        what: "functions have 256 MB and take 2 ms, and 5 ms for each request, one behind the other",
        why: "infra/template.yaml; DynamoDB's usual latency within a region",
    },
    Assumption {
        what: "a request, a commit and a message log 560 bytes each, an invocation 650 more, the gateway 150 a request",
        why: "lines as the functions log them; the suite counts them",
    },
    Assumption {
        what: "a request to the HTTP API counts once: up to 512 KB",
        why: "an event and a row are smaller; an export's page of 4 MB counts eight times",
    },
    Assumption {
        what: "each machine client asks for a token an hour",
        why: "tokens last an hour; a client that keeps none pays 0.00225 USD a request",
    },
    Assumption {
        what: "8 empty queues are polled by 5 pollers every 20 s; 44 metrics, 44 alarms, 1 dashboard",
        why: "paid though nothing happens",
    },
    Assumption {
        what: "all tables have point-in-time recovery, and hold as many days as --history says",
        why: "storage grows day by day: this is the month behind those days",
    },
];

pub(super) const LEFT_OUT: [&str; 9] = [
    "free tiers and volume prices (the HTTP API beyond 300 million requests is a tenth cheaper; logs and Lambda have scales too)",
    "provisioned and reserved capacity of DynamoDB: at a steady rate several times cheaper than on demand",
    "cold starts, retries, lost races, throttling and failures",
    "asynchronous commands: a table, a queue and a function more",
    "rebuilds, audit searches, exports and backups",
    "people who sign in at Cognito, Sentry, data sent to the internet, KMS, logs kept beyond the month",
    "compression of commits above 900 bytes, which makes large ones cheaper",
    "snapshots of streams other than the stock's",
    "tax, and what another region adds",
];
