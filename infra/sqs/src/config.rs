//! The settings of a server.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the time in milliseconds since 1970.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// QueueSettings of a [`Server`](crate::Server). [`Config::default`] suits most programs.
#[derive(Clone)]
pub struct Config {
    /// Region named in each queue's ARN.
    pub region: String,
    /// Account number in each queue's URL and ARN.
    pub account: String,
    /// The clock. If it is set back, the server's time continues from the last value.
    pub now: Now,
    /// How many messages of one queue may be in flight (AWS: 120,000).
    pub in_flight_limit: u64,
    /// Whether messages in flight become visible when the file is opened. Use it if all receivers
    /// are in the process that serves the file, because after a crash none is left. AWS has no such
    /// setting.
    pub release_on_open: bool,
    /// How many milliseconds the name of a deleted queue cannot be used (AWS: 60,000).
    pub deleted_name_rest_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account: "000000000000".to_owned(),
            now: Arc::new(wall_clock_ms),
            in_flight_limit: 120_000,
            release_on_open: false,
            deleted_name_rest_ms: 60_000,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("region", &self.region)
            .field("account", &self.account)
            .field("in_flight_limit", &self.in_flight_limit)
            .field("release_on_open", &self.release_on_open)
            .field("deleted_name_rest_ms", &self.deleted_name_rest_ms)
            .finish_non_exhaustive()
    }
}

fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
