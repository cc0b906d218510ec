//! SDK clients for DynamoDB, its streams and SQS. Their endpoints are the only difference between
//! AWS and local engines.

use std::time::Duration;

use crate::local::engines::access_key::AccessKey;
use crate::local::engines::in_process::InProcessEngine;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use handlers::app::App;
use handlers::aws::{environment, retries, timeouts};
use handlers::{Names, System};
use serde::{Deserialize, Serialize};

/// The SDK's first backoff of up to a second suits a remote service; a local engine needs less.
const LOOPBACK_FIRST_RETRY: Duration = Duration::from_millis(20);
/// Local engines accept any region. Examples and other emulators use this one.
pub(crate) const LOOPBACK_REGION: &str = "us-east-1";

/// The addresses of local engines, `http://127.0.0.1:<port>`, and the key that signs requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// DynamoDB and its streams.
    pub dynamodb: String,
    /// SQS.
    pub sqs: String,
    /// The access key.
    #[serde(flatten)]
    pub key: AccessKey,
}

/// The three clients. They share one connection pool and are cheap to clone.
///
/// The SDK's connector sets `TCP_NODELAY` and keeps idle connections for 90 seconds. It has one
/// pool per set of time-outs, so all three clients have the same ones.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Tables and items.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// The streams of changes.
    pub streams: aws_sdk_dynamodbstreams::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
}

impl Endpoints {
    /// One address for all services.
    #[must_use]
    pub fn of_one(endpoint: &str, key: AccessKey) -> Self {
        Self { dynamodb: endpoint.to_owned(), sqs: endpoint.to_owned(), key }
    }
}

impl Clients {
    /// Clients of the AWS environment (`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL` and others).
    pub async fn from_environment() -> Self {
        let config = environment().load().await;
        Self {
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            streams: aws_sdk_dynamodbstreams::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
        }
    }

    /// Clients for one address that serves everything, such as that of `--endpoint`.
    ///
    /// A local emulator needs no account. Without credentials in the environment the SDK would look
    /// for those of a cloud machine for seconds and then fail, so test credentials are used.
    pub async fn at(endpoint: &str) -> Self {
        let key = AccessKey { id: "test".to_owned(), secret: "test".to_owned() };
        let endpoints = Endpoints::of_one(endpoint, key);
        if is_plain_loopback(endpoint) && !environment_names_credentials() {
            return Self::loopback(&endpoints);
        }
        let mut config = environment().load().await;
        if is_plain_loopback(endpoint) && config.region().is_none() {
            config = config.into_builder().region(Region::from_static(LOOPBACK_REGION)).build();
        }
        Self::with_endpoints(&config, &endpoints)
    }

    /// Clients for local engines: plain HTTP, their access key, nothing from the environment.
    #[must_use]
    pub fn loopback(endpoints: &Endpoints) -> Self {
        let credentials =
            Credentials::new(&endpoints.key.id, &endpoints.key.secret, None, None, "loopback");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(LOOPBACK_REGION))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(Builder::new().build_http())
            .timeout_config(timeouts())
            .retry_config(retries().with_initial_backoff(LOOPBACK_FIRST_RETRY))
            .build();
        Self::with_endpoints(&config, endpoints)
    }

    /// The same clients, for engines in this process, without a socket.
    #[must_use]
    pub fn in_process(&self, dynamodb: &InProcessEngine, sqs: &InProcessEngine) -> Self {
        let streams =
            self.streams.config().to_builder().http_client(dynamodb.http_client()).build();
        let tables =
            self.dynamodb.config().to_builder().http_client(dynamodb.http_client()).build();
        let queues = self.sqs.config().to_builder().http_client(sqs.http_client()).build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(tables),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams),
            sqs: aws_sdk_sqs::Client::from_conf(queues),
        }
    }

    /// The system of an app with these clients and names.
    #[must_use]
    pub fn system(&self, app: &App, names: &Names) -> System {
        System::new(app.clone(), self.dynamodb.clone(), self.sqs.clone(), names.clone())
    }

    /// The command line takes precedence over `AWS_ENDPOINT_URL_<SERVICE>`. Only an endpoint of
    /// each client does that; one of the whole configuration does not.
    fn with_endpoints(config: &SdkConfig, endpoints: &Endpoints) -> Self {
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(config)
            .endpoint_url(&endpoints.dynamodb)
            .build();
        let streams = aws_sdk_dynamodbstreams::config::Builder::from(config)
            .endpoint_url(&endpoints.dynamodb)
            .build();
        let sqs = aws_sdk_sqs::config::Builder::from(config).endpoint_url(&endpoints.sqs).build();
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams),
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
        }
    }
}

fn environment_names_credentials() -> bool {
    ["AWS_ACCESS_KEY_ID", "AWS_PROFILE"].into_iter().any(|name| std::env::var_os(name).is_some())
}

fn is_plain_loopback(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    ["127.0.0.1", "localhost", "[::1]"].into_iter().any(|host| {
        authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}

#[cfg(test)]
mod tests {
    use super::is_plain_loopback;

    #[test]
    fn only_plain_http_to_this_machine_is_loopback() {
        for endpoint in [
            "http://127.0.0.1:8000",
            "http://localhost",
            "http://localhost:4566/",
            "http://[::1]:8000",
        ] {
            assert!(is_plain_loopback(endpoint), "{endpoint}");
        }
        for endpoint in [
            "https://127.0.0.1:8000",
            "http://localhost.example.com",
            "http://127.0.0.10:80",
            "http://10.0.0.1",
        ] {
            assert!(!is_plain_loopback(endpoint), "{endpoint}");
        }
    }
}
