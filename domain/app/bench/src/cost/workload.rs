//! What the system does for one command of a client: an order of one line, which fulfilment confirms.
//!
//! Three commits come of it: `OrderPlaced`, `StockReserved`, `OrderConfirmed`. Requests and units are those that the book's
//! page on costs lists; the suite counts them at the wire. The rest is assumed, and said in the output.

use serde::Serialize;

/// What an answer rests on.
#[derive(Debug, Serialize)]
pub(super) struct Assumption {
    /// What is assumed.
    pub(super) what: &'static str,
    /// Why.
    pub(super) why: &'static str,
}

/// Commits of a client's command.
pub(super) const COMMITS: f64 = 3.0;
/// Snapshots of the stock a reservation: one beside every tenth.
pub(super) const SNAPSHOTS: f64 = 0.1;
/// Bytes of who, why, ids and hash beside an event, and of a row beside the data.
pub(super) const ENVELOPE_BYTES: f64 = 400.0;
/// Bytes of an entry of the audit index, of a fence, of a row of fulfilment.
pub(super) const SMALL_ITEM_BYTES: f64 = 300.0;
/// Bytes that DynamoDB counts beside each item.
pub(super) const ITEM_OVERHEAD_BYTES: f64 = 100.0;
/// Small items that a command leaves behind for good: three audit entries in three places, a fence of bestsellers, a fence and a row of
/// fulfilment.
pub(super) const SMALL_ITEMS: f64 = 12.0;
/// Large items: three commits, and the order's row in the table and in its index.
pub(super) const LARGE_ITEMS: f64 = 5.0;

/// A function that reads a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Consumer {
    /// Its name.
    pub(super) name: &'static str,
    /// Messages for it, a command.
    pub(super) messages: f64,
    /// Requests to DynamoDB that the messages of a batch share.
    pub(super) shared_requests: f64,
    /// Requests to DynamoDB, a message.
    pub(super) requests: f64,
    /// Batches that the template's mapping lets it work on at once.
    pub(super) batches_at_once: f64,
    /// Units written of its own table, a command.
    pub(super) write_units: f64,
    /// Units read of its own table, a command.
    pub(super) read_units: f64,
}

/// A batch asks once which generations there are.
pub(super) const ORDERS: Consumer = Consumer {
    name: "orders",
    messages: 2.0,
    shared_requests: 1.0,
    requests: 1.7,
    batches_at_once: 20.0,
    write_units: 2.0 * 2.0,
    read_units: 2.0 * 1.7,
};
/// A batch is one read and one transaction.
pub(super) const BESTSELLERS: Consumer = Consumer {
    name: "bestsellers",
    messages: 2.0,
    shared_requests: 3.0,
    requests: 0.0,
    batches_at_once: 2.0,
    write_units: 2.0 * 4.6,
    read_units: 2.0 * 2.3,
};
pub(super) const STOCK: Consumer = Consumer {
    name: "stock",
    messages: 1.0,
    shared_requests: 1.0,
    requests: 2.0,
    batches_at_once: 20.0,
    write_units: 1.0,
    read_units: 2.0,
};
pub(super) const AUDIT: Consumer = Consumer {
    name: "audit",
    messages: 3.0,
    shared_requests: 1.0,
    requests: 1.0,
    batches_at_once: 20.0,
    write_units: 3.0 * 3.0,
    read_units: 3.0,
};
/// 14 requests and 9 and 6 units, less the two commands among them (2 and 1), which are written to the event table.
pub(super) const FULFILMENT: Consumer = Consumer {
    name: "fulfilment",
    messages: 3.0,
    shared_requests: 0.0,
    requests: 14.0 / 3.0,
    batches_at_once: 20.0,
    write_units: 7.0,
    read_units: 5.0,
};
/// What fulfilment's commands read of the event table.
pub(super) const COMMAND_READ_UNITS: f64 = 1.0;

pub(super) const CONSUMERS: [Consumer; 5] = [ORDERS, BESTSELLERS, STOCK, AUDIT, FULFILMENT];
/// Queues that are polled though they are empty: those of the consumers, of jobs and of asynchronous commands.
pub(super) const POLLED_QUEUES: f64 = 7.0;
/// Requests a second by which Lambda polls an empty queue: five pollers, each for 20 s.
pub(super) const EMPTY_POLLS_PER_S: f64 = 5.0 / 20.0;

/// What arrives in such a time travels in one batch.
pub(super) const BATCH_S: f64 = 0.1;
/// Messages of a batch at most: SQS's limit for FIFO queues.
pub(super) const MAX_MESSAGES: f64 = 10.0;
/// Records of a fan-out's batch at most.
pub(super) const MAX_RECORDS: f64 = 100.0;
/// Bytes that SQS counts as a request.
pub(super) const REQUEST_BYTES: f64 = 64.0 * 1024.0;

/// A function's memory in GB.
pub(super) const MEMORY_GB: f64 = 0.25;
/// What an invocation takes beside its requests, in seconds.
pub(super) const INVOCATION_S: f64 = 0.002;
/// What a request to DynamoDB or SQS takes, in seconds; they are sent one behind the other.
pub(super) const REQUEST_S: f64 = 0.005;
/// Requests to DynamoDB of a read, and the units that it reads.
pub(super) const READ: f64 = 1.0;
/// Bytes that an invocation logs beside its work: a line of metrics, and Lambda's START, END and
/// REPORT.
pub(super) const INVOCATION_LOG_BYTES: f64 = 650.0;
/// Bytes of the line that is logged for each request, commit and message.
pub(super) const LINE_BYTES: f64 = 560.0;
/// Bytes of a line of the gateway's access log.
pub(super) const ACCESS_LOG_BYTES: f64 = 150.0;
/// Metrics, alarms and dashboards of a stage.
pub(super) const WATCHED: [f64; 3] = [40.0, 40.0, 1.0];

/// Machine clients that the template makes, one a scope, and tokens of each a month: they last an
/// hour.
pub(super) const MACHINE_CLIENTS: f64 = 4.0;
pub(super) const TOKENS_A_CLIENT: f64 = 730.0;

pub(super) const ASSUMPTIONS: [Assumption; 11] = [
    Assumption {
        what: "a command is an order of one line that is confirmed: 3 commits, 11 messages",
        why: "the shop's usual case; more lines, rejections and shipping cost more",
    },
    Assumption {
        what: "units: 1 a commit up to 1 KB; orders 2, bestsellers 4.6, audit 3, stock 1 an event; fulfilment 7 beside its 2 commands",
        why: "the book's page on costs; the bestsellers' 4.6 are an average measured by `bench projections`",
    },
    Assumption { what: "reads: as many as commands, 1 request and 1 unit each", why: "--reads says otherwise" },
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
        what: "7 empty queues are polled by 5 pollers every 20 s; 40 metrics, 40 alarms, 1 dashboard",
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
