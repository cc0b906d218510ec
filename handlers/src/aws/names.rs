//! The names of tables and queues.

use projections::Consumer;
use std::str::FromStr;

/// Names with a prefix, so that several systems fit into one account.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

/// A prefix that is too long or has other characters than every kind of name allows; queues have
/// the strictest: 80 characters with what is added, letters, digits, `-` and `_`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("1 to 40 letters, digits, '-' and '_'")]
pub struct InvalidPrefix;

impl FromStr for Names {
    type Err = InvalidPrefix;

    fn from_str(prefix: &str) -> Result<Self, InvalidPrefix> {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (1..=40).contains(&prefix.len()) && prefix.bytes().all(is_known);
        if fits { Ok(Self::new(prefix)) } else { Err(InvalidPrefix) }
    }
}

impl Names {
    /// The names with that prefix.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// What follows the app's name in the prefix: `prod` of `ledgerfold-prod`. All of it, if the
    /// prefix is another one.
    pub fn stage_of(&self, app: &str) -> &str {
        let rest = self.prefix.strip_prefix(app).and_then(|rest| rest.strip_prefix('-'));
        rest.filter(|rest| !rest.is_empty()).unwrap_or(&self.prefix)
    }

    /// The table of events.
    pub fn events(&self) -> String {
        format!("{}-events", self.prefix)
    }

    /// The table of read models.
    pub fn read_models(&self) -> String {
        format!("{}-read-models", self.prefix)
    }

    /// The table of the audit index.
    pub fn audit_index(&self) -> String {
        format!("{}-audit-index", self.prefix)
    }

    /// The table of the journal.
    pub fn journal(&self) -> String {
        format!("{}-journal", self.prefix)
    }

    /// The table of commands that are answered later.
    pub fn commands(&self) -> String {
        format!("{}-commands", self.prefix)
    }

    /// The queue of commands that are answered later.
    pub fn command_queue(&self) -> String {
        format!("{}-commands.fifo", self.prefix)
    }

    /// The dead-letter queue of those commands.
    pub fn command_dead_letter_queue(&self) -> String {
        format!("{}-commands-dead.fifo", self.prefix)
    }

    /// The queue of a consumer.
    pub fn queue(&self, consumer: &Consumer) -> String {
        format!("{}-{}.fifo", self.prefix, consumer.name)
    }

    /// The dead-letter queue of a consumer.
    pub fn dead_letter_queue(&self, consumer: &Consumer) -> String {
        format!("{}-{}-dead.fifo", self.prefix, consumer.name)
    }

    /// The queue of jobs: tasks of rebuilds.
    pub fn rebuild_queue(&self) -> String {
        format!("{}-rebuild.fifo", self.prefix)
    }

    /// The dead-letter queue of jobs.
    pub fn rebuild_dead_letter_queue(&self) -> String {
        format!("{}-rebuild-dead.fifo", self.prefix)
    }
}
