//! The data folder: where the local stack keeps everything, owned by one process at a time.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Its presence says that the folder is ours; the operating system's lock on it says who owns it now. The lock goes with
/// the process, however it ends, so nothing has to be cleaned up after a kill.
const LOCK_FILE: &str = "ledgerfold.lock";
const DYNAMODB_FILE: &str = "dynamodb.db";
const SQS_FILE: &str = "sqs.db";
const CHECKPOINTS_FOLDER: &str = "checkpoints";
const CHECKPOINT_EXTENSION: &str = "json";
/// The folder and its files are their owner's alone.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// What SQLite keeps beside a database file.
const SQLITE_SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// An open data folder. It is released when this is dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct DataDir {
    folder: PathBuf,
    lock: File,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Closing the file would do, but for a child process that is just being started and has not closed its copy yet.
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "the data folder's lock goes with the file");
        }
    }
}

/// Why a data folder cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it open.
    #[error("{} is in use by {owner}: stop it first, or choose another folder with --data", folder.display())]
    InUse {
        /// The folder asked for.
        folder: PathBuf,
        /// `process <id>` where known, otherwise `another process`.
        owner: String,
    },
    /// The folder, or the disk, refuses to be written to.
    #[error("{} cannot be written to: allow it, or choose a folder on a writable disk with --data", folder.display())]
    NotWritable {
        /// The folder asked for.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// There is something of that name that is no folder.
    #[error("{} is not a folder: choose another one with --data", folder.display())]
    NotAFolder {
        /// The path asked for.
        folder: PathBuf,
    },
    /// The folder holds other things, and nothing says that it was made here.
    #[error("{} holds files but is no data folder of ledgerfold: choose an empty or a new one with --data", folder.display())]
    NotOurs {
        /// The folder asked for.
        folder: PathBuf,
    },
    /// A database file is not readable as one.
    #[error("{} is damaged: restore it from a copy, or start again without its data with --fresh", file.display())]
    Damaged {
        /// The database file.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Anything else that the operating system refused.
    #[error("{} cannot be opened: check the disk, or choose another folder with --data", folder.display())]
    Unusable {
        /// The folder asked for.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DataDir {
    /// Opens the folder, made first if need be, and takes it for this process.
    ///
    /// # Errors
    /// [`DataDirError`] when it is in use, not writable, no folder, not ours, or when a database in it is damaged.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let dir = Self::take(folder.into())?;
        check_database(&dir.dynamodb_file())?;
        check_database(&dir.sqs_file())?;
        Ok(dir)
    }

    /// As [`open`](Self::open), after all data in it has been removed. Only the files that this program makes are
    /// removed, and only once the folder is ours alone.
    ///
    /// # Errors
    /// [`DataDirError`] when it is in use, not writable, no folder, or not ours.
    pub fn open_fresh(folder: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let dir = Self::take(folder.into())?;
        dir.remove_data().map_err(|source| classify(&dir.folder, source))?;
        fs::create_dir_all(dir.checkpoints()).map_err(|source| classify(&dir.folder, source))?;
        Ok(dir)
    }

    /// The database of tables and streams.
    #[must_use]
    pub fn dynamodb_file(&self) -> PathBuf {
        self.folder.join(DYNAMODB_FILE)
    }

    /// The database of queues.
    #[must_use]
    pub fn sqs_file(&self) -> PathBuf {
        self.folder.join(SQS_FILE)
    }

    /// The file in which the stream mapping of that name keeps how far it is.
    #[must_use]
    pub fn checkpoint_file(&self, mapping: &str) -> PathBuf {
        self.checkpoints().join(mapping).with_extension(CHECKPOINT_EXTENSION)
    }

    /// Takes all rights on the folder and its files from others. An earlier version, or whoever copied the folder, may have
    /// left them; and the engines make files as the system's default says, within the folder that is closed by then.
    pub(crate) fn keep_to_owner(&self) -> io::Result<()> {
        for folder in [self.folder.clone(), self.checkpoints()] {
            fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE))?;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    absent_is_fine(fs::set_permissions(entry.path(), Permissions::from_mode(FILE_MODE)))?;
                }
            }
        }
        Ok(())
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS_FOLDER)
    }

    fn take(folder: PathBuf) -> Result<Self, DataDirError> {
        if folder.exists() && !folder.is_dir() {
            return Err(DataDirError::NotAFolder { folder });
        }
        let refused = |source| classify(&folder, source);
        make_folder(&folder).map_err(refused)?;
        if !is_ours(&folder).map_err(refused)? {
            return Err(DataDirError::NotOurs { folder });
        }
        let lock = lock(&folder)?;
        make_folder(&folder.join(CHECKPOINTS_FOLDER)).map_err(refused)?;
        let dir = Self { folder, lock };
        dir.keep_to_owner().map_err(|source| classify(&dir.folder, source))?;
        Ok(dir)
    }

    fn remove_data(&self) -> io::Result<()> {
        for database in [DYNAMODB_FILE, SQS_FILE] {
            for suffix in SQLITE_SUFFIXES {
                absent_is_fine(fs::remove_file(self.folder.join(format!("{database}{suffix}"))))?;
            }
        }
        for entry in fs::read_dir(self.checkpoints())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == CHECKPOINT_EXTENSION) {
                absent_is_fine(fs::remove_file(path))?;
            }
        }
        Ok(())
    }
}

/// An empty folder may become ours; one with files in it must already be.
fn is_ours(folder: &Path) -> io::Result<bool> {
    Ok(folder.join(LOCK_FILE).exists() || fs::read_dir(folder)?.next().is_none())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

fn lock(folder: &Path) -> Result<File, DataDirError> {
    let refused = |source| classify(folder, source);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(folder.join(LOCK_FILE))
        .map_err(refused)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(DataDirError::InUse { folder: folder.to_owned(), owner: owner(&mut file) });
        }
        Err(TryLockError::Error(source)) => return Err(refused(source)),
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(refused)?;
    Ok(file)
}

fn owner(lock: &mut File) -> String {
    let mut text = String::new();
    let id = lock.read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    id.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}

/// Reads the header and the schema, not the data: `PRAGMA quick_check` reads every page and would hold the start up for
/// seconds on a file of a gigabyte. This finds what a broken disk, a bad copy or a stray write usually leaves: no SQLite
/// header, a file cut short (SQLite compares the size with the header), an unreadable schema. Damage deeper in the file
/// is met by the first call that reads that page, which fails; it never gives wrong data silently.
fn check_database(file: &Path) -> Result<(), DataDirError> {
    if !file.exists() {
        return Ok(());
    }
    let schema = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(|connection| {
        connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema WHERE sql <> ''", [], |_| Ok(()))
    });
    schema.map_err(|source| classify_sqlite(file, source))
}

fn classify_sqlite(file: &Path, source: rusqlite::Error) -> DataDirError {
    let code = source.sqlite_error_code();
    let path = file.to_owned();
    if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
        return DataDirError::Damaged { file: path, source };
    }
    if matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)) {
        return DataDirError::NotWritable { folder: path, source: io::Error::other(source) };
    }
    DataDirError::Unusable { folder: path, source: io::Error::other(source) }
}

fn classify(folder: &Path, source: io::Error) -> DataDirError {
    let folder = folder.to_owned();
    if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) {
        return DataDirError::NotWritable { folder, source };
    }
    if matches!(source.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) {
        return DataDirError::NotAFolder { folder };
    }
    DataDirError::Unusable { folder, source }
}

fn absent_is_fine(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
