//! Logs, reports, metrics and traces.
//!
//! | module | what it does |
//! |---|---|
//! | `log` | one line per request or message, with ids, duration and cost: JSON on Lambda and in containers, text elsewhere |
//! | `reports` | sends one report per failure to Sentry, without personal data |
//! | `metrics` | CloudWatch's embedded metric format: one line per invocation |
//! | `trace` | the W3C trace parent of a request, which each commit stores |
//! | `panics` | reports panics like other failures |
//! | `invocation`, `traced_work` | the layers around each invocation of a handler, and around each request or message in it |
//! | `command_metrics` | metrics and log lines of commands |
//!
//! Levels: `error!` is a report, which somebody must handle. A failure that is tried again is
//! `warn!` until it is given up. A `warn!` with an `error_id` is reported, too, because a caller
//! got that id. A rejection by the domain is neither.

pub(crate) mod command_metrics;
mod invocation;
mod log;
mod metrics;
mod panics;
mod reports;
mod trace;
mod traced_work;

pub use invocation::{CallFailed, InvocationLayer};
pub use metrics::{Metric, add, count, highest, namespace};
pub use panics::{Panicked, caught};
pub use reports::{InvalidDsn, check_dsn};
pub use trace::TraceParent;
pub(crate) use traced_work::record_outcome;
pub(crate) use traced_work::since_ms;
pub use traced_work::{TracedWork, annotate, record_version};

use crate::app::identity;
use std::time::Duration;

/// How long an invocation, or the program at its end, waits until reports are sent.
const FLUSH: Duration = Duration::from_millis(1_500);
/// The stage, if nothing names it.
const LOCAL: &str = "local";

/// A part of the system, as logs, reports and metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The HTTP API for commands.
    CommandApi,
    /// The HTTP API for reads, audit and operators.
    QueryApi,
    /// Fan-out: from the table's stream to the queues.
    FanOut,
    /// Projectors: from a queue to a read model.
    Projector,
    /// The processes.
    ProcessManager,
    /// The worker of asynchronous commands.
    CommandWorker,
    /// The worker of rebuilds.
    RebuildWorker,
    /// The program `ledgerfold`.
    Program,
}

/// Where a component runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// On Lambda: JSON and metrics on standard output. Reports are sent before each response, since
    /// the process is frozen afterwards.
    Lambda,
    /// In a container: JSON and metrics on standard output. Reports are sent in the background.
    Container,
    /// In a program: text on standard error. Reports are sent in the background.
    Program,
}

/// The telemetry of this process. Dropping it sends what is left.
#[must_use = "reports are only sent while it lives"]
pub struct Telemetry {
    invocations: InvocationLayer,
    _sentry: Option<sentry::ClientInitGuard>,
}

/// An environment variable of telemetry is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `SENTRY_DSN`.
    #[error("SENTRY_DSN")]
    Dsn(#[from] InvalidDsn),
    /// `SENTRY_TRACES_SAMPLE_RATE`.
    #[error("SENTRY_TRACES_SAMPLE_RATE must be a number from 0 to 1, not {0:?}")]
    SampleRate(String),
}

impl Component {
    /// The components that run as functions.
    pub const FUNCTIONS: [Self; 7] = [
        Self::CommandApi,
        Self::QueryApi,
        Self::FanOut,
        Self::Projector,
        Self::ProcessManager,
        Self::CommandWorker,
        Self::RebuildWorker,
    ];

    /// The function of that name.
    pub fn of_function(name: &str) -> Option<Self> {
        Self::FUNCTIONS.into_iter().find(|component| component.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::CommandApi => "command-api",
            Self::QueryApi => "query-api",
            Self::FanOut => "fan-out",
            Self::Projector => "projector",
            Self::ProcessManager => "process-manager",
            Self::CommandWorker => "command-worker",
            Self::RebuildWorker => "rebuild-worker",
            Self::Program => &identity().name,
        }
    }
}

impl Telemetry {
    /// The layer to wrap each invocation of the component's handler in.
    pub fn invocations(&self) -> &InvocationLayer {
        &self.invocations
    }
}

/// Sets up log, reports and panics of this process. Call it once, before threads start. It reads
/// `SENTRY_DSN` (without it there are no reports), `SENTRY_ENVIRONMENT` (the stage),
/// `SENTRY_RELEASE`, `SENTRY_TRACES_SAMPLE_RATE` (0 to 1, by default 0) and `RUST_LOG`.
///
/// # Errors
/// [`TelemetryError`], after the log is set up.
pub fn start(component: Component, platform: Platform) -> Result<Telemetry, TelemetryError> {
    let settings = reports::Settings::from_environment();
    log::start(platform, settings.as_ref().is_ok_and(|settings| settings.dsn.is_some()));
    panics::hook();
    let settings = settings?;
    let invocations = InvocationLayer::new(component, platform, settings.stage.clone());
    Ok(Telemetry { invocations, _sentry: reports::start(component, settings) })
}
