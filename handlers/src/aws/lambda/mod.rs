//! Runs an app on AWS Lambda: the part that all functions share.
//!
//! | module | what it is |
//! |---|---|
//! | [`Settings`] | the environment, read once; all mistakes are in one message |
//! | [`Start`] | settings, telemetry and clients, with connections that are warm before the first call |
//! | [`Start::serve_queue`], [`Start::serve_stream`], [`Start::serve_http`] | the loop of one function |

mod components;
mod events;
mod http;
mod settings;

pub use crate::telemetry::Component;
pub use components::main;
pub use settings::{BadSettings, Settings};

use crate::app::App;
use crate::aws;
use crate::aws::composition::System;
use crate::http::{Api, ConsoleSettings};
use crate::telemetry::{self, InvocationLayer, Platform, Telemetry, TelemetryError};
use projections::{Projection, Projector};
use std::process::ExitCode;

type FunctionFailure = Box<dyn std::error::Error + Send + Sync>;

/// A starting function with checked settings and clients.
pub struct Start {
    /// The system it belongs to.
    pub system: System,
    /// Its settings.
    pub settings: Settings,
    watch: InvocationLayer,
}

/// Runs a function until Lambda ends it. A failure to start is reported with its causes, and the
/// program exits with 1. Lambda then starts it again for the next event, which is not lost.
pub fn run<F: Future<Output = Result<(), FunctionFailure>>>(
    app: App,
    component: Component,
    serve: impl FnOnce(Start) -> F,
) -> ExitCode {
    let app = app.checked();
    let telemetry = telemetry::start(component, Platform::Lambda);
    // A function handles one event at a time, so one thread is enough.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => {
            runtime.block_on(async { serve(start(app?, component, &telemetry).await?).await })
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error: &(dyn std::error::Error + Send + Sync) = &*error;
            tracing::error!(error, component = component.name(), "the function cannot run");
            ExitCode::FAILURE
        }
    }
}

async fn start(
    app: App,
    component: Component,
    telemetry: &Result<Telemetry, TelemetryError>,
) -> Result<Start, FunctionFailure> {
    let (settings, watch) = match (Settings::from_environment(&app, component), telemetry) {
        (Ok(settings), Ok(telemetry)) => (settings, telemetry.invocations().clone()),
        (Ok(_), Err(wrong)) => return Err(BadSettings::none(component).and(wrong).into()),
        (Err(bad), Err(wrong)) => return Err(bad.and(wrong).into()),
        (Err(bad), Ok(_)) => return Err(bad.into()),
    };
    let config = aws::environment().load().await;
    let (dynamodb, sqs) =
        (aws_sdk_dynamodb::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let system = System::new(app, dynamodb, sqs, settings.names.clone());
    Ok(Start { system, settings, watch })
}

impl Start {
    /// The API of the system, for callers whose tokens the gateway has checked.
    ///
    /// # Errors
    /// None in practice: the name of the anonymous caller is a valid id.
    pub fn api(&self, projector: Projector) -> Result<Api, FunctionFailure> {
        let (store, operations) =
            (self.system.command_store(), self.system.operations(projector.clone()));
        let api = Api::new(store, projector, operations, eventstore::Id::new("nobody")?);
        let login = self.settings.login.clone();
        let stage = self.system.stage();
        Ok(api.require_tokens().buffered().with_console(ConsoleSettings { stage, login }))
    }

    /// Reads from the event table: opens the connection, and reports a wrong table or region at the
    /// start.
    ///
    /// # Errors
    /// What DynamoDB answered.
    pub async fn warm_events(&self) -> Result<(), FunctionFailure> {
        let nothing = eventstore::StreamId::new("warm-up")?;
        self.system.event_store().head(&nothing, eventstore::Consistency::Eventual).await?;
        Ok(())
    }

    /// Reads the generations of the read models, as every call does first.
    ///
    /// # Errors
    /// What DynamoDB answered.
    pub async fn warm_read_models<'a>(
        &self,
        projector: &Projector,
        projections: impl IntoIterator<Item = &'a Projection>,
    ) -> Result<(), FunctionFailure> {
        for projection in projections {
            projector.warm(projection).await?;
        }
        Ok(())
    }
}
