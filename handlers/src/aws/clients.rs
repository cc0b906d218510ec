//! The SDK's configuration: the same for functions, operators and engines.

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use std::time::Duration;

/// The time for a connection; then the SDK tries another one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The time of one try. DynamoDB and SQS answer in milliseconds; only a long poll sets a longer
/// time.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries of one call, the first included.
const MAX_ATTEMPTS: u32 = 3;

/// The environment's configuration (`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL` and the rest),
/// over an HTTPS client built on ring: the SDK's default one needs a C toolchain (cmake) and cannot
/// be cross-compiled as simply. It speaks plain HTTP too, when the endpoint says so.
pub fn environment() -> ConfigLoader {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts())
        .retry_config(retries())
}

/// How long is waited.
pub fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build()
}

/// How often is tried.
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS)
}
