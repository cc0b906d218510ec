//! A thing that fails again and again: said once, asked less and less often.

use std::error::Error;
use std::time::Duration;

/// A pause that doubles from `first` up to `last`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
    jitter: bool,
}

impl Backoff {
    /// Begins with the first pause.
    #[must_use]
    pub fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, next: first, jitter: false }
    }

    /// The same, and each pause is between half of it and the whole: many processes do not come
    /// back at one moment.
    #[must_use]
    pub fn with_jitter(self) -> Self {
        Self { jitter: true, ..self }
    }

    /// Begins again with the first pause.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.last);
        self.next = pause.saturating_mul(2).min(self.last);
        if self.jitter { pause.mul_f64(0.5 + fastrand::f64() / 2.0) } else { pause }
    }
}

impl Default for Backoff {
    /// For a source on this machine: from 50 ms to 5 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(50), Duration::from_secs(5))
    }
}

/// Whether calls to a source succeed at present. A source that is down for an hour is two lines in
/// the log: that it failed and that it works again.
#[derive(Debug)]
pub struct Outage {
    source_name: String,
    is_said: bool,
    backoff: Backoff,
}

impl Outage {
    /// Of a source by that name, which is up so far.
    pub fn of(source_name: impl Into<String>) -> Self {
        Self::with_backoff(source_name, Backoff::default())
    }

    /// The same with other pauses.
    pub fn with_backoff(source_name: impl Into<String>, backoff: Backoff) -> Self {
        Self { source_name: source_name.into(), is_said: false, backoff }
    }

    /// Notes a failure; the answer is how long to wait before the next try.
    pub fn failed(&mut self, error: &(dyn Error + 'static)) -> Duration {
        // Said once, though the text of each failure may differ: services put the id of the request
        // into it.
        if self.is_said {
            tracing::debug!(
                source = self.source_name,
                error = causes(error),
                "still cannot be read"
            );
        } else {
            tracing::error!(
                source = self.source_name,
                error = causes(error),
                "cannot be read, trying again"
            );
            self.is_said = true;
        }
        self.backoff.pause()
    }

    /// Notes a success.
    pub fn over(&mut self) {
        if std::mem::take(&mut self.is_said) {
            tracing::info!(source = self.source_name, "can be read again");
            self.backoff.reset();
        }
    }
}

/// An error with everything under it, in one line.
pub fn causes(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
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

    #[test]
    fn a_pause_with_jitter_is_at_least_half_of_it() {
        let mut backoff =
            Backoff::new(Duration::from_millis(200), Duration::from_millis(200)).with_jitter();
        let pauses: Vec<_> = (0..100).map(|_| backoff.pause().as_millis()).collect();
        assert!(pauses.iter().all(|pause| (100..=200).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
    }
}
