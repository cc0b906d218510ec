//! How long the command queue is: asked once a second at most, however many commands come.

use super::SendError;
use crate::queue::{Queue, QueueError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a count, or the failure to count, is gone by.
const KEEPS: Duration = Duration::from_secs(1);

/// The length of a queue, and how long it may become.
pub(super) struct Length {
    queue: Queue,
    limit: u64,
    /// Held while the queue is being counted: whoever comes meanwhile waits for that count.
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    at: Instant,
    /// What was counted, and what this process has let in since.
    messages: Result<u64, QueueError>,
}

impl Length {
    pub(super) fn new(queue: Queue, limit: u64) -> Self {
        Self { queue, limit, seen: Mutex::default() }
    }

    /// Lets one more command in, if the queue is not too long.
    pub(super) async fn admit(&self) -> Result<(), SendError> {
        let mut seen = self.seen.lock().await;
        let seen = match seen.take().filter(|seen| seen.at.elapsed() < KEEPS) {
            Some(known) => seen.insert(known),
            None => {
                let messages = self.queue.count().await;
                seen.insert(Seen { at: Instant::now(), messages })
            }
        };
        match &mut seen.messages {
            Ok(messages) if *messages < self.limit => {
                *messages += 1;
                Ok(())
            }
            Ok(_) => Err(SendError::Full { limit: self.limit }),
            Err(error) => Err(error.clone().into()),
        }
    }
}
