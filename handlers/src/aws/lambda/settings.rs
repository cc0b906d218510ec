//! The settings of a function, from its environment.

use crate::app::App;
use crate::aws::names::Names;
use crate::http::ConsoleLogin;
use crate::telemetry::Component;
use projections::Projection;

/// The settings of a function.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which function it is.
    pub component: Component,
    /// The names of tables and queues, from `LEDGERFOLD_PREFIX`.
    pub names: Names,
    /// The projection of a projector, from `LEDGERFOLD_PROJECTION`; none for other functions.
    pub projection: Option<Projection>,
    /// How people sign in to the console; none if they paste a token.
    pub login: Option<ConsoleLogin>,
}

/// Everything that is missing or wrong, in one message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the environment of {component} is not as it must be: {}", wrong.join("; "))]
pub struct BadSettings {
    component: &'static str,
    wrong: Vec<String>,
}

impl BadSettings {
    /// Adds a mistake.
    #[must_use]
    pub fn and(mut self, wrong: impl std::error::Error) -> Self {
        let rule = wrong.source().map(|rule| format!(" {rule}")).unwrap_or_default();
        self.wrong.push(format!("{wrong}{rule}"));
        self
    }

    /// Nothing so far.
    pub(super) fn none(component: Component) -> Self {
        Self { component: component.name(), wrong: Vec::new() }
    }
}

/// Set by Lambda itself; a program that is started by hand lacks them.
const OF_LAMBDA: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
];

impl Settings {
    /// The settings of the process.
    ///
    /// # Errors
    /// [`BadSettings`].
    pub fn from_environment(app: &App, component: Component) -> Result<Self, BadSettings> {
        Self::read(app, component, |name| std::env::var(name).ok())
    }

    /// The read model of a projector, or the process of a process manager.
    ///
    /// # Errors
    /// [`BadSettings`] for another function.
    pub fn projection(&self) -> Result<Projection, BadSettings> {
        let wrong =
            || vec!["LEDGERFOLD_PROJECTION is only read for projectors and processes".to_owned()];
        self.projection
            .ok_or_else(|| BadSettings { component: self.component.name(), wrong: wrong() })
    }

    /// Reads the settings by their names.
    ///
    /// # Errors
    /// [`BadSettings`].
    pub fn read(
        app: &App,
        component: Component,
        value: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BadSettings> {
        let mut wrong = Vec::new();
        let mut needed = |name: &str, what: &str| {
            let found = value(name).filter(|value| !value.is_empty());
            found.ok_or_else(|| wrong.push(format!("{name} is missing ({what})"))).ok()
        };
        for name in OF_LAMBDA {
            needed(name, "Lambda sets it: this program is not started by hand");
        }
        needed("AWS_REGION", "Lambda sets it: where tables and queues are");
        let prefix = needed("LEDGERFOLD_PREFIX", "what the names of tables and queues begin with");
        let projection = matches!(component, Component::Projector | Component::ProcessManager)
            .then(|| needed("LEDGERFOLD_PROJECTION", "the read model or process of this function"));
        if component == Component::Program {
            let names = Component::FUNCTIONS.map(Component::name).join(", ");
            wrong.push(match value("LEDGERFOLD_COMPONENT").filter(|value| !value.is_empty()) {
                Some(other) => {
                    format!("LEDGERFOLD_COMPONENT is {other:?}, and must be one of {names}")
                }
                None => {
                    format!("LEDGERFOLD_COMPONENT is missing (which function this is: {names})")
                }
            });
        }
        let names = prefix.and_then(|prefix| {
            let names = prefix.parse::<Names>();
            names
                .map_err(|rule| {
                    wrong.push(format!("LEDGERFOLD_PREFIX is {prefix:?}, and must be {rule}"))
                })
                .ok()
        });
        let projection = projection.flatten().and_then(|name| {
            let wanted =
                |of: &&Projection| of.is_read_model() == (component == Component::Projector);
            let projection = app.consumer(&name).filter(wanted).copied();
            let names = || {
                app.consumers()
                    .iter()
                    .filter(wanted)
                    .map(|of| of.name)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let rule =
                || format!("LEDGERFOLD_PROJECTION is {name:?}, and must be one of {}", names());
            projection.ok_or_else(|| wrong.push(rule())).ok()
        });
        let login = login(&value).map_err(|rule| wrong.push(rule)).ok().flatten();
        match names {
            Some(names) if wrong.is_empty() => Ok(Self { component, names, projection, login }),
            _ => Err(BadSettings { component: component.name(), wrong }),
        }
    }
}

/// The console's login, if the variables name one. The template sets all three, to nothing if the
/// stage has no client for the console.
fn login(value: &impl Fn(&str) -> Option<String>) -> Result<Option<ConsoleLogin>, String> {
    let named = |name: &str| value(name).filter(|value| !value.is_empty());
    let Some(client_id) = named("LEDGERFOLD_CONSOLE_CLIENT") else { return Ok(None) };
    let issuer = named("LEDGERFOLD_CONSOLE_ISSUER")
        .ok_or("LEDGERFOLD_CONSOLE_ISSUER is missing (the issuer of LEDGERFOLD_CONSOLE_CLIENT)")?;
    let others = named("LEDGERFOLD_CONSOLE_ORIGINS").unwrap_or_default();
    let login = ConsoleLogin::new(&issuer, &client_id, &others);
    login
        .map(Some)
        .map_err(|rule| format!("LEDGERFOLD_CONSOLE_ISSUER or LEDGERFOLD_CONSOLE_ORIGINS: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::{OF_LAMBDA, Settings};
    use crate::app::App;
    use crate::process::Process;
    use crate::telemetry::Component;
    use projections::{Projection, audit_index};

    fn shop() -> App {
        let named = |name| Projection { name, ..audit_index::PROJECTION };
        let process = Process::named::<(), ()>(
            "mails",
            "mails/1",
            [],
            |_, ()| Ok(None),
            |state, _| (state, Vec::new()),
        );
        App::new("shop").read_model(named("orders")).read_model(named("stock")).process(process)
    }

    fn read(component: Component, more: &[(&str, &str)]) -> Result<Settings, String> {
        let more = |name: &str| {
            more.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let settings = Settings::read(&shop(), component, |name| {
            match OF_LAMBDA.contains(&name) || name == "AWS_REGION" {
                true => Some("set".to_owned()),
                false => more(name),
            }
        });
        settings.map_err(|error| error.to_string())
    }

    #[test]
    fn all_missing_settings_are_in_one_message() {
        let message =
            Settings::read(&shop(), Component::Projector, |_| None).unwrap_err().to_string();
        for name in
            OF_LAMBDA.iter().chain(&["AWS_REGION", "LEDGERFOLD_PREFIX", "LEDGERFOLD_PROJECTION"])
        {
            assert!(message.contains(&format!("{name} is missing")), "{message}");
        }
        assert!(message.contains("environment of projector"), "{message}");
    }

    #[test]
    fn a_wrong_value_is_reported_with_its_rule() {
        let message = read(
            Component::Projector,
            &[("LEDGERFOLD_PREFIX", "a b"), ("LEDGERFOLD_PROJECTION", "order")],
        );
        let message = message.unwrap_err();
        assert!(
            message.contains(r#"LEDGERFOLD_PREFIX is "a b", and must be 1 to 40 letters"#),
            "{message}"
        );
        assert!(
            message
                .contains(r#"LEDGERFOLD_PROJECTION is "order", and must be one of orders, stock"#),
            "{message}"
        );
        let process = [("LEDGERFOLD_PREFIX", "shop"), ("LEDGERFOLD_PROJECTION", "mails")];
        assert!(
            read(Component::Projector, &process).is_err(),
            "a process is run by another function"
        );
        assert_eq!(
            read(Component::ProcessManager, &process).unwrap().projection.unwrap().name,
            "mails"
        );
    }

    #[test]
    fn a_missing_component_is_reported_with_all_components() {
        let of_shop = ("LEDGERFOLD_PREFIX", "shop");
        for (named, rule) in
            [(None, "is missing"), (Some("projectors"), r#"is "projectors", and must be one of"#)]
        {
            let named = named.map(|name| ("LEDGERFOLD_COMPONENT", name));
            let message =
                read(Component::Program, &[&[of_shop], named.as_slice()].concat()).unwrap_err();
            assert!(message.contains(&format!("LEDGERFOLD_COMPONENT {rule}")), "{message}");
            assert!(
                message.contains("command-api, query-api, fan-out, projector, process-manager"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_client_of_the_console_needs_its_issuer() {
        let prefix = ("LEDGERFOLD_PREFIX", "shop");
        let empty = [prefix, ("LEDGERFOLD_CONSOLE_CLIENT", "")];
        assert_eq!(read(Component::QueryApi, &empty).unwrap().login, None);
        let client = ("LEDGERFOLD_CONSOLE_CLIENT", "c-1");
        let message = read(Component::QueryApi, &[prefix, client]).unwrap_err();
        assert!(message.contains("LEDGERFOLD_CONSOLE_ISSUER is missing"), "{message}");
        let wrong = ("LEDGERFOLD_CONSOLE_ISSUER", "login.example");
        assert!(read(Component::QueryApi, &[prefix, client, wrong]).is_err());
        let issuer = ("LEDGERFOLD_CONSOLE_ISSUER", "https://login.example");
        assert!(read(Component::QueryApi, &[prefix, client, issuer]).unwrap().login.is_some());
    }

    #[test]
    fn only_a_projector_needs_a_projection() {
        let settings = read(Component::FanOut, &[("LEDGERFOLD_PREFIX", "shop")]).unwrap();
        assert_eq!(
            (settings.names.events(), settings.projection.is_none()),
            ("shop-events".to_owned(), true)
        );
        let of_stock = [("LEDGERFOLD_PREFIX", "shop"), ("LEDGERFOLD_PROJECTION", "stock")];
        assert_eq!(
            read(Component::Projector, &of_stock).unwrap().projection.unwrap().name,
            "stock"
        );
    }
}
