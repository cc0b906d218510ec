//! Where an export goes: a file that appears when it is complete, or standard output.
//!
//! A thread of its own writes: whoever reads standard output may be slow, and Ctrl-C must not wait for that.

use crate::cli::failure::Failure;
use std::fs::{File, Permissions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::NamedTempFile;
use tokio::sync::{mpsc, oneshot};

/// Parts that wait for the thread at most.
const WAITING_PARTS: usize = 2;
/// How long an abandoned export waits for its unfinished file to be removed.
const REMOVAL: Duration = Duration::from_secs(1);

/// An open output.
pub(super) struct Output {
    parts: mpsc::Sender<Part>,
    ended: oneshot::Receiver<std::io::Result<Ended>>,
    name: String,
}

enum Part {
    Lines(Vec<u8>),
    /// Everything is there.
    End,
}

/// How the writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything is written.
    Whole,
    /// Whoever read standard output has gone, and wants no more.
    ReaderGone,
    /// Nobody said that it was complete: there is no file.
    Abandoned,
}

enum Sink {
    Stdout(std::io::Stdout),
    File { unfinished: BufWriter<NamedTempFile>, path: PathBuf },
}

impl Output {
    /// Opens the file, or standard output where none is named. The file is made under another name beside its place.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let name = path.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        let sink = Sink::open(path).map_err(|error| cannot_be_written(&name, error))?;
        let (parts, waiting) = mpsc::channel(WAITING_PARTS);
        let (end, ended) = oneshot::channel();
        // The receiver may have gone: nobody is left to tell.
        std::thread::spawn(move || drop(end.send(sink.write_all(waiting))));
        Ok(Self { parts, ended, name })
    }

    /// What people call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Hands a part over. False where the writing has ended: [`Output::finish`] tells why.
    pub(super) async fn write(&self, lines: Vec<u8>) -> bool {
        self.parts.send(Part::Lines(lines)).await.is_ok()
    }

    /// Says that everything is there, and waits until it is written.
    pub(super) async fn finish(&mut self) -> Result<Ended, Failure> {
        // Where the writing has ended already, its own end says more.
        let _ = self.parts.send(Part::End).await;
        match (&mut self.ended).await {
            Ok(ended) => ended.map_err(|error| cannot_be_written(&self.name, error)),
            Err(_) => Ok(Ended::Abandoned),
        }
    }

    /// Gives up: the unfinished file is removed, what stands there under its name stays.
    pub(super) async fn abandon(self) {
        drop(self.parts);
        if self.ended.is_terminated() {
            return;
        }
        // A write to a slow reader cannot be called back; the process ends without it.
        let _ = tokio::time::timeout(REMOVAL, self.ended).await;
    }
}

fn cannot_be_written(name: &str, error: std::io::Error) -> Failure {
    Failure::new(format!("{name} cannot be written"), error)
}

impl Sink {
    fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stdout(std::io::stdout())) };
        // What is there is replaced: the file that a link points to, but never a device or a folder.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let there = path.metadata().ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Err(std::io::Error::other("there is something that is no file"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A new file is as open to others as any that the user makes; one that is replaced hands its permissions on.
        let any = Permissions::from_mode(0o666);
        let mut builder = tempfile::Builder::new();
        let unfinished = builder.prefix(".ledgerfold-").suffix(".unfinished").permissions(any).tempfile_in(folder)?;
        if let Some(there) = there {
            unfinished.as_file().set_permissions(there.permissions())?;
        }
        Ok(Self::File { unfinished: BufWriter::new(unfinished), path })
    }

    fn write_all(mut self, mut parts: mpsc::Receiver<Part>) -> std::io::Result<Ended> {
        while let Some(part) = parts.blocking_recv() {
            match part {
                Part::Lines(lines) => match self.write(&lines) {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Ended::ReaderGone),
                    written => written?,
                },
                Part::End => return self.complete(),
            }
        }
        Ok(Ended::Abandoned)
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.lock().write_all(lines),
            Self::File { unfinished, .. } => unfinished.write_all(lines),
        }
    }

    fn complete(self) -> std::io::Result<Ended> {
        match self {
            Self::Stdout(mut stdout) => match stdout.flush() {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Ended::ReaderGone),
                flushed => flushed?,
            },
            Self::File { unfinished, path } => {
                let unfinished = unfinished.into_inner().map_err(std::io::IntoInnerError::into_error)?;
                unfinished.as_file().sync_all()?;
                unfinished.persist(path).map(|_: File| ()).map_err(|failed| failed.error)?;
            }
        }
        Ok(Ended::Whole)
    }
}
