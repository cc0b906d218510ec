//! The template of the container: one service behind a load balancer for the API, and one for the
//! consumers. They use the tables and queues of the first template's stack.

use super::functions::{arns, command_ids};
use super::{TemplateError, TemplateValues, camel, checked, longest_stage, named};
use handlers::app::App;

/// What differs between the two services.
struct Service {
    logical: &'static str,
    name: &'static str,
    /// The parameter for the number of tasks.
    tasks: &'static str,
    condition: &'static str,
    depends: &'static str,
    variables: &'static str,
    more: &'static str,
}

const API: Service = Service {
    logical: "Api",
    name: "api",
    tasks: "ApiTasks",
    condition: "",
    depends: "DependsOn: Listener",
    variables: "\
- { Name: LEDGERFOLD_TOKEN_ISSUER, Value: !Ref TokenIssuer }
- { Name: LEDGERFOLD_TOKEN_AUDIENCE, Value: !Ref TokenAudience }
- { Name: LEDGERFOLD_KEY_SET, Value: !Ref KeySet }",
    more: "\
HealthCheckGracePeriodSeconds: 30
LoadBalancers: [{ ContainerName: service, ContainerPort: 8080, TargetGroupArn: !Ref ApiTargets }]",
};

const CONSUMERS: Service = Service {
    logical: "Consumers",
    name: "consumers",
    tasks: "ConsumerTasks",
    condition: "Condition: RunsConsumers",
    depends: "",
    variables: "",
    more: "",
};

/// The template of an app's container, as YAML.
///
/// # Errors
/// [`TemplateError`].
pub fn render_container(app: &App) -> Result<String, TemplateError> {
    let values = TemplateValues::of(app, "");
    let stage_tail = (longest_stage(app, &values)? - 1).to_string();
    let head = [("stage tail", &*stage_tail), ("app", app.name())];
    let sections = [
        values.fill(include_str!("parts/container/head.yaml"), &head),
        values.fill(include_str!("parts/container/network.yaml"), &[]),
        "\n".to_owned(),
        rights(app, &values),
        values.fill(include_str!("parts/container/cluster.yaml"), &[]),
        service(&values, &API),
        service(&values, &CONSUMERS),
        values.fill(include_str!("parts/container/tail.yaml"), &[]),
    ];
    let text = named(app, &sections.concat());
    checked(app, &text)?;
    Ok(text)
}

fn service(values: &TemplateValues, service: &Service) -> String {
    let fillings = [
        ("Service", service.logical),
        ("service", service.name),
        ("Tasks", service.tasks),
        ("condition", service.condition),
        ("depends", service.depends),
        ("variables", service.variables),
        ("more", service.more),
    ];
    values.fill(include_str!("parts/container/service.yaml"), &fillings)
}

/// The roles of the tasks, with the statements of the functions that they replace.
fn rights(app: &App, values: &TemplateValues) -> String {
    let (queues, dead) = (arns(app, "Queue"), arns(app, "Dead"));
    let fillings = [
        ("command ids", command_ids(app)),
        ("consumer queues", &queues),
        ("consumer dead letters", &dead),
    ];
    let joined = |pieces: &[&str]| {
        let statements: String = pieces.iter().map(|piece| values.fill(piece, &fillings)).collect();
        by_name(app, values, &statements)
    };
    let api = joined(&[
        include_str!("parts/rights/command-api.yaml"),
        include_str!("parts/rights/query-api.yaml"),
    ]);
    let consumers = joined(&[
        include_str!("parts/container/queues.yaml"),
        include_str!("parts/rights/command-worker.yaml"),
        include_str!("parts/rights/rebuild-worker.yaml"),
    ]);
    let trust = include_str!("parts/container/trust.yaml");
    let own = [("tasks", trust), ("api", &*api), ("consumers", &*consumers)];
    values.fill(include_str!("parts/container/rights.yaml"), &own)
}

/// Replaces references by ARNs with names, because the resources are in another stack.
fn by_name(app: &App, values: &TemplateValues, statements: &str) -> String {
    let arn = |service: &str, name: &str| {
        let prefix = &values.prefix;
        format!("arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{name}")
            .replace("PREFIX", prefix)
    };
    let table = |logical: &str, name: &str| {
        (logical.to_owned(), arn("dynamodb", &format!("table/PREFIX-${{Stage}}-{name}")))
    };
    let queue = |logical: String, name: &str| {
        (logical, arn("sqs", &format!("PREFIX-${{Stage}}-{name}.fifo")))
    };
    let tables = [
        ("Events", "events"),
        ("ReadModels", "read-models"),
        ("AuditIndex", "audit-index"),
        ("Journal", "journal"),
        ("Commands", "commands"),
    ];
    let consumers = app.consumers().iter().map(|consumer| consumer.name);
    let queues = consumers
        .map(|name| (camel(name), name))
        .chain([("Command".to_owned(), "commands"), ("Rebuild".to_owned(), "rebuild")]);
    let queues = queues.flat_map(|(logical, name)| {
        [
            queue(format!("{logical}Queue"), name),
            queue(format!("{logical}Dead"), &format!("{name}-dead")),
        ]
    });
    let all = tables.into_iter().map(|(logical, name)| table(logical, name)).chain(queues);
    all.fold(statements.to_owned(), |text, (logical, arn)| {
        let text = text.replace(&format!("!GetAtt {logical}.Arn"), &format!("!Sub \"{arn}\""));
        text.replace(&format!("${{{logical}.Arn}}"), &arn)
    })
}
