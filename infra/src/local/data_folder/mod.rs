//! The data folder: both databases of the local stack, locked by one process at a time.
//!
//! | module | what it does |
//! |---|---|
//! | [`backup`] | copies a folder, even while it is in use |
//! | [`manifest`] | checks that the files belong together |
//! | [`running`] | the file by which commands find a running `dev` |

pub mod backup;
pub mod manifest;
pub mod running;

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use manifest::{MANIFEST_FILE, Manifest, ManifestError};

/// The file marks a folder as a data folder. The operating system locks it for one process, and
/// releases the lock when that process ends in any way.
const LOCK_FILE: &str = "ledgerfold.lock";
pub(super) const DYNAMODB_FILE: &str = "dynamodb.db";
pub(super) const SQS_FILE: &str = "sqs.db";
pub(super) const CHECKPOINTS_FOLDER: &str = "checkpoints";
pub(super) const CHECKPOINT_EXTENSION: &str = "json";
/// Only the owner can read the folder and its files.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Suffixes of SQLite's files and of the lock of the queues.
const SQLITE_SUFFIXES: [&str; 5] = ["", "-wal", "-shm", "-journal", "-lock"];
/// The first bytes of a database file.
const SQLITE_HEADER: &[u8] = b"SQLite format 3\0";

/// A locked data folder. The lock ends with this value or with the process.
#[derive(Debug)]
pub struct DataFolder {
    folder: PathBuf,
    lock: File,
    manifest: Manifest,
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        self.before_close();
        // Closing the file is not enough while a child process that is starting holds a copy of it.
        if let Err(error) = self.lock.unlock() {
            tracing::debug!(%error, "the data folder is unlocked when its file is closed");
        }
    }
}

/// Why a data folder cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum DataFolderError {
    /// Another process has locked it.
    #[error("{} is in use by {owner}: stop it first, or choose another folder with --data", folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// `process <id>` where known, otherwise `another process`.
        owner: String,
    },
    /// The folder or the disk is read-only.
    #[error("{} cannot be written to: allow it, or choose a folder on a writable disk with --data", folder.display())]
    NotWritable {
        /// The folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The path is not a folder.
    #[error("{} is not a folder: choose another one with --data", folder.display())]
    NotAFolder {
        /// The path.
        folder: PathBuf,
    },
    /// The folder has other files.
    #[error("{} holds files but is no data folder of ledgerfold: choose an empty or a new one with --data", folder.display())]
    NotOurs {
        /// The folder.
        folder: PathBuf,
    },
    /// A database cannot be read.
    #[error("{} is damaged: restore it from a copy, or start again without its data with --fresh", file.display())]
    Damaged {
        /// The database file.
        file: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// A file is missing or does not belong to the others.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The database engine takes UTF-8 names only.
    #[error("{} is not UTF-8, which the database engine needs: choose another folder with --data", folder.display())]
    NotUtf8 {
        /// The folder.
        folder: PathBuf,
    },
    /// Another error of the operating system.
    #[error("{} cannot be opened: check the disk, or choose another folder with --data", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl DataFolder {
    /// Opens and locks the folder. A missing folder is created.
    ///
    /// # Errors
    /// [`DataFolderError`] when the folder cannot be used, or when a database is damaged, missing or of another folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, DataFolderError> {
        let mut dir = Self::lock(folder.into())?;
        dir.manifest = Manifest::check(&dir.folder).map_err(damage)?;
        check_database(&dir.dynamodb_file())?;
        check_database(&dir.sqs_file())?;
        Ok(dir)
    }

    /// As [`open`](Self::open), but removes the data first. Only files that this program writes are
    /// removed, and only after the folder is locked.
    ///
    /// # Errors
    /// [`DataFolderError`] when the folder cannot be used.
    pub fn open_fresh(folder: impl Into<PathBuf>) -> Result<Self, DataFolderError> {
        let dir = Self::lock(folder.into())?;
        dir.remove_data().map_err(|source| classify(&dir.folder, source))?;
        fs::create_dir_all(dir.checkpoints()).map_err(|source| classify(&dir.folder, source))?;
        Ok(dir)
    }

    /// Locks the folder for data that replaces its own, which may be damaged. A missing folder is
    /// created.
    ///
    /// # Errors
    /// [`DataFolderError`] when the folder cannot be used.
    pub fn open_to_replace(folder: impl Into<PathBuf>) -> Result<Self, DataFolderError> {
        let mut dir = Self::lock(folder.into())?;
        let has_data = [MANIFEST_FILE, DYNAMODB_FILE, SQS_FILE]
            .iter()
            .any(|name| dir.folder.join(name).exists());
        dir.manifest = Manifest::default().with_data(has_data);
        Ok(dir)
    }

    /// Its absolute path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether both databases were created.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.manifest.has_data()
    }

    /// Records that the databases are about to be opened.
    pub(in crate::local) fn before_open(&mut self) -> Result<(), ManifestError> {
        self.manifest.before_open(&self.folder)
    }

    /// Marks the open databases as belonging to this folder and this start.
    pub(in crate::local) fn mark_databases(&mut self) -> Result<(), ManifestError> {
        self.manifest.mark_databases(&self.folder)
    }

    /// Records that the databases are about to be closed.
    pub(in crate::local) fn before_close(&mut self) {
        if let Err(error) = self.manifest.before_close(&self.folder) {
            tracing::warn!(%error, "the data folder cannot record that it was closed");
        }
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

    /// The checkpoint file of a stream mapping.
    #[must_use]
    pub fn checkpoint_file(&self, mapping: &str) -> PathBuf {
        self.checkpoints().join(mapping).with_extension(CHECKPOINT_EXTENSION)
    }

    /// Removes the permissions of others on the folder and its files. An earlier version or a copy
    /// may have left them, and the engines create files with the default permissions.
    pub(crate) fn restrict_to_owner(&self) -> io::Result<()> {
        for folder in [self.folder.clone(), self.checkpoints()] {
            fs::set_permissions(&folder, Permissions::from_mode(FOLDER_MODE))?;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_file() {
                    ignore_missing(fs::set_permissions(
                        entry.path(),
                        Permissions::from_mode(FILE_MODE),
                    ))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS_FOLDER)
    }

    fn lock(folder: PathBuf) -> Result<Self, DataFolderError> {
        if folder.to_str().is_none() {
            return Err(DataFolderError::NotUtf8 { folder });
        }
        // SQLite reads a name that begins with `file:` as a URI. An absolute path never does.
        let folder = std::path::absolute(&folder).map_err(|source| classify(&folder, source))?;
        if folder.exists() && !folder.is_dir() {
            return Err(DataFolderError::NotAFolder { folder });
        }
        let refused = |source| classify(&folder, source);
        make_folder(&folder).map_err(refused)?;
        if !is_data_folder(&folder).map_err(refused)? {
            return Err(DataFolderError::NotOurs { folder });
        }
        let lock = lock_file(&folder)?;
        make_folder(&folder.join(CHECKPOINTS_FOLDER)).map_err(refused)?;
        let dir = Self { folder, lock, manifest: Manifest::default() };
        dir.restrict_to_owner().map_err(|source| classify(&dir.folder, source))?;
        Ok(dir)
    }

    pub(super) fn remove_data(&self) -> io::Result<()> {
        ignore_missing(fs::remove_file(self.folder.join(MANIFEST_FILE)))?;
        for database in [DYNAMODB_FILE, SQS_FILE] {
            for suffix in SQLITE_SUFFIXES {
                ignore_missing(fs::remove_file(self.folder.join(format!("{database}{suffix}"))))?;
            }
        }
        for entry in fs::read_dir(self.checkpoints())? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == CHECKPOINT_EXTENSION) {
                ignore_missing(fs::remove_file(path))?;
            }
        }
        Ok(())
    }
}

/// Whether the folder is empty, or has files of a data folder. A copy may lack the lock file or the
/// manifest; both databases are enough, too.
fn is_data_folder(folder: &Path) -> io::Result<bool> {
    let is_database = |name| has_header(&folder.join(name));
    Ok(folder.join(LOCK_FILE).exists()
        || folder.join(MANIFEST_FILE).exists()
        || (is_database(DYNAMODB_FILE) && is_database(SQS_FILE))
        || fs::read_dir(folder)?.next().is_none())
}

fn has_header(file: &Path) -> bool {
    let mut header = [0; SQLITE_HEADER.len()];
    File::open(file).and_then(|mut file| file.read_exact(&mut header)).is_ok()
        && header == *SQLITE_HEADER
}

/// Reports errors of SQLite in the manifest like its other errors.
fn damage(error: ManifestError) -> DataFolderError {
    if let ManifestError::Database { file, source } = error {
        return classify_sqlite(&file, source);
    }
    error.into()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

fn lock_file(folder: &Path) -> Result<File, DataFolderError> {
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
            return Err(DataFolderError::InUse {
                folder: folder.to_owned(),
                owner: owner(&mut file),
            });
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

/// Reads header and schema only. `PRAGMA quick_check` reads every page, which takes seconds for a
/// gigabyte.
///
/// This finds the usual damage: a missing header, a truncated file (SQLite compares its size with
/// the header), an unreadable schema. Damage in other pages fails the first call that reads them,
/// and never returns wrong data.
fn check_database(file: &Path) -> Result<(), DataFolderError> {
    if !file.exists() {
        return Ok(());
    }
    let schema = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).and_then(
        |connection| {
            connection.query_row("PRAGMA schema_version", [], |_| Ok(()))?;
            connection
                .query_row("SELECT COUNT(*) FROM sqlite_schema WHERE sql <> ''", [], |_| Ok(()))
        },
    );
    schema.map_err(|source| classify_sqlite(file, source))
}

fn classify_sqlite(file: &Path, source: rusqlite::Error) -> DataFolderError {
    let code = source.sqlite_error_code();
    let path = file.to_owned();
    if matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
        return DataFolderError::Damaged { file: path, source };
    }
    if matches!(
        code,
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    ) {
        return DataFolderError::NotWritable { folder: path, source: io::Error::other(source) };
    }
    DataFolderError::Unusable { folder: path, source: io::Error::other(source) }
}

fn classify(folder: &Path, source: io::Error) -> DataFolderError {
    let folder = folder.to_owned();
    if matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    {
        return DataFolderError::NotWritable { folder, source };
    }
    if matches!(source.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) {
        return DataFolderError::NotAFolder { folder };
    }
    DataFolderError::Unusable { folder, source }
}

fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
