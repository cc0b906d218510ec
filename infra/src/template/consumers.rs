//! The resources of a read model or a process: queues, function, role, log, mapping and alarms.

use super::functions::{Function, Queue, command_ids, mapping, role};
use super::{TemplateValues, camel};
use handlers::app::App;
use handlers::telemetry::Component;
use projections::{Kind, Projection};

/// Resources per read model or process.
pub(super) const RESOURCES: usize = 10;
/// A consumer may notify itself. This ends, because each call advances towards the version of the
/// first notification.
const LOOPS: &str = "\
# It notifies itself of a stream whose gap takes longer than a call. Lambda would stop that as an endless loop after 16 calls.
RecursiveLoop: Allow";

/// Concurrent batches per queue.
fn concurrency(consumer: &Projection) -> u32 {
    match consumer.kind {
        // Streams share rows or the journal's end, so more batches would only conflict.
        Kind::MultiStream { .. } | Kind::Journal => 2,
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
    format!(
        "{}{}",
        camel(consumer.name),
        if consumer.is_read_model() { "Projector" } else { "Process" }
    )
}

pub(super) fn section(app: &App, consumer: &Projection, values: &TemplateValues) -> String {
    let (name, logical) = (consumer.name, logical_name(consumer));
    let (kind, statements) = match consumer.kind {
        Kind::Process => ("Process", include_str!("parts/rights/process.yaml")),
        Kind::CommitIndex => ("Index", include_str!("parts/rights/projector.yaml")),
        Kind::Journal => ("Journal", include_str!("parts/rights/projector.yaml")),
        Kind::SingleStream { .. } | Kind::MultiStream { .. } => {
            ("Read model", include_str!("parts/rights/projector.yaml"))
        }
    };
    let own_table = match consumer.kind {
        Kind::CommitIndex => include_str!("parts/rights/index.yaml"),
        Kind::Journal => include_str!("parts/rights/journal.yaml"),
        Kind::SingleStream { .. } | Kind::MultiStream { .. } | Kind::Process => "",
    };
    let queue = Queue {
        logical: &camel(name),
        name,
        receives: crate::resources::MAX_RECEIVES,
        repair: &format!(
            "Read models and processes leave messages in {name}-dead.fifo when their tables fail for hours. Repair the cause, then run `projection redrive {name}`."
        ),
    };
    let own = values.fill(include_str!("parts/rights/own-rows.yaml"), &[("consumer name", name)]);
    let receive =
        values.fill(include_str!("parts/rights/consumer.yaml"), &[("Queue", queue.logical)]);
    let statements = values.fill(
        statements,
        &[
            ("consumer", &*receive),
            ("own rows", &own),
            ("command ids", command_ids(app)),
            ("own table", own_table),
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
        queue.section(values),
        role(values, &function, &statements),
        function.section(values),
        mapping(values, &function, &queue, 10, concurrency(consumer)),
    ]
    .concat()
}
