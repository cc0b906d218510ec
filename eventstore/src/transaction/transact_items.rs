//! The transaction of one command over several streams, and what its refusal means.

use super::parts::{AppendAllError, AppendedPart, MAX_STREAMS, MAX_TRANSACTION_BYTES, Part};
use crate::log::append::{ChainError, NO_ITEM_CONDITION, chain, kilobytes};
use crate::log::item::{STREAM_ID, VERSION, has_write_nonce, item_bytes};
use crate::{
    Batch, CommandMetadata, Commit, CorruptStream, Fingerprint, Head, Item, MAX_VERSION, NewCommit,
    StoreError, StreamId, Usage,
};
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Put, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};
use chrono::{DateTime, Utc};
use std::collections::HashSet;
use std::sync::Arc;

/// A write in a transaction costs twice as much: it is prepared and committed.
const UNITS_A_KILOBYTE: u32 = 2;

/// The puts of one command, and checks of the streams without events.
pub(crate) struct Transaction {
    /// As stored: the fingerprint covers the streams.
    pub(crate) metadata: CommandMetadata,
    write_nonce: u64,
    batches: Vec<Batch>,
    unmoved: Vec<StreamId>,
    /// The sizes of the items, in the order of the actions: puts, then checks.
    item_bytes: Vec<usize>,
}

/// Why a transaction was cancelled.
pub(crate) enum Cancellation {
    /// By the puts of this same call: an earlier attempt of the SDK has written them.
    AlreadyWritten,
    /// By commits of this command that another call wrote. These came back.
    Recorded(Vec<AppendedPart>),
    /// By a commit of another command with the same id.
    IdReused,
    /// By batches of other commands.
    Conflict(Vec<Batch>),
    /// By other transactions on these streams.
    TransactionConflict(Vec<StreamId>),
    Throttled,
    Unknown,
}

impl Transaction {
    /// Chains and sizes all commits, so that limits are checked before any request.
    pub(crate) fn new(
        now: DateTime<Utc>,
        metadata: &CommandMetadata,
        parts: Vec<Part>,
        unmoved: &[Head],
    ) -> Result<(Self, Vec<Item>), AppendAllError> {
        let heads = || parts.iter().map(|part| &part.head).chain(unmoved);
        check_streams(heads().map(Head::stream))?;
        let metadata = bind(metadata, heads().map(Head::stream));
        if let Some(full) = unmoved.iter().find(|head| head.version >= MAX_VERSION) {
            return Err(AppendAllError::StreamFull(full.stream.clone()));
        }
        let write_nonce = fastrand::u64(..);
        let chained = parts.into_iter().map(|part| chain_part(now, &metadata, part));
        let batches = chained.collect::<Result<Vec<Batch>, _>>()?;
        let items = batches
            .iter()
            .map(|batch| to_item(batch, write_nonce))
            .collect::<Result<Vec<_>, _>>()?;
        let sizes = items.iter().map(item_bytes);
        let bytes = sizes.clone().sum();
        if bytes > MAX_TRANSACTION_BYTES {
            return Err(AppendAllError::TotalTooLarge { bytes });
        }
        // A check without an item is charged as the smallest item.
        let item_bytes = sizes.chain(unmoved.iter().map(|_| 1)).collect();
        let unmoved = unmoved.iter().map(|head| head.stream.clone()).collect();
        Ok((Self { metadata, write_nonce, batches, unmoved, item_bytes }, items))
    }

    /// The streams in the order of the actions.
    pub(crate) fn streams(&self) -> impl Iterator<Item = &StreamId> {
        self.batches.iter().map(|batch| &batch.stream).chain(&self.unmoved)
    }

    /// What the puts have written.
    pub(crate) fn written(self) -> Vec<AppendedPart> {
        let one = |(mut batch, bytes): (Batch, usize)| {
            let commit = batch.commits.pop()?;
            Some(AppendedPart { bytes, ..AppendedPart::new(&batch.stream, commit) })
        };
        self.batches.into_iter().zip(self.item_bytes).filter_map(one).collect()
    }

    /// The most that a refusal costs: as if everything had been prepared and committed.
    pub(crate) fn cost_of_refusal(&self, reasons: &[CancellationReason]) -> Usage {
        let there = reasons
            .iter()
            .map(|reason| reason.item().map_or(0, kilobytes))
            .chain(std::iter::repeat(0));
        let ours = self
            .item_bytes
            .iter()
            .map(|bytes| u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX));
        let larger = ours.zip(there).map(|(ours, there)| there.max(ours));
        Usage::refused_write(larger.sum::<u32>() * UNITS_A_KILOBYTE)
    }

    /// Classifies the reasons, which are in the order of the actions. A stored item explains more
    /// than a concurrent transaction, and that more than throttling.
    pub(crate) fn cancellation(
        &self,
        reasons: &[CancellationReason],
    ) -> Result<Cancellation, CorruptStream> {
        let named = |codes: &[&str]| {
            reasons.iter().any(|reason| reason.code().is_some_and(|code| codes.contains(&code)))
        };
        let refused =
            reasons.iter().filter(|reason| reason.code() == Some("ConditionalCheckFailed"));
        let there: Vec<Item> =
            refused.map(|reason| reason.item.clone().unwrap_or_default()).collect();
        if there.iter().any(|item| has_write_nonce(item, self.write_nonce)) {
            return Ok(Cancellation::AlreadyWritten);
        }
        if !there.is_empty() {
            return Ok(self
                .classify_batches(there.iter().map(Batch::from_item).collect::<Result<_, _>>()?));
        }
        let under_way = |reason: &CancellationReason| reason.code() == Some("TransactionConflict");
        let busy = self.streams().zip(reasons).filter(|(_, reason)| under_way(reason));
        let busy: Vec<StreamId> = busy.map(|(stream, _)| stream.clone()).collect();
        Ok(match busy.is_empty() {
            false => Cancellation::TransactionConflict(busy),
            true if named(&["ThrottlingError", "ProvisionedThroughputExceeded"]) => {
                Cancellation::Throttled
            }
            true => Cancellation::Unknown,
        })
    }

    fn classify_batches(&self, winners: Vec<Batch>) -> Cancellation {
        let found: Vec<AppendedPart> =
            winners.iter().filter_map(|batch| recorded_in(batch, &self.metadata)).collect();
        let mut commits = winners.iter().flat_map(|batch| &batch.commits);
        if !found.is_empty() {
            Cancellation::Recorded(found)
        } else if commits.any(|commit| commit.metadata.command_id == self.metadata.command_id) {
            Cancellation::IdReused
        } else {
            Cancellation::Conflict(winners)
        }
    }

    /// A put for each batch, and a check that no item follows each unmoved head.
    pub(crate) fn actions(
        table: &str,
        items: Vec<Item>,
        unmoved: &[Head],
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let puts = items.into_iter().map(|item| put(table, item));
        let checks = unmoved.iter().map(|head| check(table, head));
        let actions = puts.chain(checks).collect::<Result<_, _>>();
        actions.map_err(|error| StoreError::Rejected(Arc::new(error)))
    }
}

/// Checks the streams of one command: 1 to 100, each once.
pub(crate) fn check_streams<'a>(
    streams: impl Iterator<Item = &'a StreamId> + Clone,
) -> Result<(), AppendAllError> {
    let (count, mut seen) = (streams.clone().count(), HashSet::new());
    match streams.clone().find(|stream| !seen.insert(*stream)) {
        _ if count == 0 => Err(AppendAllError::NoStream),
        _ if count > MAX_STREAMS => Err(AppendAllError::TooManyStreams { streams: count }),
        Some(twice) => Err(AppendAllError::StreamTwice(twice.clone())),
        None => Ok(()),
    }
}

/// The metadata with the streams under its fingerprint, in any order.
pub(crate) fn bind<'a>(
    metadata: &CommandMetadata,
    streams: impl Iterator<Item = &'a StreamId>,
) -> CommandMetadata {
    let mut names: Vec<&[u8]> = streams.map(|stream| stream.as_str().as_bytes()).collect();
    names.sort_unstable();
    let whole = [b"ledgerfold/streams/1".as_slice(), metadata.fingerprint.as_bytes().as_slice()];
    let parts: Vec<&[u8]> = whole.into_iter().chain(names).collect();
    CommandMetadata { fingerprint: Fingerprint::of(&parts), ..metadata.clone() }
}

/// The command's commit in the batch.
pub(crate) fn recorded_in(batch: &Batch, metadata: &CommandMetadata) -> Option<AppendedPart> {
    let commit = batch.commits.iter().find(|commit| is_of(commit, metadata))?;
    Some(AppendedPart::new(&batch.stream, commit.clone()))
}

/// Whether the commit is of the command with this stored metadata.
pub(crate) fn is_of(commit: &Commit, metadata: &CommandMetadata) -> bool {
    commit.metadata.command_id == metadata.command_id
        && commit.metadata.fingerprint == metadata.fingerprint
}

fn chain_part(
    now: DateTime<Utc>,
    metadata: &CommandMetadata,
    Part { head, events }: Part,
) -> Result<Batch, AppendAllError> {
    let commit = NewCommit { metadata: metadata.clone(), events };
    chain(now, &head, vec![commit]).map_err(|why| match why {
        ChainError::Empty => AppendAllError::Empty(head.stream),
        ChainError::StreamFull => AppendAllError::StreamFull(head.stream),
    })
}

fn to_item(batch: &Batch, write_nonce: u64) -> Result<Item, AppendAllError> {
    batch
        .to_item(write_nonce)
        .map_err(|source| AppendAllError::TooLarge { stream: batch.stream.clone(), source })
}

fn put(table: &str, item: Item) -> Result<TransactWriteItem, BuildError> {
    let put = Put::builder()
        .table_name(table)
        .set_item(Some(item))
        .condition_expression(NO_ITEM_CONDITION)
        .expression_attribute_names("#stream", STREAM_ID)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    Ok(TransactWriteItem::builder().put(put.build()?).build())
}

fn check(table: &str, head: &Head) -> Result<TransactWriteItem, BuildError> {
    let check = ConditionCheck::builder()
        .table_name(table)
        .key(STREAM_ID, AttributeValue::S(head.stream.to_string()))
        .key(VERSION, AttributeValue::N((head.version + 1).to_string()))
        .condition_expression(NO_ITEM_CONDITION)
        .expression_attribute_names("#stream", STREAM_ID)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    Ok(TransactWriteItem::builder().condition_check(check.build()?).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_one_to_a_hundred_streams_each_once() {
        let names: Vec<_> =
            (0..=MAX_STREAMS).map(|n| StreamId::new(format!("note-{n}")).unwrap()).collect();
        let check = |names: &[StreamId]| check_streams(names.iter());
        assert!(matches!(check(&[]), Err(AppendAllError::NoStream)));
        assert!(check(&names[..1]).is_ok());
        assert!(check(&names[..MAX_STREAMS]).is_ok());
        assert!(
            matches!(check(&names), Err(AppendAllError::TooManyStreams { streams }) if streams == MAX_STREAMS + 1)
        );
        let twice = [names[0].clone(), names[1].clone(), names[0].clone()];
        assert!(
            matches!(check(&twice), Err(AppendAllError::StreamTwice(name)) if name == names[0])
        );
    }
}
