//! Running on AWS Lambda: what all functions share, so that each program only says what it is made of.
//!
//! | module | what it is |
//! |---|---|
//! | [`Settings`] | the environment, read once, all that is wrong told in one message |
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
use crate::http::Api;
use crate::telemetry::{self, InvocationLayer, Platform, Telemetry, TelemetryError};
use projections::{Projection, Projector};
use std::process::ExitCode;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A function that is starting: its settings are right and its clients are there.
pub struct Start {
    /// The system it belongs to.
    pub system: System,
    /// What its environment says.
    pub settings: Settings,
    watch: InvocationLayer,
}

/// Runs a function until Lambda ends it. What keeps it from starting is reported with its causes, and ends it with 1: Lambda
/// then starts it again for the next event, which stays where it was meanwhile.
pub fn run<F: Future<Output = Result<(), Failure>>>(
    app: App,
    component: Component,
    serve: impl FnOnce(Start) -> F,
) -> ExitCode {
    let app = app.checked();
    let telemetry = telemetry::start(component, Platform::Lambda);
    // One event at a time is in a function, so one thread is enough; the store needs no other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(async { serve(start(app?, component, &telemetry).await?).await }),
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
) -> Result<Start, Failure> {
    let (settings, watch) = match (Settings::from_environment(&app, component), telemetry) {
        (Ok(settings), Ok(telemetry)) => (settings, telemetry.invocations().clone()),
        (Ok(_), Err(wrong)) => return Err(BadSettings::none(component).and(wrong).into()),
        (Err(bad), Err(wrong)) => return Err(bad.and(wrong).into()),
        (Err(bad), Ok(_)) => return Err(bad.into()),
    };
    let config = aws::environment().load().await;
    let (dynamodb, sqs) = (aws_sdk_dynamodb::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let system = System::new(app, dynamodb, sqs, settings.names.clone());
    Ok(Start { system, settings, watch })
}

impl Start {
    /// The API of the system, for callers whose tokens the gateway has checked.
    ///
    /// # Errors
    /// None that has been met: the name that stands for everybody is a valid id.
    pub fn api(&self, projector: Projector) -> Result<Api, Failure> {
        let (store, operations) = (self.system.command_store(), self.system.operations(projector.clone()));
        let api = Api::new(store, projector, operations, eventstore::Id::new("nobody")?);
        Ok(api.require_tokens().buffered())
    }

    /// Reads something of the event table, so that the first call finds a connection, and a wrong table or region is told at
    /// the start.
    ///
    /// # Errors
    /// What DynamoDB answered.
    pub async fn warm_events(&self) -> Result<(), Failure> {
        let nothing = eventstore::StreamId::new("warm-up")?;
        self.system.event_store().head(&nothing, eventstore::Consistency::Eventual).await?;
        Ok(())
    }

    /// Reads which generations of the read models there are: every call will ask that first.
    ///
    /// # Errors
    /// What DynamoDB answered.
    pub async fn warm_read_models<'a>(
        &self,
        projector: &Projector,
        projections: impl IntoIterator<Item = &'a Projection>,
    ) -> Result<(), Failure> {
        for projection in projections {
            projector.warm(projection).await?;
        }
        Ok(())
    }
}
