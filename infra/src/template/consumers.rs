//! What a read model or a process needs: its queues, its function with role and log, its mapping, its alarms.

use super::functions::{Function, Queue, command_ids, mapping, role};
use super::{Words, camel};
use handlers::app::App;
use handlers::telemetry::Component;
use projections::{Kind, Projection};

/// How many resources each has.
pub(super) const RESOURCES: usize = 10;
/// A function that notifies itself ends: each call goes further, up to the version that it was told of.
const LOOPS: &str = "\
# It notifies itself of a stream whose gap takes longer than a call. Lambda would stop that as an endless loop after 16 calls.
RecursiveLoop: Allow";

/// Batches of one queue that are handled at once.
fn concurrency(consumer: &Projection) -> u32 {
    match consumer.kind {
        // Streams meet in its rows: more at once would only conflict.
        Kind::MultiStream { .. } => 2,
        Kind::SingleStream { .. } | Kind::CommitIndex | Kind::Process => 20,
    }
}

pub(super) fn component(consumer: &Projection) -> Component {
    if consumer.is_read_model() { Component::Projector } else { Component::ProcessManager }
}

/// The last part of the name of its function.
pub(super) fn function_name(consumer: &Projection) -> String {
    format!("{}-{}", if consumer.is_read_model() { "projector" } else { "process" }, consumer.name)
}

/// The logical name of its function.
pub(super) fn logical_name(consumer: &Projection) -> String {
    format!("{}{}", camel(consumer.name), if consumer.is_read_model() { "Projector" } else { "Process" })
}

pub(super) fn section(app: &App, consumer: &Projection, words: &Words) -> String {
    let (name, logical) = (consumer.name, logical_name(consumer));
    let (kind, statements) = match consumer.kind {
        Kind::Process => ("Process", include_str!("parts/rights/process.yaml")),
        Kind::CommitIndex => ("Index", include_str!("parts/rights/projector.yaml")),
        Kind::SingleStream { .. } | Kind::MultiStream { .. } => {
            ("Read model", include_str!("parts/rights/projector.yaml"))
        }
    };
    let is_index = matches!(consumer.kind, Kind::CommitIndex);
    let queue = Queue {
        logical: &camel(name),
        name,
        receives: crate::resources::MAX_RECEIVES,
        repair: &format!(
            "Read models and processes leave messages in {name}-dead.fifo when their tables fail for hours. Repair the cause, then run `projection redrive {name}`."
        ),
    };
    let own = words.fill(include_str!("parts/rights/own-rows.yaml"), &[("consumer name", name)]);
    let receive = words.fill(include_str!("parts/rights/consumer.yaml"), &[("Queue", queue.logical)]);
    let statements = words.fill(
        statements,
        &[
            ("consumer", &*receive),
            ("own rows", &own),
            ("command ids", command_ids(app)),
            ("index", if is_index { include_str!("parts/rights/index.yaml") } else { "" }),
        ],
    );
    let function_name = function_name(consumer);
    let function = Function {
        logical: &logical,
        name: &function_name,
        component: component(consumer),
        projection: Some(name),
        timeout: 10,
        more: LOOPS,
    };
    let heading = format!("  # {:-<117}\n\n", format!("{kind} `{name}` "));
    [
        heading,
        queue.section(words),
        role(words, &function, &statements),
        function.section(words),
        mapping(words, &function, &queue, 10, concurrency(consumer)),
    ]
    .concat()
}
