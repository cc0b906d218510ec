//! The limits of the command queue: its length, counted at most once a second, and each actor's
//! share.
//!
//! SQS does not report whose messages wait. So a process remembers the actors of the commands that
//! it admitted, in order. When the queue has fewer messages, the oldest are gone and only the
//! newest can wait. It does not know the commands of other processes; the limit of the whole queue
//! covers them.

use super::{QueueLimits, SendError};
use crate::delivery::queue::{Queue, QueueError};
use eventstore::Id;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a count, or a failure to count, is used.
const COUNT_MAX_AGE: Duration = Duration::from_secs(1);

/// The length of a queue, and its limits.
pub(super) struct Length {
    queue: Queue,
    limit: u64,
    share: u64,
    /// Locked during a count: other senders wait for its result.
    seen: Mutex<QueueState>,
}

#[derive(Default)]
struct QueueState {
    count: Option<Count>,
    waiting: Waiting,
}

struct Count {
    at: Instant,
    /// The counted messages, and those that this process admitted since.
    messages: Result<u64, QueueError>,
}

/// The actors of admitted commands that may wait, oldest first.
#[derive(Default)]
struct Waiting {
    actors: VecDeque<Id>,
    each: HashMap<Id, u64>,
}

impl Length {
    pub(super) fn new(queue: Queue, limits: &QueueLimits) -> Self {
        let QueueLimits { messages: limit, messages_of_actor: share, .. } = *limits;
        Self { queue, limit, share, seen: Mutex::default() }
    }

    /// Admits a command within the limits of the queue and of its actor's share. A marker has no
    /// actor.
    pub(super) async fn admit(&self, actor: Option<&Id>) -> Result<(), SendError> {
        let mut seen = self.seen.lock().await;
        let QueueState { count, waiting } = &mut *seen;
        let count = match count.take().filter(|count| count.at.elapsed() < COUNT_MAX_AGE) {
            Some(known) => count.insert(known),
            None => {
                let messages = self.queue.count().await;
                if let Ok(messages) = messages {
                    waiting.keep_newest(messages);
                }
                count.insert(Count { at: Instant::now(), messages })
            }
        };
        match &mut count.messages {
            Ok(messages) if *messages >= self.limit => Err(SendError::Full { limit: self.limit }),
            Ok(_) if actor.is_some_and(|actor| waiting.of(actor) >= self.share) => {
                Err(SendError::ShareFull { share: self.share })
            }
            Ok(messages) => {
                *messages += 1;
                if let Some(actor) = actor {
                    waiting.add(actor);
                }
                Ok(())
            }
            Err(error) => Err(error.clone().into()),
        }
    }
}

impl Waiting {
    fn of(&self, actor: &Id) -> u64 {
        self.each.get(actor).copied().unwrap_or_default()
    }

    fn add(&mut self, actor: &Id) {
        self.actors.push_back(actor.clone());
        *self.each.entry(actor.clone()).or_default() += 1;
    }

    fn keep_newest(&mut self, messages: u64) {
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        while self.actors.len() > messages {
            let Some(actor) = self.actors.pop_front() else { return };
            if let Some(waiting) = self.each.get_mut(&actor) {
                *waiting -= 1;
                if *waiting == 0 {
                    self.each.remove(&actor);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_left_the_queue_count_for_no_share() {
        let (anna, bob) = (Id::new("anna").unwrap(), Id::new("bob").unwrap());
        let mut waiting = Waiting::default();
        [&anna, &anna, &bob].into_iter().for_each(|actor| waiting.add(actor));
        waiting.keep_newest(5);
        assert_eq!((waiting.of(&anna), waiting.of(&bob)), (2, 1));
        waiting.keep_newest(2);
        assert_eq!((waiting.of(&anna), waiting.of(&bob)), (1, 1));
        waiting.keep_newest(0);
        assert_eq!(waiting.each.len(), 0);
    }
}
