//! Renders the SAM template that deploys an app on AWS.
//!
//! `parts/` has pieces of YAML. The template has one for each read model, process and route of the
//! app, so these need no further configuration on AWS.

mod consumers;
mod container;
mod dashboard;
mod fill;
mod functions;
mod routes;

pub use container::render_container;

use fill::{Fillings, camel, fill};
use handlers::access::Scope;
use handlers::app::App;
use std::collections::BTreeSet;

/// CloudFormation's limit of resources per stack:
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
pub const MAX_RESOURCES: usize = 500;
/// The longest name of a function, in characters.
const MAX_FUNCTION_NAME: usize = 64;
/// The longest prefix of table and queue names. See [`handlers::Names`].
const MAX_PREFIX: usize = 40;
/// The longest prefix of a user pool's domain. It ends with `-` and the 12 digits of the account.
const MAX_DOMAIN: usize = 63 - 13;
/// The longest name of a stage.
const MAX_STAGE: usize = 16;
/// At least `prod` must fit.
const MIN_STAGE: usize = 4;

/// Why the template cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It exceeds CloudFormation's limit of resources.
    #[error(
        "the template has {resources} resources, and CloudFormation allows {MAX_RESOURCES}: every app has {fixed}, each read model or process {per_consumer}, each route one. \
         Split the app into two apps with separate names, tables and stacks, or serve several commands by one route"
    )]
    TooLarge {
        /// All of them.
        resources: usize,
        /// Resources of every app.
        fixed: usize,
        /// Resources of each read model or process.
        per_consumer: usize,
    },
    /// Two resources have the same logical name.
    #[error("two resources are called {0}: rename the read model, process or path of one")]
    Twice(String),
    /// The app's name leaves no room for a stage.
    #[error("the names are too long: {name:?} leaves no room for the name of a stage. {rule}")]
    TooLong {
        /// The prefix.
        name: String,
        /// The limit.
        rule: &'static str,
    },
}

/// The values that all pieces of a template share.
struct TemplateValues {
    prefix: String,
    domain: String,
    title: String,
    code: String,
}

/// The template of an app, as YAML. `code` is the folder of its program, relative to the template.
///
/// # Errors
/// [`TemplateError`].
pub fn render(app: &App, code: &str) -> Result<String, TemplateError> {
    let values = TemplateValues::of(app, code);
    let stage_tail = (longest_stage(app, &values)? - 1).to_string();
    let sections = [
        values.fill(
            include_str!("parts/head.yaml"),
            &[("stage tail", &stage_tail), ("app", app.name())],
        ),
        values.fill(include_str!("parts/tables.yaml"), &[]),
        include_str!("parts/queues.yaml").to_owned(),
        include_str!("parts/functions.yaml").to_owned(),
        functions::of_commands(app, &values),
        functions::query_api(app, &values),
        functions::fan_out(app, &values),
        app.consumers().iter().map(|consumer| consumers::section(app, consumer, &values)).collect(),
        functions::rebuild_worker(app, &values),
        routes::section(app, &values),
        tokens(&values),
        alarms(app, &values),
        values.fill(include_str!("parts/trail.yaml"), &[]),
        dashboard::section(app, &values),
        values.fill(include_str!("parts/outputs.yaml"), &[("clients", &client_outputs())]),
    ];
    let text = named(app, &sections.concat());
    checked(app, &text)?;
    Ok(text)
}

impl TemplateValues {
    fn of(app: &App, code: &str) -> Self {
        Self {
            prefix: app.stored_name().to_owned(),
            domain: app.stored_name().to_lowercase().replace('_', "-"),
            title: handlers::telemetry::namespace().to_owned(),
            code: code.to_owned(),
        }
    }

    /// Fills the placeholders of a piece: its own first, then the shared ones.
    fn fill(&self, piece: &str, own: &Fillings<'_>) -> String {
        let of_all = [
            ("prefix", &*self.prefix),
            ("domain", &self.domain),
            ("title", &self.title),
            ("code", &self.code),
        ];
        fill(piece, &[own, &of_all].concat())
    }
}

/// Fills in the names and the description of the app.
fn named(app: &App, text: &str) -> String {
    text.replace("<program>", app.stored_name()).replace("<description>", &about(app))
}

/// The app's description, or a default one, as one line of YAML.
fn about(app: &App) -> String {
    match app.description() {
        "" => format!("{}, an event-sourced system without servers.", app.name()),
        // A JSON string is a YAML string.
        what => serde_json::Value::from(what).to_string(),
    }
}

/// The longest stage name for which all other names fit.
fn longest_stage(app: &App, values: &TemplateValues) -> Result<usize, TemplateError> {
    let longest_function = app
        .consumers()
        .iter()
        .map(|consumer| consumers::function_name(consumer).len())
        .max()
        .unwrap_or(0);
    let longest_function = longest_function.max("rebuild-worker".len());
    let limits = [
        (MAX_PREFIX, values.prefix.len() + 1, "Tables and queues begin with at most 40 characters"),
        (
            MAX_DOMAIN,
            values.domain.len() + 1,
            "The user pool's domain has at most 63 characters, 12 for the account",
        ),
        (
            MAX_FUNCTION_NAME,
            values.prefix.len() + longest_function + 2,
            "Functions have at most 64 characters",
        ),
    ];
    let mut longest = MAX_STAGE;
    for (most, taken, rule) in limits {
        longest = longest.min(most.saturating_sub(taken));
        if longest < MIN_STAGE {
            return Err(TemplateError::TooLong { name: values.prefix.clone(), rule });
        }
    }
    Ok(longest)
}

/// Checks CloudFormation's limits.
fn checked(app: &App, text: &str) -> Result<(), TemplateError> {
    let resources =
        text.split("\nResources:\n").nth(1).and_then(|rest| rest.split("\nOutputs:\n").next());
    let is_name = |line: &&str| {
        line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  #")
    };
    let names: Vec<&str> =
        resources.unwrap_or_default().lines().filter(is_name).map(str::trim).collect();
    let mut known = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !known.insert(**name)) {
        return Err(TemplateError::Twice(twice.trim_end_matches(':').to_owned()));
    }
    if names.len() > MAX_RESOURCES {
        let of_consumers = app.consumers().len() * consumers::RESOURCES;
        let fixed = names.len().saturating_sub(of_consumers + handlers::http::endpoints(app).len());
        return Err(TemplateError::TooLarge {
            resources: names.len(),
            fixed,
            per_consumer: consumers::RESOURCES,
        });
    }
    Ok(())
}

/// The last part of a scope's name.
fn word_of(scope: Scope) -> &'static str {
    scope.name().rsplit('/').next().unwrap_or_default()
}

/// The user pool, a client for each scope, and the console's client.
fn tokens(values: &TemplateValues) -> String {
    let scope = |scope: &Scope| {
        format!(
            "- {{ ScopeName: {}, ScopeDescription: \"{}\" }}\n",
            word_of(*scope),
            capitalised(scope.purpose())
        )
    };
    let scopes: String = Scope::ALL.iter().map(scope).collect();
    let client = |scope: &Scope| {
        let word = word_of(*scope);
        values.fill(include_str!("parts/client.yaml"), &[("scope", word), ("Scope", &camel(word))])
    };
    let clients: String = Scope::ALL.iter().map(client).collect();
    let of_console = Scope::ALL.map(|scope| format!("{}/{}", values.prefix, word_of(scope)));
    let fillings = [("scopes", &*scopes), ("console scopes", &of_console.join(", "))];
    values.fill(include_str!("parts/tokens.yaml"), &fillings) + &clients
}

fn client_outputs() -> String {
    let output = |scope: &Scope| {
        let word = word_of(*scope);
        let name = camel(word);
        format!(
            "{name}ClientId:\n  Description: The client of scope {word}. `infra/deploy.sh --token STAGE {word}` gets a token for it.\n  Condition: MakesTokens\n  Value: !Ref {name}Client\n"
        )
    };
    Scope::ALL.iter().map(output).collect()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// The topic, and the alarms of no function or queue.
fn alarms(app: &App, values: &TemplateValues) -> String {
    let parked = |component: &&str| {
        let fillings = [("component", *component), ("Component", &camel(component))];
        values.fill(include_str!("parts/parked-alarm.yaml"), &fillings)
    };
    let has_processes = app.processes().next().is_some();
    let components = [Some("projector"), has_processes.then_some("process-manager")];
    let parked: String = components.iter().flatten().map(parked).collect();
    values.fill(include_str!("parts/alarms.yaml"), &[]) + &parked
}

#[cfg(test)]
mod tests {
    use super::{MAX_RESOURCES, TemplateError, render};
    use handlers::app::App;
    use projections::{Projection, audit_index};

    fn with_read_models(app: App, names: impl IntoIterator<Item = String>) -> App {
        let named = |name: String| Projection { name: name.leak(), ..audit_index::PROJECTION };
        names.into_iter().fold(app, |app, name| app.read_model(named(name)))
    }

    fn numbered(count: usize) -> App {
        with_read_models(App::new("big"), (0..count).map(|number| format!("model-{number}")))
    }

    #[test]
    fn a_read_model_is_ten_resources_and_five_hundred_are_the_most() {
        let count = |app: &App| render(app, "code/").unwrap().matches("\n    Type: AWS::").count();
        assert_eq!(count(&numbered(2)) - count(&numbered(1)), 10);
        let fit = (MAX_RESOURCES - count(&numbered(0))) / 10;
        assert!(count(&numbered(fit)) <= MAX_RESOURCES);
        let Err(TemplateError::TooLarge { resources, per_consumer: 10, .. }) =
            render(&numbered(fit + 1), "code/")
        else {
            panic!("{fit} read models fit, and one more does too")
        };
        assert!((MAX_RESOURCES + 1..=MAX_RESOURCES + 10).contains(&resources), "{resources}");
    }

    #[test]
    fn names_that_fall_together_are_refused() {
        let app = with_read_models(App::new("shop"), ["a-b".to_owned(), "a--b".to_owned()]);
        assert_eq!(render(&app, "code/"), Err(TemplateError::Twice("ABQueue".to_owned())));
    }

    #[test]
    fn a_stages_name_is_as_long_as_the_others_leave_room() {
        let pattern = |app: &App| {
            let text = render(app, "code/").unwrap();
            text.lines()
                .find_map(|line| line.trim().strip_prefix("AllowedPattern: "))
                .unwrap()
                .to_owned()
        };
        assert_eq!(pattern(&App::new("shop")), r#""^[a-z][a-z0-9-]{0,15}$""#);
        let long =
            with_read_models(App::new("the-online-library-of-berlin"), ["orders".to_owned()]);
        assert_eq!(pattern(&long), r#""^[a-z][a-z0-9-]{0,10}$""#);
        let longer = with_read_models(
            App::new("the-online-library-of-all-of-old-berlin"),
            ["orders".to_owned()],
        );
        assert!(matches!(render(&longer, "code/"), Err(TemplateError::TooLong { .. })));
    }
}
