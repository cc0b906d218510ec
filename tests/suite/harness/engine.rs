//! The engine that the environment names. Contract suites run the same cases on each engine.
//!
//! `LEDGERFOLD_TEST_ENDPOINT` is the endpoint; without it, every case starts the embedded engine on
//! a separate file. On this machine test credentials do; for AWS, region and credentials are
//! those of the environment. `LEDGERFOLD_TEST_ENGINE=ministack` tells which deviations to expect at
//! that endpoint.

use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use ledgerfold::local::engines::dynamodb::DynamoDb;
use std::path::Path;

/// An embedded engine over that file, and clients that reach it without a socket.
pub(crate) async fn dynamodb(database: &Path) -> (DynamoDb, Clients) {
    let key = AccessKey::generate().unwrap();
    let engine = DynamoDb::start(database, &key).await.unwrap();
    let clients = Clients::loopback(&Endpoints::of_one(engine.endpoint(), key));
    let clients = clients.in_process(engine.engine(), engine.engine());
    (engine, yielding(&clients))
}

/// The same clients. Each request yields once, as one over a socket does, so that a case can stop a
/// process at it.
pub(crate) fn yielding(clients: &Clients) -> Clients {
    let (tables, queues) = (clients.dynamodb.config(), clients.sqs.config());
    let over = |client: Option<SharedHttpClient>| YieldingClient(client.unwrap());
    let tables = tables.to_builder().http_client(over(tables.http_client()));
    let queues = queues.to_builder().http_client(over(queues.http_client()));
    Clients {
        dynamodb: aws_sdk_dynamodb::Client::from_conf(tables.build()),
        sqs: aws_sdk_sqs::Client::from_conf(queues.build()),
        streams: clients.streams.clone(),
    }
}

#[derive(Debug)]
struct YieldingClient(SharedHttpClient);

#[derive(Debug)]
struct YieldingConnector(SharedHttpConnector);

impl HttpClient for YieldingClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let under = self.0.http_connector(settings, components);
        SharedHttpConnector::new(YieldingConnector(under))
    }
}

impl HttpConnector for YieldingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let under = self.0.clone();
        HttpConnectorFuture::new(async move {
            tokio::task::yield_now().await;
            under.call(request).await
        })
    }
}

/// Clients of a port where nothing listens.
pub(crate) fn unreachable() -> Clients {
    let key = AccessKey::generate().unwrap();
    Clients::loopback(&Endpoints::of_one("http://127.0.0.1:1", key))
}

/// The deviations from AWS to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EngineKind {
    Embedded,
    Ministack,
    Other,
}

/// The endpoint and the kind of its engine; none for the embedded engine.
pub(crate) fn named() -> Option<(String, EngineKind)> {
    let endpoint = std::env::var("LEDGERFOLD_TEST_ENDPOINT").ok()?;
    let ministack =
        std::env::var("LEDGERFOLD_TEST_ENGINE").is_ok_and(|engine| engine == "ministack");
    Some((endpoint, if ministack { EngineKind::Ministack } else { EngineKind::Other }))
}
