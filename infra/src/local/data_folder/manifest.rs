//! Checks that the files of a data folder belong together. Each start writes a new mark into both
//! databases and into `ledgerfold.json`, so the next start detects a file that is missing, or from
//! another folder or start.

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

/// Why the files of a data folder do not belong together, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A database is missing or empty, although the folder was used.
    #[error(
        "{} is missing or empty, but this folder was used: {lost} would be lost; put the file back, or restore a backup \
         with `ledgerfold restore`, or start without data with --fresh",
        file.display()
    )]
    Missing {
        /// The database file.
        file: PathBuf,
        /// What is lost without it.
        lost: &'static str,
    },
    /// A database is from another folder or another start.
    #[error(
        "{} does not belong to the other files of its folder: it is from another folder, or was copied at another time; \
         restore a backup with `ledgerfold restore`, or start without data with --fresh",
        file.display()
    )]
    Mixed {
        /// The database file.
        file: PathBuf,
    },
    /// The program was killed, and SQLite's WAL with the last writes is missing.
    #[error(
        "{} is missing: the program was killed, and only that file has its last writes; put the file back, or restore \
         a backup with `ledgerfold restore` (nothing is lost if another program has opened and closed the database since: \
         then remove ledgerfold.json)",
        file.display()
    )]
    WalMissing {
        /// The WAL.
        file: PathBuf,
    },
    /// The manifest has an unknown format.
    #[error("{} has format {format}, which this program does not know: use the program that wrote it", file.display())]
    UnknownFormat {
        /// The manifest.
        file: PathBuf,
        /// Its format.
        format: u32,
    },
    /// A file operation failed.
    #[error("{} cannot be read or written", file.display())]
    File {
        /// The manifest.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("{} cannot be read or written", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
}

/// The manifest of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// The marks that a database may have: several only while a start writes a new one.
    marks: Vec<Uuid>,
    /// Both databases were created: from then on, neither may be missing.
    begun: bool,
    /// The databases are open. After a kill this stays true, and SQLite's WAL files remain.
    open: bool,
}

/// What was found of a database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DatabaseState {
    Missing,
    /// From a version without marks, or from a first start that was interrupted.
    Unmarked,
    Marked(Uuid),
}

impl DatabaseState {
    fn mark(self) -> Option<Uuid> {
        match self {
            Self::Marked(mark) => Some(mark),
            Self::Missing | Self::Unmarked => None,
        }
    }
}

/// A database file, and what is lost without it.
struct DatabaseFile {
    file: PathBuf,
    lost: &'static str,
}

fn databases(folder: &Path) -> [DatabaseFile; 2] {
    [
        DatabaseFile { file: folder.join(DYNAMODB_FILE), lost: "every event and every read model" },
        DatabaseFile {
            file: folder.join(SQS_FILE),
            lost: "every command and notification that still waits",
        },
    ]
}

impl Default for Manifest {
    /// The manifest of a new folder.
    fn default() -> Self {
        Self { format: FORMAT, marks: Vec::new(), begun: false, open: false }
    }
}

impl Manifest {
    /// The manifest of a folder whose databases have this mark.
    pub(super) fn of(mark: Uuid) -> Self {
        Self { format: FORMAT, marks: vec![mark], begun: true, open: false }
    }

    /// Checks that no file is missing and that all belong together. The folder must be locked,
    /// because SQLite checkpoints the WAL files of a killed program.
    ///
    /// Without a manifest, the folder is new, of an old version, or a copy without it.
    ///
    /// # Errors
    /// [`ManifestError`] names the first wrong file.
    pub(super) fn check(folder: &Path) -> Result<Self, ManifestError> {
        let manifest = Self::read(folder)?;
        if let Some(open) = manifest.as_ref().filter(|manifest| manifest.open) {
            check_wal_files(folder)?;
            // From here on, closing a database may remove its WAL.
            Self { open: false, ..open.clone() }.save(folder)?;
        }
        let databases = databases(folder);
        let [dynamodb, sqs] = &databases;
        let found = [inspect(&dynamodb.file)?, inspect(&sqs.file)?];
        let marks: Vec<Uuid> = found.iter().filter_map(|state| state.mark()).collect();
        let used = match &manifest {
            Some(manifest) => manifest.begun,
            None => found != [DatabaseState::Missing; 2] || has_checkpoints(folder),
        };
        let pairs = || databases.iter().zip(found);
        if let Some((missing, _)) =
            pairs().find(|(_, state)| used && *state == DatabaseState::Missing)
        {
            return Err(ManifestError::Missing { file: missing.file.clone(), lost: missing.lost });
        }
        let belongs = |state: DatabaseState| match (&manifest, state) {
            (Some(manifest), DatabaseState::Marked(mark)) => manifest.marks.contains(&mark),
            (Some(manifest), DatabaseState::Unmarked | DatabaseState::Missing) => !manifest.begun,
            (None, state) => state.mark() == marks.first().copied(),
        };
        if let Some((mixed, _)) = pairs().find(|(_, state)| !belongs(*state)) {
            return Err(ManifestError::Mixed { file: mixed.file.clone() });
        }
        Ok(Self { format: FORMAT, marks, begun: used, open: false })
    }

    /// The same, with or without data.
    pub(super) fn with_data(self, begun: bool) -> Self {
        Self { begun, ..self }
    }

    /// Whether the folder has data.
    pub(super) fn has_data(&self) -> bool {
        self.begun
    }

    /// Records a new mark before the databases are opened. If the start is interrupted before
    /// [`mark_databases`](Self::mark_databases) ends, both the new and the old mark are valid.
    pub(super) fn before_open(&mut self, folder: &Path) -> Result<(), ManifestError> {
        self.marks.insert(0, new_mark());
        self.save(folder)
    }

    /// Writes the newest mark into both open databases.
    pub(super) fn mark_databases(&mut self, folder: &Path) -> Result<(), ManifestError> {
        self.marks.truncate(1);
        for DatabaseFile { file, .. } in databases(folder) {
            for mark in &self.marks {
                write_mark(&file, *mark)
                    .map_err(|source| ManifestError::Database { file: file.clone(), source })?;
            }
        }
        (self.begun, self.open) = (true, true);
        self.save(folder)
    }

    /// Records a clean end before the databases are closed, because closing may remove a WAL.
    pub(super) fn before_close(&mut self, folder: &Path) -> Result<(), ManifestError> {
        if !std::mem::take(&mut self.open) {
            return Ok(());
        }
        self.save(folder)
    }

    /// After a power cut the manifest may be unreadable. Then it counts as missing, and the marks
    /// are still compared.
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
            Ok(Format { format }) if format != FORMAT => {
                Err(ManifestError::UnknownFormat { file, format })
            }
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

fn check_wal_files(folder: &Path) -> Result<(), ManifestError> {
    for database in databases(folder) {
        let wal = wal_of(&database.file);
        if database.file.exists() && !wal.exists() {
            return Err(ManifestError::WalMissing { file: wal });
        }
    }
    Ok(())
}

fn wal_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn has_checkpoints(folder: &Path) -> bool {
    let is_one =
        |entry: fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "json");
    fs::read_dir(folder.join(CHECKPOINTS_FOLDER)).is_ok_and(|entries| entries.flatten().any(is_one))
}

fn inspect(file: &Path) -> Result<DatabaseState, ManifestError> {
    if !file.exists() {
        return Ok(DatabaseState::Missing);
    }
    let inspect = || {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let tables = connection
            .query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
        let mark = mark_of(&connection)?;
        Ok(match (tables, mark) {
            (0, _) => DatabaseState::Missing,
            (_, Some(mark)) => DatabaseState::Marked(mark),
            (_, None) => DatabaseState::Unmarked,
        })
    };
    inspect().map_err(|source| ManifestError::Database { file: file.to_owned(), source })
}

/// The mark of a database.
pub(super) fn mark_of(connection: &Connection) -> rusqlite::Result<Option<Uuid>> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    if connection.query_row(table, [MARK_TABLE], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let text = connection
        .query_row(&format!("SELECT mark FROM {MARK_TABLE}"), [], |row| row.get::<_, String>(0));
    Ok(text.optional()?.and_then(|text| text.parse().ok()))
}

/// Replaces the mark of a database.
pub(super) fn write_mark(file: &Path, mark: Uuid) -> rusqlite::Result<()> {
    let mut connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(crate::local::engines::dynamodb::LOCK_WAIT)?;
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction
        .execute_batch(&format!("CREATE TABLE IF NOT EXISTS {MARK_TABLE} (mark TEXT NOT NULL)"))?;
    transaction.execute(&format!("DELETE FROM {MARK_TABLE}"), [])?;
    transaction
        .execute(&format!("INSERT INTO {MARK_TABLE} (mark) VALUES (?1)"), [mark.to_string()])?;
    transaction.commit()
}

/// A unique mark.
pub(super) fn new_mark() -> Uuid {
    Uuid::now_v7()
}
