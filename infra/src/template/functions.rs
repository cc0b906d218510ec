//! The functions, and their queues.

use super::{TemplateValues, camel};
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
    /// Additional properties.
    pub(super) more: &'a str,
}

/// A queue with its dead-letter queue.
pub(super) struct Queue<'a> {
    pub(super) logical: &'a str,
    /// The last part of its name.
    pub(super) name: &'a str,
    /// The maximum receive count.
    pub(super) receives: u32,
    /// What an operator does with dead letters.
    pub(super) repair: &'a str,
}

/// Permission to look up commands that are older than their stream's snapshot.
pub(super) fn command_ids(app: &App) -> &'static str {
    if app.has_audit_index() { include_str!("parts/rights/command-ids.yaml") } else { "" }
}

impl Function<'_> {
    /// The function, its log and its alarms.
    pub(super) fn section(&self, values: &TemplateValues) -> String {
        let component = self.component.name();
        let mut variables = format!("LEDGERFOLD_COMPONENT: {component}\n");
        if let Some(projection) = self.projection {
            variables.push_str(&format!("LEDGERFOLD_PROJECTION: {projection}\n"));
        }
        if self.component == Component::QueryApi {
            variables.push_str(include_str!("parts/console-variables.yaml"));
        }
        let fillings = [
            ("Function", self.logical),
            ("function", self.name),
            ("variables", &variables),
            ("timeout", &self.timeout.to_string()),
            ("more", self.more),
        ];
        values.fill(include_str!("parts/function.yaml"), &fillings)
    }
}

impl Queue<'_> {
    /// The queue, its dead-letter queue and their alarms.
    pub(super) fn section(&self, values: &TemplateValues) -> String {
        let fillings = [
            ("Queue", self.logical),
            ("queue", self.name),
            ("receives", &self.receives.to_string()),
            ("repair", self.repair),
        ];
        values.fill(include_str!("parts/queue.yaml"), &fillings)
    }
}

/// The role of a function: the statements, and writing its log.
pub(super) fn role(values: &TemplateValues, function: &Function<'_>, statements: &str) -> String {
    let fillings =
        [("Function", function.logical), ("function", function.name), ("statements", statements)];
    values.fill(include_str!("parts/role.yaml"), &fillings)
}

/// The event source mapping from a queue to a function.
pub(super) fn mapping(
    values: &TemplateValues,
    function: &Function<'_>,
    queue: &Queue<'_>,
    batch: u32,
    concurrency: u32,
) -> String {
    let (batch, concurrency) = (batch.to_string(), concurrency.to_string());
    let fillings = [
        ("Function", function.logical),
        ("Queue", queue.logical),
        ("batch", &batch),
        ("concurrency", &concurrency),
    ];
    values.fill(include_str!("parts/mapping.yaml"), &fillings)
}

/// The ARNs of the consumers' queues, or of their dead-letter queues, as a list.
pub(super) fn arns(app: &App, kind: &str) -> String {
    let arn = |consumer: &Projection| format!("- !GetAtt {}{kind}.Arn\n", camel(consumer.name));
    app.consumers().iter().map(arn).collect()
}

/// The functions for synchronous and asynchronous commands.
pub(super) fn of_commands(app: &App, values: &TemplateValues) -> String {
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
    let heading = values.fill(include_str!("parts/commands.yaml"), &[]);
    [
        heading,
        queue.section(values),
        role(values, &api, &values.fill(include_str!("parts/rights/command-api.yaml"), &ids)),
        api.section(values),
        role(values, &worker, &values.fill(include_str!("parts/rights/command-worker.yaml"), &ids)),
        worker.section(values),
        mapping(values, &worker, &queue, 10, 20),
    ]
    .concat()
}

/// The function for reads, audit and operations over HTTP.
pub(super) fn query_api(app: &App, values: &TemplateValues) -> String {
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
    let statements = values.fill(include_str!("parts/rights/query-api.yaml"), &queues);
    let heading = "  # Answers over HTTP: rows, the audit trail, and what operators do.\n\n";
    [heading.to_owned(), role(values, &api, &statements), api.section(values)].concat()
}

/// The function that sends notifications for commits to the consumers' queues.
pub(super) fn fan_out(app: &App, values: &TemplateValues) -> String {
    let fan_out = Function {
        logical: "FanOut",
        name: "fan-out",
        component: Component::FanOut,
        projection: None,
        timeout: 30,
        more: "",
    };
    let statements = values.fill(
        include_str!("parts/rights/fan-out.yaml"),
        &[("consumer queues", &arns(app, "Queue"))],
    );
    let heading = "  # From the stream of commits to the queue of each consumer.\n\n";
    let rest = values.fill(include_str!("parts/fan-out.yaml"), &[]);
    [heading.to_owned(), role(values, &fan_out, &statements), fan_out.section(values), rest]
        .concat()
}

/// The function that works on jobs.
pub(super) fn rebuild_worker(app: &App, values: &TemplateValues) -> String {
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
    let statements = values.fill(
        include_str!("parts/rights/rebuild-worker.yaml"),
        &[("consumer queues", &arns(app, "Queue"))],
    );
    let heading = values.fill(include_str!("parts/rebuild.yaml"), &[]);
    [
        heading,
        queue.section(values),
        role(values, &worker, &statements),
        worker.section(values),
        mapping(values, &worker, &queue, 1, 8),
    ]
    .concat()
}
