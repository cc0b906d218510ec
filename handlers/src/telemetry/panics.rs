//! Panics: reported where they happen, and an error for the work that they end.

use futures::FutureExt;
use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use uuid::Uuid;

thread_local! {
    /// The report of this thread's latest panic.
    static REPORTED: Cell<Option<Uuid>> = const { Cell::new(None) };
}

/// The work panicked. It has been reported.
#[derive(Debug, thiserror::Error)]
#[error("it panicked, reported as {error_id}")]
pub struct Panicked {
    /// The id of its report: 32 hexadecimal digits.
    pub error_id: String,
}

/// Reports each panic of this process once, as one line with its location.
pub(super) fn hook() {
    std::panic::set_hook(Box::new(|info| REPORTED.set(Some(report(info.payload(), Some(info))))));
}

/// Runs the work. A panic in it becomes an error.
///
/// # Errors
/// [`Panicked`].
pub async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Panicked> {
    // Unwind safety: the work is dropped after a panic. State that it shares must stay valid.
    AssertUnwindSafe(work).catch_unwind().await.map_err(|payload| {
        // The hook ran on this thread. In a program without the hook, the panic is reported here.
        let error_id = REPORTED.take().unwrap_or_else(|| report(&*payload, None));
        Panicked { error_id: error_id.simple().to_string() }
    })
}

fn report(payload: &(dyn Any + Send), info: Option<&PanicHookInfo<'_>>) -> Uuid {
    let id = Uuid::now_v7();
    let error_id = id.simple().to_string();
    let location = info.and_then(|info| info.location()).map(ToString::to_string);
    // Only with RUST_BACKTRACE: it costs 100 ms and 40 MB.
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(error_id, panic = message(payload), location, backtrace, "a panic");
    id
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
