//! How other programs find the system that runs over a data folder: a file in it, for its owner's eyes only.

use super::DataDir;
use crate::clients::Endpoints;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE: &str = "running.json";
/// The file holds the access key.
const OWNER_ONLY: u32 = 0o600;
/// An engine on this machine takes a connection at once, or is gone.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// A running system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The id of its process.
    pub process: u32,
    /// Where its API listens.
    pub api: String,
    /// Where its engines listen, and their key.
    #[serde(flatten)]
    pub endpoints: Endpoints,
}

/// The file of a running system. It goes when this is dropped; a killed process leaves it.
#[derive(Debug)]
pub struct RunningFile {
    path: PathBuf,
}

/// Why the file of a folder names no system that can be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// The process that wrote the file has ended without removing it.
    #[error("{} names process {process}, which is gone: start `ledgerfold dev` again", file.display())]
    Gone {
        /// The file.
        file: PathBuf,
        /// The process.
        process: u32,
    },
    /// The file cannot be read, or says something else.
    #[error("{} cannot be read: remove it, and start `ledgerfold dev` again", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What was the matter.
        source: io::Error,
    },
}

impl Running {
    /// Writes the file of the folder, whole or not at all.
    ///
    /// # Errors
    /// When the folder does not take it.
    pub fn write(&self, data: &DataDir) -> io::Result<RunningFile> {
        let path = data.folder().join(FILE);
        let beside = path.with_extension("json.new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&beside)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        writeln!(file)?;
        fs::rename(&beside, &path)?;
        Ok(RunningFile { path })
    }

    /// Whether one of its engines listens there.
    #[must_use]
    pub fn listens_at(&self, endpoint: &str) -> bool {
        let endpoint = endpoint.trim_end_matches('/');
        [&self.endpoints.dynamodb, &self.endpoints.sqs].into_iter().any(|known| known == endpoint)
    }

    /// The system that runs over the folder; nothing where none says so.
    ///
    /// # Errors
    /// [`RunningError`] when the file is there, and the system is not.
    pub fn find(folder: &Path) -> Result<Option<Self>, RunningError> {
        let file = folder.join(FILE);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(RunningError::Unreadable { file, source }),
        };
        let running: Self = serde_json::from_slice(&text)
            .map_err(|error| RunningError::Unreadable { file: file.clone(), source: error.into() })?;
        if answers(&running.endpoints.dynamodb) && answers(&running.endpoints.sqs) {
            Ok(Some(running))
        } else {
            Err(RunningError::Gone { file, process: running.process })
        }
    }
}

/// Whether something listens there.
fn answers(endpoint: &str) -> bool {
    let address = endpoint.strip_prefix("http://").and_then(|address| address.parse::<SocketAddr>().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, ANSWERS_WITHIN).is_ok())
}

impl Drop for RunningFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, file = %self.path.display(), "the file of a running system was not removed");
        }
    }
}
