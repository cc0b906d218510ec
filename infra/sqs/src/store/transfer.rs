//! Selects messages to receive, and moves messages between queues.

use std::sync::Arc;

use rusqlite::{Connection, params};
use tokio::sync::Notify;

use super::send::join_group;
use super::settle::refresh_group;
use super::{Queue, QueueStore};
use crate::token::random_uuid;

/// The most messages that one request moves to the dead-letter queue.
const MOST_MOVED: usize = 1_000;

/// The dead-letter queue of a queue.
pub(super) struct DeadLetters {
    target: i64,
    fifo: bool,
    max_receives: i64,
    source_arn: String,
    pub(super) available: Arc<Notify>,
}

impl QueueStore {
    /// The dead-letter queue of `queue`, if it exists.
    pub(super) fn dead_letters(&self, queue: &Queue) -> Option<DeadLetters> {
        let redrive = queue.settings.redrive.as_ref()?;
        let target = self.queue_by_arn(&redrive.target_arn)?;
        Some(DeadLetters {
            target: target.id,
            fifo: target.settings.fifo,
            max_receives: redrive.max_receives,
            source_arn: self.arn(&queue.name),
            available: target.available.clone(),
        })
    }
}

/// Messages that can be received now, oldest first.
#[derive(Default)]
pub(super) struct Chosen {
    pub(super) rows: Vec<i64>,
    /// FIFO groups to refresh after the rows have changed.
    pub(super) groups: Vec<String>,
    pub(super) moved: usize,
}

/// Selects up to `want` messages. Those that were received too often go to the dead-letter queue
/// instead.
pub(super) fn choose(
    conn: &Connection,
    queue: &Queue,
    dead: Option<&DeadLetters>,
    now_ms: u64,
    want: usize,
) -> rusqlite::Result<Chosen> {
    let mut chosen = Chosen::default();
    if queue.settings.fifo {
        choose_from_groups(conn, queue, dead, now_ms, want, &mut chosen)?;
    } else {
        choose_by_visibility(conn, queue, dead, now_ms, want, &mut chosen)?;
    }
    Ok(chosen)
}

struct Candidate {
    row: i64,
    visible_ms: u64,
    receives: i64,
}

impl Candidate {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { row: row.get(0)?, visible_ms: row.get(1)?, receives: row.get(2)? })
    }
}

impl Chosen {
    fn take_or_dead_letter(
        &mut self,
        conn: &Connection,
        candidate: &Candidate,
        dead: Option<&DeadLetters>,
        now_ms: u64,
    ) -> rusqlite::Result<()> {
        match dead.filter(|dead| candidate.receives >= dead.max_receives) {
            Some(dead) => {
                dead_letter(conn, candidate.row, dead, now_ms)?;
                self.moved += 1;
            }
            None => self.rows.push(candidate.row),
        }
        Ok(())
    }
}

fn choose_by_visibility(
    conn: &Connection,
    queue: &Queue,
    dead: Option<&DeadLetters>,
    now_ms: u64,
    want: usize,
    chosen: &mut Chosen,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT id, visible_ms, receives FROM messages
         WHERE queue = ?1 AND visible_ms <= ?2 AND (visible_ms, id) > (?3, ?4) ORDER BY visible_ms, id LIMIT ?5",
    )?;
    let mut after = (0_u64, 0_i64);
    while chosen.rows.len() < want && chosen.moved < MOST_MOVED {
        let missing = want - chosen.rows.len();
        let found: Vec<Candidate> = statement
            .query_map(params![queue.id, now_ms, after.0, after.1, missing], Candidate::read)?
            .collect::<Result<_, _>>()?;
        let Some(last) = found.last() else { break };
        after = (last.visible_ms, last.row);
        for candidate in &found {
            chosen.take_or_dead_letter(conn, candidate, dead, now_ms)?;
        }
    }
    Ok(())
}

fn choose_from_groups(
    conn: &Connection,
    queue: &Queue,
    dead: Option<&DeadLetters>,
    now_ms: u64,
    want: usize,
    chosen: &mut Chosen,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT fifo_group, ready_ms, head FROM fifo_groups
         WHERE queue = ?1 AND ready_ms <= ?2 AND (ready_ms, head) > (?3, ?4) ORDER BY ready_ms, head LIMIT ?5",
    )?;
    let mut after = (0_u64, 0_i64);
    while chosen.rows.len() < want && chosen.moved < MOST_MOVED {
        let found: Vec<(String, u64, i64)> = statement
            .query_map(params![queue.id, now_ms, after.0, after.1, want], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let Some((_, ready_ms, head)) = found.last() else { break };
        after = (*ready_ms, *head);
        for (group, _, _) in found {
            if chosen.rows.len() < want && chosen.moved < MOST_MOVED {
                choose_from_group(conn, queue.id, &group, dead, now_ms, want, chosen)?;
                chosen.groups.push(group);
            }
        }
    }
    Ok(())
}

/// Selects the first messages of a group, up to one that is still delayed.
fn choose_from_group(
    conn: &Connection,
    queue: i64,
    group: &str,
    dead: Option<&DeadLetters>,
    now_ms: u64,
    want: usize,
    chosen: &mut Chosen,
) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT id, visible_ms, receives FROM messages
         WHERE queue = ?1 AND fifo_group = ?2 AND id > ?3 ORDER BY id LIMIT ?4",
    )?;
    let mut after = 0;
    while chosen.rows.len() < want && chosen.moved < MOST_MOVED {
        let missing = want - chosen.rows.len();
        let found: Vec<Candidate> = statement
            .query_map(params![queue, group, after, missing], Candidate::read)?
            .collect::<Result<_, _>>()?;
        let Some(last) = found.last() else { break };
        after = last.row;
        for candidate in &found {
            if candidate.visible_ms > now_ms {
                return Ok(());
            }
            chosen.take_or_dead_letter(conn, candidate, dead, now_ms)?;
        }
    }
    Ok(())
}

/// Moves a message to the dead-letter queue. It keeps its id; in a standard queue also its age.
fn dead_letter(
    conn: &Connection,
    row: i64,
    dead: &DeadLetters,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let sent = if dead.fifo { "?3" } else { "sent_ms" };
    let sql = format!(
        "INSERT INTO messages (queue, fifo_group, visible_ms, sent_ms, first_received_ms, receives_before)
         SELECT ?2, fifo_group, ?3, {sent}, first_received_ms, receives + receives_before FROM messages WHERE id = ?1"
    );
    conn.prepare_cached(&sql)?.execute(params![row, dead.target, now_ms])?;
    let new_row = conn.last_insert_rowid();
    conn.prepare_cached("UPDATE contents SET id = ?2, source_arn = ?3 WHERE id = ?1")?
        .execute(params![row, new_row, dead.source_arn])?;
    settle_moved(conn, row, new_row, dead.target, now_ms)
}

/// Moves a message for a move task. In the target it is a new message.
pub(super) fn move_as_new(
    conn: &Connection,
    row: i64,
    target: i64,
    now_ms: u64,
) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO messages (queue, fifo_group, visible_ms, sent_ms)
         SELECT ?2, fifo_group, ?3, ?3 FROM messages WHERE id = ?1",
    )?
    .execute(params![row, target, now_ms])?;
    let new_row = conn.last_insert_rowid();
    conn.prepare_cached(
        "UPDATE contents SET id = ?2, message_id = ?3, source_arn = NULL WHERE id = ?1",
    )?
    .execute(params![row, new_row, random_uuid()])?;
    settle_moved(conn, row, new_row, target, now_ms)
}

fn settle_moved(
    conn: &Connection,
    row: i64,
    new_row: i64,
    target: i64,
    now_ms: u64,
) -> rusqlite::Result<()> {
    let group: Option<String> = conn
        .prepare_cached("DELETE FROM messages WHERE id = ?1 RETURNING fifo_group")?
        .query_row([row], |found| found.get(0))?;
    match group {
        Some(group) => join_group(conn, target, &group, now_ms, new_row),
        None => Ok(()),
    }
}

impl Chosen {
    /// Refreshes the groups after their messages have changed.
    pub(super) fn refresh_groups(&self, conn: &Connection, queue: &Queue) -> rusqlite::Result<()> {
        self.groups.iter().try_for_each(|group| refresh_group(conn, queue.id, group))
    }
}
