//! Functions and the queues that they read.

use super::{Words, camel};
use handlers::CommandWorker;
use handlers::app::App;
use handlers::telemetry::Component;
use projections::Projection;

/// A function.
pub(super) struct Function<'a> {
    pub(super) logical: &'a str,
    /// The last part of its name.
    pub(super) name: &'a str,
    pub(super) component: Component,
    pub(super) projection: Option<&'a str>,
    pub(super) timeout: u32,
    /// Lines among its properties.
    pub(super) more: &'a str,
}

/// A queue with its dead-letter queue.
pub(super) struct Queue<'a> {
    pub(super) logical: &'a str,
    /// The last part of its name.
    pub(super) name: &'a str,
    /// How often a message is received before it is a dead letter.
    pub(super) receives: u32,
    /// What an operator does about dead letters.
    pub(super) repair: &'a str,
}

/// Rights to look commands up that are older than their stream's snapshot.
pub(super) fn command_ids(app: &App) -> &'static str {
    if app.has_audit_index() { include_str!("parts/rights/command-ids.yaml") } else { "" }
}

impl Function<'_> {
    /// The function, its log and its alarms.
    pub(super) fn section(&self, words: &Words) -> String {
        let component = self.component.name();
        let variables = match self.projection {
            Some(projection) => format!("LEDGERFOLD_COMPONENT: {component}, LEDGERFOLD_PROJECTION: {projection}"),
            None => format!("LEDGERFOLD_COMPONENT: {component}"),
        };
        let fillings = [
            ("Function", self.logical),
            ("function", self.name),
            ("variables", &variables),
            ("timeout", &self.timeout.to_string()),
            ("more", self.more),
        ];
        words.fill(include_str!("parts/function.yaml"), &fillings)
    }
}

impl Queue<'_> {
    /// The queue, its dead-letter queue and their alarms.
    pub(super) fn section(&self, words: &Words) -> String {
        let fillings = [
            ("Queue", self.logical),
            ("queue", self.name),
            ("receives", &self.receives.to_string()),
            ("repair", self.repair),
        ];
        words.fill(include_str!("parts/queue.yaml"), &fillings)
    }
}

/// The role of a function, which may write its own log and do what the statements say.
pub(super) fn role(words: &Words, function: &Function<'_>, statements: &str) -> String {
    let fillings = [("Function", function.logical), ("function", function.name), ("statements", statements)];
    words.fill(include_str!("parts/role.yaml"), &fillings)
}

/// What brings a queue's messages to a function.
pub(super) fn mapping(
    words: &Words,
    function: &Function<'_>,
    queue: &Queue<'_>,
    batch: u32,
    concurrency: u32,
) -> String {
    let (batch, concurrency) = (batch.to_string(), concurrency.to_string());
    let fillings =
        [("Function", function.logical), ("Queue", queue.logical), ("batch", &batch), ("concurrency", &concurrency)];
    words.fill(include_str!("parts/mapping.yaml"), &fillings)
}

/// The ARNs of the consumers' queues, or of their dead-letter queues, as a list.
pub(super) fn arns(app: &App, kind: &str) -> String {
    let arn = |consumer: &Projection| format!("- !GetAtt {}{kind}.Arn\n", camel(consumer.name));
    app.consumers().iter().map(arn).collect()
}

/// Commands: those that are answered at once, and those that wait in a queue.
pub(super) fn of_commands(app: &App, words: &Words) -> String {
    let queue = Queue {
        logical: "Command",
        name: "commands",
        receives: CommandWorker::QUEUE_RECEIVES,
        repair: "A command in commands-dead.fifo was given up, and its sender was told that it failed. Repair the cause, then let SQS redrive it: aws sqs start-message-move-task.",
    };
    let api = Function {
        logical: "CommandApi",
        name: "command-api",
        component: Component::CommandApi,
        projection: None,
        timeout: 28,
        more: "ReservedConcurrentExecutions: !If [IsProduction, 300, !Ref AWS::NoValue]",
    };
    let worker = Function {
        logical: "CommandWorker",
        name: "command-worker",
        component: Component::CommandWorker,
        projection: None,
        timeout: 10,
        more: "",
    };
    let ids = [("command ids", command_ids(app))];
    let heading = words.fill(include_str!("parts/commands.yaml"), &[]);
    [
        heading,
        queue.section(words),
        role(words, &api, &words.fill(include_str!("parts/rights/command-api.yaml"), &ids)),
        api.section(words),
        role(words, &worker, &words.fill(include_str!("parts/rights/command-worker.yaml"), &ids)),
        worker.section(words),
        mapping(words, &worker, &queue, 10, 20),
    ]
    .concat()
}

/// Reads, audit and operation over HTTP.
pub(super) fn query_api(app: &App, words: &Words) -> String {
    let api = Function {
        logical: "QueryApi",
        name: "query-api",
        component: Component::QueryApi,
        projection: None,
        timeout: 28,
        more: "ReservedConcurrentExecutions: !If [IsProduction, 200, !Ref AWS::NoValue]",
    };
    let (queues, dead) = (arns(app, "Queue"), arns(app, "Dead"));
    let queues = [("consumer queues", &*queues), ("consumer dead letters", &*dead)];
    let statements = words.fill(include_str!("parts/rights/query-api.yaml"), &queues);
    let heading = "  # Answers over HTTP: rows, the audit trail, and what operators do.\n\n";
    [heading.to_owned(), role(words, &api, &statements), api.section(words)].concat()
}

/// From the stream of commits to the queue of each consumer.
pub(super) fn fan_out(app: &App, words: &Words) -> String {
    let fan_out = Function {
        logical: "FanOut",
        name: "fan-out",
        component: Component::FanOut,
        projection: None,
        timeout: 30,
        more: "",
    };
    let statements = words.fill(include_str!("parts/rights/fan-out.yaml"), &[("consumer queues", &arns(app, "Queue"))]);
    let heading = "  # From the stream of commits to the queue of each consumer.\n\n";
    let rest = words.fill(include_str!("parts/fan-out.yaml"), &[]);
    [heading.to_owned(), role(words, &fan_out, &statements), fan_out.section(words), rest].concat()
}

/// Rebuilds, reconciliations and removals, slice by slice.
pub(super) fn rebuild_worker(app: &App, words: &Words) -> String {
    let queue = Queue {
        logical: "Rebuild",
        name: "rebuild",
        receives: crate::resources::MAX_RECEIVES,
        repair: "A job waits for its message in rebuild-dead.fifo. Repair the cause, then let SQS redrive it: aws sqs start-message-move-task.",
    };
    let worker = Function {
        logical: "RebuildWorker",
        name: "rebuild-worker",
        component: Component::RebuildWorker,
        projection: None,
        timeout: 10,
        more: "\
# It calls itself for the next slice, through its queue. Lambda would stop that as an endless loop after 16 calls. A job ends:
# its passes are bounded, and so is each by what is in the table.
RecursiveLoop: Allow
# A slice takes 5 s, and its last page must be done within the other 5.
MemorySize: 1024",
    };
    let statements =
        words.fill(include_str!("parts/rights/rebuild-worker.yaml"), &[("consumer queues", &arns(app, "Queue"))]);
    let heading = words.fill(include_str!("parts/rebuild.yaml"), &[]);
    [
        heading,
        queue.section(words),
        role(words, &worker, &statements),
        worker.section(words),
        mapping(words, &worker, &queue, 1, 8),
    ]
    .concat()
}
