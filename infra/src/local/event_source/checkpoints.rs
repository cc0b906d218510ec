//! How far a stream mapping is, shard by shard, in one small file.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// As all files of a data folder.
const OWNER_ONLY: u32 = 0o600;

/// Where a shard is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Checkpoint {
    /// Everything up to and including this sequence number has been handled.
    After(String),
    /// The shard is closed and everything in it has been handled.
    Finished,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    stream_arn: String,
    shards: BTreeMap<String, Checkpoint>,
}

/// The checkpoints of one stream mapping.
///
/// Written only after the handler has answered, so a crash repeats a batch and never loses one. The file is replaced as
/// a whole by a rename, so it is the old or the new one whenever the process is killed. It is not forced to the disk:
/// after a power cut it may be older or empty, and then the records since are handled again.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    file: PathBuf,
    contents: Mutex<Contents>,
}

impl Checkpoints {
    /// Reads the file. Without one, with an unreadable one, or with that of another stream (the table was made anew),
    /// every shard begins at its oldest record: handling twice is allowed, missing one is not.
    pub(crate) fn open(file: PathBuf, stream_arn: &str) -> Self {
        let kept = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice::<Contents>(&bytes)
                .inspect_err(
                    |error| tracing::warn!(file = %file.display(), %error, "unreadable checkpoints, starting over"),
                )
                .ok(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %file.display(), %error, "unreadable checkpoints, starting over");
                }
                None
            }
        };
        let contents = kept
            .filter(|contents| contents.stream_arn == stream_arn)
            .unwrap_or_else(|| Contents { stream_arn: stream_arn.to_owned(), shards: BTreeMap::new() });
        Self { file, contents: Mutex::new(contents) }
    }

    pub(crate) fn of(&self, shard: &str) -> Option<Checkpoint> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner).shards.get(shard).cloned()
    }

    pub(crate) fn is_finished(&self, shard: &str) -> bool {
        self.of(shard) == Some(Checkpoint::Finished)
    }

    pub(crate) fn set(&self, shard: &str, checkpoint: Checkpoint) {
        self.change(|shards| {
            shards.insert(shard.to_owned(), checkpoint);
        });
    }

    pub(crate) fn forget(&self, shard: &str) {
        self.change(|shards| {
            shards.remove(shard);
        });
    }

    /// Drops the shards that the stream no longer has.
    pub(crate) fn keep_only(&self, exists: impl Fn(&str) -> bool) {
        let all_exist = {
            let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
            contents.shards.keys().all(|shard| exists(shard))
        };
        if !all_exist {
            self.change(|shards| shards.retain(|shard, _| exists(shard)));
        }
    }

    /// Changes and saves. A checkpoint that could not be saved (a full disk) stops nothing: the next one that can be
    /// covers it, and a crash in between repeats a few batches more.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Checkpoint>)) {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut contents.shards);
        // A few hundred bytes into the page cache: quicker than handing the write to another thread.
        if let Err(error) = self.save(&contents) {
            tracing::error!(file = %self.file.display(), %error, "checkpoint not saved");
        }
    }

    fn save(&self, contents: &Contents) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_ONLY).open(&new)?;
        file.write_all(&serde_json::to_vec(contents)?)?;
        fs::rename(&new, &self.file)
    }
}
