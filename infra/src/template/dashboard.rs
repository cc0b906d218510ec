//! The dashboard.

use super::{TemplateValues, camel, consumers};
use handlers::app::App;
use std::iter::once;

/// Widgets in a row, and their size on CloudWatch's grid of 24 columns.
const COLUMNS: usize = 2;
const WIDTH: usize = 12;
const HEIGHT: usize = 6;

/// A widget: its title, its statistic, and a line for each metric.
type Widget = (&'static str, &'static str, Vec<String>);

pub(super) fn section(app: &App, values: &TemplateValues) -> String {
    let widgets = widgets(app, &values.title);
    let drawn: Vec<String> =
        widgets.iter().enumerate().map(|(number, widget)| drawn(number, widget)).collect();
    values.fill(include_str!("parts/dashboard.yaml"), &[("widgets", &drawn.join(",\n"))])
}

fn drawn(number: usize, (title, statistic, metrics): &Widget) -> String {
    let (x, y) = (number % COLUMNS * WIDTH, number / COLUMNS * HEIGHT);
    let metrics: Vec<String> = metrics.iter().map(|metric| format!("  {metric}")).collect();
    format!(
        r#"{{"type":"metric","x":{x},"y":{y},"width":{WIDTH},"height":{HEIGHT},"properties":{{"title":"{title}","region":"${{AWS::Region}}","stat":"{statistic}","period":60,"metrics":[
{}
]}}}}"#,
        metrics.join(",\n")
    )
}

fn api(metric: &str) -> String {
    format!(r#"["AWS/ApiGateway","{metric}","ApiId","${{HttpApi}}"]"#)
}

fn queue(metric: &str, queue: &str) -> String {
    format!(r#"["AWS/SQS","{metric}","QueueName","${{{queue}.QueueName}}"]"#)
}

fn function(metric: &str, function: &str) -> String {
    format!(r#"["AWS/Lambda","{metric}","FunctionName","${{{function}}}"]"#)
}

fn table(metric: &str, table: &str) -> String {
    format!(r#"["AWS/DynamoDB","{metric}","TableName","${{{table}}}"]"#)
}

/// The first parts of the logical names of all queues.
fn queues(app: &App) -> impl Iterator<Item = String> {
    let consumers = app.consumers().iter().map(|consumer| camel(consumer.name));
    consumers.chain(["Rebuild", "Command"].map(str::to_owned))
}

/// The logical names of all functions.
fn functions(app: &App) -> Vec<String> {
    ["CommandApi", "QueryApi", "FanOut"]
        .map(str::to_owned)
        .into_iter()
        .chain(app.consumers().iter().map(consumers::logical_name))
        .chain(["CommandWorker", "RebuildWorker"].map(str::to_owned))
        .collect()
}

fn widgets(app: &App, title: &str) -> Vec<Widget> {
    let own = |metric: &str, component: &str| {
        format!(r#"["{title}","{metric}","Stage","${{Stage}}","Component","{component}"]"#)
    };
    let queues = || queues(app);
    let functions = functions(app);
    let of_functions =
        |metric: &str| functions.iter().map(|name| function(metric, name)).collect::<Vec<_>>();
    let commands = ["Commands", "Refusals", "Conflicts", "Replays"];
    let units = ["Events", "ReadModels", "AuditIndex", "Journal"];
    vec![
        (
            "Commands, refusals, conflicts, replays",
            "Sum",
            commands
                .iter()
                .flat_map(|metric| {
                    ["command-api", "command-worker"].map(|component| own(metric, component))
                })
                .collect(),
        ),
        ("Answers of the API", "Sum", ["Count", "4xx", "5xx"].map(api).into()),
        (
            "Latency of the API, 99th percentile (ms)",
            "p99",
            ["Latency", "IntegrationLatency"].map(api).into(),
        ),
        (
            "Oldest message (s)",
            "Maximum",
            queues()
                .map(|name| queue("ApproximateAgeOfOldestMessage", &format!("{name}Queue")))
                .collect(),
        ),
        (
            "Dead letters",
            "Maximum",
            queues()
                .map(|name| format!("{name}Dead"))
                .chain(once("FanOutFailed".to_owned()))
                .map(|name| queue("ApproximateNumberOfMessagesVisible", &name))
                .collect(),
        ),
        (
            "Age of the oldest commit not yet fanned out (ms)",
            "Maximum",
            vec![function("IteratorAge", "FanOut")],
        ),
        ("Errors of functions", "Sum", of_functions("Errors")),
        ("Concurrent calls of functions", "Maximum", of_functions("ConcurrentExecutions")),
        (
            "Capacity units of the tables",
            "Sum",
            units
                .iter()
                .flat_map(|name| {
                    ["ConsumedWriteCapacityUnits", "ConsumedReadCapacityUnits"]
                        .map(|metric| table(metric, name))
                })
                .collect(),
        ),
        (
            "Parked streams, tampering",
            "Sum",
            vec![
                own("Parked", "projector"),
                own("Parked", "process-manager"),
                own("Tampering", "fan-out"),
            ],
        ),
    ]
}
