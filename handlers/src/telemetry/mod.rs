//! Telemetry: what the system tells those who watch it.
//!
//! | module | what it tells |
//! |---|---|
//! | `log` | a line a request or message, with ids, duration and cost: JSON on Lambda and in a container, text on a laptop |
//! | `reports` | Sentry: one report a failure, without personal data |
//! | `metrics` | CloudWatch's embedded metric format: one line a call of a function |
//! | `trace` | which request it all comes from: the W3C trace parent, which every commit bears |
//! | `panics` | a panic, like any other failure |
//! | `invocation`, `traced_work` | the layer around each call of a handler; the piece of work within it |
//!
//! The rule for levels: `error!` is a report, and somebody must do something about it. A failure that is tried again is a
//! `warn!` until it is given up. A `warn!` with an `error_id` is reported too, because somebody was told that id. A refusal of
//! the domain is neither.

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
pub(crate) use traced_work::came_to;
pub(crate) use traced_work::since_ms;
pub use traced_work::{TracedWork, annotate, reached};

use crate::app::identity;
use std::time::Duration;

/// How long a call waits until its reports are sent, and the program at its end.
const FLUSH: Duration = Duration::from_millis(1_500);
/// The stage where nothing names it.
const LOCAL: &str = "local";

/// A part of the system, as logs, reports and metrics name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// The HTTP API for commands.
    CommandApi,
    /// The HTTP API for reads, audit and operators.
    QueryApi,
    /// From the table's stream to the queues.
    FanOut,
    /// From a queue to a read model.
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
pub enum Place {
    /// On Lambda: JSON and metrics on standard output; reports are sent before each answer, because then the process is frozen.
    Lambda,
    /// In a container: JSON and metrics on standard output, as on Lambda; reports are sent while it runs, and at its end.
    Container,
    /// In a program of its own: text on standard error; reports are sent while it runs, and at its end.
    Program,
}

/// Telemetry, set up: as long as it lives, and what is still to be sent is sent when it is dropped.
#[must_use = "reports are sent as long as it lives"]
pub struct Telemetry {
    watch: InvocationLayer,
    _sentry: Option<sentry::ClientInitGuard>,
}

/// The environment's variables for telemetry do not make sense.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `SENTRY_DSN`.
    #[error("SENTRY_DSN")]
    Dsn(#[from] InvalidDsn),
    /// `SENTRY_TRACES_SAMPLE_RATE`.
    #[error("SENTRY_TRACES_SAMPLE_RATE must be a number from 0 to 1, not {0:?}")]
    SampleRate(String),
}

impl Component {
    /// Those that run as functions.
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
    /// What is to be put around each call of the component's handler.
    pub fn watch(&self) -> &InvocationLayer {
        &self.watch
    }
}

/// Sets up the log, reports and panics of this process; once, before it has threads. From the environment: `SENTRY_DSN` (none:
/// no reports), `SENTRY_ENVIRONMENT` (the stage), `SENTRY_RELEASE`, `SENTRY_TRACES_SAMPLE_RATE` (0 to 1, none: 0) and `RUST_LOG`.
///
/// # Errors
/// [`StartError`], after the log is set up.
pub fn start(component: Component, place: Place) -> Result<Telemetry, StartError> {
    let settings = reports::Settings::from_environment();
    log::start(place, settings.as_ref().is_ok_and(|settings| settings.dsn.is_some()));
    panics::hook();
    let settings = settings?;
    let watch = InvocationLayer::new(component, place, settings.stage.clone());
    Ok(Telemetry { watch, _sentry: reports::start(component, settings) })
}
