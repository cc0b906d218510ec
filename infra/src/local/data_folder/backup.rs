//! A copy of a data folder, also of one that a running program has open.
//!
//! **Why nothing that was acknowledged before is missing.** While this holds the write lock of the queues, for less than
//! a millisecond, it begins to read both databases. SQLite then shows each as it was, however long the copying takes. So
//! both copies are of one instant: a message is in the copy of the queues, or its effects are in the copy of the tables.
//! The checkpoints are read before that instant. They may be older than the tables, never newer: fan-out announces a few
//! commits again, and passes over none.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::manifest::{self, MANIFEST_FILE, Manifest, ManifestError};
use super::{CHECKPOINT_EXTENSION, CHECKPOINTS_FOLDER, DYNAMODB_FILE, DataDir, SQS_FILE};

/// Pages that are copied between two looks at whether to stop.
const STEP_PAGES: i32 = 512;

/// What was copied.
#[derive(Clone, Copy, Debug)]
pub struct Copied {
    /// The size of both databases, in bytes.
    pub bytes: u64,
    /// Messages in the queues.
    pub messages: u64,
}

/// Why a folder was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It was asked to stop.
    #[error("stopped: nothing was kept")]
    Stopped,
    /// The program that has the folder open had not finished its start.
    #[error("the program that has {} open is just starting: try again", folder.display())]
    Starting {
        /// The folder.
        folder: PathBuf,
    },
    /// A copy does not read as it should.
    #[error("the copy {} is damaged ({finding}): check the disk, and the folder that was copied", file.display())]
    Damaged {
        /// The copy.
        file: PathBuf,
        /// What SQLite found.
        finding: String,
    },
    /// SQLite refused.
    #[error("{} cannot be copied", file.display())]
    Database {
        /// The file that was copied.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The operating system refused.
    #[error("{} cannot be read or written", file.display())]
    File {
        /// The file or folder.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The manifest of the copy cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The folder that is copied.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A program has it open, and works on.
    InUse(&'a Path),
    /// It is ours.
    Owned(&'a DataDir),
}

impl Source<'_> {
    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match self {
            Self::InUse(folder) => folder,
            Self::Owned(owned) => owned.folder(),
        }
    }

    fn open(&self, file: &Path) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(crate::local::engines::dynamodb::LOCK_WAIT)?;
        // The log stays when this is closed: should the program that has the folder open be killed meanwhile, its next
        // start looks for it.
        let log_stays = matches!(self, Self::InUse(_));
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, log_stays)?;
        Ok(connection)
    }
}

/// Copies what the folder holds into an empty one that is ours. `progress` is told how many of how many bytes are done.
///
/// It blocks.
///
/// # Errors
/// [`CopyError`]; the target then holds a part of the data.
pub fn copy(
    source: Source<'_>,
    target: &DataDir,
    stop: &CancellationToken,
    progress: impl Fn(u64, u64),
) -> Result<Copied, CopyError> {
    let checkpoints = read_checkpoints(source.folder())?;
    let (dynamodb, sqs) = at_one_instant(source)?;
    let total = dynamodb.bytes.saturating_add(sqs.bytes);
    dynamodb.copy_to(&target.dynamodb_file(), stop, |done| progress(done, total))?;
    sqs.copy_to(&target.sqs_file(), stop, |done| progress(dynamodb.bytes.saturating_add(done), total))?;
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
    Ok(Copied { bytes: total, messages: sqs.messages()? })
}

/// Moves the files of a closed copy into a folder that is ours, in place of what it held. The manifest comes last: after
/// a kill in between, the next start refuses the folder by the name of the file that is missing.
///
/// # Errors
/// [`CopyError`].
pub fn move_into(copy: &Path, target: &DataDir) -> Result<(), CopyError> {
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
    File::open(target.folder()).and_then(|folder| folder.sync_all()).map_err(failed(target.folder()))
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
        // Without checkpoints, fan-out announces again what the stream still holds.
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

/// A database as it was at one instant, however long it is read.
struct Snapshot {
    file: PathBuf,
    connection: Connection,
    bytes: u64,
    mark: Option<uuid::Uuid>,
}

/// Both databases, of tables and of queues. Nothing is written to the queues between the two.
fn at_one_instant(source: Source<'_>) -> Result<(Snapshot, Snapshot), CopyError> {
    let (dynamodb_file, sqs_file) = (source.folder().join(DYNAMODB_FILE), source.folder().join(SQS_FILE));
    let failed = |source| CopyError::Database { file: sqs_file.clone(), source };
    let gate = source.open(&sqs_file).map_err(failed)?;
    gate.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
    let snapshots = (Snapshot::begin(source, dynamodb_file)?, Snapshot::begin(source, sqs_file.clone())?);
    gate.execute_batch("ROLLBACK").map_err(failed)?;
    Ok(snapshots)
}

impl Snapshot {
    fn begin(source: Source<'_>, file: PathBuf) -> Result<Self, CopyError> {
        let begin = || {
            let connection = source.open(&file)?;
            // Only the first read takes the snapshot.
            connection.execute_batch("BEGIN; SELECT COUNT(*) FROM sqlite_schema")?;
            let pages: u64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            let page_size: u64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
            let mark = manifest::mark_of(&connection)?;
            Ok((connection, pages.saturating_mul(page_size), mark))
        };
        let (connection, bytes, mark) = begin().map_err(|source| CopyError::Database { file: file.clone(), source })?;
        Ok(Self { file, connection, bytes, mark })
    }

    /// Copies the pages, and has SQLite check every one of the copy.
    fn copy_to(&self, to: &Path, stop: &CancellationToken, progress: impl Fn(u64)) -> Result<(), CopyError> {
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
        let finding: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
        if finding == "ok" { Ok(()) } else { Err(CopyError::Damaged { file: to.to_owned(), finding }) }
    }

    fn messages(&self) -> Result<u64, CopyError> {
        let count = self.connection.query_row("SELECT COUNT(*) FROM messages", [], |row| row.get(0));
        count.map_err(|source| CopyError::Database { file: self.file.clone(), source })
    }
}
