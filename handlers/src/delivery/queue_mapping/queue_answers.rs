//! Settles a batch with the queue: deletes handled messages, and makes the others visible again.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, Message,
};

use super::backoff::causes;

/// Tries for entries that SQS rejects. The SDK retries whole requests.
const MAX_TRIES: usize = 3;

/// Deletes messages. One that cannot be deleted is logged and redelivered: handlers are idempotent.
pub(crate) async fn delete(sqs: &Client, queue_url: &str, messages: &[Message]) {
    let mut left: Vec<usize> = (0..messages.len()).collect();
    for _ in 0..MAX_TRIES {
        if left.is_empty() {
            return;
        }
        match delete_once(sqs, queue_url, messages, &left).await {
            Ok(refused) => left = worth_another_try(queue_url, "not deleted", &refused),
            Err(error) => {
                return tracing::warn!(queue_url, error = causes(&*error), "messages not deleted");
            }
        }
    }
    if !left.is_empty() {
        tracing::warn!(
            queue_url,
            messages = left.len(),
            "messages not deleted, they will come again"
        );
    }
}

/// Makes messages visible again after `pause`, in whole seconds, instead of after their visibility
/// timeout.
pub(crate) async fn make_visible(
    sqs: &Client,
    queue_url: &str,
    messages: &[Message],
    pause: Duration,
) {
    match make_visible_once(sqs, queue_url, messages, whole_seconds(pause)).await {
        // Without a second try: they come again anyway, only later.
        Ok(refused) => drop(worth_another_try(queue_url, "not made visible", &refused)),
        Err(error) => {
            tracing::warn!(queue_url, error = causes(&*error), "messages not made visible")
        }
    }
}

/// Rounded up, because 0 means "at once" to SQS.
pub(crate) fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(seconds).unwrap_or(i32::MAX)
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

async fn delete_once(
    sqs: &Client,
    queue_url: &str,
    messages: &[Message],
    chosen: &[usize],
) -> Result<Vec<BatchResultErrorEntry>, AnyError> {
    let handles =
        chosen.iter().filter_map(|&index| Some((index, messages.get(index)?.receipt_handle()?)));
    let entries = handles.map(|(index, handle)| {
        DeleteMessageBatchRequestEntry::builder()
            .id(index.to_string())
            .receipt_handle(handle)
            .build()
    });
    let entries = entries.collect::<Result<Vec<_>, BuildError>>()?;
    Ok(sqs
        .delete_message_batch()
        .queue_url(queue_url)
        .set_entries(Some(entries))
        .send()
        .await?
        .failed)
}

async fn make_visible_once(
    sqs: &Client,
    queue_url: &str,
    messages: &[Message],
    seconds: i32,
) -> Result<Vec<BatchResultErrorEntry>, AnyError> {
    let handles = messages
        .iter()
        .enumerate()
        .filter_map(|(index, message)| Some((index, message.receipt_handle()?)));
    let entries = handles.map(|(index, handle)| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
        entry.receipt_handle(handle).visibility_timeout(seconds).build()
    });
    let entries = entries.collect::<Result<Vec<_>, BuildError>>()?;
    Ok(sqs
        .change_message_visibility_batch()
        .queue_url(queue_url)
        .set_entries(Some(entries))
        .send()
        .await?
        .failed)
}

/// The places of the entries that failed through no fault of ours. The others (a receipt handle
/// that is no longer valid) would fail again: they are logged.
fn worth_another_try(queue_url: &str, what: &str, refused: &[BatchResultErrorEntry]) -> Vec<usize> {
    let (faulty, unlucky): (Vec<_>, Vec<_>) =
        refused.iter().partition(|entry| entry.sender_fault());
    for entry in faulty {
        tracing::warn!(queue_url, code = entry.code(), message = entry.message(), "message {what}");
    }
    unlucky.iter().filter_map(|entry| entry.id().parse().ok()).collect()
}
