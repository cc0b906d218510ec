//! The keys of an issuer, cached and renewed.
//!
//! | renewed | when |
//! |---|---|
//! | in the background | each hour, or after the response's `max-age`, between 5 minutes and 24 hours |
//! | for a token with an unknown key | at most once in 30 seconds |
//!
//! If the issuer does not answer, the cached keys stay in use.

use super::key_address::{FetchError, Fetched, KeyAddress};
use super::key_set::KeySet;
use crate::delivery::Backoff;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How many requests are sent at the start.
const FIRST_TRIES: u32 = 5;
/// The pause after the first of them. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Between two renewals, if the response does not say.
const RENEWAL: Duration = Duration::from_secs(60 * 60);
/// Bounds of `max-age`. After a failure, the next request comes after the shortest time.
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
    /// Fetches the keys. If the issuer does not answer, it tries a few times.
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
                    tracing::warn!(error, "could not fetch the issuer's keys, trying again");
                }
            }
            tries += 1;
            tokio::time::sleep(backoff.pause()).await;
        };
        let fetching =
            Mutex::new(Fetching { for_unknown: None, failed: false, next: renewal(max_age) });
        Ok(Self { address, current: RwLock::new(Arc::new(keys)), fetching })
    }

    /// The issuer: the claim `iss`.
    pub(super) fn issuer(&self) -> &str {
        self.address.issuer()
    }

    /// The latest keys.
    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Renews the keys in time, forever.
    pub async fn keep_current(&self) {
        loop {
            let pause = self.fetching.lock().await.next;
            tokio::time::sleep(pause).await;
            self.renew(&mut *self.fetching.lock().await).await;
        }
    }

    /// Fetches the keys if they lack this one, but not twice within 30 seconds.
    pub(super) async fn renew_for(&self, kid: &str) {
        if self.current().get(kid).is_some() {
            return;
        }
        let mut fetching = self.fetching.lock().await;
        // Another request may have fetched it meanwhile.
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
                tracing::info!(after_failure = fetching.failed, "renewed the issuer's keys");
                fetching.failed = false;
            }
            Err(error) => {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                if fetching.failed {
                    tracing::debug!(error, "could not renew the issuer's keys again");
                } else {
                    tracing::warn!(
                        error,
                        "could not renew the issuer's keys; the cached ones stay in use"
                    );
                }
                (fetching.failed, fetching.next) = (true, SHORTEST_RENEWAL);
            }
        }
    }
}

fn renewal(max_age: Option<Duration>) -> Duration {
    max_age.unwrap_or(RENEWAL).clamp(SHORTEST_RENEWAL, LONGEST_RENEWAL)
}

/// One request, on a blocking thread.
async fn request(address: &KeyAddress) -> Result<Fetched, FetchError> {
    let address = address.clone();
    tokio::task::spawn_blocking(move || address.fetch()).await.map_err(FetchError::Ended)?
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn keys_are_renewed_when_the_answer_says_within_bounds() {
        for (max_age_s, expected_s) in
            [(None, 3_600), (Some(0), 300), (Some(900), 900), (Some(u64::MAX), 86_400)]
        {
            assert_eq!(renewal(max_age_s.map(Duration::from_secs)).as_secs(), expected_s);
        }
    }
}
