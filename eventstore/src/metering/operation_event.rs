//! The tracing event of each operation of the store: what it did, how it ended and what it cost.
//!
//! Target `eventstore`, level debug, message "store operation". A combined operation such as
//! [`CommandHandler::handle`](crate::CommandHandler::handle) has no event, so that the sum of the
//! events is the sum of the requests.

use super::meter::UsageScope;
use crate::{Commit, EventStore, Head, StreamId, Usage};
use std::sync::Arc;

const TARGET: &str = "eventstore";

/// The outcome of an operation, from its answer or its error.
pub(crate) struct OperationReport {
    pub(crate) outcome: &'static str,
    /// The version at the end of the stream.
    pub(crate) version: Option<u64>,
    pub(crate) commits: Option<u64>,
    pub(crate) events: Option<u64>,
}

/// A running operation. Its event is written on drop, however it ends.
struct Operation<'a> {
    name: &'static str,
    table: &'a str,
    stream: Option<&'a StreamId>,
    scope: Arc<UsageScope>,
    report: OperationReport,
}

impl EventStore {
    /// Runs an operation and writes its event. Costs nothing if the event is disabled.
    pub(crate) async fn reported<T, E>(
        &self,
        name: &'static str,
        stream: Option<&StreamId>,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E>
    where
        for<'a> OperationReport: From<&'a T> + From<&'a E>,
    {
        if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
            return work.await;
        }
        let (scope, report) = (UsageScope::nested(), OperationReport::outcome("abandoned"));
        let mut operation =
            Operation { name, table: &self.table, stream, scope: scope.clone(), report };
        let ended = scope.run(work).await;
        operation.report = match &ended {
            Ok(answer) => OperationReport::from(answer),
            Err(error) => OperationReport::from(error),
        };
        ended
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let Usage { requests, attempts, write_units, read_units, bytes_sent, bytes_received } =
            self.scope.sum();
        let OperationReport { outcome, version, commits, events } = self.report;
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

impl OperationReport {
    pub(crate) fn outcome(outcome: &'static str) -> Self {
        Self { outcome, version: None, commits: None, events: None }
    }

    pub(crate) fn of<'a>(commits: impl Iterator<Item = &'a Commit>) -> Self {
        let (mut seen, mut events) = (0_u64, 0_u64);
        for commit in commits {
            (seen, events) = (seen + 1, events + commit.last_version() + 1 - commit.version);
        }
        Self { commits: Some(seen), events: Some(events), ..Self::outcome("ok") }
    }

    pub(crate) fn at(self, head: &Head) -> Self {
        Self { version: Some(head.version), ..self }
    }
}
