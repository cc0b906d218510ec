//! Functions that a queue or a stream triggers.

use super::{FunctionFailure, Start};
use crate::telemetry::CallFailed;
use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use aws_lambda_events::streams::DynamoDbEventResponse;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::{Duration, SystemTime};

/// The part of a call's time that is reserved for its report.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A call took longer than its function may.
#[derive(Debug, thiserror::Error)]
#[error("it was not done within {} ms", .0.as_millis())]
pub(super) struct TooSlow(pub(super) Duration);

/// The event is not of the function's trigger. It is not acknowledged: the sender repeats or stores
/// it.
#[derive(Debug, thiserror::Error)]
#[error("the event is none of {trigger}: {field}: {source}")]
struct UnknownEvent {
    trigger: &'static str,
    field: String,
    source: serde_json::Error,
}

impl Start {
    /// Handles batches of a queue's messages, each with the time that is left for it.
    ///
    /// # Errors
    /// When Lambda cannot be asked for events.
    pub async fn serve_queue<F>(
        self,
        handle: impl Fn(SqsEvent, Duration) -> F,
    ) -> Result<(), FunctionFailure>
    where
        F: Future<Output = SqsBatchResponse>,
    {
        self.serve("a queue", |event, left| in_time(left, handle(event, left))).await
    }

    /// Handles batches of a table's changes.
    ///
    /// # Errors
    /// When Lambda cannot be asked for events.
    pub async fn serve_stream<F>(self, handle: impl Fn(Event) -> F) -> Result<(), FunctionFailure>
    where
        F: Future<Output = DynamoDbEventResponse>,
    {
        self.serve("a table's stream", |event, left| in_time(left, handle(event))).await
    }

    /// Handles events, each with the time that is left for it.
    pub(super) async fn serve<E, A, F>(
        self,
        trigger: &'static str,
        handle: impl Fn(E, Duration) -> F,
    ) -> Result<(), FunctionFailure>
    where
        E: DeserializeOwned,
        A: Serialize,
        F: Future<Output = Result<A, TooSlow>>,
    {
        let (handle, watch) = (&handle, &self.watch);
        let answer = |event: LambdaEvent<Box<RawValue>>| async move {
            let left = left(event.context.deadline);
            let call = async {
                Ok::<A, FunctionFailure>(
                    Box::pin(handle(read(trigger, &event.payload)?, left)).await?,
                )
            };
            watch.invoke_as(&event.context.request_id, call).await.map_err(diagnostic)
        };
        // Boxed: the nested futures exceed the compiler's recursion limit.
        Box::pin(Runtime::new(service_fn(answer)).run()).await
    }
}

/// Runs a call with a time limit, so that its failure is reported before Lambda kills the process.
/// Calls are safe to repeat.
async fn in_time<A>(left: Duration, work: impl Future<Output = A>) -> Result<A, TooSlow> {
    // Boxed: else the future would be on the stack twice.
    tokio::time::timeout(left, Box::pin(work)).await.map_err(|_| TooSlow(left))
}

/// The time limit of a call with that deadline (milliseconds of the Unix epoch), less the time for
/// its report.
fn left(deadline_ms: u64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(deadline_ms).saturating_sub(now).saturating_sub(LAST_WORDS)
}

/// The error that Lambda records for a failed call.
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
