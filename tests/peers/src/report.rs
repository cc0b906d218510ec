//! The output of a run.

use crate::scenarios::Sizes;
use crate::scenarios::{cold, cost, hot, speed};
use serde::Serialize;
use std::fmt;

/// The versions that were built, from the lock file itself.
const LOCK: &str = include_str!("../Cargo.lock");

/// The machine and the versions.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    cores: usize,
    /// The machine's load before the run, over 1, 5 and 15 minutes.
    load_before: String,
    optimised: bool,
    packages: Vec<String>,
}

/// All samples; scenarios that were not selected are empty.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) environment: Environment,
    pub(crate) sizes: Sizes,
    pub(crate) cost: Vec<cost::Line>,
    pub(crate) speed: Vec<speed::Sample>,
    pub(crate) hot: Vec<hot::Sample>,
    pub(crate) hot_counted: Vec<hot::Counted>,
    pub(crate) cold: Vec<cold::Sample>,
}

/// A Markdown table with a heading and notes.
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) head: Vec<&'static str>,
    pub(crate) lines: Vec<Vec<String>>,
    pub(crate) notes: Vec<&'static str>,
}

impl Environment {
    pub(crate) fn now() -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let packages =
            ["dynoxide-rs", "aws-sdk-dynamodb", "cqrs-es", "dynamo-es", "event-store-adapter-rs"];
        Self {
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            load_before: load.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
            optimised: !cfg!(debug_assertions),
            packages: packages.iter().map(|name| format!("{name} {}", locked(name))).collect(),
        }
    }
}

fn locked(package: &str) -> &str {
    let name = format!("name = \"{package}\"\nversion = \"");
    LOCK.split_once(&name).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Environment { cores, load_before, optimised, packages } = &self.environment;
        writeln!(f, "Measured with {}.", packages.join(", "))?;
        writeln!(
            f,
            "{cores} cores, shared by client and engine; load before the run {load_before}."
        )?;
        if !optimised {
            writeln!(f, "**Not an optimised build: times mean nothing.**")?;
        }
        let mut tables = vec![cost::table(&self.cost)];
        tables.extend(speed::tables(&self.speed));
        tables.extend(hot::tables(&self.hot, &self.hot_counted));
        tables.extend([cold::table(&self.cold), cold::command_table(&self.cold)]);
        tables.retain(|table| !table.lines.is_empty());
        tables.iter().try_for_each(|table| write!(f, "\n{table}"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.head.len()))?;
        for line in &self.lines {
            writeln!(f, "| {} |", line.join(" | "))?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_the_peers_are_known() {
        for package in Environment::now().packages {
            assert!(!package.ends_with("unknown"), "{package}");
        }
    }

    #[test]
    fn a_table_is_markdown() {
        let lines = vec![vec!["a".to_owned(), "1".to_owned()]];
        let table =
            Table { title: "T".to_owned(), head: vec!["row", "n"], lines, notes: vec!["so"] };
        assert_eq!(table.to_string(), "### T\n\n| row | n |\n|---|---|\n| a | 1 |\n\n- so\n");
    }
}
