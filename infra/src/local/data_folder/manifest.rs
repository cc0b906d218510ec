//! What binds the files of a data folder together. Each start writes one new mark into both databases and into
//! `ledgerfold.json`. So the next start notices a file that is missing, or that is of another folder or another start.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CHECKPOINTS_FOLDER, DYNAMODB_FILE, SQS_FILE};

/// The file of the manifest.
pub(super) const MANIFEST_FILE: &str = "ledgerfold.json";
const FORMAT: u32 = 1;
const MARK_TABLE: &str = "ledgerfold_folder";

/// Why the files of a data folder are not taken for one whole, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A database is not there, or holds nothing, beside files that were used.
    #[error(
        "{} is missing or empty, but this folder was used: {lost} would be lost; put the file back, or restore a backup \
         with `ledgerfold restore`, or begin again without any data with --fresh",
        file.display()
    )]
    Missing {
        /// The database file.
        file: PathBuf,
        /// What it held.
        lost: &'static str,
    },
    /// A database is of another folder, or of another start of the program.
    #[error(
        "{} does not belong to the other files of its folder: it is of another folder, or was copied at another time; \
         restore a backup with `ledgerfold restore`, or begin again without any data with --fresh",
        file.display()
    )]
    Mixed {
        /// The database file.
        file: PathBuf,
    },
    /// The program was killed, and SQLite's log, which then holds the last writes, is not there.
    #[error(
        "{} is missing: the program was killed, and its last writes are in that file only; put the file back, or restore \
         a backup with `ledgerfold restore` (if another program has opened and closed the database since, nothing is lost: \
         remove ledgerfold.json)",
        file.display()
    )]
    LogMissing {
        /// The log.
        file: PathBuf,
    },
    /// The manifest is of a format that this program does not know.
    #[error("{} has format {format}, which this program does not know: use the program that wrote it", file.display())]
    UnknownFormat {
        /// The manifest.
        file: PathBuf,
        /// Its format.
        format: u32,
    },
    /// The operating system refused.
    #[error("{} cannot be read or written", file.display())]
    File {
        /// The manifest.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// SQLite refused.
    #[error("{} cannot be read or written", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// The manifest of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// A database bears one of these. There are several only while a start writes the newest one.
    marks: Vec<Uuid>,
    /// Both databases have been made: from then on, neither may be missing.
    begun: bool,
    /// The databases are open. After a kill this stays, and SQLite's logs stay too.
    open: bool,
}

/// What a database file is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Store {
    Missing,
    /// Made before there were marks, or in a first start that did not come to its end.
    Unmarked,
    Marked(Uuid),
}

impl Store {
    fn mark(self) -> Option<Uuid> {
        match self {
            Self::Marked(mark) => Some(mark),
            Self::Missing | Self::Unmarked => None,
        }
    }
}

/// A database of the folder, and what is lost without it.
struct Database {
    file: PathBuf,
    lost: &'static str,
}

fn databases(folder: &Path) -> [Database; 2] {
    [
        Database { file: folder.join(DYNAMODB_FILE), lost: "every event and every read model" },
        Database { file: folder.join(SQS_FILE), lost: "every command and notification that still waits" },
    ]
}

impl Default for Manifest {
    /// Of a new folder.
    fn default() -> Self {
        Self { format: FORMAT, marks: Vec::new(), begun: false, open: false }
    }
}

impl Manifest {
    /// Of a folder whose databases bear this mark.
    pub(super) fn of(mark: Uuid) -> Self {
        Self { format: FORMAT, marks: vec![mark], begun: true, open: false }
    }

    /// Checks that the folder's files are all there and belong together. Only its owner may do so: the logs of a killed
    /// program are taken into the databases.
    ///
    /// A folder without a manifest is new, or was made before there was one, or the manifest was not copied along.
    ///
    /// # Errors
    /// [`ManifestError`] names the first file that does not fit.
    pub(super) fn check(folder: &Path) -> Result<Self, ManifestError> {
        let kept = Self::read(folder)?;
        if let Some(open) = kept.as_ref().filter(|manifest| manifest.open) {
            check_logs(folder)?;
            // From here on, whoever closes a database last removes its log.
            Self { open: false, ..open.clone() }.save(folder)?;
        }
        let databases = databases(folder);
        let [dynamodb, sqs] = &databases;
        let found = [find(&dynamodb.file)?, find(&sqs.file)?];
        let marks: Vec<Uuid> = found.iter().filter_map(|store| store.mark()).collect();
        let used = match &kept {
            Some(manifest) => manifest.begun,
            None => found != [Store::Missing; 2] || has_checkpoints(folder),
        };
        let pairs = || databases.iter().zip(found);
        if let Some((missing, _)) = pairs().find(|(_, store)| used && *store == Store::Missing) {
            return Err(ManifestError::Missing { file: missing.file.clone(), lost: missing.lost });
        }
        let belongs = |store: Store| match (&kept, store) {
            (Some(manifest), Store::Marked(mark)) => manifest.marks.contains(&mark),
            (Some(manifest), Store::Unmarked | Store::Missing) => !manifest.begun,
            (None, store) => store.mark() == marks.first().copied(),
        };
        if let Some((mixed, _)) = pairs().find(|(_, store)| !belongs(*store)) {
            return Err(ManifestError::Mixed { file: mixed.file.clone() });
        }
        Ok(Self { format: FORMAT, marks, begun: used, open: false })
    }

    /// The same, of a folder that holds data or does not.
    pub(super) fn begun(self, begun: bool) -> Self {
        Self { begun, ..self }
    }

    /// Whether there is anything in the folder.
    pub(super) fn is_begun(&self) -> bool {
        self.begun
    }

    /// Says that the databases are about to be opened, and get a new mark. A start that ends before
    /// [`bind`](Self::bind) leaves databases with the new mark or with the old one: both are right.
    pub(super) fn begin(&mut self, folder: &Path) -> Result<(), ManifestError> {
        self.marks.insert(0, new_mark());
        self.save(folder)
    }

    /// Writes the newest mark into both databases, which are open.
    pub(super) fn bind(&mut self, folder: &Path) -> Result<(), ManifestError> {
        self.marks.truncate(1);
        for Database { file, .. } in databases(folder) {
            for mark in &self.marks {
                write_mark(&file, *mark).map_err(|source| ManifestError::Database { file: file.clone(), source })?;
            }
        }
        (self.begun, self.open) = (true, true);
        self.save(folder)
    }

    /// Says that the databases are about to be closed in order. It is said before: a log may be gone from then on.
    pub(super) fn close(&mut self, folder: &Path) -> Result<(), ManifestError> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        self.save(folder)
    }

    /// An unreadable one (a power cut) counts as none: the databases' marks are compared all the same.
    fn read(folder: &Path) -> Result<Option<Self>, ManifestError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let file = folder.join(MANIFEST_FILE);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ManifestError::File { file, source }),
        };
        match serde_json::from_slice::<Format>(&bytes) {
            Ok(Format { format }) if format != FORMAT => Err(ManifestError::UnknownFormat { file, format }),
            Ok(_) | Err(_) => Ok(serde_json::from_slice(&bytes).ok()),
        }
    }

    pub(super) fn save(&self, folder: &Path) -> Result<(), ManifestError> {
        let file = folder.join(MANIFEST_FILE);
        let new = file.with_extension("new");
        let write = || {
            let mut opened = File::create(&new)?;
            opened.write_all(&serde_json::to_vec(self)?)?;
            opened.sync_all()?;
            fs::rename(&new, &file)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| ManifestError::File { file: file.clone(), source })
    }
}

fn check_logs(folder: &Path) -> Result<(), ManifestError> {
    for database in databases(folder) {
        let log = log_of(&database.file);
        if database.file.exists() && !log.exists() {
            return Err(ManifestError::LogMissing { file: log });
        }
    }
    Ok(())
}

fn log_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn has_checkpoints(folder: &Path) -> bool {
    let is_one = |entry: fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "json");
    fs::read_dir(folder.join(CHECKPOINTS_FOLDER)).is_ok_and(|entries| entries.flatten().any(is_one))
}

fn find(file: &Path) -> Result<Store, ManifestError> {
    if !file.exists() {
        return Ok(Store::Missing);
    }
    let look = || {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let tables = connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        let mark = mark_of(&connection)?;
        Ok(match (tables, mark) {
            (0, _) => Store::Missing,
            (_, Some(mark)) => Store::Marked(mark),
            (_, None) => Store::Unmarked,
        })
    };
    look().map_err(|source| ManifestError::Database { file: file.to_owned(), source })
}

/// The mark that a database bears.
pub(super) fn mark_of(connection: &Connection) -> rusqlite::Result<Option<Uuid>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    if connection.query_row(table, [MARK_TABLE], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let text = connection.query_row(&format!("SELECT mark FROM {MARK_TABLE}"), [], |row| row.get::<_, String>(0));
    Ok(text.optional()?.and_then(|text| text.parse().ok()))
}

/// Writes a mark into a database, in place of the one before.
pub(super) fn write_mark(file: &Path, mark: Uuid) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(crate::local::engines::dynamodb::LOCK_WAIT)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {MARK_TABLE} (mark TEXT NOT NULL)"))?;
    transaction.execute(&format!("DELETE FROM {MARK_TABLE}"), [])?;
    transaction.execute(&format!("INSERT INTO {MARK_TABLE} (mark) VALUES (?1)"), [mark.to_string()])?;
    transaction.commit()
}

/// A mark that no other start has.
pub(super) fn new_mark() -> Uuid {
    Uuid::now_v7()
}
