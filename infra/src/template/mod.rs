//! The SAM template of an app: what AWS needs to run it.
//!
//! `parts/` has pieces of YAML. Here they are put together, one for each read model, process and route of the app. A read
//! model, a process or a route is therefore one line of the app on AWS too.

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

/// The most resources that CloudFormation takes in one stack.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html>
pub const MAX_RESOURCES: usize = 500;
/// The most characters of a function's name.
const MAX_FUNCTION_NAME: usize = 64;
/// The most characters of what table and queue names begin with, as [`handlers::Names`] says.
const MAX_PREFIX: usize = 40;
/// The most characters of the prefix of a user pool's domain, of which 13 are `-` and the account's number.
const MAX_DOMAIN: usize = 63 - 13;
/// The most characters of a stage's name, where the app's names leave as many.
const MAX_STAGE: usize = 16;
/// A stage with fewer could not be called `prod`.
const MIN_STAGE: usize = 4;

/// Why there is no template of an app.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// CloudFormation would refuse it.
    #[error(
        "the template has {resources} resources, and CloudFormation takes {MAX_RESOURCES}: {fixed} are of every app, {per_consumer} of each read model or process, one of each route. \
         Split the app in two with names of their own, each with its own tables and stack; or let one route serve several commands"
    )]
    TooLarge {
        /// All of them.
        resources: usize,
        /// Those that do not depend on what is registered.
        fixed: usize,
        /// Those of one read model or process.
        per_consumer: usize,
    },
    /// Two things would have one logical name.
    #[error("two resources are called {0}: rename the read model, process or path of one")]
    Twice(String),
    /// No stage's name fits behind the app's.
    #[error("the names are too long: {name:?} leaves no room for the name of a stage. {rule}")]
    TooLong {
        /// The longest name that a stage is part of.
        name: String,
        /// What limits it.
        rule: &'static str,
    },
}

/// What the texts of an app's template have in common.
struct Words {
    prefix: String,
    domain: String,
    title: String,
    code: String,
}

/// The template of an app, as YAML. `code` is the folder of its program, as the template's own folder sees it.
///
/// # Errors
/// [`TemplateError`].
pub fn render(app: &App, code: &str) -> Result<String, TemplateError> {
    let words = Words::of(app, code);
    let stage_tail = (longest_stage(app, &words)? - 1).to_string();
    let sections = [
        words.fill(include_str!("parts/head.yaml"), &[("stage tail", &stage_tail), ("app", app.name())]),
        words.fill(include_str!("parts/tables.yaml"), &[]),
        include_str!("parts/queues.yaml").to_owned(),
        include_str!("parts/functions.yaml").to_owned(),
        functions::of_commands(app, &words),
        functions::query_api(app, &words),
        functions::fan_out(app, &words),
        app.consumers().iter().map(|consumer| consumers::section(app, consumer, &words)).collect(),
        functions::rebuild_worker(app, &words),
        routes::section(app, &words),
        tokens(&words),
        alarms(app, &words),
        words.fill(include_str!("parts/trail.yaml"), &[]),
        dashboard::section(app, &words),
        words.fill(include_str!("parts/outputs.yaml"), &[("clients", &client_outputs())]),
    ];
    let text = named(app, &sections.concat());
    checked(app, &text)?;
    Ok(text)
}

impl Words {
    fn of(app: &App, code: &str) -> Self {
        Self {
            prefix: app.stored_name().to_owned(),
            domain: app.stored_name().to_lowercase().replace('_', "-"),
            title: handlers::telemetry::namespace().to_owned(),
            code: code.to_owned(),
        }
    }

    /// A piece with its places filled: those of all pieces, and some of its own, which come first.
    fn fill(&self, piece: &str, own: &Fillings<'_>) -> String {
        let of_all =
            [("prefix", &*self.prefix), ("domain", &self.domain), ("title", &self.title), ("code", &self.code)];
        fill(piece, &[own, &of_all].concat())
    }
}

/// The text with what the app says of itself.
fn named(app: &App, text: &str) -> String {
    text.replace("<program>", app.stored_name()).replace("<description>", &about(app))
}

/// The app's own sentence, or one of every app; as one line of YAML.
fn about(app: &App) -> String {
    match app.description() {
        "" => format!("{}, an event-sourced system without servers.", app.name()),
        // A string of JSON is one of YAML.
        what => serde_json::Value::from(what).to_string(),
    }
}

/// How long the name of a stage may be, so that every name with it fits.
fn longest_stage(app: &App, words: &Words) -> Result<usize, TemplateError> {
    let longest_function =
        app.consumers().iter().map(|consumer| consumers::function_name(consumer).len()).max().unwrap_or(0);
    let longest_function = longest_function.max("rebuild-worker".len());
    let limits = [
        (MAX_PREFIX, words.prefix.len() + 1, "Tables and queues begin with at most 40 characters"),
        (MAX_DOMAIN, words.domain.len() + 1, "The user pool's domain has at most 63 characters, 12 for the account"),
        (MAX_FUNCTION_NAME, words.prefix.len() + longest_function + 2, "Functions have at most 64 characters"),
    ];
    let mut longest = MAX_STAGE;
    for (most, taken, rule) in limits {
        longest = longest.min(most.saturating_sub(taken));
        if longest < MIN_STAGE {
            return Err(TemplateError::TooLong { name: words.prefix.clone(), rule });
        }
    }
    Ok(longest)
}

/// Refuses what CloudFormation would.
fn checked(app: &App, text: &str) -> Result<(), TemplateError> {
    let resources = text.split("\nResources:\n").nth(1).and_then(|rest| rest.split("\nOutputs:\n").next());
    let is_name = |line: &&str| line.starts_with("  ") && !line.starts_with("   ") && !line.starts_with("  #");
    let names: Vec<&str> = resources.unwrap_or_default().lines().filter(is_name).map(str::trim).collect();
    let mut known = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !known.insert(**name)) {
        return Err(TemplateError::Twice(twice.trim_end_matches(':').to_owned()));
    }
    if names.len() > MAX_RESOURCES {
        let of_consumers = app.consumers().len() * consumers::RESOURCES;
        let fixed = names.len().saturating_sub(of_consumers + handlers::http::endpoints(app).len());
        return Err(TemplateError::TooLarge { resources: names.len(), fixed, per_consumer: consumers::RESOURCES });
    }
    Ok(())
}

/// The last part of a scope's name.
fn word_of(scope: Scope) -> &'static str {
    scope.name().rsplit('/').next().unwrap_or_default()
}

/// The user pool, and a client for each scope.
fn tokens(words: &Words) -> String {
    let scope = |scope: &Scope| {
        format!("- {{ ScopeName: {}, ScopeDescription: \"{}\" }}\n", word_of(*scope), capitalised(scope.purpose()))
    };
    let scopes: String = Scope::ALL.iter().map(scope).collect();
    let client = |scope: &Scope| {
        let word = word_of(*scope);
        words.fill(include_str!("parts/client.yaml"), &[("scope", word), ("Scope", &camel(word))])
    };
    let clients: String = Scope::ALL.iter().map(client).collect();
    words.fill(include_str!("parts/tokens.yaml"), &[("scopes", &scopes)]) + &clients
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

/// The topic, and the alarms that belong to no function and no queue.
fn alarms(app: &App, words: &Words) -> String {
    let parked = |component: &&str| {
        let fillings = [("component", *component), ("Component", &camel(component))];
        words.fill(include_str!("parts/parked-alarm.yaml"), &fillings)
    };
    let has_processes = app.processes().next().is_some();
    let components = [Some("projector"), has_processes.then_some("process-manager")];
    let parked: String = components.iter().flatten().map(parked).collect();
    words.fill(include_str!("parts/alarms.yaml"), &[]) + &parked
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
        let Err(TemplateError::TooLarge { resources, per_consumer: 10, .. }) = render(&numbered(fit + 1), "code/")
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
            text.lines().find_map(|line| line.trim().strip_prefix("AllowedPattern: ")).unwrap().to_owned()
        };
        assert_eq!(pattern(&App::new("shop")), r#""^[a-z][a-z0-9-]{0,15}$""#);
        let long = with_read_models(App::new("the-online-library-of-berlin"), ["orders".to_owned()]);
        assert_eq!(pattern(&long), r#""^[a-z][a-z0-9-]{0,10}$""#);
        let longer = with_read_models(App::new("the-online-library-of-all-of-old-berlin"), ["orders".to_owned()]);
        assert!(matches!(render(&longer, "code/"), Err(TemplateError::TooLong { .. })));
    }
}
