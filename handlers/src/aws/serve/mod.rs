//! The container: the API, the consumers, or both, as a plain process. Fan-out stays a function of
//! Lambda: shards of a stream need a coordinator.
//!
//! | module | what it is |
//! |---|---|
//! | `settings` | arguments and environment; all mistakes are in one message |
//! | `api` | the API behind its own check of tokens |
//! | `consumers` | connects each queue with its handler |
//! | `readiness` | readiness: `/readyz` |
//! | `stop` | signals, and the order of a stop |

mod api;
mod consumers;
mod readiness;
mod settings;
mod stop;

use crate::app::App;
use crate::aws;
use crate::aws::composition::System;
use crate::http::server::{self, Limits};
use crate::telemetry::{self, Component, InvocationLayer, Platform, Telemetry, TelemetryError};
use consumers::Consumers;
use readiness::Readiness;
use settings::{Arguments, BadSettings, Settings};
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use stop::{Signals, Stopping};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

type StartFailure = Box<dyn std::error::Error + Send + Sync>;

/// The exit code for wrong settings or arguments.
const WRONG_SETTINGS: u8 = 2;
/// Connections at once.
const CONNECTIONS: usize = 1_024;
/// How long a connection may be idle: longer than at a load balancer (60 s), which would otherwise
/// send a request into a connection that is closed at that moment.
const IDLE: Duration = Duration::from_secs(75);
/// The answer above the limit of connections.
const NO_ROOM: &str = r#"{"type":"about:blank","title":"Too many connections","status":503,"detail":"as many connections are open as can be; come again"}"#;

/// Why a serving process ended without a signal.
#[derive(Debug, thiserror::Error)]
enum Unexpected {
    #[error("a part of the program panicked")]
    Panicked(#[from] tokio::task::JoinError),
    #[error("a part of the program ended")]
    Ended,
}

/// Serves an app as its command line says, until it is asked to stop.
///
/// It exits with 0 after a stop in which all was finished, with 2 for wrong settings, and with 1
/// otherwise.
pub fn main(app: App) -> ExitCode {
    let app = app.checked();
    let arguments = Arguments::parse();
    let telemetry = telemetry::start(Component::Program, Platform::Container);
    let served = app.map_err(StartFailure::from).and_then(|app| serve(app, &arguments, &telemetry));
    match served {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if error.is::<BadSettings>() => {
            // There is no telemetry yet to report a failure.
            let _ = writeln!(
                std::io::stderr(),
                "error: {error}\n\nFor more information, try '--help'."
            );
            ExitCode::from(WRONG_SETTINGS)
        }
        Err(error) => {
            let error: &(dyn std::error::Error + Send + Sync) = &*error;
            tracing::error!(error, "the program cannot serve");
            ExitCode::FAILURE
        }
    }
}

/// Whether all was finished when it stopped.
fn serve(
    app: App,
    arguments: &Arguments,
    telemetry: &Result<Telemetry, TelemetryError>,
) -> Result<bool, StartFailure> {
    let (settings, watch) = match (arguments.settings(&app), telemetry) {
        (Ok(settings), Ok(telemetry)) => (settings, telemetry.invocations().clone()),
        (Ok(_), Err(wrong)) => return Err(BadSettings::default().and(wrong).into()),
        (Err(bad), Err(wrong)) => return Err(bad.and(wrong).into()),
        (Err(bad), Ok(_)) => return Err(bad.into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(run(app, settings, watch));
    // A request for the issuer's keys may still run on a blocking thread. Its answer is not needed.
    runtime.shutdown_background();
    served
}

async fn run(app: App, settings: Settings, watch: InvocationLayer) -> Result<bool, StartFailure> {
    let mut signals = Signals::listen()?;
    let starting = start(app, settings, watch);
    let serving = tokio::select! {
        serving = starting => serving?,
        () = signals.next() => return Ok(true),
    };
    serving.until(signals).await
}

/// All running parts.
struct Serving {
    parts: JoinSet<()>,
    stopping: Stopping,
    _keys: Option<AbortOnDropHandle<()>>,
}

async fn start(
    app: App,
    settings: Settings,
    watch: InvocationLayer,
) -> Result<Serving, StartFailure> {
    let listener = TcpListener::bind(settings.listen).await;
    let listener =
        listener.map_err(|error| format!("{} cannot be listened on: {error}", settings.listen))?;
    let config = aws::environment().load().await;
    let (dynamodb, sqs) =
        (aws_sdk_dynamodb::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let system = System::new(app, dynamodb, sqs, settings.names.clone());
    let consumers = Consumers::find(&system, &settings).await?;
    let readiness = Readiness::new(&system, consumers.activities());
    readiness.check_tables().await?;
    let (router, keys, open_requests) = api::router(&system, &settings, &readiness, &watch).await?;
    let (mut parts, receiving, accepting) =
        (JoinSet::new(), CancellationToken::new(), CancellationToken::new());
    let (address, queues) = (listener.local_addr()?, consumers.names().join(","));
    let activities = consumers.activities();
    consumers.start(&watch, &mut parts, &receiving);
    // The stop of the whole program ends before this limit, and logs what is open.
    let drain = settings.drain.saturating_mul(2);
    let limits = Limits { connections: CONNECTIONS, head: IDLE, drain };
    let no_room = server::overload_response("application/problem+json", NO_ROOM);
    parts.spawn(server::serve(listener, router, limits, no_room, accepting.clone()));
    tracing::info!(%address, queues, api = settings.api.is_some(), "serving");
    let linger = if settings.api.is_some() { settings.linger } else { Duration::ZERO };
    let stopping = Stopping {
        readiness,
        receiving,
        accepting,
        linger,
        drain: settings.drain,
        activities,
        open_requests,
    };
    Ok(Serving { parts, stopping, _keys: keys })
}

impl Serving {
    /// Serves until a signal, then stops in order. Whether all was finished.
    async fn until(mut self, mut signals: Signals) -> Result<bool, StartFailure> {
        tokio::select! {
            () = signals.next() => {}
            ended = self.parts.join_next() => match ended {
                Some(Err(error)) => return Err(Unexpected::Panicked(error).into()),
                Some(Ok(())) | None => return Err(Unexpected::Ended.into()),
            },
        }
        Ok(self.stopping.finish(self.parts, signals).await)
    }
}
