//! Writes an export to standard output, or to a file that is created when it is complete.
//!
//! It writes on its own thread, so that Ctrl-C does not wait for a slow reader of standard output.

use crate::cli::exit::Failure;
use std::fs::{File, Permissions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};

/// The most chunks in the channel to the thread.
const QUEUED_CHUNKS: usize = 2;
/// The time limit for removing an unfinished file.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The open output of an export.
pub(super) struct ExportOutput {
    chunks: mpsc::Sender<ExportChunk>,
    end: oneshot::Receiver<std::io::Result<ExportEnd>>,
    name: String,
}

enum ExportChunk {
    Lines(Vec<u8>),
    /// The export is complete.
    End,
}

/// How an export ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ExportEnd {
    /// Everything is written.
    Complete,
    /// The reader of standard output closed the pipe.
    ReaderClosed,
    /// It was not completed: there is no file.
    Abandoned,
}

enum Sink {
    Stdout(std::io::Stdout),
    File { unfinished: BufWriter<NamedTempFile>, path: PathBuf },
}

impl ExportOutput {
    /// Opens a temporary file in the folder of the path, or standard output if there is no path.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let name =
            path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        let sink = Sink::open(path).map_err(|error| cannot_be_written(&name, error))?;
        let (chunks, receiver) = mpsc::channel(QUEUED_CHUNKS);
        let (end_sender, end) = oneshot::channel();
        // Dropped, because the receiver may be gone.
        std::thread::spawn(move || drop(end_sender.send(sink.write_all(receiver))));
        Ok(Self { chunks, end, name })
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Queues lines. Returns false if writing has ended; [`ExportOutput::finish`] returns why.
    pub(super) async fn write(&self, lines: Vec<u8>) -> bool {
        self.chunks.send(ExportChunk::Lines(lines)).await.is_ok()
    }

    /// Completes the export, and waits until everything is written.
    pub(super) async fn finish(&mut self) -> Result<ExportEnd, Failure> {
        // If writing has ended already, the receiver is gone, and `end` has the reason.
        let _ = self.chunks.send(ExportChunk::End).await;
        match (&mut self.end).await {
            Ok(end) => end.map_err(|error| cannot_be_written(&self.name, error)),
            Err(_) => Ok(ExportEnd::Abandoned),
        }
    }

    /// Removes the unfinished file. An existing file of that name is not changed.
    pub(super) async fn abandon(self) {
        drop(self.chunks);
        if self.end.is_terminated() {
            return;
        }
        // A blocked write to a slow reader cannot be cancelled; the process ends without it.
        let _ = tokio::time::timeout(REMOVAL_TIMEOUT, self.end).await;
    }
}

fn cannot_be_written(name: &str, error: std::io::Error) -> Failure {
    Failure::new(format!("{name} cannot be written"), error)
}

impl Sink {
    fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(std::io::stdout())) };
        // Replaces the file that a link points to, but never a device or a folder.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let existing = path.metadata().ok();
        if existing.as_ref().is_some_and(|existing| !existing.is_file()) {
            return Err(std::io::Error::other("it exists and is not a file"));
        }
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A new file gets the default permissions, a replacement those of the old file.
        let default = Permissions::from_mode(0o666);
        let mut builder = tempfile::Builder::new();
        let unfinished = builder
            .prefix(".ledgerfold-")
            .suffix(".unfinished")
            .permissions(default)
            .tempfile_in(folder)?;
        if let Some(existing) = existing {
            unfinished.as_file().set_permissions(existing.permissions())?;
        }
        Ok(Self::File { unfinished: BufWriter::new(unfinished), path })
    }

    fn write_all(mut self, mut chunks: mpsc::Receiver<ExportChunk>) -> std::io::Result<ExportEnd> {
        while let Some(chunk) = chunks.blocking_recv() {
            match chunk {
                ExportChunk::Lines(lines) => match self.write(&lines) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                        return Ok(ExportEnd::ReaderClosed);
                    }
                    written => written?,
                },
                ExportChunk::End => return self.complete(),
            }
        }
        Ok(ExportEnd::Abandoned)
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.lock().write_all(lines),
            Self::File { unfinished, .. } => unfinished.write_all(lines),
        }
    }

    fn complete(self) -> std::io::Result<ExportEnd> {
        match self {
            Self::Stdout(mut stdout) => match stdout.flush() {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    return Ok(ExportEnd::ReaderClosed);
                }
                flushed => flushed?,
            },
            Self::File { unfinished, path } => {
                let unfinished =
                    unfinished.into_inner().map_err(std::io::IntoInnerError::into_error)?;
                unfinished.as_file().sync_all()?;
                unfinished.persist(path).map(|_: File| ()).map_err(|failed| failed.error)?;
            }
        }
        Ok(ExportEnd::Complete)
    }
}
