//! Appending to several streams at once: all of them or none.

use super::parts::{AppendAllError, AppendedAll, AppendedPart, Part};
use super::transact_items::{Cancellation, Transaction, is_of};
use crate::error::classify;
use crate::log::append::refuse_types_of_store;
use crate::metering::meter;
use crate::{CommandMetadata, EventStore, Head, ReadError, StoreError, StreamId, Usage};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsOutput};
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use std::sync::Arc;

impl EventStore {
    /// Appends one command's events to several streams, each behind its head: all of them or none, in one request.
    ///
    /// `unmoved` are ends of further streams that the command was decided on but has no events for: nothing is written
    /// there, but the command is refused if one of them goes on. Parts and `unmoved` are at most [`MAX_STREAMS`] together.
    ///
    /// # A command is written once
    /// The commits bear the envelope with another fingerprint: one made of the envelope's and of the names of all the
    /// streams. So only this function, for this command over these streams, writes such commits, and because it writes all
    /// of them or none, **whoever meets one of them knows that all are there**. A call that is refused by a commit of its own
    /// command, in whichever stream, therefore answers with what was recorded in all of them ([`AppendedAll::repeated`]),
    /// and has only to read those that did not come back with the refusal. That holds as long as one of the heads is
    /// older than the recorded commits. A caller who has loaded **all** streams anew must look for the command's id in what it loaded, as for
    /// [`EventStore::append`]; [`CommandHandler::handle_all`](crate::CommandHandler::handle_all) does.
    ///
    /// None of this relies on DynamoDB's own memory of transactions, which lasts ten minutes. Each call has a
    /// token of its own there, made by the SDK and kept through the SDK's retries. A token derived from the command would
    /// be the same for a later call, whose items differ by time and put id, and would be refused as
    /// a mismatch that brings nothing back; a fresh one is refused by the commits themselves.
    ///
    /// # Errors
    /// [`AppendAllError`]; nothing is written, but that after any [`StoreError`] it may have been (an earlier try of the
    /// SDK): send it again with the same id. [`AppendAllError::TransactionConflict`] is not tried again in here, because
    /// the one who decides has to know how often it may be.
    pub async fn append_all(
        &self,
        metadata: &CommandMetadata,
        parts: Vec<Part>,
        unmoved: &[Head],
    ) -> Result<AppendedAll, AppendAllError> {
        if parts.is_empty() {
            return Err(AppendAllError::NoStream);
        }
        refuse_types_of_store(parts.iter().flat_map(|part| &part.events)).map_err(AppendAllError::TypeOfStore)?;
        self.transact(metadata, parts, unmoved).await
    }

    /// [`EventStore::append_all`], which without any part only asks whether all the streams still end where they did.
    pub(crate) async fn transact(
        &self,
        metadata: &CommandMetadata,
        parts: Vec<Part>,
        unmoved: &[Head],
    ) -> Result<AppendedAll, AppendAllError> {
        self.reported("append_all", None, self.append_parts(metadata, parts, unmoved)).await
    }

    async fn append_parts(
        &self,
        metadata: &CommandMetadata,
        parts: Vec<Part>,
        unmoved: &[Head],
    ) -> Result<AppendedAll, AppendAllError> {
        let now = self.now();
        if let Err(error) = self.check_time(&metadata.command_id, now) {
            // The clock may have been set back since the very command was recorded: known first, refused second.
            let heads: Vec<Head> = parts.into_iter().map(|part| part.head).chain(unmoved.iter().cloned()).collect();
            let unmoved = self.send_parts(now, metadata, Vec::new(), &heads).await?;
            return if unmoved.repeated { Ok(unmoved) } else { Err(error.into()) };
        }
        self.send_parts(now, metadata, parts, unmoved).await
    }

    async fn send_parts(
        &self,
        now: DateTime<Utc>,
        metadata: &CommandMetadata,
        parts: Vec<Part>,
        unmoved: &[Head],
    ) -> Result<AppendedAll, AppendAllError> {
        let (transaction, items) = Transaction::new(now, metadata, parts, unmoved)?;
        let actions = Transaction::actions(&self.table, items, unmoved)?;
        let request = self.client.transact_write_items().set_transact_items(Some(actions));
        let request = request.return_consumed_capacity(ReturnConsumedCapacity::Total);
        match meter::request(request.send(), |answer| units(answer, &transaction)).await {
            (Ok(_), usage) => Ok(written(transaction, usage)),
            (Err(error), usage) => self.canceled(transaction, error, usage).await,
        }
    }

    async fn canceled(
        &self,
        transaction: Transaction,
        error: SdkError<TransactWriteItemsError>,
        usage: Usage,
    ) -> Result<AppendedAll, AppendAllError> {
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(classify(error, &self.table).into());
        };
        let reasons = canceled.cancellation_reasons();
        match transaction.cancellation(reasons)? {
            Cancellation::AlreadyWritten => Ok(written(transaction, usage)),
            Cancellation::Recorded(found) => {
                let streams: Vec<StreamId> = transaction.streams().cloned().collect();
                self.recorded(&streams, &transaction.metadata, found, usage).await
            }
            Cancellation::IdReused => Err(AppendAllError::CommandIdReused(transaction.metadata.command_id)),
            Cancellation::Conflict(winners) => Err(AppendAllError::Conflict { winners, usage }),
            Cancellation::TransactionConflict(streams) => Err(AppendAllError::TransactionConflict { streams, usage }),
            Cancellation::Throttled => Err(StoreError::Throttled(Arc::new(error)).into()),
            Cancellation::Unknown => Err(StoreError::Rejected(Arc::new(error)).into()),
        }
    }

    /// The recorded result of a command of which some commits were found: the others are read. A stream that stood still
    /// for the command has none.
    pub(crate) async fn recorded(
        &self,
        streams: &[StreamId],
        metadata: &CommandMetadata,
        mut found: Vec<AppendedPart>,
        mut usage: Usage,
    ) -> Result<AppendedAll, AppendAllError> {
        let known = |stream: &StreamId| found.iter().any(|part| part.head.stream == *stream);
        let missing = streams.iter().filter(|stream| !known(stream));
        let find = |stream| async move {
            let commit = self.find_recorded(stream, &metadata.command_id).await?;
            Ok(commit.filter(|commit| is_of(commit, metadata)).map(|commit| AppendedPart::new(stream, commit)))
        };
        let (read, cost) = meter::measure(try_join_all(missing.map(find))).await;
        found.extend(read.map_err(|error: ReadError| AppendAllError::from(error))?.into_iter().flatten());
        usage += cost;
        found.sort_by_key(|part| streams.iter().position(|stream| *stream == part.head.stream));
        Ok(AppendedAll { parts: found, repeated: true, usage })
    }
}

fn units(
    answer: &Result<TransactWriteItemsOutput, SdkError<TransactWriteItemsError>>,
    transaction: &Transaction,
) -> Usage {
    match answer {
        Ok(output) => Usage::transaction(output.consumed_capacity()),
        Err(error) => match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                transaction.cost_of_refusal(canceled.cancellation_reasons())
            }
            _ => Usage::default(),
        },
    }
}

fn written(transaction: Transaction, usage: Usage) -> AppendedAll {
    AppendedAll { parts: transaction.written(), repeated: false, usage }
}
