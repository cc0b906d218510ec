//! A thing that fails again and again: said once, asked less and less often.

use std::error::Error;
use std::time::Duration;

/// A pause that doubles from `first` up to `last`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    /// Begins with the first pause.
    #[must_use]
    pub fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first }
    }

    /// Begins again with the first pause.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.last);
        self.next = pause.saturating_mul(2).min(self.last);
        pause
    }
}

/// Whether calls to a source succeed at present. A source that is down for an hour is two lines in the log: that it
/// failed and that it works again.
#[derive(Debug)]
pub struct Outage {
    source_name: String,
    said: Option<String>,
    backoff: Backoff,
}

impl Outage {
    const FIRST_PAUSE: Duration = Duration::from_millis(50);
    const LAST_PAUSE: Duration = Duration::from_secs(5);

    /// Of a source by that name, which is up so far.
    pub fn of(source_name: impl Into<String>) -> Self {
        let backoff = Backoff::new(Self::FIRST_PAUSE, Self::LAST_PAUSE);
        Self { source_name: source_name.into(), said: None, backoff }
    }

    /// Notes a failure; the answer is how long to wait before the next try.
    pub fn failed(&mut self, error: &(dyn Error + 'static)) -> Duration {
        let text = causes(error);
        if self.said.as_ref() != Some(&text) {
            tracing::error!(source = self.source_name, error = text, "cannot be read, trying again");
            self.said = Some(text);
        }
        self.backoff.pause()
    }

    /// Notes a success.
    pub fn over(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(source = self.source_name, "can be read again");
            self.backoff.reset();
        }
    }
}

/// An error with everything under it, in one line.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(300));
        let pauses: Vec<_> = (0..5).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 300, 300]);
        backoff.reset();
        assert_eq!(backoff.pause().as_millis(), 50);
    }
}
