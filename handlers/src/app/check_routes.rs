//! Checks an app's routes at start.

use super::{AnyAggregate, App, CommandRoute, Route, Target};
use projections::{Kind, Projection};
use std::collections::BTreeSet;

/// The first segments of the paths that every system has.
const PATHS_OF_SYSTEM: [&str; 7] =
    ["audit", "commands", "console", "healthz", "openapi.json", "projections", "readyz"];

impl App {
    pub(super) fn check_routes(&self) -> Vec<String> {
        let (mut paths, mut mistakes) = (BTreeSet::new(), Vec::new());
        for route in &self.routes {
            let path = route.path;
            let method = match &route.to {
                Target::Command(to) => {
                    mistakes.extend(self.check_command_route(route, to));
                    "POST"
                }
                Target::Across(name) => {
                    if !self.commands_across().iter().any(|command| command.name == *name) {
                        mistakes.push(format!(
                            "{path} leads to {name:?}, and there is no such command over several streams"
                        ));
                    }
                    if route.parameter().is_some() {
                        mistakes.push(format!(
                            "{path} has a {{key}}, and its command names its streams in its body"
                        ));
                    }
                    "POST"
                }
                Target::Row(to) => {
                    mistakes.extend(self.check_rows(path, to.read_model));
                    if route.parameter().is_none() {
                        mistakes.push(format!("{path} leads to a row, and has no {{key}}"));
                    }
                    "GET"
                }
                Target::List(to) => {
                    mistakes.extend(self.check_rows(path, to.row.read_model));
                    if route.parameter().is_some() != to.list.contains("{}") {
                        mistakes.push(format!(
                            "{path} and the list {:?} must both have a key, or neither",
                            to.list
                        ));
                    }
                    "GET"
                }
            };
            if !is_path(path) {
                mistakes.push(format!(
                    "the path {path:?} must be '/' and segments, one of them a {{key}} at most"
                ));
            }
            if let Some(first) =
                path.split('/').nth(1).filter(|first| PATHS_OF_SYSTEM.contains(first))
            {
                mistakes.push(format!(
                    "the path {path:?} begins with /{first}, as paths of the system do"
                ));
            }
            if !paths.insert((method, template(path))) {
                mistakes.push(format!("the path {path:?} is registered twice for {method}"));
            }
        }
        for router in self.extra_routes() {
            for (path, item) in &router.get_openapi().paths.paths {
                let methods = [("GET", item.get.is_some()), ("POST", item.post.is_some())];
                for (method, _) in methods.iter().filter(|(_, serves)| *serves) {
                    if !paths.insert((method, template(path))) {
                        mistakes
                            .push(format!("the path {path:?} is registered twice for {method}"));
                    }
                }
            }
        }
        mistakes
    }

    fn check_command_route(&self, route: &Route, to: &CommandRoute) -> Vec<String> {
        let (path, mut mistakes) = (route.path, Vec::new());
        let CommandRoute { category, command, creates } = to;
        let has_command = |aggregate: &dyn AnyAggregate| {
            aggregate.examples().iter().any(|(name, _)| name == command)
        };
        match self.aggregate_of(category) {
            None => mistakes.push(format!(
                "{path} leads to category {category:?}, and there is no such aggregate"
            )),
            Some(aggregate) if !has_command(aggregate.as_ref()) => mistakes.push(format!(
                "{path} leads to command {command}, and {category:?} has no such command"
            )),
            Some(_) => {}
        }
        if creates.is_none() && route.parameter().is_none() {
            mistakes.push(format!("{path} leads to a stream, and has no {{key}}"));
        }
        mistakes
    }

    fn check_rows(&self, path: &str, read_model: &str) -> Option<String> {
        let has_rows = |known: &Projection| {
            matches!(known.kind, Kind::SingleStream { .. } | Kind::MultiStream { .. })
        };
        let unknown = !self.consumer(read_model).is_some_and(has_rows);
        unknown.then(|| format!("{path} leads to {read_model:?}, and there is no such read model"))
    }
}

/// The path without the name of its parameter: paths that differ only there are one path.
fn template(path: &str) -> String {
    match (path.find('{'), path.find('}')) {
        (Some(from), Some(to)) if from < to => {
            format!(
                "{}{{}}{}",
                path.get(..from).unwrap_or_default(),
                path.get(to + 1..).unwrap_or_default()
            )
        }
        _ => path.to_owned(),
    }
}

fn is_path(path: &str) -> bool {
    let fits = |segment: &str| {
        let key = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let text = key.unwrap_or(segment);
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    path.matches('{').count() <= 1
        && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(fits))
}
