//! The HTTP client under the SDK. Every attempt of every row passes through it.
//!
//! It counts requests, or removes the token of transactions, or does nothing.

use crate::capacity::{self, Units};
use crate::signature;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_dynamodb::error::ConnectorError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::{Value, json};
use std::fmt;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, PoisonError};

const CAPACITY: &str = "ConsumedCapacity";
const ASK_FOR_CAPACITY: &str = "ReturnConsumedCapacity";
/// The end of a transaction's body, as the SDK writes it: the token is the last member.
const TOKEN: &str = ",\"ClientRequestToken\":\"";

/// What the wire does with requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Counts requests, bytes and units. It makes every request report its units.
    Count,
    /// Removes `ClientRequestToken`, because the engine searches all tokens of ten minutes at each
    /// transaction.
    DropTokens,
}

/// The counts.
#[derive(Debug, Default, Clone)]
pub(crate) struct Traffic {
    pub(crate) requests: u32,
    /// In order, such as `Query` or `TransactWrite(2)`.
    pub(crate) operations: Vec<String>,
    pub(crate) units: Units,
    /// Bytes of the bodies as the row sent them.
    pub(crate) request_bytes: usize,
    /// Bytes of the answers' bodies, without the units that the wire requested.
    pub(crate) answer_bytes: usize,
}

/// The wire of one client. Clones share it.
#[derive(Clone)]
pub(crate) struct Wire {
    under: SharedHttpClient,
    task: Task,
    /// The secret of the engine's access key.
    secret: String,
    traffic: Arc<Mutex<Traffic>>,
}

impl Wire {
    pub(crate) fn over(under: SharedHttpClient, task: Task, secret: &str) -> Self {
        Self { under, task, secret: secret.to_owned(), traffic: Arc::default() }
    }

    /// The counts since the last call.
    pub(crate) fn take(&self) -> Traffic {
        std::mem::take(&mut self.traffic.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn carry(
        self,
        connector: SharedHttpConnector,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        match self.task {
            Task::Count => self.count(connector, request).await,
            Task::DropTokens => connector.call(without_token(request, &self.secret)).await,
        }
    }

    async fn count(
        &self,
        connector: SharedHttpConnector,
        request: HttpRequest,
    ) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let sent = request.body().bytes().unwrap_or_default().to_vec();
        let mut body: Value = serde_json::from_slice(&sent).map_err(not_json)?;
        let asked = body.get(ASK_FOR_CAPACITY).is_some();
        if !asked && takes_capacity(&operation) {
            insert(&mut body, ASK_FOR_CAPACITY, json!("TOTAL"));
        }
        let answer =
            connector.call(with_body(request, body.to_string().into_bytes(), &self.secret)).await?;
        let status = answer.status();
        let bytes = ByteStream::new(answer.into_body()).collect().await;
        let bytes = bytes.map_err(|error| ConnectorError::io(error.into()))?.to_vec();
        let mut told: Value = serde_json::from_slice(&bytes).map_err(not_json)?;
        let units = capacity::units(&operation, &body, &told);
        let mut answer_bytes = bytes;
        if let Some(answer) = told.as_object_mut().filter(|_| !asked)
            && answer.remove(CAPACITY).is_some()
        {
            answer_bytes = told.to_string().into_bytes();
        }
        let mut traffic = self.traffic.lock().unwrap_or_else(PoisonError::into_inner);
        *traffic += Traffic {
            requests: 1,
            operations: vec![described(&operation, &body)],
            units,
            request_bytes: sent.len(),
            answer_bytes: answer_bytes.len(),
        };
        drop(traffic);
        let mut response = HttpResponse::new(status, SdkBody::from(answer_bytes));
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        Ok(response)
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.operations.extend(other.operations);
        self.units += other.units;
        self.request_bytes += other.request_bytes;
        self.answer_bytes += other.answer_bytes;
    }
}

/// The operation with the number of items that it names.
fn described(operation: &str, body: &Value) -> String {
    let actions = body.get("TransactItems").and_then(Value::as_array).map(Vec::len);
    let keys = |tables: &serde_json::Map<String, Value>| -> usize {
        tables
            .values()
            .filter_map(|table| table.get("Keys").and_then(Value::as_array))
            .map(Vec::len)
            .sum()
    };
    let items = actions.or_else(|| body.get("RequestItems").and_then(Value::as_object).map(keys));
    let short = operation.trim_end_matches("Items").trim_end_matches("Item");
    match items {
        Some(items) => format!("{short}({items})"),
        None => short.to_owned(),
    }
}

fn takes_capacity(operation: &str) -> bool {
    matches!(operation, "Query" | "PutItem" | "GetItem" | "BatchGetItem" | "TransactWriteItems")
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

/// Without parsing the JSON, so that transactional rows pay almost nothing for it.
fn without_token(request: HttpRequest, secret: &str) -> HttpRequest {
    let body = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok());
    let cut = body
        .and_then(|body| body.rsplit_once(TOKEN))
        .map(|(before, _)| format!("{before}}}").into_bytes());
    match cut {
        Some(body) => with_body(request, body, secret),
        None => request,
    }
}

fn with_body(mut request: HttpRequest, body: Vec<u8>, secret: &str) -> HttpRequest {
    request.headers_mut().insert("content-length", body.len().to_string());
    *request.body_mut() = SdkBody::from(body);
    if let Some(authorization) = signature::authorization(&request, secret) {
        request.headers_mut().insert("authorization", authorization);
    }
    request
}

fn not_json(error: serde_json::Error) -> ConnectorError {
    ConnectorError::other(error.into(), None)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_loses_its_token_and_nothing_else() {
        let sent = r#"{"TransactItems":[{"Put":{}}],"ClientRequestToken":"6f0f-7d"}"#;
        let mut request = HttpRequest::new(SdkBody::from(sent));
        request.headers_mut().insert("content-length", sent.len().to_string());
        let request = without_token(request, "secret");
        let left = r#"{"TransactItems":[{"Put":{}}]}"#;
        assert_eq!(request.body().bytes(), Some(left.as_bytes()));
        assert_eq!(request.headers().get("content-length"), Some(left.len().to_string().as_str()));
    }

    #[test]
    fn an_operation_tells_how_many_items_it_names() {
        let transaction = json!({"TransactItems": [{}, {}]});
        let batch = json!({"RequestItems": {"head": {"Keys": [{}]}, "snapshot": {"Keys": [{}]}}});
        assert_eq!(described("TransactWriteItems", &transaction), "TransactWrite(2)");
        assert_eq!(described("BatchGetItem", &batch), "BatchGet(2)");
        assert_eq!(described("PutItem", &json!({"Item": {}})), "Put");
    }
}
