//! Stores in one small file how far a stream mapping has handled each shard.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// As for all files of a data folder.
const OWNER_ONLY: u32 = 0o600;

/// How far a shard was handled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Checkpoint {
    /// Up to and including this sequence number.
    After(String),
    /// To its end: the shard is closed.
    Finished,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    stream_arn: String,
    shards: BTreeMap<String, Checkpoint>,
}

/// The checkpoints of one stream mapping.
///
/// A checkpoint is written after the handler has answered, so a crash repeats a batch and never
/// loses one. A rename replaces the file atomically. It is not synced to disk: after a power cut
/// the file may be old or empty, and then the records since are handled again.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    file: PathBuf,
    contents: Mutex<Contents>,
}

impl Checkpoints {
    /// Reads the file. If it is missing, unreadable or of another stream (a recreated table), every
    /// shard begins at its oldest record. Handling a record twice is allowed, missing one is not.
    pub(crate) fn open(file: PathBuf, stream_arn: &str) -> Self {
        let stored = match fs::read(&file) {
            Ok(bytes) => serde_json::from_slice::<Contents>(&bytes)
                .inspect_err(
                    |error| tracing::warn!(file = %file.display(), %error, "unreadable checkpoints: beginning at the oldest records"),
                )
                .ok(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(file = %file.display(), %error, "unreadable checkpoints: beginning at the oldest records");
                }
                None
            }
        };
        let contents =
            stored.filter(|contents| contents.stream_arn == stream_arn).unwrap_or_else(|| {
                Contents { stream_arn: stream_arn.to_owned(), shards: BTreeMap::new() }
            });
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

    /// Removes the shards that the stream no longer has.
    pub(crate) fn retain(&self, exists: impl Fn(&str) -> bool) {
        let all_exist = {
            let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
            contents.shards.keys().all(|shard| exists(shard))
        };
        if !all_exist {
            self.change(|shards| shards.retain(|shard, _| exists(shard)));
        }
    }

    /// Changes and saves. If saving fails, for example because the disk is full, the mapping goes
    /// on. The next saved checkpoint covers this one; a crash in between repeats more batches.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Checkpoint>)) {
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut contents.shards);
        // Writing a few hundred bytes takes less time than passing them to another thread.
        if let Err(error) = self.save(&contents) {
            tracing::error!(file = %self.file.display(), %error, "checkpoint not saved");
        }
    }

    fn save(&self, contents: &Contents) -> io::Result<()> {
        let new = self.file.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(OWNER_ONLY)
            .open(&new)?;
        file.write_all(&serde_json::to_vec(contents)?)?;
        fs::rename(&new, &self.file)
    }
}
