//! Move tasks: they move messages out of a dead-letter queue.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{OptionalExtension as _, Row, params};

use super::settle::expire;
use super::transfer::{choose, move_as_new};
use super::{Queue, QueueStore};
use crate::error::{ApiError, ErrorKind};
use crate::token::random_uuid;

/// The most messages per transaction.
const STEP: u64 = 100;
/// The pause between the steps of a task with a rate.
const PACE_MS: u64 = 100;

/// A move task to start.
#[derive(Clone, Debug)]
pub(crate) struct NewMove {
    pub(crate) source_arn: String,
    /// The destination; by default the queue that each message came from.
    pub(crate) target_arn: Option<String>,
    pub(crate) per_second: Option<i64>,
}

/// A move task.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    id: i64,
    pub(crate) handle: String,
    pub(crate) source_arn: String,
    pub(crate) target_arn: Option<String>,
    pub(crate) per_second: Option<i64>,
    pub(crate) status: String,
    pub(crate) moved: u64,
    pub(crate) to_move: u64,
    pub(crate) failure: Option<String>,
    pub(crate) started_ms: u64,
}

const COLUMNS: &str =
    "id, handle, source_arn, target_arn, per_second, status, moved, to_move, failure, started_ms";

impl Move {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            handle: row.get(1)?,
            source_arn: row.get(2)?,
            target_arn: row.get(3)?,
            per_second: row.get(4)?,
            status: row.get(5)?,
            moved: row.get(6)?,
            to_move: row.get(7)?,
            failure: row.get(8)?,
            started_ms: row.get(9)?,
        })
    }

    /// How many messages the rate allows at `now_ms`.
    fn allowance(&self, now_ms: u64) -> u64 {
        let Some(per_second) = self.per_second.and_then(|rate| u64::try_from(rate).ok()) else {
            return STEP;
        };
        let due = (now_ms.saturating_sub(self.started_ms).saturating_mul(per_second) / 1_000)
            .saturating_add(1);
        due.saturating_sub(self.moved).min(STEP)
    }
}

fn not_found(what: &str) -> ApiError {
    ApiError::new(ErrorKind::ResourceNotFound, what)
}

impl QueueStore {
    /// Starts a move task and returns its handle.
    pub(crate) fn start_move(&mut self, new_move: &NewMove) -> Result<String, ApiError> {
        let now_ms = self.now_ms()?;
        let source = self.queue_by_arn(&new_move.source_arn).ok_or_else(|| {
            not_found("The resource that you specified for the SourceArn parameter doesn't exist.")
        })?;
        self.check_move(new_move, source)?;
        let to_move: u64 = self.conn.query_row(
            "SELECT count(*) FROM messages WHERE queue = ?1 AND visible_ms <= ?2",
            params![source.id, now_ms],
            |row| row.get(0),
        )?;
        let task = serde_json::json!({ "taskId": random_uuid(), "sourceArn": new_move.source_arn });
        let handle = STANDARD.encode(task.to_string());
        self.conn.execute(
            "INSERT INTO moves (handle, source_arn, target_arn, per_second, status, moved, to_move, started_ms)
             VALUES (?1, ?2, ?3, ?4, 'RUNNING', 0, ?5, ?6)",
            params![handle, new_move.source_arn, new_move.target_arn, new_move.per_second, to_move, now_ms],
        )?;
        self.move_started.notify_one();
        Ok(handle)
    }

    fn check_move(&self, new_move: &NewMove, source: &Queue) -> Result<(), ApiError> {
        if self.dead_letter_sources(&new_move.source_arn).is_empty() {
            return Err(ApiError::parameter(
                "Source queue must be configured as a Dead Letter Queue.",
            ));
        }
        if let Some(arn) = &new_move.target_arn {
            let target = self.queue_by_arn(arn).ok_or_else(|| {
                not_found("The resource that you specified for the DestinationArn parameter doesn't exist.")
            })?;
            if target.id == source.id {
                return Err(ApiError::parameter(
                    "Source queue arn and destination queue arn cannot be the same.",
                ));
            }
            if target.settings.fifo != source.settings.fifo {
                return Err(ApiError::parameter(
                    "Source and destination must be queues of the same type.",
                ));
            }
        }
        if new_move.per_second.is_some_and(|rate| !(1..=500).contains(&rate)) {
            return Err(ApiError::parameter(
                "MaxNumberOfMessagesPerSecond must be between 1 and 500.",
            ));
        }
        let running = "SELECT 1 FROM moves WHERE source_arn = ?1 AND status = 'RUNNING'";
        if self.conn.prepare(running)?.exists([&new_move.source_arn])? {
            return Err(ApiError::new(
                ErrorKind::UnsupportedOperation,
                "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
            ));
        }
        Ok(())
    }

    /// The names of the queues whose dead-letter queue is `arn`.
    pub(crate) fn dead_letter_sources(&self, arn: &str) -> Vec<String> {
        self.queue_names(|queue| {
            queue.settings.redrive.as_ref().is_some_and(|redrive| redrive.target_arn == arn)
        })
    }

    /// The newest tasks of a source.
    pub(crate) fn moves_of(&self, source_arn: &str, most: i64) -> Result<Vec<Move>, ApiError> {
        if self.queue_by_arn(source_arn).is_none() {
            return Err(not_found(
                "The resource that you specified for the SourceArn parameter doesn't exist.",
            ));
        }
        let sql =
            format!("SELECT {COLUMNS} FROM moves WHERE source_arn = ?1 ORDER BY id DESC LIMIT ?2");
        let moves = self
            .conn
            .prepare(&sql)?
            .query_map(params![source_arn, most], Move::read)?
            .collect::<Result<_, _>>()?;
        Ok(moves)
    }

    /// Cancels a running task. Returns how many messages it has moved.
    pub(crate) fn cancel_move(&mut self, handle: &str) -> Result<u64, ApiError> {
        let sql = format!("SELECT {COLUMNS} FROM moves WHERE handle = ?1");
        let task = self.conn.query_row(&sql, [handle], Move::read).optional()?;
        let task = task.ok_or_else(|| not_found("Task does not exist."))?;
        if task.status != "RUNNING" {
            let message = "Only active tasks can be cancelled.";
            return Err(ApiError::new(ErrorKind::UnsupportedOperation, message));
        }
        self.conn.execute("UPDATE moves SET status = 'CANCELLED' WHERE id = ?1", [task.id])?;
        Ok(task.moved)
    }

    /// Moves the next messages of every running task. Returns the pause in milliseconds before the
    /// next step, or none if no task runs.
    pub(crate) fn step_moves(&mut self) -> Result<Option<u64>, ApiError> {
        let sql = format!("SELECT {COLUMNS} FROM moves WHERE status = 'RUNNING'");
        let running: Vec<Move> =
            self.conn.prepare_cached(&sql)?.query_map([], Move::read)?.collect::<Result<_, _>>()?;
        let mut next_ms = None;
        for task in &running {
            if self.step_move(task)? {
                let pace_ms = if task.per_second.is_some() { PACE_MS } else { 0 };
                next_ms = Some(next_ms.map_or(pace_ms, |soonest: u64| soonest.min(pace_ms)));
            }
        }
        Ok(next_ms)
    }

    /// Moves the next messages of a task. Returns whether it continues.
    fn step_move(&mut self, task: &Move) -> Result<bool, ApiError> {
        let now_ms = self.now_ms()?;
        let Some(source) = self.queue_by_arn(&task.source_arn) else { return Ok(false) };
        let allowance = usize::try_from(task.allowance(now_ms)).unwrap_or(0);
        if allowance == 0 {
            return Ok(true);
        }
        let tx = self.conn.unchecked_transaction()?;
        expire(&tx, source, now_ms)?;
        let chosen = choose(&tx, source, None, now_ms, allowance)?;
        let mut targets = Vec::new();
        let mut failure = None;
        for row in &chosen.rows {
            let arn = match &task.target_arn {
                Some(arn) => Some(arn.clone()),
                None => {
                    tx.query_row("SELECT source_arn FROM contents WHERE id = ?1", [row], |found| {
                        found.get(0)
                    })?
                }
            };
            let Some(target) = arn.as_deref().and_then(|arn| self.queue_by_arn(arn)) else {
                failure = Some("AWS.SimpleQueueService.NonExistentQueue");
                break;
            };
            move_as_new(&tx, *row, target.id, now_ms)?;
            targets.push(target.available.clone());
        }
        chosen.refresh_groups(&tx, source)?;
        let status = match failure {
            Some(_) => "FAILED",
            None if chosen.rows.is_empty() => "COMPLETED",
            None => "RUNNING",
        };
        tx.execute(
            "UPDATE moves SET moved = moved + ?2, status = ?3, failure = ?4 WHERE id = ?1",
            params![task.id, targets.len(), status, failure],
        )?;
        tx.commit()?;
        targets.iter().for_each(|available| available.notify_waiters());
        Ok(status == "RUNNING")
    }
}
