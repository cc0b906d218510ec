//! Deleting messages, changing their visibility, and removing expired ones.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Queue, QueueStore};
use crate::error::{ApiError, ErrorKind};
use crate::settings::VISIBILITY_LIMIT_S;
use crate::token::Receipt;

/// The state of a message that a receipt handle names.
struct ReceivedState {
    receives: i64,
    visible_ms: u64,
    received_ms: Option<u64>,
    group: Option<String>,
}

impl QueueStore {
    /// Deletes the messages of these receipt handles, with one result each.
    pub(crate) fn delete(
        &mut self,
        url: &str,
        handles: &[&str],
    ) -> Result<Vec<Result<(), ApiError>>, ApiError> {
        let now_ms = self.now_ms()?;
        let queue = self.queue(url)?;
        let tx = self.conn.unchecked_transaction()?;
        let mut results = Vec::with_capacity(handles.len());
        for handle in handles {
            results.push(match self.receipt(queue, handle) {
                Ok(receipt) => delete_one(&tx, queue, receipt, now_ms)?,
                Err(refusal) => Err(refusal),
            });
        }
        tx.commit()?;
        if queue.settings.fifo {
            queue.available.notify_waiters();
        }
        Ok(results)
    }

    /// Sets how many seconds from now each message stays hidden, with one result each.
    pub(crate) fn change_visibility(
        &mut self,
        url: &str,
        changes: &[(&str, i64)],
    ) -> Result<Vec<Result<(), ApiError>>, ApiError> {
        let now_ms = self.now_ms()?;
        let queue = self.queue(url)?;
        let tx = self.conn.unchecked_transaction()?;
        let mut results = Vec::with_capacity(changes.len());
        for (handle, seconds) in changes {
            let checked =
                check_visibility(*seconds).and_then(|ms| Ok((self.receipt(queue, handle)?, ms)));
            results.push(match checked {
                Ok((receipt, timeout_ms)) => change_one(&tx, queue, receipt, timeout_ms, now_ms)?,
                Err(refusal) => Err(refusal),
            });
        }
        tx.commit()?;
        queue.available.notify_waiters();
        Ok(results)
    }

    fn receipt(&self, queue: &Queue, handle: &str) -> Result<Receipt, ApiError> {
        Receipt::parse(handle, &self.secret).filter(|receipt| receipt.queue == queue.id).ok_or_else(
            || {
                let message =
                    format!("The input receipt handle \"{handle}\" is not a valid receipt handle.");
                ApiError::new(ErrorKind::ReceiptHandleIsInvalid, message)
            },
        )
    }
}

/// A visibility timeout in milliseconds, from 0 to 12 hours.
pub(crate) fn check_visibility(seconds: i64) -> Result<u64, ApiError> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds <= VISIBILITY_LIMIT_S).map(|seconds| seconds * 1_000).ok_or_else(
        || {
            ApiError::parameter(format!(
                "Value {seconds} for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200"
            ))
        },
    )
}

fn held(conn: &Connection, receipt: Receipt) -> rusqlite::Result<Option<ReceivedState>> {
    conn.prepare_cached(
        "SELECT receives, visible_ms, received_ms, fifo_group FROM messages WHERE id = ?1",
    )?
    .query_row([receipt.row], |row| {
        Ok(ReceivedState {
            receives: row.get(0)?,
            visible_ms: row.get(1)?,
            received_ms: row.get(2)?,
            group: row.get(3)?,
        })
    })
    .optional()
}

type Settled = Result<(), ApiError>;

/// A missing message counts as deleted. An outdated handle deletes nothing: a standard queue
/// ignores it. A FIFO queue refuses it, also after the visibility timeout, because later messages
/// of the group may have been delivered.
fn delete_one(
    conn: &Connection,
    queue: &Queue,
    receipt: Receipt,
    now_ms: u64,
) -> Result<Settled, ApiError> {
    let Some(held) = held(conn, receipt)? else { return Ok(Ok(())) };
    let current = held.receives == receipt.receives;
    if queue.settings.fifo && !(current && held.visible_ms > now_ms) {
        let message = "The receipt handle has expired.";
        return Ok(Err(ApiError::new(ErrorKind::ReceiptHandleIsInvalid, message)));
    }
    if current {
        conn.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([receipt.row])?;
        refresh_group_of(conn, queue, &held)?;
    }
    Ok(Ok(()))
}

fn change_one(
    conn: &Connection,
    queue: &Queue,
    receipt: Receipt,
    timeout_ms: u64,
    now_ms: u64,
) -> Result<Settled, ApiError> {
    let in_flight = held(conn, receipt)?
        .filter(|held| held.receives == receipt.receives && held.visible_ms > now_ms);
    let Some(held) = in_flight else {
        let message = "The message referred to isn't in flight.";
        return Ok(Err(ApiError::new(ErrorKind::MessageNotInflight, message)));
    };
    let visible_ms = now_ms.saturating_add(timeout_ms);
    if visible_ms.saturating_sub(held.received_ms.unwrap_or(now_ms)) > VISIBILITY_LIMIT_S * 1_000 {
        return Ok(Err(ApiError::parameter(
            "Value for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds]",
        )));
    }
    conn.prepare_cached("UPDATE messages SET visible_ms = ?2 WHERE id = ?1")?
        .execute(params![receipt.row, visible_ms])?;
    refresh_group_of(conn, queue, &held)?;
    Ok(Ok(()))
}

fn refresh_group_of(
    conn: &Connection,
    queue: &Queue,
    held: &ReceivedState,
) -> rusqlite::Result<()> {
    held.group.as_deref().map_or(Ok(()), |group| refresh_group(conn, queue.id, group))
}

/// Makes all messages in flight visible in all queues. Their receives still count.
pub(super) fn release_all(conn: &Connection, now_ms: u64) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    let groups: Vec<(i64, String)> = tx
        .prepare(
            "SELECT DISTINCT queue, fifo_group FROM messages
             WHERE visible_ms > ?1 AND receives > 0 AND fifo_group IS NOT NULL",
        )?
        .query_map([now_ms], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    tx.execute(
        "UPDATE messages SET visible_ms = ?1 WHERE visible_ms > ?1 AND receives > 0",
        [now_ms],
    )?;
    for (queue, group) in groups {
        refresh_group(&tx, queue, &group)?;
    }
    tx.commit()
}

/// Recomputes when a group can be received: not while one of its messages is in flight or the first
/// is delayed. Only the first ten can be in flight, because each receive begins at the first and
/// returns at most ten.
pub(super) fn refresh_group(conn: &Connection, queue: i64, group: &str) -> rusqlite::Result<()> {
    let (head, ready_ms): (Option<i64>, Option<u64>) = conn
        .prepare_cached(
            "WITH first AS (SELECT id, visible_ms, receives FROM messages
                            WHERE queue = ?1 AND fifo_group = ?2 ORDER BY id LIMIT 10)
             SELECT min(id), max(CASE WHEN receives > 0 OR id = (SELECT min(id) FROM first) THEN visible_ms END)
             FROM first",
        )?
        .query_row(params![queue, group], |row| Ok((row.get(0)?, row.get(1)?)))?;
    match (head, ready_ms) {
        (Some(head), Some(ready_ms)) => conn
            .prepare_cached(
                "INSERT INTO fifo_groups VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (queue, fifo_group) DO UPDATE SET ready_ms = ?3, head = ?4",
            )?
            .execute(params![queue, group, ready_ms, head])
            .map(drop),
        _ => conn
            .prepare_cached("DELETE FROM fifo_groups WHERE queue = ?1 AND fifo_group = ?2")?
            .execute(params![queue, group])
            .map(drop),
    }
}

/// Deletes messages beyond the retention period.
pub(super) fn expire(conn: &Connection, queue: &Queue, now_ms: u64) -> rusqlite::Result<()> {
    let Some(sent_until_ms) = now_ms.checked_sub(queue.settings.retention_ms) else {
        return Ok(());
    };
    let mut groups: Vec<String> = conn
        .prepare_cached(
            "DELETE FROM messages WHERE queue = ?1 AND sent_ms <= ?2 RETURNING fifo_group",
        )?
        .query_map(params![queue.id, sent_until_ms], |row| row.get::<_, Option<String>>(0))?
        .filter_map(Result::transpose)
        .collect::<Result<_, _>>()?;
    groups.sort_unstable();
    groups.dedup();
    groups.iter().try_for_each(|group| refresh_group(conn, queue.id, group))
}
