//! Copies a data folder, even one that a running program has open.
//!
//! **Why no acknowledged write is missing.** The copy begins to read both databases while it holds
//! the write lock of the queues, for less than a millisecond. SQLite then shows each database as of
//! that instant, however long copying takes. So a message is in the copy of the queues, or its
//! effects are in the copy of the tables. The checkpoints are read first. They may be older than
//! the tables, never newer: fan-out sends a few notifications again and misses none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::manifest::{self, MANIFEST_FILE, Manifest, ManifestError};
use super::{CHECKPOINT_EXTENSION, CHECKPOINTS_FOLDER, DYNAMODB_FILE, DataFolder, SQS_FILE};

/// Pages per step. Between steps, the copy can be cancelled.
const STEP_PAGES: i32 = 512;

/// How much was copied.
#[derive(Clone, Copy, Debug)]
pub struct CopySize {
    /// The size of both databases, in bytes.
    pub bytes: u64,
    /// Messages in the queues.
    pub messages: u64,
}

/// Why the copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It was cancelled.
    #[error("stopped: the partial copy is removed")]
    Stopped,
    /// The program that has the folder open is still starting.
    #[error("the program that has {} open is still starting: try again", folder.display())]
    Starting {
        /// The folder.
        folder: PathBuf,
    },
    /// The integrity check of the copy failed.
    #[error("the copy {} is damaged ({finding}): check the disk and the original folder", file.display())]
    Damaged {
        /// The copy.
        file: PathBuf,
        /// What SQLite found.
        finding: String,
    },
    /// SQLite failed.
    #[error("{} cannot be copied", file.display())]
    Database {
        /// The file that was copied.
        file: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// A file operation failed.
    #[error("{} cannot be read or written", file.display())]
    File {
        /// The file or folder.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The manifest of the copy cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The folder to copy.
#[derive(Clone, Copy, Debug)]
pub enum BackupSource<'a> {
    /// Another program has it open.
    InUse(&'a Path),
    /// This process has locked it.
    Locked(&'a DataFolder),
}

impl BackupSource<'_> {
    /// Its path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self {
            Self::InUse(folder) => folder,
            Self::Locked(locked) => locked.folder(),
        }
    }

    fn open(&self, file: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(crate::local::engines::dynamodb::LOCK_WAIT)?;
        // Closing must not remove the WAL: if the other program is killed meanwhile, its next start
        // expects it.
        let keep_wal = matches!(self, Self::InUse(_));
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal)?;
        Ok(connection)
    }
}

/// Copies the folder into an empty one that this process has locked. It blocks. `progress` gets the
/// copied and the total bytes.
///
/// # Errors
/// [`CopyError`]; the target is then incomplete.
pub fn copy(
    source: BackupSource<'_>,
    target: &DataFolder,
    stop: &CancellationToken,
    progress: impl Fn(u64, u64),
) -> Result<CopySize, CopyError> {
    let checkpoints = read_checkpoints(source.folder())?;
    let (dynamodb, sqs) = at_one_instant(source)?;
    let total = dynamodb.bytes.saturating_add(sqs.bytes);
    dynamodb.copy_to(&target.dynamodb_file(), stop, |done| progress(done, total))?;
    sqs.copy_to(&target.sqs_file(), stop, |done| {
        progress(dynamodb.bytes.saturating_add(done), total)
    })?;
    for (name, bytes) in checkpoints {
        let file = target.checkpoints().join(name);
        fs::write(&file, bytes).map_err(|source| CopyError::File { file, source })?;
    }
    if dynamodb.mark != sqs.mark {
        return Err(CopyError::Starting { folder: source.folder().to_owned() });
    }
    let mark = dynamodb.mark.unwrap_or_else(manifest::new_mark);
    for file in [target.dynamodb_file(), target.sqs_file()] {
        manifest::write_mark(&file, mark).map_err(|source| CopyError::Database { file, source })?;
    }
    Manifest::of(mark).save(target.folder())?;
    Ok(CopySize { bytes: total, messages: sqs.messages()? })
}

/// Replaces the files of a folder by those of a closed copy. The manifest comes last: if the
/// program is killed in between, the next start reports the missing file.
///
/// # Errors
/// [`CopyError`].
pub fn move_into(copy: &Path, target: &DataFolder) -> Result<(), CopyError> {
    let failed = |file: &Path| {
        let file = file.to_owned();
        move |source| CopyError::File { file, source }
    };
    target.remove_data().map_err(failed(target.folder()))?;
    let checkpoints = checkpoint_files(copy)?;
    let checkpoints = checkpoints.iter().map(|name| Path::new(CHECKPOINTS_FOLDER).join(name));
    let databases = [DYNAMODB_FILE, SQS_FILE].map(PathBuf::from);
    for name in checkpoints.chain(databases).chain([PathBuf::from(MANIFEST_FILE)]) {
        fs::rename(copy.join(&name), target.folder().join(&name)).map_err(failed(&name))?;
    }
    File::open(target.folder())
        .and_then(|folder| folder.sync_all())
        .map_err(failed(target.folder()))
}

fn checkpoint_files(folder: &Path) -> Result<Vec<PathBuf>, CopyError> {
    let checkpoints = folder.join(CHECKPOINTS_FOLDER);
    let list = || {
        let mut names = Vec::new();
        for entry in fs::read_dir(&checkpoints)? {
            let name = PathBuf::from(entry?.file_name());
            if name.extension().is_some_and(|extension| extension == CHECKPOINT_EXTENSION) {
                names.push(name);
            }
        }
        Ok::<_, io::Error>(names)
    };
    match list() {
        // Without checkpoints, fan-out begins at the oldest stream record.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed.map_err(|source| CopyError::File { file: checkpoints.clone(), source }),
    }
}

fn read_checkpoints(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, CopyError> {
    let read = |name: PathBuf| {
        let file = folder.join(CHECKPOINTS_FOLDER).join(&name);
        let bytes = fs::read(&file).map_err(|source| CopyError::File { file, source })?;
        Ok((name, bytes))
    };
    checkpoint_files(folder)?.into_iter().map(read).collect()
}

/// A read transaction: the database as of one instant.
struct DatabaseSnapshot {
    file: PathBuf,
    connection: Connection,
    bytes: u64,
    mark: Option<uuid::Uuid>,
}

/// Begins to read both databases while the queues are locked for writes.
fn at_one_instant(
    source: BackupSource<'_>,
) -> Result<(DatabaseSnapshot, DatabaseSnapshot), CopyError> {
    let (dynamodb_file, sqs_file) =
        (source.folder().join(DYNAMODB_FILE), source.folder().join(SQS_FILE));
    let failed = |source| CopyError::Database { file: sqs_file.clone(), source };
    let write_lock = source.open(&sqs_file).map_err(failed)?;
    write_lock.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let snapshots = (
        DatabaseSnapshot::begin(source, dynamodb_file)?,
        DatabaseSnapshot::begin(source, sqs_file.clone())?,
    );
    write_lock.execute_batch("ROLLBACK").map_err(failed)?;
    Ok(snapshots)
}

impl DatabaseSnapshot {
    fn begin(source: BackupSource<'_>, file: PathBuf) -> Result<Self, CopyError> {
        let begin = || {
            let connection = source.open(&file)?;
            // SQLite takes the snapshot at the first read.
            connection.execute_batch("BEGIN; SELECT COUNT(*) FROM sqlite_schema")?;
            let pages: u64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            let page_size: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            let mark = manifest::mark_of(&connection)?;
            Ok((connection, pages.saturating_mul(page_size), mark))
        };
        let (connection, bytes, mark) =
            begin().map_err(|source| CopyError::Database { file: file.clone(), source })?;
        Ok(Self { file, connection, bytes, mark })
    }

    /// Copies all pages, then runs an integrity check on the copy.
    fn copy_to(
        &self,
        to: &Path,
        stop: &CancellationToken,
        progress: impl Fn(u64),
    ) -> Result<(), CopyError> {
        let failed = |source| CopyError::Database { file: self.file.clone(), source };
        let mut copy = Connection::open(to).map_err(failed)?;
        {
            let backup = Backup::new(&self.connection, &mut copy).map_err(failed)?;
            while backup.step(STEP_PAGES).map_err(failed)? != StepResult::Done {
                if stop.is_cancelled() {
                    return Err(CopyError::Stopped);
                }
                let pages = backup.progress();
                let left = u64::try_from(pages.remaining).unwrap_or_default();
                let all = u64::try_from(pages.pagecount).unwrap_or_default().max(1);
                progress(self.bytes.saturating_mul(all.saturating_sub(left)) / all);
            }
        }
        progress(self.bytes);
        let finding: String =
            copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if finding == "ok" {
            Ok(())
        } else {
            Err(CopyError::Damaged { file: to.to_owned(), finding })
        }
    }

    fn messages(&self) -> Result<u64, CopyError> {
        let count =
            self.connection.query_row("SELECT COUNT(*) FROM messages", [], |row| row.get(0));
        count.map_err(|source| CopyError::Database { file: self.file.clone(), source })
    }
}
