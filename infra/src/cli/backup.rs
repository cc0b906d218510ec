//! `ledgerfold backup` and `ledgerfold restore`.

use super::dev::ended;
use super::failure::{Exit, Failure};
use super::output;
use super::wording;
use crate::local::data_folder::backup::{self, Copied, Source};
use crate::local::data_folder::{DataDir, DataDirError};
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

/// How many streams are verified at once.
const CONCURRENT_STREAMS: usize = 8;
/// How many parts of the table are read at once to find the streams.
const SEGMENTS: u32 = 4;
const MEGABYTE: u64 = 1_000_000;

/// Copy all that a data folder holds, also while `dev` runs, and verify the copy.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ledgerfold backup /var/backups/shop-2026-11-22\n  ledgerfold backup ../copy --data ./shop --json"
)]
pub(super) struct BackUp {
    /// The folder for the copy: a new one, or an empty one. It appears when the copy is complete.
    #[arg(value_name = "DIR")]
    to: PathBuf,
    /// The data folder.
    #[arg(long, value_name = "DIR", default_value = wording::data_folder(), env = "LEDGERFOLD_DATA")]
    data: PathBuf,
    #[command(flatten)]
    options: Options,
}

/// Put a backup into a data folder that no `dev` has open, and verify it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ledgerfold restore /var/backups/shop-2026-11-22\n  ledgerfold restore ../copy --data ./shop --fresh"
)]
pub(super) struct Restore {
    /// The backup. It stays as it is.
    #[arg(value_name = "DIR")]
    from: PathBuf,
    /// The data folder: a new one, or an empty one.
    #[arg(long, value_name = "DIR", default_value = wording::data_folder(), env = "LEDGERFOLD_DATA")]
    data: PathBuf,
    /// Replace what the data folder holds.
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Options {
    /// What the names of tables and queues begin with.
    #[arg(long, default_value = wording::program(), env = "LEDGERFOLD_PREFIX", value_parser = clap::value_parser!(Names))]
    prefix: Names,
    /// Answer in JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl BackUp {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        until_stopped(async |stop| self.back_up(stop).await).await
    }

    async fn back_up(&self, stop: CancellationToken) -> Result<Exit, Failure> {
        let to = absolute(&self.to)?;
        if is_used(&to) {
            return Err(Failure::new(format!("{} is not empty", to.display()), "choose a new folder"));
        }
        // A folder that is in use is read beside its owner; any other one is ours meanwhile.
        let from = existing(&self.data)?;
        let partial = Partial::beside(&to)?;
        let done = make_copy(&from, &partial, &self.options, stop).await?;
        std::fs::rename(&partial.folder, &to)
            .map_err(|error| Failure::new(format!("{} cannot be made", to.display()), error))?;
        done.show("backed up", from.source().folder(), &to, self.options.json)
    }
}

impl Restore {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        until_stopped(async |stop| self.restore(stop).await).await
    }

    async fn restore(&self, stop: CancellationToken) -> Result<Exit, Failure> {
        let backup = existing(&self.from)?;
        if let Existing::InUse(folder) = &backup {
            let what = format!("{} is in use", folder.display());
            return Err(Failure::new(what, "stop the program that has it open, or make a backup of it"));
        }
        let target = DataDir::open_to_replace(&self.data).map_err(|error| Failure::from_error(&error))?;
        if target.is_begun() && !self.fresh {
            let what = format!("{} holds data", target.folder().display());
            return Err(Failure::new(what, "--fresh replaces it, or choose another folder with --data"));
        }
        let partial = Partial::beside(target.folder())?;
        let done = make_copy(&backup, &partial, &self.options, stop).await?;
        backup::move_into(&partial.folder, &target).map_err(|error| Failure::from_error(&error))?;
        done.show("restored", backup.source().folder(), target.folder(), self.options.json)
    }
}

/// Runs work that ends early, and removes what it began, at Ctrl-C.
async fn until_stopped(work: impl AsyncFnOnce(CancellationToken) -> Result<Exit, Failure>) -> Result<Exit, Failure> {
    let (stop, ended) = (CancellationToken::new(), ended()?);
    let mut work = pin!(work(stop.clone()));
    let done = tokio::select! {
        done = &mut work => done,
        () = ended => {
            stop.cancel();
            work.await
        }
    };
    output::progress("");
    done
}

/// A data folder that is there.
#[derive(Clone)]
enum Existing {
    Owned(Arc<DataDir>),
    InUse(PathBuf),
}

impl Existing {
    fn source(&self) -> Source<'_> {
        match self {
            Self::Owned(owned) => Source::Owned(owned),
            Self::InUse(folder) => Source::InUse(folder),
        }
    }
}

fn existing(folder: &Path) -> Result<Existing, Failure> {
    let nothing = |folder: &Path| Failure::new(format!("there is no data in {}", folder.display()), "see --help");
    if !is_used(folder) {
        return Err(nothing(folder));
    }
    match DataDir::open(folder) {
        Ok(owned) if owned.is_begun() => Ok(Existing::Owned(Arc::new(owned))),
        Ok(empty) => Err(nothing(empty.folder())),
        Err(DataDirError::InUse { folder, .. }) => Ok(Existing::InUse(folder)),
        Err(error) => Err(Failure::from_error(&error)),
    }
}

fn is_used(folder: &Path) -> bool {
    folder.exists() && !std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    // Without a slash at the end, which would hide the name.
    let absolute = std::path::absolute(path).map(|path| path.components().collect());
    absolute.map_err(|error| Failure::new(format!("{} is no folder", path.display()), error))
}

/// A copy in the making, beside the folder that it is for. It is removed when this is dropped, and if the program was
/// killed, by the next one for the same folder.
struct Partial {
    folder: PathBuf,
}

impl Partial {
    fn beside(folder: &Path) -> Result<Self, Failure> {
        let folder = absolute(folder)?;
        let mut name = OsString::from(folder.file_name().unwrap_or_default());
        name.push(".partial");
        Ok(Self { folder: folder.with_file_name(name) })
    }

    fn open(&self) -> Result<DataDir, Failure> {
        DataDir::open_fresh(&self.folder).map_err(|error| Failure::from_error(&error))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.folder.display(), %error, "the partial copy cannot be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// A copy that was verified.
struct Done {
    copied: Copied,
    streams: usize,
    commits: u64,
}

/// Copies, and verifies the copy as the engine shows it.
async fn make_copy(
    from: &Existing,
    partial: &Partial,
    options: &Options,
    stop: CancellationToken,
) -> Result<Done, Failure> {
    let target = partial.open()?;
    let (from, token) = (from.clone(), stop.clone());
    let copying = tokio::task::spawn_blocking(move || {
        let copied = backup::copy(from.source(), &target, &token, |done, total| {
            output::progress(&format!("{} of {} MB copied", done / MEGABYTE, total / MEGABYTE));
        });
        copied.map(|copied| (copied, target))
    });
    let copied = copying.await.map_err(|error| Failure::new("copying died", error))?;
    let (copied, target) = copied.map_err(|error| Failure::from_error(&error))?;
    let stack = Stack::start(target).await.map_err(|error| Failure::from_error(&error))?;
    let store = EventStore::new(stack.clients.dynamodb.clone(), options.prefix.events());
    let verified = tokio::select! {
        verified = verify(&store) => verified,
        () = stop.cancelled() => Err(Failure::from_error(&backup::CopyError::Stopped)),
    };
    stack.stop().await;
    let (streams, commits) = verified?;
    Ok(Done { copied, streams, commits })
}

/// Walks every stream. The first that does not fit is a failure: the folder that was copied is damaged.
async fn verify(store: &EventStore) -> Result<(usize, u64), Failure> {
    let found = store.streams(SEGMENTS, |items| output::progress(&format!("{items} commits found"))).await;
    let Streams { names, foreign } = found.map_err(|error| Failure::new("the copy cannot be verified", error))?;
    let damaged =
        |what: String| Failure::new("the copy is not sound", format!("{what}; `audit verify --all` tells more"));
    if let Some(item) = foreign.first() {
        return Err(damaged(format!("unexpected item: {item}")));
    }
    let all = names.len();
    let mut walks = futures::stream::iter(&names).map(|stream| store.verify(stream)).buffered(CONCURRENT_STREAMS);
    let (mut commits, mut done) = (0_u64, 0_usize);
    while let Some(walk) = walks.try_next().await.map_err(|error| Failure::new("the copy cannot be verified", error))? {
        let Verification { stream, commits: walked, broken_at, .. } = walk;
        if let Some(broken) = broken_at {
            return Err(damaged(format!("{stream} is broken at version {}: {}", broken.version, broken.damage)));
        }
        commits = commits.saturating_add(walked);
        done = done.saturating_add(1);
        output::progress(&format!("{done} of {all} streams verified"));
    }
    Ok((all, commits))
}

impl Done {
    fn show(&self, verb: &str, from: &Path, to: &Path, as_json: bool) -> Result<Exit, Failure> {
        let Self { copied: Copied { bytes, messages }, streams, commits } = self;
        if as_json {
            output::json(&json!({
                "from": from, "to": to, "streams": streams, "commits": commits, "messages": messages,
                "bytes": bytes, "verified": true,
            }))?;
        } else {
            let (from, to) = (from.display(), to.display());
            output::line(&format!("{verb} {from} to {to}: {streams} streams with {commits} commits, all verified"))?;
            output::line(&format!("{messages} messages wait in its queues; {bytes} bytes in all"))?;
        }
        Ok(Exit::Done)
    }
}
