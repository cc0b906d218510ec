//! What the tables and queues are called.

use projections::Projection;

/// Names with a prefix, so that several systems fit into one account.
#[derive(Debug, Clone)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with the prefix.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The table of events.
    pub fn events(&self) -> String {
        format!("{}-events", self.prefix)
    }

    /// The table of read models.
    pub fn read_models(&self) -> String {
        format!("{}-read-models", self.prefix)
    }

    /// The index of all events.
    pub fn audit_index(&self) -> String {
        format!("{}-audit-index", self.prefix)
    }

    /// The queue of a projection.
    pub fn queue(&self, projection: &Projection) -> String {
        format!("{}-{}.fifo", self.prefix, projection.name)
    }

    /// The dead-letter queue of a projection.
    pub fn dead_letter_queue(&self, projection: &Projection) -> String {
        format!("{}-{}-dead.fifo", self.prefix, projection.name)
    }
}
