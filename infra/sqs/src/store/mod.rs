//! The database: one SQLite file, one connection, one transaction per request.

mod moves;
mod queues;
mod receive;
mod send;
mod settle;
mod transfer;

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use tokio::sync::Notify;

use crate::clock::SteadyClock;
use crate::config::Config;
use crate::error::{ApiError, OpenError};
use crate::token::random_uuid;

pub(crate) use moves::{Move, NewMove};
pub(crate) use queues::Queue;
pub(crate) use receive::{Delivery, ReceiveRequest};
pub(crate) use send::{NewMessage, Sent, check_token};
pub(crate) use settle::check_visibility;

/// How long deduplication ids and receive attempts are stored.
const DEDUPLICATION_MS: u64 = 5 * 60 * 1_000;
/// Identifies the files of this crate.
const APPLICATION_ID: i64 = 0x4c51_5153;
const SCHEMA_VERSION: i64 = 1;
/// How far the recorded time may be behind.
const CLOCK_STEP_MS: u64 = 1_000;
/// How long to wait for the write lock, which a backup holds for an instant, or longer on a slow
/// machine.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// All queues with their messages, and the clock.
pub(crate) struct QueueStore {
    conn: Connection,
    /// Excludes a second writer, whose changes the cache of queues would not show. Readers such as
    /// a backup are allowed.
    _lock: File,
    config: Config,
    clock: SteadyClock,
    recorded_ms: u64,
    pub(crate) secret: String,
    queues: HashMap<String, Queue>,
    /// Upper bounds of the messages in flight by queue, from the first count on.
    in_flight_at_most: HashMap<i64, u64>,
    /// Notified when a move task starts.
    pub(crate) move_started: Arc<Notify>,
}

impl QueueStore {
    /// Opens the file, or creates it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub(crate) fn open(path: &Path, config: Config) -> Result<Self, OpenError> {
        let (conn, lock) = connect(path).map_err(|source| classify(path, source))?;
        let found = has_our_schema(&conn)
            .and_then(|ours| Ok((ours, is_empty(&conn)?)))
            .map_err(|e| classify(path, e))?;
        match found {
            (true, _) => {}
            (false, true) => create(&conn, &config).map_err(|source| classify(path, source))?,
            (false, false) => return Err(OpenError::Foreign { path: path.to_owned() }),
        }
        Self::load(conn, lock, config).map_err(|source| classify(path, source))
    }

    fn load(conn: Connection, lock: File, config: Config) -> rusqlite::Result<Self> {
        conn.execute_batch("PRAGMA foreign_keys = OFF")?;
        conn.set_prepared_statement_cache_capacity(128);
        let (secret, last_ms) = conn.query_row("SELECT secret, last_ms FROM about", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        let mut clock = SteadyClock::starting_at(config.now.clone(), last_ms);
        let queues = queues::load(&conn)?;
        if config.release_on_open {
            settle::release_all(&conn, clock.now_ms())?;
        }
        Ok(Self {
            conn,
            _lock: lock,
            config,
            clock,
            recorded_ms: last_ms,
            secret,
            queues,
            in_flight_at_most: HashMap::new(),
            move_started: Arc::new(Notify::new()),
        })
    }

    /// Milliseconds since 1970, never decreasing. The time is recorded in the file every second, so
    /// that it does not go back after a restart.
    pub(crate) fn now_ms(&mut self) -> Result<u64, ApiError> {
        let now_ms = self.clock.now_ms();
        if now_ms >= self.recorded_ms.saturating_add(CLOCK_STEP_MS) {
            self.conn.prepare_cached("UPDATE about SET last_ms = ?1")?.execute([now_ms])?;
            self.recorded_ms = now_ms;
        }
        Ok(now_ms)
    }

    /// The queue of a URL; only its path matters.
    pub(crate) fn queue(&self, url: &str) -> Result<&Queue, ApiError> {
        let name = queues::name_in_url(url, &self.config.account)?;
        self.queues.get(name).ok_or_else(ApiError::no_queue)
    }

    /// The ARN of a queue of this server.
    pub(crate) fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{}:{name}", self.config.region, self.config.account)
    }

    /// The queue of an ARN, if it is on this server.
    pub(crate) fn queue_by_arn(&self, arn: &str) -> Option<&Queue> {
        let (_, name) = arn.rsplit_once(':')?;
        self.queues.get(name).filter(|queue| self.arn(&queue.name) == arn)
    }

    /// When the next hidden message, or the next group of a FIFO queue, becomes visible.
    pub(crate) fn next_visible_ms(
        &self,
        queue: &Queue,
        now_ms: u64,
    ) -> Result<Option<u64>, ApiError> {
        let sql = if queue.settings.fifo {
            "SELECT min(ready_ms) FROM fifo_groups WHERE queue = ?1 AND ready_ms > ?2"
        } else {
            "SELECT min(visible_ms) FROM messages WHERE queue = ?1 AND visible_ms > ?2"
        };
        Ok(self.conn.prepare_cached(sql)?.query_row(params![queue.id, now_ms], |row| row.get(0))?)
    }
}

fn connect(path: &Path) -> rusqlite::Result<(Connection, File)> {
    let conn = Connection::open(path)?;
    let lock = lock(path)?;
    conn.busy_timeout(LOCK_WAIT)?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 67108864; BEGIN IMMEDIATE; COMMIT;",
    )?;
    let verdict: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok((conn, lock));
    }
    Err(failure(rusqlite::ffi::SQLITE_CORRUPT, verdict))
}

/// Locks the file for this process. The operating system releases the lock when the process ends.
fn lock(path: &Path) -> rusqlite::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    let refused =
        |error: std::io::Error| failure(rusqlite::ffi::SQLITE_CANTOPEN, error.to_string());
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).open(name).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(failure(
            rusqlite::ffi::SQLITE_BUSY,
            "another process serves these queues".to_owned(),
        )),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

fn failure(code: i32, text: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), Some(text))
}

fn has_our_schema(conn: &Connection) -> rusqlite::Result<bool> {
    let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(pragma("application_id")? == APPLICATION_ID && pragma("user_version")? == SCHEMA_VERSION)
}

fn is_empty(conn: &Connection) -> rusqlite::Result<bool> {
    let table = conn.query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |_| Ok(())).optional()?;
    Ok(table.is_none())
}

fn create(conn: &Connection, config: &Config) -> rusqlite::Result<()> {
    let tx = conn.unchecked_transaction()?;
    tx.execute_batch(include_str!("schema.sql"))?;
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.execute(
        "INSERT INTO about (secret, last_ms) VALUES (?1, ?2)",
        params![random_uuid(), (config.now)()],
    )?;
    tx.commit()
}

fn classify(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            OpenError::Locked { path, source }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Damaged { path, source }
        }
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::DiskFull,
        ) => OpenError::NotWritable { path, source },
        Some(_) | None => OpenError::Failed { path, source },
    }
}
