//! What registrations must be, so that a wrong one fails at start.

use super::{AnyAggregate, App, CommandRoute, Target, schema};
use crate::aws::names::Names;
use eventstore::StreamId;
use projections::{Follows, Kind, Projection};
use std::collections::BTreeSet;

/// The most characters of a name that is part of a queue's name.
const MAX_NAME: usize = 30;
/// Queues that every system has.
const QUEUES_OF_SYSTEM: [&str; 2] = ["commands", "rebuild"];
/// What the name of a dead-letter queue ends with.
const DEAD: &str = "-dead";
/// The category of readings of the audit trail.
const ACCESS: &str = "access";
/// The first segments of the paths that every system has.
const PATHS_OF_SYSTEM: [&str; 6] = ["audit", "commands", "healthz", "openapi.json", "projections", "readyz"];

impl App {
    /// A sentence for each mistake.
    pub(super) fn wrong(&self) -> Vec<String> {
        let parts = [self.wrong_consumers(), self.wrong_aggregates(), self.wrong_across(), self.wrong_routes()];
        let name = self.stored_name;
        let wrong_name = name.parse::<Names>().err().map(|rule| format!("the app's name {name:?} must be {rule}"));
        wrong_name.into_iter().chain(parts.concat()).collect()
    }

    fn wrong_consumers(&self) -> Vec<String> {
        let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
        for projection in &self.consumers {
            let name = projection.name;
            if !is_queue_name(name) {
                wrong.push(format!("the name {name:?} must be 1 to {MAX_NAME} lower-case letters, digits and '-'"));
            }
            if QUEUES_OF_SYSTEM.contains(&name) || name.ends_with(DEAD) {
                wrong.push(format!("the name {name:?} is that of a queue that every system has"));
            }
            if !names.insert(name) {
                wrong.push(format!("the name {name:?} is registered twice"));
            }
            if let Follows::Categories(categories) = projection.follows {
                let unknown = categories.iter().filter(|category| self.aggregate_of(category).is_none());
                wrong.extend(unknown.map(|category| {
                    format!("{name:?} follows streams of category {category:?}, and there is no such aggregate")
                }));
            }
        }
        wrong
    }

    fn wrong_aggregates(&self) -> Vec<String> {
        let (mut categories, mut wrong) = (BTreeSet::new(), Vec::new());
        for aggregate in &self.aggregates {
            let category = aggregate.category();
            if StreamId::new(format!("{category}-1")).map(|stream| stream.category() != category).unwrap_or(true) {
                wrong.push(format!("the category {category:?} must be lower-case letters, digits and '_'"));
            }
            if category == ACCESS {
                wrong.push(format!("the category {category:?} is that of readings of the audit trail"));
            }
            if !categories.insert(category) {
                wrong.push(format!("the category {category:?} is registered twice"));
            }
            let examples = aggregate.examples();
            let described = commands_of(aggregate.as_ref());
            wrong.extend(
                described
                    .iter()
                    .filter(|name| !examples.iter().any(|(known, _)| known == *name))
                    .map(|name| format!("the command {name} of {category:?} has no example")),
            );
            for (name, example) in examples {
                let json = serde_json::to_vec(&example).unwrap_or_default();
                if let Err((_, error)) = aggregate.read(&name, &json, &mut Vec::new()) {
                    wrong.push(format!("the example of command {name} of {category:?} cannot be read: {error}"));
                }
                if !described.contains(&name) {
                    wrong.push(format!("the command {name} of {category:?} has no schema"));
                }
            }
        }
        wrong
    }

    fn wrong_routes(&self) -> Vec<String> {
        let (mut paths, mut wrong) = (BTreeSet::new(), Vec::new());
        for route in &self.routes {
            let path = route.path;
            let method = match &route.to {
                Target::Command(to) => {
                    let CommandRoute { category, command, creates } = to;
                    match self.aggregate_of(category) {
                        None => {
                            wrong.push(format!("{path} leads to category {category:?}, and there is no such aggregate"))
                        }
                        Some(aggregate) if !aggregate.examples().iter().any(|(name, _)| name == command) => {
                            wrong.push(format!(
                                "{path} leads to command {command}, and {category:?} has no such command"
                            ));
                        }
                        Some(_) => {}
                    }
                    if creates.is_none() && route.parameter().is_none() {
                        wrong.push(format!("{path} leads to a stream, and has no {{key}}"));
                    }
                    "POST"
                }
                Target::Across(name) => {
                    if !self.commands_across().iter().any(|command| command.name == *name) {
                        wrong.push(format!(
                            "{path} leads to {name:?}, and there is no such command over several streams"
                        ));
                    }
                    if route.parameter().is_some() {
                        wrong.push(format!("{path} has a {{key}}, and its command names its streams in its body"));
                    }
                    "POST"
                }
                Target::Row(to) => {
                    wrong.extend(self.wrong_rows(path, to.read_model));
                    if route.parameter().is_none() {
                        wrong.push(format!("{path} leads to a row, and has no {{key}}"));
                    }
                    "GET"
                }
                Target::List(to) => {
                    wrong.extend(self.wrong_rows(path, to.row.read_model));
                    if route.parameter().is_some() != to.list.contains("{}") {
                        wrong.push(format!("{path} and the list {:?} must both have a key, or neither", to.list));
                    }
                    "GET"
                }
            };
            if !is_path(path) {
                wrong.push(format!("the path {path:?} must be '/' and segments, of which one may be a {{key}}"));
            }
            if let Some(first) = path.split('/').nth(1).filter(|first| PATHS_OF_SYSTEM.contains(first)) {
                wrong.push(format!("the path {path:?} begins as the system's own do: /{first}"));
            }
            if !paths.insert((method, template(path))) {
                wrong.push(format!("the path {path:?} is registered twice for {method}"));
            }
        }
        for router in self.extra_routes() {
            for (path, item) in &router.get_openapi().paths.paths {
                let methods = [("GET", item.get.is_some()), ("POST", item.post.is_some())];
                for (method, _) in methods.iter().filter(|(_, serves)| *serves) {
                    if !paths.insert((method, template(path))) {
                        wrong.push(format!("the path {path:?} is registered twice for {method}"));
                    }
                }
            }
        }
        wrong
    }

    fn wrong_rows(&self, path: &str, read_model: &str) -> Option<String> {
        let has_rows = |known: &Projection| matches!(known.kind, Kind::SingleStream { .. } | Kind::MultiStream { .. });
        let unknown = !self.consumer(read_model).is_some_and(has_rows);
        unknown.then(|| format!("{path} leads to {read_model:?}, and there is no such read model"))
    }

    fn wrong_across(&self) -> Vec<String> {
        let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
        for command in self.commands_across() {
            let name = command.name;
            if !names.insert(name) {
                wrong.push(format!("the command {name:?} over several streams is registered twice"));
            }
            for category in command.categories.iter().filter(|category| self.aggregate_of(category).is_none()) {
                wrong.push(format!("{name:?} is for streams of category {category:?}, and there is no such aggregate"));
            }
            if let Err((_, error)) = (command.read)(command.example.as_bytes(), &mut Vec::new()) {
                wrong.push(format!("the example of {name:?} cannot be read: {error}"));
            }
        }
        wrong
    }
}

/// The names of the commands that the aggregate's schema has.
fn commands_of(aggregate: &dyn AnyAggregate) -> Vec<String> {
    schema::variants(&aggregate.schema().0).into_iter().map(|variant| variant.name).collect()
}

/// The path without the name of its changing part: two names are one path.
fn template(path: &str) -> String {
    match (path.find('{'), path.find('}')) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{{}}{}", path.get(..from).unwrap_or_default(), path.get(to + 1..).unwrap_or_default())
        }
        _ => path.to_owned(),
    }
}

fn is_path(path: &str) -> bool {
    let fits = |segment: &str| {
        let key = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let text = key.unwrap_or(segment);
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    path.matches('{').count() <= 1 && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(fits))
}

fn is_queue_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::super::{Aggregate, Key, command, list, row};
    use super::*;
    use crate::process::Process;
    use eventstore::{EventCodec, Model, SnapshotCodec};
    use projections::audit_index;
    use serde::{Deserialize, Serialize};
    use utoipa::ToSchema;

    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(tag = "type", content = "data")]
    enum Asked {
        Open { owner: String },
        Close {},
    }

    const CODEC: EventCodec<Asked> = EventCodec::new(&[]);

    fn account(category: &'static str, examples: &'static [&'static str]) -> Aggregate<u8, Asked, Asked, &'static str> {
        let model = Model {
            initial: u8::default,
            evolve: |state, _| state,
            encode: |event| CODEC.encode(event),
            decode: |event| CODEC.decode(event),
            snapshot: Some(SnapshotCodec::json("account/1")),
        };
        let (decide, creates, code) =
            (|_: &u8, _: &Asked| Ok(Vec::new()), |_: &Asked| false, |code: &&'static str| *code);
        Aggregate { category, key: Key::ANY, model, events: CODEC, decide, creates, code, examples }
    }

    const EXAMPLES: [&str; 2] = [r#"{"type": "Open", "data": {"owner": "a"}}"#, r#"{"type": "Close", "data": {}}"#];

    fn process(name: &'static str) -> Process {
        Process::named::<(), ()>(name, "process/1", [], |_, ()| Ok(None), |state, _| (state, Vec::new()))
    }

    fn named(name: &'static str) -> Projection {
        Projection { name, ..audit_index::PROJECTION }
    }

    #[track_caller]
    fn is_told(app: App, parts: &[&str]) {
        let told = app.wrong();
        for part in parts {
            assert!(told.iter().any(|sentence| sentence.contains(part)), "not {part:?}: {told:?}");
        }
        assert_eq!(told.len(), parts.len(), "{told:?}");
    }

    #[test]
    fn an_app_without_contradictions_runs() {
        let app = App::new("bank").aggregate(account("account", &EXAMPLES)).read_model(named("all"));
        let app = app.routes([command("/accounts/{id}/open", "account", "Open")]);
        assert_eq!(app.wrong(), [""; 0]);
    }

    #[test]
    fn all_wrong_names_are_told_in_one_message() {
        let app = App::new("shop").read_model(named("sales")).read_model(named("sales"));
        let app = app.process(process("Send Mail")).process(process("rebuild")).read_model(named("sales-dead"));
        is_told(
            app,
            &[
                "\"sales\" is registered twice",
                "\"Send Mail\" must be 1 to 30 lower-case letters",
                "\"rebuild\" is that of a queue",
                "\"sales-dead\" is that of a queue",
            ],
        );
    }

    #[test]
    fn wrong_aggregates_are_told() {
        let app = App::new("bank").aggregate(account("account", &EXAMPLES)).aggregate(account("account", &EXAMPLES));
        is_told(app, &["category \"account\" is registered twice"]);
        is_told(App::new("bank").aggregate(account("access", &EXAMPLES)), &["that of readings of the audit trail"]);
        is_told(App::new("bank").aggregate(account("A-b", &EXAMPLES)), &["must be lower-case letters"]);
        let examples = &[EXAMPLES[0], r#"{"type": "Burn", "data": {}}"#];
        let parts =
            ["the command Close of", "the example of command Burn", "the command Burn of \"account\" has no schema"];
        is_told(App::new("bank").aggregate(account("account", examples)), &parts);
    }

    #[test]
    fn an_app_that_cannot_name_its_tables_is_told() {
        is_told(App::new("my bank"), &["the app's name \"my bank\" must be 1 to 40 letters"]);
        is_told(App::new("my bank").named("bank").read_model(named("Bank")), &["\"Bank\" must be 1 to 30"]);
    }

    #[test]
    fn a_fold_of_an_unknown_category_is_told() {
        let fold = Projection { follows: Follows::Categories(&["purse"]), ..named("purses") };
        is_told(App::new("bank").read_model(fold), &["\"purses\" follows streams of category \"purse\""]);
    }

    #[test]
    fn routes_to_what_is_not_there_are_told() {
        let app = || App::new("bank").aggregate(account("account", &EXAMPLES));
        let view = |_: &projections::Row| Ok(String::new());
        is_told(app().routes([command("/a/{id}", "purse", "Open")]), &["category \"purse\", and there is no such"]);
        is_told(app().routes([command("/a/{id}", "account", "Burn")]), &["leads to command Burn"]);
        is_told(app().routes([row("/a/{id}", "accounts", view)]), &["no such read model"]);
        is_told(app().routes([list("/a", "accounts", "all", view)]), &["no such read model"]);
        is_told(app().routes([command("/a", "account", "Open")]), &["leads to a stream, and has no {key}"]);
        is_told(app().routes([command("a/{id}/{b}", "account", "Open")]), &["must be '/' and segments"]);
        is_told(app().routes([command("/audit/{id}", "account", "Open")]), &["begins as the system's own do: /audit"]);
        let twice = [command("/a/{id}", "account", "Open"), command("/a/{name}", "account", "Close")];
        is_told(app().routes(twice), &["\"/a/{name}\" is registered twice for POST"]);
    }
}
