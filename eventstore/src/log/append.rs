//! Appends a batch of commits after a head: one conditional put.

use super::item::{STREAM_ID, has_write_nonce, item_bytes};
use super::read::Query;
use crate::error::classify;
use crate::metering::meter;
use crate::metering::operation_event::OperationReport;
use crate::stream::commit::{OF_STORE, storable};
use crate::{
    Batch, Commit, Consistency, CorruptStream, Direction, EventStore, Head, Id, Item, MAX_VERSION,
    NewCommit, StoreError,
};
use crate::{NewEvent, TooLarge, Usage};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, Utc};

/// The condition of every put: no item is there. `#stream` is the partition key, because `stream`
/// is a reserved word.
pub(crate) const NO_ITEM_CONDITION: &str = "attribute_not_exists(#stream)";

/// The result of an append.
#[derive(Debug, Clone)]
pub struct Appended {
    /// The stored batch.
    pub batch: Batch,
    /// The new head of the stream.
    pub head: Head,
    /// Whether another call had put commits of the same commands. Then `batch` is the stored one.
    pub repeated: bool,
    /// What it cost.
    pub usage: Usage,
    /// The size of the item.
    pub(crate) bytes: usize,
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Another batch is stored after the head. It is included, so that no read is needed.
    #[error("another batch is stored after the given head")]
    Conflict {
        /// The stored batch.
        winner: Box<Batch>,
        /// The cost of the refused put.
        usage: Usage,
    },
    /// A transaction on the same item was in progress: retry.
    #[error("a transaction on the end of the stream was in progress")]
    TransactionConflict,
    /// There is no commit, or a commit has no event.
    #[error("a commit has at least one event, and a batch at least one commit")]
    Empty,
    /// The event has a type that only the store writes.
    #[error("event type {0:?} begins with {OF_STORE:?}, which is reserved for the store")]
    TypeOfStore(String),
    /// The batch does not fit into an item.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The stream has reached the largest version.
    #[error("a stream has at most {MAX_VERSION} events")]
    StreamFull,
    /// The time in the command id is too far ahead of the store's clock, and no item follows the
    /// head.
    #[error(transparent)]
    ClockSkew(#[from] ClockSkew),
    /// The item after the head was not written by this library.
    #[error(transparent)]
    Corrupt(#[from] CorruptStream),
    /// DynamoDB failed or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The time in a command id is too far ahead. It is not recorded, because such ids make later
/// lookups costly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "command id {command_id} is {ahead_ms} ms ahead of the clock, more than the {allowed_ms} ms allowed"
)]
pub struct ClockSkew {
    /// The command's id, a UUIDv7.
    pub command_id: Id,
    /// How far ahead it is, in milliseconds.
    pub ahead_ms: i64,
    /// How far ahead it may be, in milliseconds.
    pub allowed_ms: i64,
}

/// Why commits cannot be chained to a stream.
pub(crate) enum ChainError {
    Empty,
    StreamFull,
}

impl EventStore {
    /// Appends the commits after `head` as one item: all or none.
    ///
    /// Repeating it after the same head is safe: a put that finds the same commands there (ids and
    /// fingerprints) has succeeded, and returns what is stored ([`Appended::repeated`]). After a
    /// newer head they are not looked for;
    /// [`CommandHandler::handle`](crate::CommandHandler::handle) does that.
    ///
    /// # Errors
    /// [`AppendError`]. Nothing is written, except that after a [`StoreError`] an earlier attempt
    /// of the SDK may have succeeded: retry with the same id.
    pub async fn append(
        &self,
        head: &Head,
        commits: Vec<NewCommit>,
    ) -> Result<Appended, AppendError> {
        let append = async {
            refuse_types_of_store(commits.iter().flat_map(|commit| &commit.events))
                .map_err(AppendError::TypeOfStore)?;
            self.append_batch(head, commits).await
        };
        self.reported("append", Some(&head.stream), append).await
    }

    /// [`EventStore::append`], which also accepts the store's own events.
    pub(crate) async fn append_any(
        &self,
        head: &Head,
        commits: Vec<NewCommit>,
    ) -> Result<Appended, AppendError> {
        self.reported("append", Some(&head.stream), self.append_batch(head, commits)).await
    }

    async fn append_batch(
        &self,
        head: &Head,
        commits: Vec<NewCommit>,
    ) -> Result<Appended, AppendError> {
        // One reading of the clock serves the ids and `recorded_at`, so no id is further ahead of
        // its commit than allowed.
        let now = self.now();
        let in_time =
            commits.iter().try_for_each(|commit| self.check_time(&commit.metadata.command_id, now));
        let batch = chain(now, head, commits)?;
        let write_nonce = fastrand::u64(..);
        if let Err(error) = in_time {
            // The clock may have been set back since this command was recorded, so look for it
            // before refusing it.
            let there = self.item_after(head).await?.ok_or(error)?;
            return classify_existing(there, batch, write_nonce, Usage::default());
        }
        let item = batch.to_item(write_nonce)?;
        let bytes = item_bytes(&item);
        match self.put(item).await {
            (Ok(_), usage) => Ok(appended(batch, false, usage, bytes)),
            (Err(error), usage) => self.classify_refusal(batch, write_nonce, usage, error),
        }
    }

    /// The current time in the stored precision.
    pub fn now(&self) -> DateTime<Utc> {
        storable((self.options.clock)())
    }

    /// Refuses a command id that is too far ahead of `now`. System ids have the time of their
    /// recorded cause.
    pub(crate) fn check_time(&self, command_id: &Id, now: DateTime<Utc>) -> Result<(), ClockSkew> {
        let Some(made_at) = command_id.time().filter(|_| !command_id.is_of_system()) else {
            return Ok(());
        };
        let (ahead, allowed) = (made_at - now, self.options.max_skew);
        if ahead <= allowed {
            return Ok(());
        }
        let (ahead_ms, allowed_ms) = (ahead.num_milliseconds(), allowed.num_milliseconds());
        Err(ClockSkew { command_id: command_id.clone(), ahead_ms, allowed_ms })
    }

    /// The item after the head, strongly consistent.
    async fn item_after(&self, head: &Head) -> Result<Option<Item>, StoreError> {
        let behind = Query {
            from: head.version + 1,
            limit: Some(1),
            ..Query::whole(&head.stream, Direction::Forwards, Consistency::Strong)
        };
        Ok(self.query(&behind, None).await?.items.into_iter().next())
    }

    async fn put(&self, item: Item) -> (Result<PutItemOutput, SdkError<PutItemError>>, Usage) {
        let our_kilobytes = kilobytes(&item);
        let request = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(NO_ITEM_CONDITION)
            .expression_attribute_names("#stream", STREAM_ID)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        meter::request(request.send(), |answer| put_units(answer, our_kilobytes)).await
    }

    fn classify_refusal(
        &self,
        ours: Batch,
        write_nonce: u64,
        usage: Usage,
        error: SdkError<PutItemError>,
    ) -> Result<Appended, AppendError> {
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refusal)) => classify_existing(
                refusal.item().cloned().unwrap_or_default(),
                ours,
                write_nonce,
                usage,
            ),
            Some(PutItemError::TransactionConflictException(_)) => {
                Err(AppendError::TransactionConflict)
            }
            _ => Err(classify(error, &self.table).into()),
        }
    }
}

/// Refuses the first event of a type that only the store writes.
pub(crate) fn refuse_types_of_store<'a>(
    mut events: impl Iterator<Item = &'a NewEvent>,
) -> Result<(), String> {
    events.find(|event| event.is_of_store()).map_or(Ok(()), |event| Err(event.event_type.clone()))
}

/// Gives the commits their versions, times and hashes. Time never runs backwards in a stream, even
/// if the clock does.
///
/// The ids were checked against the same `now`.
pub(crate) fn chain(
    now: DateTime<Utc>,
    head: &Head,
    commits: Vec<NewCommit>,
) -> Result<Batch, ChainError> {
    let recorded_at = head.recorded_at.map_or(now, |last| last.max(now));
    if commits.is_empty() || commits.iter().any(|commit| commit.events.is_empty()) {
        return Err(ChainError::Empty);
    }
    let mut behind = head.clone();
    let mut chained = Vec::with_capacity(commits.len());
    for new in commits {
        let commit = Commit::chain(new, behind.version + 1, recorded_at, &behind.hash);
        behind = Head::after(&head.stream, &commit);
        chained.push(commit);
    }
    if behind.version > MAX_VERSION {
        return Err(ChainError::StreamFull);
    }
    Ok(Batch { stream: head.stream.clone(), commits: chained })
}

/// Interprets the item that is already stored after the head.
fn classify_existing(
    there: Item,
    ours: Batch,
    write_nonce: u64,
    usage: Usage,
) -> Result<Appended, AppendError> {
    let winner = Batch::from_item(&there)?;
    if is_of_same_commands(&winner, &ours) {
        return Ok(appended(
            winner,
            !has_write_nonce(&there, write_nonce),
            usage,
            item_bytes(&there),
        ));
    }
    Err(AppendError::Conflict { winner: Box::new(winner), usage })
}

/// Whether another call wrote the same commands. Its time and therefore its hashes differ.
fn is_of_same_commands(winner: &Batch, ours: &Batch) -> bool {
    let pairs = winner.commits.iter().zip(&ours.commits);
    winner.commits.len() == ours.commits.len()
        && pairs.into_iter().all(|(winner, ours)| ours.metadata.is_recorded_as(&winner.metadata))
}

fn appended(batch: Batch, repeated: bool, usage: Usage, bytes: usize) -> Appended {
    let head = Head::of(&batch);
    Appended { batch, head, repeated, usage, bytes }
}

/// The units of a put. A refused put is charged for the larger of the stored item and the new one.
pub(crate) fn put_units(
    answer: &Result<PutItemOutput, SdkError<PutItemError>>,
    our_kilobytes: u32,
) -> Usage {
    match answer {
        Ok(output) => Usage::written(output.consumed_capacity()),
        Err(error) => match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refusal)) => {
                Usage::refused_write(refusal.item().map_or(0, kilobytes).max(our_kilobytes))
            }
            _ => Usage::default(),
        },
    }
}

/// The size of an item in write units.
pub(crate) fn kilobytes(item: &Item) -> u32 {
    u32::try_from(item_bytes(item).div_ceil(1024)).unwrap_or(u32::MAX)
}

impl From<ChainError> for AppendError {
    fn from(why: ChainError) -> Self {
        match why {
            ChainError::Empty => Self::Empty,
            ChainError::StreamFull => Self::StreamFull,
        }
    }
}

impl From<&Appended> for OperationReport {
    fn from(Appended { batch, head, repeated, .. }: &Appended) -> Self {
        let outcome = if *repeated { "repeated" } else { "ok" };
        Self { outcome, ..Self::of(batch.commits.iter()).at(head) }
    }
}

impl From<&AppendError> for OperationReport {
    fn from(error: &AppendError) -> Self {
        Self::outcome(match error {
            AppendError::Conflict { .. } => "conflict",
            AppendError::TransactionConflict => "transaction_conflict",
            AppendError::Empty => "empty",
            AppendError::TypeOfStore(_) => "type_of_store",
            AppendError::TooLarge(_) => "too_large",
            AppendError::StreamFull => "stream_full",
            AppendError::ClockSkew(_) => "from_the_future",
            AppendError::Corrupt(_) => "damaged",
            AppendError::Store(fault) => return fault.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::commit::tests::{event, metadata, stream};

    #[test]
    fn a_stream_ends_with_the_largest_version_and_not_before() {
        let now = DateTime::from_timestamp_millis(1_790_000_000_123).unwrap();
        let near = Head { version: MAX_VERSION - 2, ..Head::empty(&stream()) };
        let new =
            |events: usize| NewCommit { metadata: metadata("c"), events: vec![event("1"); events] };
        let last = chain(now, &near, vec![new(1), new(1)]).map(|batch| batch.last_version());
        assert!(matches!(last, Ok(MAX_VERSION)));
        assert!(matches!(chain(now, &near, vec![new(1), new(2)]), Err(ChainError::StreamFull)));
    }
}
