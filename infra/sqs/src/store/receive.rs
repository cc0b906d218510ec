//! Receiving messages.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::queues::parse;
use super::send::sequence_number;
use super::settle::expire;
use super::transfer::choose;
use super::{DEDUPLICATION_MS, Queue, QueueStore};
use crate::error::{ApiError, ErrorKind};
use crate::message::Attributes;
use crate::token::Receipt;

/// The parameters of a receive.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceiveRequest {
    pub(crate) most: usize,
    /// By default the queue's timeout.
    pub(crate) visibility_ms: Option<u64>,
    /// Repeats an earlier receive with this id if its messages are unchanged.
    pub(crate) attempt: Option<String>,
    /// At the limit of messages in flight, a long poll waits and a short one fails.
    pub(crate) long_poll: bool,
}

/// A received message.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) message_id: String,
    pub(crate) handle: String,
    pub(crate) body: String,
    pub(crate) attributes: Attributes,
    pub(crate) trace_header: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) dedup_id: Option<String>,
    pub(crate) source_arn: Option<String>,
    pub(crate) sequence: Option<String>,
    pub(crate) sent_ms: u64,
    pub(crate) first_received_ms: u64,
    pub(crate) receives: i64,
}

impl QueueStore {
    /// Receives messages. If there are none, also returns the milliseconds until the next one may
    /// be visible.
    pub(crate) fn receive(
        &mut self,
        url: &str,
        request: &ReceiveRequest,
    ) -> Result<(Vec<Delivery>, Option<u64>), ApiError> {
        let now_ms = self.now_ms()?;
        let (queue_id, room) = self.room_in_flight(url, request.most, now_ms)?;
        let queue = self.queue(url)?;
        let tx = self.conn.unchecked_transaction()?;
        expire(&tx, queue, now_ms)?;
        let visible_ms =
            now_ms.saturating_add(request.visibility_ms.unwrap_or(queue.settings.visibility_ms));
        if let Some(rows) = repeated(&tx, queue, request, now_ms)? {
            let deliveries = self.repeat(&tx, queue, &rows, visible_ms)?;
            remember(&tx, queue, request, &rows, visible_ms, now_ms)?;
            tx.commit()?;
            return Ok((deliveries, None));
        }
        if room == 0 && !queue.settings.fifo && !request.long_poll {
            return Err(ApiError::new(ErrorKind::OverLimit, "Too many messages in flight."));
        }
        let dead = self.dead_letters(queue);
        let chosen = choose(&tx, queue, dead.as_ref(), now_ms, room)?;
        let mut deliveries = Vec::with_capacity(chosen.rows.len());
        for row in &chosen.rows {
            take(&tx, *row, visible_ms, now_ms)?;
            deliveries.push(self.delivery(&tx, queue, *row)?);
        }
        chosen.refresh_groups(&tx, queue)?;
        remember(&tx, queue, request, &chosen.rows, visible_ms, now_ms)?;
        tx.commit()?;
        if let Some(dead) = dead.filter(|_| chosen.moved > 0) {
            dead.available.notify_waiters();
        }
        let next_ms = match (deliveries.is_empty(), chosen.moved) {
            (false, _) => None,
            (true, 0) => self.next_visible_ms(queue, now_ms)?,
            (true, _) => Some(now_ms),
        };
        let taken = u64::try_from(deliveries.len()).unwrap_or(u64::MAX);
        *self.in_flight_at_most.entry(queue_id).or_default() += taken;
        Ok((deliveries, next_ms.map(|at_ms| at_ms.saturating_sub(now_ms))))
    }

    /// How many of `most` messages the limit of messages in flight allows. Counts only if the upper
    /// bound reaches it.
    fn room_in_flight(
        &mut self,
        url: &str,
        most: usize,
        now_ms: u64,
    ) -> Result<(i64, usize), ApiError> {
        let queue = self.queue(url)?.id;
        let limit = self.config.in_flight_limit;
        let wanted = u64::try_from(most).unwrap_or(u64::MAX);
        let bound = self.in_flight_at_most.get(&queue).copied();
        let in_flight = match bound {
            Some(bound) if bound.saturating_add(wanted) <= limit => bound,
            Some(_) | None => self
                .conn
                .prepare_cached("SELECT count(*) FROM messages WHERE queue = ?1 AND visible_ms > ?2 AND receives > 0")?
                .query_row(params![queue, now_ms], |row| row.get(0))?,
        };
        self.in_flight_at_most.insert(queue, in_flight);
        let room = limit.saturating_sub(in_flight).min(wanted);
        Ok((queue, usize::try_from(room).unwrap_or(usize::MAX)))
    }

    fn repeat(
        &self,
        conn: &Connection,
        queue: &Queue,
        rows: &[i64],
        visible_ms: u64,
    ) -> Result<Vec<Delivery>, ApiError> {
        let mut deliveries = Vec::with_capacity(rows.len());
        for row in rows {
            conn.prepare_cached("UPDATE messages SET visible_ms = ?2 WHERE id = ?1")?
                .execute(params![row, visible_ms])?;
            let delivery = self.delivery(conn, queue, *row)?;
            if let Some(group) = &delivery.group {
                super::settle::refresh_group(conn, queue.id, group)?;
            }
            deliveries.push(delivery);
        }
        Ok(deliveries)
    }

    fn delivery(&self, conn: &Connection, queue: &Queue, row: i64) -> Result<Delivery, ApiError> {
        let mut statement = conn.prepare_cached(
            "SELECT message_id, body, attributes, trace_header, group_id, dedup_id, source_arn,
                    sent_ms, first_received_ms, receives, receives_before
             FROM messages JOIN contents USING (id) WHERE id = ?1",
        )?;
        let read = |found: &Row<'_>| {
            let receives: i64 = found.get(9)?;
            let attributes: Option<String> = found.get(2)?;
            Ok(Delivery {
                message_id: found.get(0)?,
                handle: Receipt { queue: queue.id, row, receives }.handle(&self.secret),
                body: found.get(1)?,
                attributes: attributes
                    .map_or_else(|| Ok(Attributes::new()), |text| parse(&text))?,
                trace_header: found.get(3)?,
                group: found.get(4)?,
                dedup_id: found.get(5)?,
                source_arn: found.get(6)?,
                sequence: queue.settings.fifo.then(|| sequence_number(row)),
                sent_ms: found.get(7)?,
                first_received_ms: found.get(8)?,
                receives: receives + found.get::<_, i64>(10)?,
            })
        };
        Ok(statement.query_row([row], read)?)
    }
}

fn take(conn: &Connection, row: i64, visible_ms: u64, now_ms: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE messages SET visible_ms = ?2, received_ms = ?3, receives = receives + 1,
                first_received_ms = coalesce(first_received_ms, ?3) WHERE id = ?1",
    )?
    .execute(params![row, visible_ms, now_ms])
    .map(drop)
}

/// A stored receive attempt: its rows, and until when they are hidden.
#[derive(serde::Serialize, serde::Deserialize)]
struct Attempt {
    rows: Vec<i64>,
    visible_ms: u64,
}

/// The rows of the earlier attempt with this id, if all are still in flight and unchanged.
fn repeated(
    conn: &Connection,
    queue: &Queue,
    request: &ReceiveRequest,
    now_ms: u64,
) -> rusqlite::Result<Option<Vec<i64>>> {
    let Some(attempt) = request.attempt.as_deref().filter(|_| queue.settings.fifo) else {
        return Ok(None);
    };
    conn.prepare_cached("DELETE FROM attempts WHERE queue = ?1 AND started_ms <= ?2")?
        .execute(params![queue.id, now_ms.saturating_sub(DEDUPLICATION_MS)])?;
    let known: Option<String> = conn
        .prepare_cached("SELECT receipts FROM attempts WHERE queue = ?1 AND attempt = ?2")?
        .query_row(params![queue.id, attempt], |row| row.get(0))
        .optional()?;
    let Some(earlier) = known.and_then(|text| serde_json::from_str::<Attempt>(&text).ok()) else {
        return Ok(None);
    };
    let mut unchanged =
        conn.prepare_cached("SELECT 1 FROM messages WHERE id = ?1 AND visible_ms = ?2")?;
    for row in &earlier.rows {
        if earlier.visible_ms <= now_ms || !unchanged.exists(params![row, earlier.visible_ms])? {
            return Ok(None);
        }
    }
    Ok(Some(earlier.rows))
}

fn remember(
    conn: &Connection,
    queue: &Queue,
    request: &ReceiveRequest,
    rows: &[i64],
    visible_ms: u64,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let Some(attempt) =
        request.attempt.as_deref().filter(|_| queue.settings.fifo && !rows.is_empty())
    else {
        return Ok(());
    };
    let receipts = serde_json::json!(Attempt { rows: rows.to_vec(), visible_ms }).to_string();
    conn.prepare_cached("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![queue.id, attempt, now_ms, receipts])
        .map(drop)
}
