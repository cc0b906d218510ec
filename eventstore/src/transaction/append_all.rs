//! Appends to several streams at once: all or none.

use super::parts::{AppendAllError, AppendedAll, AppendedPart, Part};
use super::transact_items::{Cancellation, Transaction, is_of};
use crate::error::classify;
use crate::log::append::refuse_types_of_store;
use crate::metering::meter;
use crate::{CommandMetadata, EventStore, Head, ReadError, StoreError, StreamId, Usage};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsError, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::types::ReturnConsumedCapacity;
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use std::sync::Arc;

impl EventStore {
    /// Appends the events of one command to several streams, each after its head, in one request:
    /// all or none.
    ///
    /// `unmoved` are heads of further streams that the command was decided on but has no events
    /// for. Nothing is written there, but the command is refused if one of them has a newer commit.
    /// Parts and `unmoved` are at most [`MAX_STREAMS`](crate::MAX_STREAMS) together.
    ///
    /// # A command is written once
    /// The stored fingerprint covers that of the metadata and the names of all streams. So only
    /// this function writes such commits, and only for this command over these streams. It writes
    /// all or none: **one of the commits proves that all exist**. A call that is refused by a
    /// commit of its own command therefore returns what was recorded in all streams
    /// ([`AppendedAll::repeated`]). It reads only those commits that the refusal did not return.
    /// This holds if at least one head is older than the recorded commits. A caller that has read
    /// **all** streams again must look for the command's id in them, as for [`EventStore::append`];
    /// [`CommandHandler::handle_all`](crate::CommandHandler::handle_all) does.
    ///
    /// None of this relies on DynamoDB's own idempotency, which lasts ten minutes. The SDK makes a
    /// token for each call and reuses it in its retries. A token derived from the command would be
    /// the same for a later call, whose items differ by time and write nonce. DynamoDB would refuse
    /// that as a mismatch and return no items. A call with a fresh token is refused by the commits
    /// themselves.
    ///
    /// # Errors
    /// [`AppendAllError`]. Nothing is written, except that after a [`StoreError`] an earlier
    /// attempt of the SDK may have succeeded: retry with the same id.
    /// [`AppendAllError::TransactionConflict`] is not retried here, because the command loop limits
    /// the attempts.
    pub async fn append_all(
        &self,
        metadata: &CommandMetadata,
        parts: Vec<Part>,
        unmoved: &[Head],
    ) -> Result<AppendedAll, AppendAllError> {
        if parts.is_empty() {
            return Err(AppendAllError::NoStream);
        }
        refuse_types_of_store(parts.iter().flat_map(|part| &part.events))
            .map_err(AppendAllError::TypeOfStore)?;
        self.transact(metadata, parts, unmoved).await
    }

    /// [`EventStore::append_all`]. Without parts it only checks that all streams still end at their
    /// heads.
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
            // The clock may have been set back since this command was recorded, so look for it
            // before refusing it.
            let heads: Vec<Head> =
                parts.into_iter().map(|part| part.head).chain(unmoved.iter().cloned()).collect();
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
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) =
            error.as_service_error()
        else {
            return Err(classify(error, &self.table).into());
        };
        let reasons = canceled.cancellation_reasons();
        match transaction.cancellation(reasons)? {
            Cancellation::AlreadyWritten => Ok(written(transaction, usage)),
            Cancellation::Recorded(found) => {
                let streams: Vec<StreamId> = transaction.streams().cloned().collect();
                self.recorded(&streams, &transaction.metadata, found, usage).await
            }
            Cancellation::IdReused => {
                Err(AppendAllError::CommandIdReused(transaction.metadata.command_id))
            }
            Cancellation::Conflict(winners) => Err(AppendAllError::Conflict { winners, usage }),
            Cancellation::TransactionConflict(streams) => {
                Err(AppendAllError::TransactionConflict { streams, usage })
            }
            Cancellation::Throttled => Err(StoreError::Throttled(Arc::new(error)).into()),
            Cancellation::Unknown => Err(StoreError::Rejected(Arc::new(error)).into()),
        }
    }

    /// The recorded result of a command of which some commits were found; the others are read. A
    /// stream without events of the command has none.
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
            Ok(commit
                .filter(|commit| is_of(commit, metadata))
                .map(|commit| AppendedPart::new(stream, commit)))
        };
        let (read, cost) = meter::measure(try_join_all(missing.map(find))).await;
        found.extend(
            read.map_err(|error: ReadError| AppendAllError::from(error))?.into_iter().flatten(),
        );
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
