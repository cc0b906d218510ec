//! What a team registers: one value, from which the whole system follows.

use projections::{Projection, audit};
use std::collections::BTreeSet;

/// The read models and processes of one system, and how it is called. The audit index is part of every app.
#[derive(Debug, Clone)]
pub struct App {
    name: &'static str,
    consumers: Vec<Projection>,
}

/// Registrations that contradict each other, all of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the app {app} cannot run: {}", .wrong.join("; "))]
pub struct BadApp {
    /// The app's name.
    pub app: &'static str,
    /// A sentence for each mistake.
    pub wrong: Vec<String>,
}

/// The most characters of a name that is part of a queue's name.
const MAX_NAME: usize = 30;
/// Queues that every system has.
const QUEUES_OF_SYSTEM: [&str; 2] = ["commands", "rebuild"];
/// What the name of a dead-letter queue ends with.
const DEAD: &str = "-dead";

impl App {
    /// An app without read models and processes.
    pub fn new(name: &'static str) -> Self {
        Self { name, consumers: vec![audit::PROJECTION] }
    }

    /// The same with a read model.
    #[must_use]
    pub fn read_model(mut self, projection: Projection) -> Self {
        // The audit index stays behind the read models, processes come last: so lists show them.
        let place = self.consumers.iter().position(|known| known.name == audit::PROJECTION.name);
        self.consumers.insert(place.unwrap_or(0), projection);
        self
    }

    /// The same with a process.
    #[must_use]
    pub fn process(mut self, projection: Projection) -> Self {
        self.consumers.push(projection);
        self
    }

    /// How the app is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Everything that has a queue and can be operated: read models, the audit index, processes.
    pub fn consumers(&self) -> &[Projection] {
        &self.consumers
    }

    /// The one of that name.
    pub fn consumer(&self, name: &str) -> Option<&Projection> {
        self.consumers.iter().find(|projection| projection.name == name)
    }

    /// What can be rebuilt: read models and the audit index.
    pub fn read_models(&self) -> impl Iterator<Item = &Projection> {
        self.consumers.iter().filter(|projection| projection.is_read_model())
    }

    /// Checks the registrations.
    ///
    /// # Errors
    /// [`BadApp`], with every mistake.
    pub fn checked(self) -> Result<Self, BadApp> {
        let (mut names, mut wrong) = (BTreeSet::new(), Vec::new());
        for Projection { name, .. } in &self.consumers {
            if !is_queue_name(name) {
                wrong.push(format!("the name {name:?} must be 1 to {MAX_NAME} lower-case letters, digits and '-'"));
            }
            if QUEUES_OF_SYSTEM.contains(name) || name.ends_with(DEAD) {
                wrong.push(format!("the name {name:?} is that of a queue that every system has"));
            }
            if !names.insert(name) {
                wrong.push(format!("the name {name:?} is registered twice"));
            }
        }
        if wrong.is_empty() { Ok(self) } else { Err(BadApp { app: self.name, wrong }) }
    }
}

fn is_queue_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bookshop;

    fn named(name: &'static str) -> Projection {
        Projection { name, ..audit::PROJECTION }
    }

    #[test]
    fn an_app_lists_read_models_then_the_audit_index_then_processes() {
        let names: Vec<&str> = bookshop().consumers().iter().map(|projection| projection.name).collect();
        assert_eq!(names, ["orders", "stock", "bestsellers", "audit", "fulfilment"]);
        assert!(bookshop().checked().is_ok());
    }

    #[test]
    fn all_wrong_registrations_are_told_in_one_message() {
        let app = App::new("shop").read_model(named("sales")).read_model(named("sales"));
        let app = app.process(named("Send Mail")).process(named("rebuild")).read_model(named("sales-dead"));
        let told = app.checked().unwrap_err().to_string();
        for part in [
            "the app shop cannot run",
            "\"sales\" is registered twice",
            "\"Send Mail\" must be 1 to 30 lower-case letters",
            "\"rebuild\" is that of a queue",
            "\"sales-dead\" is that of a queue",
        ] {
            assert!(told.contains(part), "not {part:?}: {told}");
        }
    }
}
