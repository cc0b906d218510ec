//! How long the command queue is: asked once a second at most, however many commands come. And whose commands wait.
//!
//! The queue does not say whose messages it holds. So a process remembers the actors of those that it let in, in their order:
//! when the queue is counted, no more of them can wait than it holds, and the newest are those that do. It knows nothing of
//! what other processes let in; the bound on the whole queue holds for all of them.

use super::{QueueLimits, SendError};
use crate::delivery::queue::{Queue, QueueError};
use eventstore::Id;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a count, or the failure to count, is gone by.
const KEEPS: Duration = Duration::from_secs(1);

/// The length of a queue, and how long it may become.
pub(super) struct Length {
    queue: Queue,
    limit: u64,
    share: u64,
    /// Held while the queue is being counted: whoever comes meanwhile waits for that count.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    count: Option<Count>,
    waiting: Waiting,
}

struct Count {
    at: Instant,
    /// What was counted, and what this process has let in since.
    messages: Result<u64, QueueError>,
}

/// The actors of the commands that were let in here and may wait, oldest first.
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

    /// Lets one more command in, if the queue is not too long, and not too much of it is its actor's. A marker has no actor.
    pub(super) async fn admit(&self, actor: Option<&Id>) -> Result<(), SendError> {
        let mut seen = self.seen.lock().await;
        let Seen { count, waiting } = &mut *seen;
        let count = match count.take().filter(|count| count.at.elapsed() < KEEPS) {
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
