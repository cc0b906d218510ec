//! Functions that a queue or a stream wakes.

use super::{Failure, Start};
use crate::telemetry::CallFailed;
use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::streams::DynamoDbEventResponse;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// What wakes a function is not what its trigger sends: nothing of it is acknowledged, and it comes again or is kept elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("the event is none of {trigger}: {field}: {source}")]
struct UnknownEvent {
    trigger: &'static str,
    field: String,
    source: serde_json::Error,
}

impl Start {
    /// Handles batches of a queue's messages.
    ///
    /// # Errors
    /// When Lambda cannot be asked for events.
    pub async fn serve_queue<F>(self, handle: impl Fn(SqsEvent) -> F) -> Result<(), Failure>
    where
        F: Future<Output = SqsBatchResponse>,
    {
        self.serve("a queue", handle).await
    }

    /// Handles batches of a table's changes.
    ///
    /// # Errors
    /// When Lambda cannot be asked for events.
    pub async fn serve_stream<F>(self, handle: impl Fn(Event) -> F) -> Result<(), Failure>
    where
        F: Future<Output = DynamoDbEventResponse>,
    {
        self.serve("a table's stream", handle).await
    }

    pub(super) async fn serve<E, A, F>(self, trigger: &'static str, handle: impl Fn(E) -> F) -> Result<(), Failure>
    where
        E: DeserializeOwned,
        A: Serialize,
        F: Future<Output = A>,
    {
        let (handle, watch) = (&handle, &self.watch);
        let answer = |event: LambdaEvent<Box<RawValue>>| async move {
            let call = async { Ok::<A, Failure>(Box::pin(handle(read(trigger, &event.payload)?)).await) };
            watch.invoke_as(&event.context.request_id, call).await.map_err(diagnostic)
        };
        // Boxed, because futures nest deeper here than the compiler is ready to look through.
        Box::pin(Runtime::new(service_fn(answer)).run()).await
    }
}

/// What Lambda notes of a call that failed.
fn diagnostic(failed: CallFailed) -> Diagnostic {
    let (error_type, error_message) = match failed {
        CallFailed::Error(error) => ("CallFailed", error.to_string()),
        CallFailed::Panicked(panicked) => ("Panicked", panicked.to_string()),
    };
    Diagnostic { error_type: error_type.to_owned(), error_message }
}

fn read<E: DeserializeOwned>(trigger: &'static str, payload: &RawValue) -> Result<E, UnknownEvent> {
    let mut json = serde_json::Deserializer::from_str(payload.get());
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        UnknownEvent { trigger, field, source: error.into_inner() }
    })
}
