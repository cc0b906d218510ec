//! Unprocessed parts of a batch request are sent again, a limited number of times.

use super::ledger::{AUDIT, Ledger, stream};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_types::body::SdkBody;
use eventstore::Segment;
use projections::TableError;
use projections::audit_index::{AuditIndex, EntryMatch};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Answers the first batch requests with everything unprocessed, and counts them.
#[derive(Debug, Default, Clone)]
struct Busy(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    left_over: usize,
    batches: usize,
    request: Value,
}

impl Busy {
    /// An index that gets that many such answers.
    fn index(ledger: &Ledger, left_over: usize) -> (AuditIndex, Self) {
        let busy = Self(Arc::new(Mutex::new(State { left_over, ..State::default() })));
        let client = Client::from_conf(
            ledger.client.config().to_builder().interceptor(busy.clone()).build(),
        );
        (AuditIndex::new(client, AUDIT), busy)
    }

    fn batches(&self) -> usize {
        self.0.lock().unwrap().batches
    }
}

impl Intercept for Busy {
    fn name(&self) -> &'static str {
        "Busy"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.request().body().bytes().unwrap_or_default();
        self.0.lock().unwrap().request = serde_json::from_slice(body)?;
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut state = self.0.lock().unwrap();
        let items = state.request["RequestItems"].take();
        if items.is_null() {
            return Ok(());
        }
        state.batches += 1;
        if state.batches <= state.left_over {
            let answer = match items[AUDIT].is_array() {
                true => json!({ "UnprocessedItems": items }),
                false => json!({ "Responses": {}, "UnprocessedKeys": items }),
            };
            let response = context.response_mut();
            response.headers_mut().remove("x-amz-crc32");
            *response.body_mut() = SdkBody::from(answer.to_string());
        }
        Ok(())
    }
}

#[tokio::test]
async fn unprocessed_keys_are_requested_a_limited_number_of_times() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 3).await;
    ledger.enter(&ledger.index(), 1, &all[..2]).await;
    let (index, busy) = Busy::index(&ledger, 3);
    assert_eq!(
        index.entered(1, &all).await.unwrap(),
        [EntryMatch::Same, EntryMatch::Same, EntryMatch::Absent]
    );
    assert_eq!(busy.batches(), 4);
    let (index, busy) = Busy::index(&ledger, usize::MAX);
    let refused = index.entered(1, &all).await;
    assert!(matches!(refused, Err(TableError::Throttled(_))), "{refused:?}");
    assert_eq!(busy.batches(), 8);
}

#[tokio::test]
async fn unprocessed_deletes_are_sent_again_a_limited_number_of_times() {
    let ledger = Ledger::start().await;
    let all = ledger.write(&stream("a"), 3).await;
    let everything = Segment { index: 0, total: 1 };
    ledger.enter(&ledger.index(), 1, &all).await;
    let (index, busy) = Busy::index(&ledger, 2);
    assert_eq!(index.remove_slice(1, everything, None).await.unwrap().removed, 4);
    assert_eq!(busy.batches(), 3);
    ledger.enter(&ledger.index(), 2, &all).await;
    let (index, busy) = Busy::index(&ledger, usize::MAX);
    let refused = index.remove_slice(2, everything, None).await;
    assert!(matches!(refused, Err(TableError::Throttled(_))), "{refused:?}");
    assert_eq!(busy.batches(), 8);
}
