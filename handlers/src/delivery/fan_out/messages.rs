//! The messages of a send: one for each batch, or few with many batches.

use super::AppendedBatch;
use crate::delivery::notification::{MAX_MESSAGE_BYTES, NotificationMessage};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use eventstore::Hash;

/// The SDK refuses a message that lacks a field.
type Incomplete = aws_sdk_sqs::error::BuildError;

pub(super) fn entry(
    id: usize,
    appended: &AppendedBatch,
) -> Result<SendMessageBatchRequestEntry, Unsendable> {
    let built = SendMessageBatchRequestEntry::builder()
        .id(id.to_string())
        .message_body(serde_json::to_string(&appended.notification)?)
        .message_group_id(appended.notification.stream.as_str())
        .message_deduplication_id(appended.notification.deduplication_id())
        .build()?;
    Ok(built)
}

/// One message for each batch.
pub(super) fn singles<'a>(open: &[&'a AppendedBatch]) -> Vec<Vec<&'a AppendedBatch>> {
    open.iter().map(|appended| vec![*appended]).collect()
}

/// Batches in as few messages as ten of them fit into one send.
pub(super) fn bundles<'a>(open: &[&'a AppendedBatch]) -> Vec<Vec<&'a AppendedBatch>> {
    let (mut bundles, mut bytes): (Vec<Vec<&AppendedBatch>>, usize) = (Vec::new(), 0);
    for appended in open {
        let more = appended.notification.bytes();
        match bundles.last_mut() {
            Some(bundle) if bytes + more <= MAX_MESSAGE_BYTES => {
                bundle.push(appended);
                bytes += more;
            }
            _ => {
                bundles.push(vec![appended]);
                bytes = more;
            }
        }
    }
    bundles
}

/// A message with several notifications. All such messages of a consumer are one group, so that
/// they are handled one after the other.
pub(super) fn bundle_entry(
    id: usize,
    group: &str,
    batches: &[&AppendedBatch],
) -> Result<SendMessageBatchRequestEntry, Unsendable> {
    let notifications: Vec<&NotificationMessage> =
        batches.iter().map(|appended| &appended.notification).collect();
    let ends = [batches.first(), batches.last()];
    let ids = ends.into_iter().flatten().map(|appended| appended.notification.deduplication_id());
    let ids: Vec<String> = ids.collect();
    let digest = Hash::of(&ids.iter().map(String::as_bytes).collect::<Vec<_>>());
    let built = SendMessageBatchRequestEntry::builder()
        .id(id.to_string())
        .message_body(serde_json::to_string(&notifications)?)
        .message_group_id(group)
        .message_deduplication_id(format!("{}:{digest}", batches.len()))
        .build()?;
    Ok(built)
}

/// A message cannot be written: a defect, since every batch of the store can.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("the notification is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("the message lacks a field")]
    Incomplete(#[from] Incomplete),
}
