//! The wire under the SDK: records requests, and injects faults that no engine has on request.
//!
//! It replaces the HTTP client of the SDK, so it records every attempt, also retries by the SDK.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_dynamodb::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, Mutex};

/// A request before it is sent.
pub(crate) struct Seen {
    /// `PutItem`, `Query` and so on.
    pub(crate) operation: String,
    /// How many of this operation went before, since the rule was set.
    pub(crate) nth: usize,
    pub(crate) body: Value,
}

/// What happens to a request.
pub(crate) enum Act {
    Pass,
    /// The engine does not get it: this is the response.
    Answer(u16, String),
    /// The engine executes it, and the connection breaks before the response.
    LoseAnswer,
    /// The engine executes it, and the open connection never gets a response.
    Silence,
    /// The engine executes it, and this is the response instead.
    AnswerInstead(u16, String),
    /// The response of the engine, changed.
    Change(Box<dyn FnOnce(&mut Value) + Send>),
}

/// A request with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) operation: String,
    pub(crate) request: Value,
    /// The response of the engine; null if it did not get the request.
    pub(crate) answer: Value,
    /// How long the two bodies are.
    pub(crate) bytes: (u64, u64),
}

/// The cost of some exchanges by the raw responses, to be compared with the report of the store.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Spent {
    pub(crate) requests: u32,
    pub(crate) write_units: f64,
    pub(crate) read_units: f64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
}

type Rule = Arc<dyn Fn(Seen) -> BoxFuture<'static, Act> + Send + Sync>;

#[derive(Default)]
struct Books {
    rule: Option<Rule>,
    /// Requests since the rule was set, by operation.
    since_rule: Vec<String>,
    /// Operation, request and answer, as they passed.
    passed: Vec<(String, Vec<u8>, Vec<u8>)>,
}

/// The wire of one client. Clones are the same wire.
#[derive(Clone)]
pub(crate) struct Wire {
    under: SharedHttpClient,
    books: Arc<Mutex<Books>>,
}

impl Wire {
    pub(crate) fn over(under: SharedHttpClient) -> Self {
        Self { under, books: Arc::default() }
    }

    /// The client over a new wire, and the wire.
    pub(crate) fn under(client: &Client) -> (Client, Self) {
        let wire = Self::over(client.config().http_client().unwrap());
        (Client::from_conf(client.config().to_builder().http_client(wire.clone()).build()), wire)
    }

    /// From now on every request is treated as the rule says.
    pub(crate) fn rule<F: Future<Output = Act> + Send + 'static>(
        &self,
        rule: impl Fn(Seen) -> F + Send + Sync + 'static,
    ) {
        let mut books = self.books.lock().unwrap();
        books.rule = Some(Arc::new(move |seen| rule(seen).boxed()));
        books.since_rule.clear();
    }

    /// From now on everything passes.
    pub(crate) fn no_rule(&self) {
        self.books.lock().unwrap().rule = None;
    }

    /// What has passed since the last call.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        let passed = std::mem::take(&mut self.books.lock().unwrap().passed);
        let exchanges = passed.into_iter().map(|(operation, request, answer)| {
            let length = |body: &[u8]| u64::try_from(body.len()).unwrap();
            let bytes = (length(&request), length(&answer));
            let (request, answer) = (json(&request), json(&answer));
            Exchange { operation, request, answer, bytes }
        });
        exchanges.collect()
    }

    /// What passed since the last [`Wire::take`], as operations in order.
    pub(crate) fn operations(&self) -> Vec<String> {
        let passed = std::mem::take(&mut self.books.lock().unwrap().passed);
        passed.into_iter().map(|(operation, ..)| operation).collect()
    }

    /// What passed since the last [`Wire::take`], as costs.
    pub(crate) fn spent(&self) -> Spent {
        Spent::on(&self.take())
    }

    async fn carry(
        self,
        connector: SharedHttpConnector,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default().to_owned();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap().to_vec();
        match self.decide(&operation, &body).await {
            Act::Answer(status, text) => {
                self.note(operation, body, b"null".to_vec());
                Ok(response(status, text))
            }
            Act::Silence => {
                let (_, answer) = ask(connector, request).await?;
                self.note(operation, body, answer);
                std::future::pending().await
            }
            act @ (Act::Pass | Act::LoseAnswer | Act::AnswerInstead(..) | Act::Change(_)) => {
                let (status, answer) = ask(connector, request).await?;
                self.note(operation, body, answer.clone());
                outcome(act, status, answer)
            }
        }
    }

    async fn decide(&self, operation: &str, body: &[u8]) -> Act {
        let (rule, nth) = {
            let mut books = self.books.lock().unwrap();
            let nth = books.since_rule.iter().filter(|before| *before == operation).count();
            books.since_rule.push(operation.to_owned());
            (books.rule.clone(), nth)
        };
        match rule {
            // In another task: requests that a rule makes for other processes are not counted here.
            Some(rule) => {
                let seen = Seen { operation: operation.to_owned(), nth, body: json(body) };
                tokio::spawn(rule(seen)).await.unwrap()
            }
            None => Act::Pass,
        }
    }

    fn note(&self, operation: String, request: Vec<u8>, answer: Vec<u8>) {
        self.books.lock().unwrap().passed.push((operation, request, answer));
    }
}

async fn ask(
    connector: SharedHttpConnector,
    request: HttpRequest,
) -> Result<(u16, Vec<u8>), ConnectorError> {
    let answer = connector.call(request).await?;
    let status = answer.status().as_u16();
    let bytes = ByteStream::new(answer.into_body()).collect().await;
    let bytes = bytes.map_err(|error| ConnectorError::io(error.into()))?.to_vec();
    Ok((status, bytes))
}

/// The result for the SDK after the engine has responded.
fn outcome(act: Act, status: u16, answer: Vec<u8>) -> Result<HttpResponse, ConnectorError> {
    match act {
        Act::Pass => Ok(response(status, answer)),
        Act::Answer(status, text) | Act::AnswerInstead(status, text) => Ok(response(status, text)),
        Act::LoseAnswer | Act::Silence => Err(ConnectorError::io("the connection broke".into())),
        Act::Change(change) => {
            let mut answer = json(&answer);
            change(&mut answer);
            Ok(response(status, answer.to_string()))
        }
    }
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn response(status: u16, body: impl Into<SdkBody>) -> HttpResponse {
    let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), body.into());
    response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
    response
}

impl Spent {
    pub(crate) fn on(exchanges: &[Exchange]) -> Self {
        let mut spent = Self::default();
        for exchange in exchanges {
            let units = exchange.units();
            spent.requests += 1;
            spent.bytes_sent += exchange.bytes.0;
            spent.bytes_received += exchange.bytes.1;
            match exchange.operation.as_str() {
                "PutItem" => spent.write_units += units,
                "Query" | "Scan" => spent.read_units += units,
                "TransactWriteItems" => {
                    let (write_units, read_units) = exchange.transaction_units();
                    spent.write_units += write_units;
                    spent.read_units += read_units;
                }
                other => panic!("the store does not use {other}"),
            }
        }
        spent
    }
}

impl Exchange {
    /// The error's name, as DynamoDB gives it.
    fn error(&self) -> Option<&str> {
        self.answer["__type"].as_str().and_then(|name| name.rsplit('#').next())
    }

    /// Capacity units. The response of a put whose condition failed has none: DynamoDB charges the
    /// larger one of the stored and the new item, in whole KB.
    fn units(&self) -> f64 {
        if self.error() == Some("ConditionalCheckFailedException") {
            let larger = item_bytes(&self.request["Item"]).max(item_bytes(&self.answer["Item"]));
            return f64::from(u32::try_from(larger.div_ceil(1024)).unwrap());
        }
        self.answer["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap_or_default()
    }

    /// Write and read units. The response of a canceled transaction has none: it costs 2 for each KB
    /// of the larger one of the stored and the new item.
    fn transaction_units(&self) -> (f64, f64) {
        if self.error() == Some("TransactionCanceledException") {
            let actions = list(&self.request["TransactItems"]).iter();
            let kilobytes =
                actions.zip(list(&self.answer["CancellationReasons"])).map(|(action, reason)| {
                    item_bytes(&action["Put"]["Item"])
                        .max(item_bytes(&reason["Item"]))
                        .max(1)
                        .div_ceil(1024)
                });
            return (f64::from(u32::try_from(kilobytes.sum::<usize>()).unwrap()) * 2.0, 0.0);
        }
        let tables = list(&self.answer["ConsumedCapacity"]).iter().map(|table| {
            let read = table["ReadCapacityUnits"].as_f64().unwrap_or_default();
            (table["CapacityUnits"].as_f64().unwrap() - read, read)
        });
        tables.fold((0.0, 0.0), |sum, (write, read)| (sum.0 + write, sum.1 + read))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// An item's size as DynamoDB documents it, from its JSON.
fn item_bytes(item: &Value) -> usize {
    let attributes = item.as_object().into_iter().flatten();
    attributes.map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    let text = value.as_str().unwrap();
    match kind.as_str() {
        "S" => text.len(),
        "B" => text.trim_end_matches('=').len() * 3 / 4,
        "N" => text.len().div_ceil(2) + 1,
        other => panic!("the store writes no {other}"),
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let under = self.under.http_connector(settings, components);
        SharedHttpConnector::new(Connector { wire: self.clone(), under })
    }
}

#[derive(Debug)]
struct Connector {
    wire: Wire,
    under: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.wire.clone().carry(self.under.clone(), request))
    }
}
