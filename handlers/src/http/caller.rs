//! Who calls: the one whose token was checked, before a request comes here.

use eventstore::Id;
use std::collections::BTreeSet;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Send commands, and ask what became of them.
    Write,
    /// Read orders, stock and reports.
    Read,
    /// Ask who did what, when and why.
    Audit,
    /// Operate projections.
    Operate,
}

/// Who calls, and what they may do. Whoever checks the token puts it among the extensions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's subject.
    pub actor: Id,
    /// What the token grants.
    pub scopes: BTreeSet<Scope>,
}

impl Scope {
    /// What the scope is called in a token.
    pub fn name(self) -> &'static str {
        match self {
            Self::Write => "ledgerfold/write",
            Self::Read => "ledgerfold/read",
            Self::Audit => "ledgerfold/audit",
            Self::Operate => "ledgerfold/operate",
        }
    }
}
