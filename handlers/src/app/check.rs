//! Checks an app's registrations at start; routes in `check_routes`.

use super::{AnyAggregate, App, schema};
use crate::aws::names::Names;
use eventstore::StreamId;
use projections::Follows;
use std::collections::BTreeSet;

/// The most characters of a projection's name: it is part of a queue's name.
const MAX_NAME: usize = 30;
/// Queues that every system has.
const QUEUES_OF_SYSTEM: [&str; 2] = ["commands", "rebuild"];
/// The end of a dead-letter queue's name.
const DEAD: &str = "-dead";
/// The category of the streams that record reads of the audit trail.
const ACCESS: &str = "access";

impl App {
    /// A sentence for each mistake.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let parts = [
            self.check_consumers(),
            self.check_aggregates(),
            self.check_across(),
            self.check_routes(),
        ];
        let name = self.stored_name;
        let wrong_name = name
            .parse::<Names>()
            .err()
            .map(|rule| format!("the app's name {name:?} must be {rule}"));
        wrong_name.into_iter().chain(parts.concat()).collect()
    }

    fn check_consumers(&self) -> Vec<String> {
        let (mut names, mut mistakes) = (BTreeSet::new(), Vec::new());
        for projection in &self.consumers {
            let name = projection.name;
            if !is_queue_name(name) {
                mistakes.push(format!(
                    "the name {name:?} must be 1 to {MAX_NAME} lower-case letters, digits and '-'"
                ));
            }
            if QUEUES_OF_SYSTEM.contains(&name) || name.ends_with(DEAD) {
                mistakes.push(format!(
                    "the name {name:?} is the name of a queue that every system has"
                ));
            }
            if !names.insert(name) {
                mistakes.push(format!("the name {name:?} is registered twice"));
            }
            if let Follows::Categories(categories) = projection.follows {
                let unknown =
                    categories.iter().filter(|category| self.aggregate_of(category).is_none());
                mistakes.extend(unknown.map(|category| {
                    format!(
                        "{name:?} follows category {category:?}, and there is no such aggregate"
                    )
                }));
            }
        }
        mistakes
    }

    fn check_aggregates(&self) -> Vec<String> {
        let (mut categories, mut mistakes) = (BTreeSet::new(), Vec::new());
        for aggregate in &self.aggregates {
            let category = aggregate.category();
            if StreamId::new(format!("{category}-1"))
                .map(|stream| stream.category() != category)
                .unwrap_or(true)
            {
                mistakes.push(format!(
                    "the category {category:?} must be lower-case letters, digits and '_'"
                ));
            }
            if category == ACCESS {
                mistakes.push(format!(
                    "the category {category:?} is the system's own: it records reads of the audit trail"
                ));
            }
            if !categories.insert(category) {
                mistakes.push(format!("the category {category:?} is registered twice"));
            }
            let examples = aggregate.examples();
            let described = commands_of(aggregate.as_ref());
            mistakes.extend(
                described
                    .iter()
                    .filter(|name| !examples.iter().any(|(known, _)| known == *name))
                    .map(|name| format!("the command {name} of {category:?} has no example")),
            );
            for (name, example) in examples {
                let json = serde_json::to_vec(&example).unwrap_or_default();
                if let Err((_, error)) = aggregate.read(&name, &json, &mut Vec::new()) {
                    mistakes.push(format!(
                        "the example of command {name} of {category:?} cannot be read: {error}"
                    ));
                }
                if !described.contains(&name) {
                    mistakes.push(format!("the command {name} of {category:?} has no schema"));
                }
            }
        }
        mistakes
    }

    fn check_across(&self) -> Vec<String> {
        let (mut names, mut mistakes) = (BTreeSet::new(), Vec::new());
        for command in self.commands_across() {
            let name = command.name;
            if !names.insert(name) {
                mistakes
                    .push(format!("the command {name:?} over several streams is registered twice"));
            }
            for category in
                command.categories.iter().filter(|category| self.aggregate_of(category).is_none())
            {
                mistakes
                    .push(format!("{name:?} is for streams of category {category:?}, and there is no such aggregate"));
            }
            if let Err((_, error)) = (command.read)(command.example.as_bytes(), &mut Vec::new()) {
                mistakes.push(format!("the example of {name:?} cannot be read: {error}"));
            }
        }
        mistakes
    }
}

/// The names of the commands in the aggregate's schema.
fn commands_of(aggregate: &dyn AnyAggregate) -> Vec<String> {
    schema::command_schemas(&aggregate.schema().0).into_iter().map(|variant| variant.name).collect()
}

fn is_queue_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::super::{Aggregate, KeyFormat, command, list, row};
    use super::*;
    use crate::process::Process;
    use eventstore::{EventCodec, Model, SnapshotCodec};
    use projections::{Projection, audit_index};
    use serde::{Deserialize, Serialize};
    use utoipa::ToSchema;

    #[derive(Serialize, Deserialize, ToSchema)]
    #[serde(tag = "type", content = "data")]
    enum AccountCommand {
        Open { owner: String },
        Close {},
    }

    const CODEC: EventCodec<AccountCommand> = EventCodec::new(&[]);

    fn account(
        category: &'static str,
        examples: &'static [&'static str],
    ) -> Aggregate<u8, AccountCommand, AccountCommand, &'static str> {
        let model = Model {
            initial: u8::default,
            evolve: |state, _| state,
            encode: |event| CODEC.encode(event),
            decode: |event| CODEC.decode(event),
            snapshot: Some(SnapshotCodec::json("account/1")),
        };
        let (decide, creates, code) = (
            |_: &u8, _: &AccountCommand| Ok(Vec::new()),
            |_: &AccountCommand| false,
            |code: &&'static str| *code,
        );
        Aggregate {
            category,
            key: KeyFormat::ANY,
            model,
            events: CODEC,
            decide,
            creates,
            code,
            examples,
        }
    }

    const EXAMPLES: [&str; 2] =
        [r#"{"type": "Open", "data": {"owner": "a"}}"#, r#"{"type": "Close", "data": {}}"#];

    fn process(name: &'static str) -> Process {
        Process::named::<(), ()>(
            name,
            "process/1",
            [],
            |_, ()| Ok(None),
            |state, _| (state, Vec::new()),
        )
    }

    fn named(name: &'static str) -> Projection {
        Projection { name, ..audit_index::PROJECTION }
    }

    #[track_caller]
    fn assert_mistakes(app: App, parts: &[&str]) {
        let mistakes = app.mistakes();
        for part in parts {
            assert!(
                mistakes.iter().any(|mistake| mistake.contains(part)),
                "not {part:?}: {mistakes:?}"
            );
        }
        assert_eq!(mistakes.len(), parts.len(), "{mistakes:?}");
    }

    #[test]
    fn an_app_without_contradictions_runs() {
        let app =
            App::new("bank").aggregate(account("account", &EXAMPLES)).read_model(named("all"));
        let app = app.routes([command("/accounts/{id}/open", "account", "Open")]);
        assert_eq!(app.mistakes(), [""; 0]);
    }

    #[test]
    fn all_wrong_names_are_reported_at_once() {
        let app = App::new("shop").read_model(named("sales")).read_model(named("sales"));
        let app = app
            .process(process("Send Mail"))
            .process(process("rebuild"))
            .read_model(named("sales-dead"));
        assert_mistakes(
            app,
            &[
                "\"sales\" is registered twice",
                "\"Send Mail\" must be 1 to 30 lower-case letters",
                "\"rebuild\" is the name of a queue",
                "\"sales-dead\" is the name of a queue",
            ],
        );
    }

    #[test]
    fn wrong_aggregates_are_reported() {
        let app = App::new("bank")
            .aggregate(account("account", &EXAMPLES))
            .aggregate(account("account", &EXAMPLES));
        assert_mistakes(app, &["category \"account\" is registered twice"]);
        assert_mistakes(
            App::new("bank").aggregate(account("access", &EXAMPLES)),
            &["it records reads of the audit trail"],
        );
        assert_mistakes(
            App::new("bank").aggregate(account("A-b", &EXAMPLES)),
            &["must be lower-case letters"],
        );
        let examples = &[EXAMPLES[0], r#"{"type": "Burn", "data": {}}"#];
        let parts = [
            "the command Close of",
            "the example of command Burn",
            "the command Burn of \"account\" has no schema",
        ];
        assert_mistakes(App::new("bank").aggregate(account("account", examples)), &parts);
    }

    #[test]
    fn a_name_that_no_table_can_have_is_reported() {
        assert_mistakes(
            App::new("my bank"),
            &["the app's name \"my bank\" must be 1 to 40 letters"],
        );
        assert_mistakes(
            App::new("my bank").named("bank").read_model(named("Bank")),
            &["\"Bank\" must be 1 to 30"],
        );
    }

    #[test]
    fn a_read_model_of_an_unknown_category_is_reported() {
        let fold = Projection { follows: Follows::Categories(&["purse"]), ..named("purses") };
        assert_mistakes(
            App::new("bank").read_model(fold),
            &["\"purses\" follows category \"purse\""],
        );
    }

    #[test]
    fn routes_to_missing_targets_are_reported() {
        let app = || App::new("bank").aggregate(account("account", &EXAMPLES));
        let view = |_: &projections::Row| Ok(String::new());
        assert_mistakes(
            app().routes([command("/a/{id}", "purse", "Open")]),
            &["category \"purse\", and there is no such"],
        );
        assert_mistakes(
            app().routes([command("/a/{id}", "account", "Burn")]),
            &["leads to command Burn"],
        );
        assert_mistakes(app().routes([row("/a/{id}", "accounts", view)]), &["no such read model"]);
        assert_mistakes(
            app().routes([list("/a", "accounts", "all", view)]),
            &["no such read model"],
        );
        assert_mistakes(
            app().routes([command("/a", "account", "Open")]),
            &["leads to a stream, and has no {key}"],
        );
        assert_mistakes(
            app().routes([command("a/{id}/{b}", "account", "Open")]),
            &["must be '/' and segments"],
        );
        assert_mistakes(
            app().routes([command("/audit/{id}", "account", "Open")]),
            &["begins with /audit, as paths of the system do"],
        );
        let twice =
            [command("/a/{id}", "account", "Open"), command("/a/{name}", "account", "Close")];
        assert_mistakes(app().routes(twice), &["\"/a/{name}\" is registered twice for POST"]);
    }
}
