//! Sending messages.

use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{DEDUPLICATION_MS, Queue, QueueStore};
use crate::error::{ApiError, ErrorKind};
use crate::message::{Attributes, check_attributes, check_body, size_bytes};
use crate::settings::DELAY_LIMIT_S;
use crate::token::random_uuid;

/// A message to store.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewMessage {
    pub(crate) body: String,
    pub(crate) attributes: Attributes,
    pub(crate) trace_header: Option<String>,
    pub(crate) delay_s: Option<i64>,
    pub(crate) group: Option<String>,
    pub(crate) dedup_id: Option<String>,
}

/// The answer to the sender.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) message_id: String,
    /// Only in FIFO queues.
    pub(crate) sequence: Option<String>,
}

/// Twenty digits that increase with the row.
pub(super) fn sequence_number(row: i64) -> String {
    format!("1{row:019}")
}

impl QueueStore {
    /// Stores messages, with one result each. As on AWS, a FIFO queue refuses all if one lacks a
    /// required id.
    pub(crate) fn send(
        &mut self,
        url: &str,
        messages: &[NewMessage],
    ) -> Result<Vec<Result<Sent, ApiError>>, ApiError> {
        let now_ms = self.now_ms()?;
        let queue = self.queue(url)?;
        messages.iter().try_for_each(|message| check_fifo(queue, message))?;
        let tx = self.conn.unchecked_transaction()?;
        forget_duplicates(&tx, queue, now_ms)?;
        let mut results = Vec::with_capacity(messages.len());
        for message in messages {
            results.push(match check(queue, message) {
                Ok(()) => Ok(store(&tx, queue, message, now_ms)?),
                Err(refusal) => Err(refusal),
            });
        }
        tx.commit()?;
        queue.available.notify_waiters();
        Ok(results)
    }
}

fn check(queue: &Queue, message: &NewMessage) -> Result<(), ApiError> {
    check_body(&message.body)?;
    check_attributes(&message.attributes)?;
    let size = u64::try_from(size_bytes(&message.body, &message.attributes)).unwrap_or(u64::MAX);
    let limit = queue.settings.message_limit_bytes;
    if size > limit {
        return Err(ApiError::parameter(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
        )));
    }
    check_delay(queue, message)?;
    check_token("MessageGroupId", message.group.as_deref())?;
    check_token("MessageDeduplicationId", message.dedup_id.as_deref())?;
    if queue.settings.fifo { Ok(()) } else { check_standard(message) }
}

fn check_delay(queue: &Queue, message: &NewMessage) -> Result<(), ApiError> {
    let Some(delay_s) = message.delay_s else { return Ok(()) };
    let refused = |reason: &str| {
        Err(ApiError::parameter(format!(
            "Value {delay_s} for parameter DelaySeconds is invalid. Reason: {reason}"
        )))
    };
    match u64::try_from(delay_s) {
        Ok(0) => Ok(()),
        Ok(1..) if queue.settings.fifo => {
            refused("The request include parameter that is not valid for this queue type.")
        }
        Ok(..=DELAY_LIMIT_S) => Ok(()),
        Ok(_) | Err(_) => refused("DelaySeconds must be >= 0 and <= 900."),
    }
}

/// A message of a FIFO queue needs a group and a deduplication id.
fn check_fifo(queue: &Queue, message: &NewMessage) -> Result<(), ApiError> {
    if !queue.settings.fifo {
        return Ok(());
    }
    if message.group.is_none() {
        return Err(ApiError::missing("MessageGroupId"));
    }
    if message.dedup_id.is_none() && !queue.settings.deduplicate_by_content {
        return Err(ApiError::parameter(
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
        ));
    }
    Ok(())
}

fn check_standard(message: &NewMessage) -> Result<(), ApiError> {
    match &message.dedup_id {
        None => Ok(()),
        Some(id) => Err(ApiError::parameter(format!(
            "Value {id} for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type"
        ))),
    }
}

/// Group, deduplication and attempt ids: 1 to 128 letters, digits and punctuation marks.
pub(crate) fn check_token(parameter: &str, value: Option<&str>) -> Result<(), ApiError> {
    let Some(value) = value else { return Ok(()) };
    if (1..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorKind::InvalidParameterValue,
        format!(
            "Value {value} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and punctuation characters. 1 to 128 in length."
        ),
    ))
}

fn forget_duplicates(conn: &Connection, queue: &Queue, now_ms: u64) -> rusqlite::Result<()> {
    if queue.settings.fifo {
        conn.prepare_cached("DELETE FROM duplicates WHERE queue = ?1 AND sent_ms <= ?2")?
            .execute(params![queue.id, now_ms.saturating_sub(DEDUPLICATION_MS)])?;
    }
    Ok(())
}

fn store(
    conn: &Connection,
    queue: &Queue,
    message: &NewMessage,
    now_ms: u64,
) -> Result<Sent, ApiError> {
    if !queue.settings.fifo {
        let message_id = random_uuid();
        insert(conn, queue, message, &message_id, message.dedup_id.as_deref(), now_ms)?;
        return Ok(Sent { message_id, sequence: None });
    }
    let dedup_id = message.dedup_id.clone().unwrap_or_else(|| sha256_hex(&message.body));
    let scope = if queue.settings.deduplicate_per_group { message.group.as_deref() } else { None }
        .unwrap_or_default();
    let known: Option<(i64, String)> = conn
        .prepare_cached("SELECT row, message_id FROM duplicates WHERE queue = ?1 AND scope = ?2 AND dedup_id = ?3")?
        .query_row(params![queue.id, scope, dedup_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((row, message_id)) = known {
        return Ok(Sent { message_id, sequence: Some(sequence_number(row)) });
    }
    let message_id = random_uuid();
    let row = insert(conn, queue, message, &message_id, Some(&dedup_id), now_ms)?;
    conn.prepare_cached("INSERT INTO duplicates VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![queue.id, scope, dedup_id, now_ms, row, message_id])?;
    Ok(Sent { message_id, sequence: Some(sequence_number(row)) })
}

fn insert(
    conn: &Connection,
    queue: &Queue,
    message: &NewMessage,
    message_id: &str,
    dedup_id: Option<&str>,
    now_ms: u64,
) -> Result<i64, ApiError> {
    let delay_ms = match message.delay_s.and_then(|seconds| u64::try_from(seconds).ok()) {
        Some(seconds) if !queue.settings.fifo => seconds * 1_000,
        Some(_) | None => queue.settings.delay_ms,
    };
    let visible_ms = now_ms.saturating_add(delay_ms);
    let group = message.group.as_deref().filter(|_| queue.settings.fifo);
    conn.prepare_cached(
        "INSERT INTO messages (queue, fifo_group, visible_ms, sent_ms) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![queue.id, group, visible_ms, now_ms])?;
    let row = conn.last_insert_rowid();
    let attributes =
        (!message.attributes.is_empty()).then(|| serde_json::json!(message.attributes).to_string());
    conn.prepare_cached(
        "INSERT INTO contents (id, message_id, body, attributes, trace_header, group_id, dedup_id)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        row,
        message_id,
        message.body,
        attributes,
        message.trace_header,
        message.group,
        dedup_id
    ])?;
    if let Some(group) = group {
        join_group(conn, queue.id, group, visible_ms, row)?;
    }
    Ok(row)
}

/// Adds the group, unless it has messages already: then its first message does not change.
pub(super) fn join_group(
    conn: &Connection,
    queue: i64,
    group: &str,
    ready_ms: u64,
    row: i64,
) -> rusqlite::Result<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO fifo_groups VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![queue, group, ready_ms, row])
        .map(drop)
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
