//! The data folder: where the local stack keeps everything, owned by one process at a time.

pub mod backup;
pub mod manifest;
pub mod running;

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use manifest::{MANIFEST_FILE, Manifest, ManifestError};

/// Its presence says that the folder is ours; the operating system's lock on it says who owns it now. The lock goes with
/// the process, however it ends, so nothing has to be cleaned up after a kill.
const LOCK_FILE: &str = "ledgerfold.lock";
pub(super) const DYNAMODB_FILE: &str = "dynamodb.db";
pub(super) const SQS_FILE: &str = "sqs.db";
pub(super) const CHECKPOINTS_FOLDER: &str = "checkpoints";
pub(super) const CHECKPOINT_EXTENSION: &str = "json";
/// The folder and its files are their owner's alone.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// What SQLite keeps beside a database file, and the lock of the queues.
const SQLITE_SUFFIXES: [&str; 5] = ["", "-wal", "-shm", "-journal", "-lock"];
/// What a file of SQLite begins with.
const SQLITE_HEADER: &[u8] = b"SQLite format 3\0";

/// An open data folder. It is released when this is dropped, or when the process ends in any way.
#[derive(Debug)]
pub struct DataDir {
    folder: PathBuf,
    lock: File,
    manifest: Manifest,
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.close();
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
    /// A file is missing, or does not belong to the others.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The database engine takes UTF-8 names only.
    #[error("{} is not UTF-8, which the database engine needs: choose another folder with --data", folder.display())]
    NotUtf8 {
        /// The folder asked for.
        folder: PathBuf,
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
    /// [`DataDirError`] when it is in use, not writable, no folder, not ours, or when a database in it is damaged,
    /// missing beside the other one, or of another folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let mut dir = Self::take(folder.into())?;
        dir.manifest = Manifest::check(&dir.folder).map_err(damage)?;
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

    /// Takes the folder, made first if need be, for data that replaces what it holds: that may be damaged.
    ///
    /// # Errors
    /// [`DataDirError`] when it is in use, not writable, no folder, or not ours.
    pub fn open_to_replace(folder: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let mut dir = Self::take(folder.into())?;
        let holds_data = [MANIFEST_FILE, DYNAMODB_FILE, SQS_FILE].iter().any(|name| dir.folder.join(name).exists());
        dir.manifest = Manifest::default().begun(holds_data);
        Ok(dir)
    }

    /// Where it is, as an absolute path.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether both databases have been made.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.manifest.is_begun()
    }

    /// Says that the databases are about to be opened.
    pub(in crate::local) fn begin(&mut self) -> Result<(), ManifestError> {
        self.manifest.begin(&self.folder)
    }

    /// Binds the databases, which are open, to this folder and to this start.
    pub(in crate::local) fn bind(&mut self) -> Result<(), ManifestError> {
        self.manifest.bind(&self.folder)
    }

    /// Says that the databases are about to be closed in order.
    pub(in crate::local) fn close(&mut self) {
        if let Err(error) = self.manifest.close(&self.folder) {
            tracing::warn!(%error, "the data folder does not say that it was closed");
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

    /// The file in which the stream mapping of that name keeps how far it is.
    #[must_use]
    pub fn checkpoint_file(&self, mapping: &str) -> PathBuf {
        self.checkpoints().join(mapping).with_extension(CHECKPOINT_EXTENSION)
    }

    /// Takes all rights on the folder and its files from others. An earlier version, or copying the folder, may have
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

    pub(super) fn checkpoints(&self) -> PathBuf {
        self.folder.join(CHECKPOINTS_FOLDER)
    }

    fn take(folder: PathBuf) -> Result<Self, DataDirError> {
        if folder.to_str().is_none() {
            return Err(DataDirError::NotUtf8 { folder });
        }
        // SQLite takes a name that begins with `file:` for a URI; an absolute path never begins so.
        let folder = std::path::absolute(&folder).map_err(|source| classify(&folder, source))?;
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
        let dir = Self { folder, lock, manifest: Manifest::default() };
        dir.keep_to_owner().map_err(|source| classify(&dir.folder, source))?;
        Ok(dir)
    }

    pub(super) fn remove_data(&self) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.folder.join(MANIFEST_FILE)))?;
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

/// An empty folder may become ours; one with files in it must already be. A copy may lack the lock or the manifest: both
/// databases together say it too.
fn is_ours(folder: &Path) -> io::Result<bool> {
    let is_database = |name| has_header(&folder.join(name));
    Ok(folder.join(LOCK_FILE).exists()
        || folder.join(MANIFEST_FILE).exists()
        || (is_database(DYNAMODB_FILE) && is_database(SQS_FILE))
        || fs::read_dir(folder)?.next().is_none())
}

fn has_header(file: &Path) -> bool {
    let mut header = [0; SQLITE_HEADER.len()];
    File::open(file).and_then(|mut file| file.read_exact(&mut header)).is_ok() && header == *SQLITE_HEADER
}

/// What SQLite says while the marks are read is told as it is of any other look into the file.
fn damage(error: ManifestError) -> DataDirError {
    if let ManifestError::Database { file, source } = error {
        return classify_sqlite(&file, source);
    }
    error.into()
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
