//! The keys of an issuer's address: fetched at the start, kept, renewed.
//!
//! | renewed | how often |
//! |---|---|
//! | in the background | each hour, or when the answer's `max-age` is over, within 5 minutes and 24 hours |
//! | for a token with an unknown key | once in 30 seconds, however many ask |
//!
//! The keys stay as they are while the issuer does not answer.

use super::key_address::{FetchError, Fetched, KeyAddress};
use super::key_set::KeySet;
use crate::delivery::Backoff;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Requests at the start, the first included.
const FIRST_TRIES: u32 = 5;
/// The pause after the first of them; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Between two renewals, where the answer does not say it.
const RENEWAL: Duration = Duration::from_secs(60 * 60);
/// Bounds of what the answer says; after a failure the next try comes after the lower one.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(5 * 60);
const LONGEST_RENEWAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two requests for unknown keys.
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(30);

/// The keys of an issuer.
#[derive(Debug)]
pub struct IssuerKeys {
    address: KeyAddress,
    current: RwLock<Arc<KeySet>>,
    /// Held while keys are fetched, so that there is one request at a time.
    fetching: Mutex<Fetching>,
}

#[derive(Debug)]
struct Fetching {
    /// When the latest request for an unknown key began.
    for_unknown: Option<Instant>,
    /// Whether the latest request failed.
    failed: bool,
    next: Duration,
}

impl IssuerKeys {
    /// Fetches the keys: a few times, if the issuer does not answer.
    ///
    /// # Errors
    /// [`FetchError`] of the last try.
    pub async fn fetch(address: KeyAddress) -> Result<Self, FetchError> {
        let mut backoff = Backoff::new(FIRST_PAUSE, SHORTEST_RENEWAL);
        let mut tries = 1;
        let Fetched { keys, max_age } = loop {
            match request(&address).await {
                Ok(fetched) => break fetched,
                Err(error) if tries == FIRST_TRIES => return Err(error),
                Err(error) => {
                    let error: &(dyn std::error::Error + Send + Sync) = &error;
                    tracing::warn!(error, "the issuer's keys were not fetched, trying again");
                }
            }
            tries += 1;
            tokio::time::sleep(backoff.pause()).await;
        };
        let fetching = Mutex::new(Fetching { for_unknown: None, failed: false, next: renewal(max_age) });
        Ok(Self { address, current: RwLock::new(Arc::new(keys)), fetching })
    }

    /// Whose they are: the claim `iss`.
    pub(super) fn issuer(&self) -> &str {
        self.address.issuer()
    }

    /// The latest ones.
    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renews the keys when it is time. It never ends.
    pub async fn keep_current(&self) {
        loop {
            let pause = self.fetching.lock().await.next;
            tokio::time::sleep(pause).await;
            self.renew(&mut *self.fetching.lock().await).await;
        }
    }

    /// Fetches the keys if that one is not among them, and none was looked for in the last half minute.
    pub(super) async fn renew_for(&self, kid: &str) {
        if self.current().get(kid).is_some() {
            return;
        }
        let mut fetching = self.fetching.lock().await;
        // Another request may have fetched it while this one waited.
        let recently = fetching.for_unknown.is_some_and(|at| at.elapsed() < UNKNOWN_KEY_PAUSE);
        if recently || self.current().get(kid).is_some() {
            return;
        }
        fetching.for_unknown = Some(Instant::now());
        self.renew(&mut fetching).await;
    }

    async fn renew(&self, fetching: &mut Fetching) {
        match request(&self.address).await {
            Ok(Fetched { keys, max_age }) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                fetching.next = renewal(max_age);
                tracing::info!(after_failure = fetching.failed, "the issuer's keys were renewed");
                fetching.failed = false;
            }
            Err(error) => {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                if fetching.failed {
                    tracing::debug!(error, "the issuer's keys were not renewed again");
                } else {
                    tracing::warn!(error, "the issuer's keys were not renewed; those that are there stay in use");
                }
                (fetching.failed, fetching.next) = (true, SHORTEST_RENEWAL);
            }
        }
    }
}

fn renewal(max_age: Option<Duration>) -> Duration {
    max_age.unwrap_or(RENEWAL).clamp(SHORTEST_RENEWAL, LONGEST_RENEWAL)
}

/// A request on a blocking thread.
async fn request(address: &KeyAddress) -> Result<Fetched, FetchError> {
    let address = address.clone();
    tokio::task::spawn_blocking(move || address.fetch()).await.map_err(FetchError::Ended)?
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn keys_are_renewed_when_the_answer_says_within_bounds() {
        for (max_age_s, expected_s) in [(None, 3_600), (Some(0), 300), (Some(900), 900), (Some(u64::MAX), 86_400)] {
            assert_eq!(renewal(max_age_s.map(Duration::from_secs)).as_secs(), expected_s);
        }
    }
}
