//! Counts the requests of a projector, their units, and the time that the SDK needs for them.
//!
//! Read models do not request `ConsumedCapacity`, so an interceptor adds it to each request.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeDeserializationInterceptorContextRef,
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const WRITES: [&str; 4] = ["PutItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"];
const READS: [&str; 4] = ["GetItem", "BatchGetItem", "Query", "Scan"];
const RETURN_CONSUMED: &str = "\"ReturnConsumedCapacity\":";
const CONSUMED: &str = "\"ConsumedCapacity\":";

/// The requests so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Traffic {
    /// Answered attempts, by operation.
    pub(super) requests: BTreeMap<String, u32>,
    /// How many of them failed. Their units are not reported, and so not counted.
    pub(super) refused: u32,
    pub(super) write_units: f64,
    pub(super) read_units: f64,
    /// Time that the SDK needed to build requests and to parse answers.
    pub(super) sdk: Duration,
}

/// Counts the traffic of the clients that it intercepts.
#[derive(Debug, Clone, Default)]
pub(super) struct TrafficCounter(Arc<Mutex<Traffic>>);

/// When the SDK began to work on the request, or on its answer.
#[derive(Debug)]
struct SdkSince(Instant);

/// The operation of the current request.
#[derive(Debug)]
struct Operation(String);

impl Storable for SdkSince {
    type Storer = StoreReplace<Self>;
}

impl Storable for Operation {
    type Storer = StoreReplace<Self>;
}

impl TrafficCounter {
    /// The client, intercepted by this counter.
    pub(super) fn intercept(&self, client: &Client) -> Client {
        Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }

    pub(super) fn traffic(&self) -> Traffic {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The SDK has sent the request, or returned its answer.
    fn end_sdk_work(&self, config: &ConfigBag) {
        if let Some(SdkSince(since)) = config.load::<SdkSince>() {
            self.lock().sdk += since.elapsed();
        }
    }
}

impl Traffic {
    /// The requests since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> Self {
        let count =
            |operation: &String| before.requests.get(operation).copied().unwrap_or_default();
        let requests = self
            .requests
            .iter()
            .map(|(operation, now)| (operation.clone(), now - count(operation)));
        Self {
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            refused: self.refused - before.refused,
            write_units: self.write_units - before.write_units,
            read_units: self.read_units - before.read_units,
            sdk: self.sdk.saturating_sub(before.sdk),
        }
    }

    fn count(&mut self, operation: &str, done: bool, body: &str) {
        *self.requests.entry(operation.to_owned()).or_default() += 1;
        self.refused += u32::from(!done);
        if WRITES.contains(&operation) {
            self.write_units += units(body);
        } else if READS.contains(&operation) {
            self.read_units += units(body);
        }
    }
}

impl Intercept for TrafficCounter {
    fn name(&self) -> &'static str {
        "TrafficCounter"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(SdkSince(Instant::now()));
        Ok(())
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let operation = operation_of(request.headers().get("x-amz-target"));
        config.interceptor_state().store_put(Operation(operation.to_owned()));
        let reports_units = WRITES.contains(&operation) || READS.contains(&operation);
        let body = std::str::from_utf8(request.body().bytes().unwrap_or_default())?;
        let Some(fields) =
            body.strip_prefix('{').filter(|_| reports_units && !body.contains(RETURN_CONSUMED))
        else {
            return Ok(());
        };
        let body = format!("{{{RETURN_CONSUMED}\"TOTAL\",{fields}");
        request.headers_mut().insert("content-length", body.len().to_string());
        *request.body_mut() = SdkBody::from(body);
        Ok(())
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.end_sdk_work(config);
        Ok(())
    }

    fn read_after_transmit(
        &self,
        _context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(SdkSince(Instant::now()));
        Ok(())
    }

    /// The body is complete here, whatever its status.
    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response().body().bytes().unwrap_or_default();
        let operation = config.load::<Operation>().map_or("", |Operation(name)| name);
        let done = context.response().status().is_success();
        self.lock().count(operation, done, std::str::from_utf8(body)?);
        Ok(())
    }

    fn read_after_execution(
        &self,
        _context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.end_sdk_work(config);
        Ok(())
    }
}

/// `PutItem` of `DynamoDB_20120810.PutItem`.
fn operation_of(target: Option<&str>) -> &str {
    target.and_then(|target| target.rsplit('.').next()).unwrap_or_default()
}

/// The units of an answer, summed over its tables. Inside stored data the name would have escaped
/// quotes, so only DynamoDB's own member is found.
fn units(body: &str) -> f64 {
    let Some((_, consumed)) = body.rsplit_once(CONSUMED) else { return 0.0 };
    let of_table = |consumed: &Value| {
        consumed.get("CapacityUnits").and_then(Value::as_f64).unwrap_or_default()
    };
    match serde_json::Deserializer::from_str(consumed).into_iter::<Value>().next() {
        Some(Ok(Value::Array(tables))) => tables.iter().map(of_table).sum(),
        Some(Ok(table)) => of_table(&table),
        Some(Err(_)) | None => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Traffic, operation_of, units};

    #[test]
    fn units_are_found_wherever_the_answer_has_them() {
        for (body, expected) in [
            (r#"{"ConsumedCapacity":{"TableName":"t","CapacityUnits":2.5}}"#, 2.5),
            (
                r#"{"ConsumedCapacity":[{"CapacityUnits":1},{"CapacityUnits":4}],"Responses":{}}"#,
                5.0,
            ),
            (r#"{"Items":[{"data":{"S":"{\"ConsumedCapacity\":{\"CapacityUnits\":9}}"}}]}"#, 0.0),
            ("{}", 0.0),
            ("", 0.0),
        ] {
            assert!((units(body) - expected).abs() < 1e-9, "{body}");
        }
    }

    #[test]
    fn traffic_since_a_moment_is_the_difference() {
        let mut before = Traffic::default();
        before.count("PutItem", true, r#"{"ConsumedCapacity":{"CapacityUnits":1}}"#);
        let mut now = before.clone();
        now.count("PutItem", false, "{}");
        now.count("Scan", true, r#"{"ConsumedCapacity":{"CapacityUnits":128}}"#);
        let since = now.since(&before);
        assert_eq!((since.requests["PutItem"], since.requests["Scan"], since.refused), (1, 1, 1));
        assert!(
            since.write_units.abs() < 1e-9 && (since.read_units - 128.0).abs() < 1e-9,
            "{since:?}"
        );
    }

    #[test]
    fn an_operation_is_the_end_of_its_target() {
        assert_eq!(
            (operation_of(Some("DynamoDB_20120810.PutItem")), operation_of(None)),
            ("PutItem", "")
        );
    }
}
