//! The file by which commands find the `dev` that runs in a data folder. Only the owner can read
//! it.

use super::DataFolder;
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
/// A local engine accepts a connection at once, or has ended.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// A running system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Its process id.
    pub process: u32,
    /// Where its API listens.
    pub api: String,
    /// The addresses of its engines, and their access key.
    #[serde(flatten)]
    pub endpoints: Endpoints,
}

/// The file of a running system. Dropping this removes it; a killed process leaves it.
#[derive(Debug)]
pub struct RunningFile {
    path: PathBuf,
}

/// Why the system that the file names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// The process was killed.
    #[error("{} names process {process}, which is gone: start `ledgerfold dev` again", file.display())]
    Gone {
        /// The file.
        file: PathBuf,
        /// The process.
        process: u32,
    },
    /// The file cannot be read or parsed.
    #[error("{} cannot be read: remove it, and start `ledgerfold dev` again", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Running {
    /// Writes the file atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, data: &DataFolder) -> io::Result<RunningFile> {
        let path = data.folder().join(FILE);
        let new = path.with_extension("json.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Err(_) | Ok(()) => {}
        }
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&new)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        writeln!(file)?;
        fs::rename(&new, &path)?;
        Ok(RunningFile { path })
    }

    /// Whether one of its engines has this address.
    #[must_use]
    pub fn listens_at(&self, endpoint: &str) -> bool {
        let endpoint = endpoint.trim_end_matches('/');
        [&self.endpoints.dynamodb, &self.endpoints.sqs].into_iter().any(|known| known == endpoint)
    }

    /// The system that runs in the folder, if its file exists.
    ///
    /// # Errors
    /// [`RunningError`] when the file exists and the system does not run.
    pub fn find(folder: &Path) -> Result<Option<Self>, RunningError> {
        let file = folder.join(FILE);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(RunningError::Unreadable { file, source }),
        };
        let running: Self = serde_json::from_slice(&text).map_err(|error| {
            RunningError::Unreadable { file: file.clone(), source: error.into() }
        })?;
        if accepts(&running.endpoints.dynamodb) && accepts(&running.endpoints.sqs) {
            Ok(Some(running))
        } else {
            Err(RunningError::Gone { file, process: running.process })
        }
    }
}

/// Whether the address accepts a connection.
fn accepts(endpoint: &str) -> bool {
    let address =
        endpoint.strip_prefix("http://").and_then(|address| address.parse::<SocketAddr>().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok())
}

impl Drop for RunningFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, file = %self.path.display(), "the file of a running system was not removed");
        }
    }
}
