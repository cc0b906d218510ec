//! `ledgerfold backup` and `ledgerfold restore`: copies a data folder and verifies the copy.

use super::exit::{Exit, Failure, stop_signal};
use super::output;
use super::wording;
use crate::local::data_folder::backup::{self, BackupSource, CopySize};
use crate::local::data_folder::{DataFolder, DataFolderError};
use crate::local::stack::Stack;
use eventstore::{EventStore, Streams, Verification};
use futures::{StreamExt, TryStreamExt};
use handlers::Names;
use serde_json::json;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Streams that are verified concurrently.
const CONCURRENT_STREAMS: usize = 8;
/// Segments of the table that are scanned concurrently.
const SEGMENTS: u32 = 4;
const MEGABYTE: u64 = 1_000_000;

/// Copy a data folder, even while `dev` runs, and verify the copy.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ledgerfold backup /var/backups/shop-2026-11-22\n  ledgerfold backup ../copy --data ./shop --json"
)]
pub(super) struct Backup {
    /// The folder for the copy, new or empty. It is created when the copy is complete.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// The data folder.
    #[arg(long, value_name = "DIR", default_value = wording::data_folder(), env = "LEDGERFOLD_DATA")]
    data: PathBuf,
    #[command(flatten)]
    options: CopyOptions,
}

/// Restore a backup into a data folder that no `dev` has open, and verify it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ledgerfold restore /var/backups/shop-2026-11-22\n  ledgerfold restore ../copy --data ./shop --fresh"
)]
pub(super) struct Restore {
    /// The backup, which is not changed.
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The data folder, new or empty.
    #[arg(long, value_name = "DIR", default_value = wording::data_folder(), env = "LEDGERFOLD_DATA")]
    data: PathBuf,
    /// Replace the data in the folder.
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    options: CopyOptions,
}

#[derive(Debug, clap::Args)]
struct CopyOptions {
    /// The prefix of table and queue names.
    #[arg(long, default_value = wording::program(), env = "LEDGERFOLD_PREFIX", value_parser = clap::value_parser!(Names))]
    prefix: Names,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        until_stopped(async |stop| self.back_up(stop).await).await
    }

    async fn back_up(&self, stop: CancellationToken) -> Result<Exit, Failure> {
        let to = absolute(&self.to)?;
        if is_used(&to) {
            return Err(Failure::new(
                format!("{} is not empty", to.display()),
                "choose a new folder",
            ));
        }
        // Locks the folder unless it is in use; then it is copied all the same.
        let from = open_existing(&self.data)?;
        let partial = PartialCopy::beside(&to)?;
        let copy = make_copy(&from, &partial, &self.options, stop).await?;
        std::fs::rename(&partial.folder, &to)
            .map_err(|error| Failure::new(format!("{} cannot be created", to.display()), error))?;
        copy.print("backed up", from.source().folder(), &to, self.options.json)
    }
}

impl Restore {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        until_stopped(async |stop| self.restore(stop).await).await
    }

    async fn restore(&self, stop: CancellationToken) -> Result<Exit, Failure> {
        let backup = open_existing(&self.from)?;
        if let ExistingFolder::InUse(folder) = &backup {
            let what = format!("{} is in use", folder.display());
            return Err(Failure::new(
                what,
                "stop the program that has it open, or make a backup of it",
            ));
        }
        let target =
            DataFolder::open_to_replace(&self.data).map_err(|error| Failure::from_error(&error))?;
        if target.has_data() && !self.fresh {
            let what = format!("{} has data", target.folder().display());
            return Err(Failure::new(
                what,
                "replace it with --fresh, or choose another folder with --data",
            ));
        }
        let partial = PartialCopy::beside(target.folder())?;
        let copy = make_copy(&backup, &partial, &self.options, stop).await?;
        backup::move_into(&partial.folder, &target).map_err(|error| Failure::from_error(&error))?;
        copy.print("restored", backup.source().folder(), target.folder(), self.options.json)
    }
}

/// Runs work that Ctrl-C cancels. It then removes its partial copy.
async fn until_stopped(
    work: impl AsyncFnOnce(CancellationToken) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let (stop, stop_requested) = (CancellationToken::new(), stop_signal()?);
    let mut work = pin!(work(stop.clone()));
    let result = tokio::select! {
        result = &mut work => result,
        () = stop_requested => {
            stop.cancel();
            work.await
        }
    };
    output::progress("");
    result
}

/// A data folder that exists.
#[derive(Clone)]
enum ExistingFolder {
    Locked(Arc<DataFolder>),
    InUse(PathBuf),
}

impl ExistingFolder {
    fn source(&self) -> BackupSource<'_> {
        match self {
            Self::Locked(folder) => BackupSource::Locked(folder),
            Self::InUse(folder) => BackupSource::InUse(folder),
        }
    }
}

fn open_existing(folder: &Path) -> Result<ExistingFolder, Failure> {
    let no_data = |folder: &Path| {
        Failure::new(format!("there is no data in {}", folder.display()), "see --help")
    };
    if !is_used(folder) {
        return Err(no_data(folder));
    }
    match DataFolder::open(folder) {
        Ok(owned) if owned.has_data() => Ok(ExistingFolder::Locked(Arc::new(owned))),
        Ok(empty) => Err(no_data(empty.folder())),
        Err(DataFolderError::InUse { folder, .. }) => Ok(ExistingFolder::InUse(folder)),
        Err(error) => Err(Failure::from_error(&error)),
    }
}

fn is_used(folder: &Path) -> bool {
    folder.exists() && !std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    // Collecting the components removes a slash at the end, which would hide the name.
    let absolute = std::path::absolute(path).map(|path| path.components().collect());
    absolute.map_err(|error| Failure::new(format!("{} is not a folder", path.display()), error))
}

/// An incomplete copy next to its destination. Dropping this removes it. After a kill, the next
/// copy to the same destination removes it.
struct PartialCopy {
    folder: PathBuf,
}

impl PartialCopy {
    fn beside(folder: &Path) -> Result<Self, Failure> {
        let folder = absolute(folder)?;
        let mut name = OsString::from(folder.file_name().unwrap_or_default());
        name.push(".partial");
        Ok(Self { folder: folder.with_file_name(name) })
    }

    fn open(&self) -> Result<DataFolder, Failure> {
        DataFolder::open_fresh(&self.folder).map_err(|error| Failure::from_error(&error))
    }
}

impl Drop for PartialCopy {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.folder.display(), %error, "the partial copy cannot be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// A verified copy.
struct VerifiedCopy {
    size: CopySize,
    streams: usize,
    commits: u64,
}

/// Copies the folder, then verifies the copy through an engine.
async fn make_copy(
    from: &ExistingFolder,
    partial: &PartialCopy,
    options: &CopyOptions,
    stop: CancellationToken,
) -> Result<VerifiedCopy, Failure> {
    let target = partial.open()?;
    let (from, token) = (from.clone(), stop.clone());
    let copying = tokio::task::spawn_blocking(move || {
        let size = backup::copy(from.source(), &target, &token, |done, total| {
            output::progress(&format!("{} of {} MB copied", done / MEGABYTE, total / MEGABYTE));
        });
        size.map(|size| (size, target))
    });
    let copied =
        copying.await.map_err(|error| Failure::new("the copying thread panicked", error))?;
    let (size, target) = copied.map_err(|error| Failure::from_error(&error))?;
    let stack = Stack::start(target).await.map_err(|error| Failure::from_error(&error))?;
    let store = EventStore::new(stack.clients.dynamodb.clone(), options.prefix.events());
    let verified = tokio::select! {
        verified = verify(&store) => verified,
        () = stop.cancelled() => Err(Failure::from_error(&backup::CopyError::Stopped)),
    };
    stack.stop().await;
    let (streams, commits) = verified?;
    Ok(VerifiedCopy { size, streams, commits })
}

/// Verifies every stream. A corrupt one means that the original folder is damaged.
async fn verify(store: &EventStore) -> Result<(usize, u64), Failure> {
    let found =
        store.streams(SEGMENTS, |items| output::progress(&format!("{items} commits found"))).await;
    let Streams { names, foreign } =
        found.map_err(|error| Failure::new("the copy cannot be verified", error))?;
    let damaged = |what: String| {
        Failure::new("the copy is not sound", format!("{what}; see `audit verify --all`"))
    };
    if let Some(item) = foreign.first() {
        return Err(damaged(format!("unexpected item: {item}")));
    }
    let all = names.len();
    let mut walks = futures::stream::iter(&names)
        .map(|stream| store.verify(stream))
        .buffered(CONCURRENT_STREAMS);
    let (mut commits, mut done) = (0_u64, 0_usize);
    while let Some(walk) = walks
        .try_next()
        .await
        .map_err(|error| Failure::new("the copy cannot be verified", error))?
    {
        let Verification { stream, commits: walked, broken_at, .. } = walk;
        if let Some(broken) = broken_at {
            return Err(damaged(format!(
                "{stream} is broken at version {}: {}",
                broken.version, broken.damage
            )));
        }
        commits = commits.saturating_add(walked);
        done = done.saturating_add(1);
        output::progress(&format!("{done} of {all} streams verified"));
    }
    Ok((all, commits))
}

impl VerifiedCopy {
    fn print(&self, verb: &str, from: &Path, to: &Path, as_json: bool) -> Result<Exit, Failure> {
        let Self { size: CopySize { bytes, messages }, streams, commits } = self;
        if as_json {
            output::json(&json!({
                "from": from, "to": to, "streams": streams, "commits": commits, "messages": messages,
                "bytes": bytes, "verified": true,
            }))?;
        } else {
            let (from, to) = (from.display(), to.display());
            output::line(&format!(
                "{verb} {from} to {to}: {streams} streams with {commits} commits, all verified"
            ))?;
            output::line(&format!("{messages} messages in the queues, {bytes} bytes in all"))?;
        }
        Ok(Exit::Done)
    }
}
