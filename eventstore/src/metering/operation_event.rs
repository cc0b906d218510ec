//! The tracing event of each operation of the store: what it did, how it ended and what it cost.
//!
//! Target `eventstore`, level debug, message "store operation". What is built of these operations
//! ([`CommandHandler::handle`](crate::CommandHandler::handle)) has no event of its own: the sum of the events is the sum of the requests.

use crate::command::stream_loader::{RecallError, Recalled};
use crate::error::Fault;
use crate::log::append::{AppendError, Appended};
use crate::log::existing_streams::Begun;
use crate::log::read::{Loaded, Page, ReadError};
use crate::log::scan::{ScanPage, Streams};
use crate::log::verify::Verification;
use crate::metering::meter::Books;
use crate::snapshot::stored::Unwritten;
use crate::transaction::append_all::{AppendAllError, AppendedAll};
use crate::{Commit, EventStore, Head, StreamId, Usage};
use std::sync::Arc;

const TARGET: &str = "eventstore";

/// What there is to tell of an operation's end, made of its answer or its error.
pub(crate) struct Report {
    outcome: &'static str,
    /// Where the stream ended.
    version: Option<u64>,
    commits: Option<u64>,
    events: Option<u64>,
}

/// An operation under way. Its event is written when it is dropped, however it ends.
struct Operation<'a> {
    name: &'static str,
    table: &'a str,
    stream: Option<&'a StreamId>,
    books: Arc<Books>,
    report: Report,
}

impl EventStore {
    /// Does the work of an operation and writes its event. Costs nothing where nobody listens.
    pub(crate) async fn reported<T, E>(
        &self,
        name: &'static str,
        stream: Option<&StreamId>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        for<'a> Report: From<&'a T> + From<&'a E>,
    {
        if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            return work.await;
        }
        let (books, report) = (Books::within(), Report::outcome("abandoned"));
        let mut operation = Operation { name, table: &self.table, stream, books: books.clone(), report };
        let ended = books.keep(work).await;
        operation.report = match &ended {
            Ok(answer) => Report::from(answer),
            Err(error) => Report::from(error),
        };
        ended
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let Usage { requests, attempts, write_units, read_units, bytes_sent, bytes_received } = self.books.sum();
        let Report { outcome, version, commits, events } = self.report;
        tracing::debug!(
            target: TARGET,
            operation = self.name,
            table = self.table,
            stream = self.stream.map(StreamId::as_str),
            version,
            commits,
            events,
            requests,
            attempts,
            write_units,
            read_units,
            bytes_sent,
            bytes_received,
            outcome,
            "store operation"
        );
    }
}

impl Report {
    fn outcome(outcome: &'static str) -> Self {
        Self { outcome, version: None, commits: None, events: None }
    }

    fn of<'a>(commits: impl Iterator<Item = &'a Commit>) -> Self {
        let (mut seen, mut events) = (0_u64, 0_u64);
        for commit in commits {
            (seen, events) = (seen + 1, events + commit.last_version() + 1 - commit.version);
        }
        Self { commits: Some(seen), events: Some(events), ..Self::outcome("ok") }
    }

    fn at(self, head: &Head) -> Self {
        Self { version: Some(head.version), ..self }
    }
}

impl From<&Appended> for Report {
    fn from(Appended { batch, head, repeated, .. }: &Appended) -> Self {
        let outcome = if *repeated { "repeated" } else { "ok" };
        Self { outcome, ..Self::of(batch.commits.iter()).at(head) }
    }
}

impl From<&AppendedAll> for Report {
    fn from(AppendedAll { parts, repeated, .. }: &AppendedAll) -> Self {
        let outcome = if *repeated { "repeated" } else { "ok" };
        Self { outcome, ..Self::of(parts.iter().map(|part| &part.commit)) }
    }
}

impl From<&AppendAllError> for Report {
    fn from(error: &AppendAllError) -> Self {
        Self::outcome(match error {
            AppendAllError::Conflict { .. } => "conflict",
            AppendAllError::TransactionConflict { .. } => "transaction_conflict",
            AppendAllError::CommandIdReused(_) => "command_id_reused",
            AppendAllError::NoStream | AppendAllError::Empty(_) => "empty",
            AppendAllError::TypeOfStore(_) => "type_of_store",
            AppendAllError::TooManyStreams { .. } => "too_many_streams",
            AppendAllError::StreamTwice(_) => "stream_twice",
            AppendAllError::TooLarge { .. } | AppendAllError::TotalTooLarge { .. } => "too_large",
            AppendAllError::StreamFull(_) => "stream_full",
            AppendAllError::FromTheFuture(_) => "from_the_future",
            AppendAllError::Damaged(_) => "damaged",
            AppendAllError::Fault(fault) => return fault.into(),
        })
    }
}

impl From<&Loaded> for Report {
    fn from(Loaded { head, batches, .. }: &Loaded) -> Self {
        Self::of(batches.iter().flat_map(|batch| &batch.commits)).at(head)
    }
}

impl From<&(Head, Usage)> for Report {
    fn from((head, _): &(Head, Usage)) -> Self {
        Self::outcome("ok").at(head)
    }
}

impl<S> From<&Recalled<S>> for Report {
    fn from(Recalled { known, folded, .. }: &Recalled<S>) -> Self {
        Self::of(folded.iter().flat_map(|batch| &batch.commits)).at(&known.head)
    }
}

/// The commit that was searched, if it was found.
impl From<&Option<Commit>> for Report {
    fn from(found: &Option<Commit>) -> Self {
        Self::of(found.iter())
    }
}

/// The bytes of a snapshot that was written.
impl From<&usize> for Report {
    fn from(_: &usize) -> Self {
        Self::outcome("ok")
    }
}

impl From<&Begun> for Report {
    fn from(_: &Begun) -> Self {
        Self::outcome("ok")
    }
}

impl From<&Page> for Report {
    fn from(page: &Page) -> Self {
        Self::of(page.commits.iter())
    }
}

impl From<&ScanPage> for Report {
    fn from(page: &ScanPage) -> Self {
        Self::of(page.batches.iter().flat_map(|batch| &batch.commits))
    }
}

impl From<&Streams> for Report {
    fn from(_: &Streams) -> Self {
        Self::outcome("ok")
    }
}

impl From<&Verification> for Report {
    fn from(walk: &Verification) -> Self {
        let outcome = if walk.verified() { "ok" } else { "broken" };
        Self { commits: Some(walk.commits), ..Self::outcome(outcome) }.at(&walk.head)
    }
}

impl From<&AppendError> for Report {
    fn from(error: &AppendError) -> Self {
        Self::outcome(match error {
            AppendError::Conflict { .. } => "conflict",
            AppendError::TransactionConflict => "transaction_conflict",
            AppendError::Empty => "empty",
            AppendError::TypeOfStore(_) => "type_of_store",
            AppendError::TooLarge(_) => "too_large",
            AppendError::StreamFull => "stream_full",
            AppendError::FromTheFuture(_) => "from_the_future",
            AppendError::Damaged(_) => "damaged",
            AppendError::Fault(fault) => return fault.into(),
        })
    }
}

impl From<&ReadError> for Report {
    fn from(error: &ReadError) -> Self {
        match error {
            ReadError::Damaged(_) => Self::outcome("damaged"),
            ReadError::Fault(fault) => fault.into(),
        }
    }
}

impl From<&RecallError> for Report {
    fn from(error: &RecallError) -> Self {
        match error {
            RecallError::Read(error) => error.into(),
            RecallError::Unreadable(_) => Self::outcome("unreadable"),
        }
    }
}

impl From<&Unwritten> for Report {
    fn from(error: &Unwritten) -> Self {
        match error {
            Unwritten::NewerIsThere => Self::outcome("conflict"),
            Unwritten::TooLarge => Self::outcome("too_large"),
            Unwritten::Fault(fault) => fault.into(),
        }
    }
}

impl From<&Fault> for Report {
    fn from(fault: &Fault) -> Self {
        Self::outcome(match fault {
            Fault::Throttled(_) => "throttled",
            Fault::Unavailable(_) => "unavailable",
            Fault::NoTable { .. } => "no_table",
            Fault::Rejected(_) => "rejected",
        })
    }
}
