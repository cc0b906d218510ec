//! Removes stream records after 24 hours, as DynamoDB Streams does. The embedded engine removes
//! none.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, params};

/// How long a stream keeps its records.
pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Rows per transaction: few enough that a writer waits only milliseconds, even for large records.
const CHUNK_ROWS: i64 = 200;
/// Waiting writers proceed in this pause.
const CHUNK_PAUSE: Duration = Duration::from_millis(5);
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The order of ids is the order of age. This query needs no write lock.
const NEXT_CHUNK: &str = "SELECT MAX(id), MIN(created_at), MAX(created_at) FROM
    (SELECT id, created_at FROM _stream_records WHERE id > ?1 ORDER BY id LIMIT ?2)";
/// The newest record of every table stays, because the engine derives the next sequence number from
/// it. The comparison uses the index on table and number.
const REMOVE_CHUNK: &str =
    "DELETE FROM _stream_records WHERE id > ?1 AND id <= ?2 AND created_at < ?3
    AND CAST(sequence_number AS INTEGER) < (SELECT MAX(CAST(newer.sequence_number AS INTEGER))
        FROM _stream_records AS newer WHERE newer.table_name = _stream_records.table_name)";

/// Removes old stream records through its own connection, while the engine runs.
///
/// The file does not shrink; SQLite reuses the space.
#[derive(Debug)]
pub struct StreamTrim {
    connection: Connection,
}

/// The records of one step.
struct Chunk {
    last_id: i64,
    any_old: bool,
    all_old: bool,
}

impl StreamTrim {
    /// Connects to the engine's database file.
    ///
    /// # Errors
    /// When SQLite cannot open the file.
    pub fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(LOCK_WAIT)?;
        // As the engine does. If a power cut undoes a removal, the next run repeats it.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Self { connection })
    }

    /// Removes all records older than `oldest_kept`, except the newest of each table. Returns their
    /// number.
    ///
    /// # Errors
    /// When SQLite fails; earlier removals stay.
    pub async fn remove_before(&mut self, oldest_kept: SystemTime) -> rusqlite::Result<usize> {
        let horizon_s = unix_seconds(oldest_kept);
        let (mut removed, mut after_id) = (0, 0);
        while let Some(chunk) = self.chunk(after_id, horizon_s)? {
            if chunk.any_old {
                removed += self
                    .connection
                    .execute(REMOVE_CHUNK, params![after_id, chunk.last_id, horizon_s])?;
            }
            if !chunk.all_old {
                break;
            }
            after_id = chunk.last_id;
            tokio::time::sleep(CHUNK_PAUSE).await;
        }
        Ok(removed)
    }

    fn chunk(&self, after_id: i64, horizon_s: i64) -> rusqlite::Result<Option<Chunk>> {
        self.connection.query_row(NEXT_CHUNK, params![after_id, CHUNK_ROWS], |row| {
            let (last_id, oldest_s, newest_s): (Option<i64>, Option<i64>, Option<i64>) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(last_id.map(|last_id| Chunk {
                last_id,
                any_old: oldest_s.is_some_and(|created_s| created_s < horizon_s),
                all_old: newest_s.is_some_and(|created_s| created_s < horizon_s),
            }))
        })
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
