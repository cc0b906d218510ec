//! Panics: reported where they happen, and an error of the work that they end.

use futures::FutureExt;
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use uuid::Uuid;

thread_local! {
    /// Under which id this thread's latest panic was reported.
    static REPORTED: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// The work panicked. It has been reported.
#[derive(Debug, thiserror::Error)]
#[error("it panicked, which is reported as {error_id}")]
pub struct Panicked {
    /// The id of its report: 32 hexadecimal digits.
    pub error_id: String,
}

/// Lets every panic of this process be reported once, as one line with its place.
pub(super) fn hook() {
    std::panic::set_hook(Box::new(|info| REPORTED.set(Some(report(info.payload(), Some(info))))));
}

/// Does the work; a panic in it is an error of the work alone.
///
/// # Errors
/// [`Panicked`].
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    // Unwind safety: nothing of work that panicked is looked at again; what it shares with other work is its own affair.
    AssertUnwindSafe(work).catch_unwind().await.map_err(|payload| {
        // The hook ran on this very thread. Without it, as in other people's programs, nobody has told of the panic yet.
        let error_id = REPORTED.take().unwrap_or_else(|| report(&*payload, None));
        Panicked { error_id: error_id.simple().to_string() }
    })
}

fn report(payload: &(dyn Any + Send), info: Option<&PanicHookInfo<'_>>) -> Uuid {
    let id = Uuid::now_v7();
    let error_id = id.simple().to_string();
    let location = info.and_then(|info| info.location()).map(ToString::to_string);
    // Only where RUST_BACKTRACE asks for it: it costs 100 ms and 40 MB.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(error_id, panic = message(payload), location, backtrace, "a panic");
    id
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
