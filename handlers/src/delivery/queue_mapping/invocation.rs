//! One call of a handler, as Lambda makes it: with a time limit. A panic is an error of that call
//! only.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;

/// Why a call gave no response. The whole batch counts as failed then.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The handler gave an error.
    #[error("handler failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// The handler panicked, with this message.
    #[error("handler panicked: {0}")]
    Panicked(String),
    /// It took longer than it may.
    #[error("handler took longer than {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Calls `handler` with `event`.
///
/// # Errors
/// [`InvocationError`].
pub async fn invoke<H, I, F, R, E>(
    handler: &H,
    event: I,
    timeout: Duration,
) -> Result<R, InvocationError>
where
    H: Fn(I) -> F,
    F: Future<Output = Result<R, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    // The handler is called inside the future, so that a panic before its first await is caught,
    // too. Unwind safety: the state of a call that panicked is dropped. State that the handler
    // shares between calls survives, as it does in a Lambda sandbox.
    let call = AssertUnwindSafe(async { handler(event).await }).catch_unwind();
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(answer)) => answer.map_err(|error| InvocationError::Failed(error.into())),
        Ok(Err(panic)) => Err(InvocationError::Panicked(message(&*panic))),
        Err(_elapsed) => Err(InvocationError::TimedOut(timeout)),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
