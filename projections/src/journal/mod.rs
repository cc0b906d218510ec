//! The journal: one sequence of all commits, without a gap.
//!
//! Each commit gets a position: 1, 2, 3 and so on. The order is that of arrival, and within a
//! stream that of its versions. A late commit comes later, never in between. So a reader
//! that continues from a position gets each commit exactly once.
//!
//! | partition | sorted by | one item has |
//! |---|---|---|
//! | `{generation}/journal/{range}` | first position | a batch: up to 100 commits at consecutive positions |
//! | `{generation}/streams/{category}/{shard of 16}` | stream | where the stream ends in the journal |
//!
//! **No fork, no gap.** A batch is one put at the position after the last batch, if that position
//! is free. Of two writers one wins. The other reads the winner's batch and continues behind it.
//!
//! **No commit twice.** A writer compares commits with the ends of their streams. It writes the
//! ends of a batch before the next batch may be put. A crash in between leaves one batch whose
//! ends may be missing: the next writer reads that batch and completes them.
//!
//! **No stream out of order.** Commits between the end and a notified commit come from the store.
//!
//! **A restored table of events** has other commits under the same versions. They are journaled
//! after the last commit that journal and stream share. Nothing is taken back.
//!
//! **Cost.** A commit alone costs two write units: the batch and the end. A batch of 100 commits
//! of different streams costs some 1.2 units for each. A writer knows the ends of streams that it
//! wrote before, so reading costs nothing while it is the only one.
//!
//! **No hot partition of the past.** A range has 100,000 positions.

mod append;
mod batch;
mod end;
mod entry;
mod read;
mod stream_end;
mod streams;
mod table;

use crate::definition::consumer::Follows;
use crate::definition::projection::{Kind, Projection};
use crate::tables::removal::{RemoveCursor, RemovedSlice};
use crate::tables::table::{Table, TableError};
use append::Tail;
use aws_sdk_dynamodb::Client;
use eventstore::Segment;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

pub(crate) use append::{JournalWriter, PutOutcome};
pub use entry::JournalEntry;
pub use read::{JournalError, JournalPage, MAX_PAGE};
pub(crate) use stream_end::StreamEnd;
pub use streams::{JournaledStream, StreamsPage};

/// The projection.
pub const PROJECTION: Projection = Projection {
    name: "journal",
    shape: "journal/1",
    follows: Follows::All,
    // It does not read the events' data.
    knows: &|_| true,
    ignored: &[],
    kind: Kind::Journal,
};

/// The journal: a table, and what this process knows of its end. Cheap to clone; clones share what
/// they know.
#[derive(Clone)]
pub struct Journal {
    table: Table,
    state: Arc<State>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the journal in {}", self.table.name)
    }
}

struct State {
    /// For each generation where the next batch goes. Writers of one process take turns.
    tails: Mutex<HashMap<u32, Tail>>,
    /// The end that was read last, shared by all that wait for more.
    ends: Mutex<HashMap<u32, end::KnownEnd>>,
    /// The generation and the end of what this process appended last.
    appended: watch::Sender<(u32, u64)>,
}

impl Journal {
    /// The journal in the table of that name, which [`Journal::create_table`] or your own template
    /// makes.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let state = State {
            tails: Mutex::default(),
            ends: Mutex::default(),
            appended: watch::Sender::default(),
        };
        Self { table: Table { client, name: table.into() }, state: Arc::new(state) }
    }

    /// Creates the table, and waits until it can be used. Does nothing if it exists.
    ///
    /// # Errors
    /// [`TableError`] if DynamoDB does not create it.
    pub async fn create_table(&self) -> Result<(), TableError> {
        self.table.create_journal().await
    }

    /// Removes a generation's items among the next 500 items of a segment. Other generations are
    /// unchanged.
    ///
    /// # Errors
    /// [`TableError`]; the slice can be repeated.
    pub async fn remove_slice(
        &self,
        generation: u32,
        segment: Segment,
        cursor: Option<RemoveCursor>,
    ) -> Result<RemovedSlice, TableError> {
        self.state.tails.lock().await.remove(&generation);
        self.table.remove_slice(&table::removal(generation), segment, cursor).await
    }
}
