//! Sends commands to the aggregates that handle them: from HTTP, from the command queue and from
//! processes.

use super::across::{AcrossError, HandleAcross, HandledAcross};
use super::aggregate::typed;
use super::command::{Command, CommandValue};
use super::{AnyAggregate, App};
use crate::process::{AskAnswer, AskError, SendCommand};
use crate::telemetry::{self, command_metrics};
use crate::telemetry::{Metric, count};
use eventstore::{
    CommandHandler, CommandRequest, CommandResult, Commit, EventStore, ExecuteAllError,
    ExecuteError, MultiStreamRequest, SnapshotVerification, StreamId, StreamLoadError,
};
use futures::future::BoxFuture;
use serde_json::Value;
use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{self, Display};
use std::sync::Arc;

/// Why a command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct CommandRefusal {
    /// A stable code, for programs.
    pub code: &'static str,
    /// The reason, for people.
    pub reason: String,
}

impl CommandRefusal {
    /// A rejection in an aggregate's own type, as code and text.
    pub(super) fn of<R: Display>(refusal: &R, code: fn(&R) -> &'static str) -> Self {
        Self { code: code(refusal), reason: refusal.to_string() }
    }
}

impl From<Infallible> for CommandRefusal {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Why a command was not handled.
pub(crate) type CommandError = ExecuteError<CommandRefusal>;

/// Handles the commands of an app, each at most once. Clones share the stream caches.
#[derive(Clone)]
pub struct Dispatcher {
    handlers: Arc<BTreeMap<&'static str, Arc<dyn ErasedHandler>>>,
    across: Arc<BTreeMap<&'static str, HandleAcross>>,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commands of {:?}", self.handlers.keys().collect::<Vec<_>>())
    }
}

/// The handler of one aggregate's commands, with its types erased.
pub(crate) trait ErasedHandler: Send + Sync {
    fn handle<'a>(
        &'a self,
        request: CommandRequest,
        command: &Command,
    ) -> BoxFuture<'a, Result<CommandResult, CommandError>>;
    /// As [`ErasedHandler::handle`], but a rejection is recorded in the stream.
    fn handle_recording<'a>(
        &'a self,
        request: CommandRequest,
        command: &Command,
    ) -> BoxFuture<'a, Result<CommandResult, CommandError>>;
    /// Finds the recorded result of a command, and decides nothing if there is none.
    fn look_up(
        &self,
        request: CommandRequest,
    ) -> BoxFuture<'_, Result<CommandResult, CommandError>>;
    /// Compares the stream's snapshot with its events.
    fn verify_snapshot<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<SnapshotVerification, StreamLoadError>>;
    /// The [`CommandHandler`] itself, for commands over several streams.
    fn command_handler(&self) -> &dyn Any;
}

/// The handler of one aggregate, with its types.
pub(super) struct AggregateHandler<S, C, E, R> {
    pub(super) handler: CommandHandler<S, E, CommandRefusal>,
    pub(super) decide: fn(&S, &C) -> Result<Vec<E>, R>,
    pub(super) code: fn(&R) -> &'static str,
}

impl<S, C, E, R> AggregateHandler<S, C, E, R>
where
    C: Send + Sync + 'static,
    R: Display + 'static,
    S: 'static,
    E: 'static,
{
    /// `decide` of the aggregate, applied to this command.
    fn decide_fn(
        &self,
        command: &Command,
    ) -> impl Fn(&S) -> Result<Vec<E>, CommandRefusal> + Send + Sync + 'static {
        let (value, decide, code) = (Arc::clone(command.value()), self.decide, self.code);
        move |state| match typed::<C>(&value) {
            Some(command) => {
                decide(state, command).map_err(|refusal| CommandRefusal::of(&refusal, code))
            }
            None => Ok(Vec::new()),
        }
    }
}

impl<S, C, E, R> ErasedHandler for AggregateHandler<S, C, E, R>
where
    S: Clone + Send + Sync + 'static,
    C: Send + Sync + 'static,
    E: Send + Sync + 'static,
    R: Display + Send + Sync + 'static,
{
    fn handle<'a>(
        &'a self,
        request: CommandRequest,
        command: &Command,
    ) -> BoxFuture<'a, Result<CommandResult, CommandError>> {
        Box::pin(self.handler.handle(request, self.decide_fn(command)))
    }

    fn handle_recording<'a>(
        &'a self,
        request: CommandRequest,
        command: &Command,
    ) -> BoxFuture<'a, Result<CommandResult, CommandError>> {
        Box::pin(self.handler.handle_recording_refusals(
            request,
            self.decide_fn(command),
            |refusal| refusal.code,
        ))
    }

    fn look_up(
        &self,
        request: CommandRequest,
    ) -> BoxFuture<'_, Result<CommandResult, CommandError>> {
        Box::pin(self.handler.handle(request, |_| Ok(Vec::new())))
    }

    fn verify_snapshot<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<SnapshotVerification, StreamLoadError>> {
        Box::pin(self.handler.verify_snapshot(stream))
    }

    fn command_handler(&self) -> &dyn Any {
        &self.handler
    }
}

impl Dispatcher {
    /// A dispatcher of the app's commands, over that store.
    pub fn new(app: &App, store: &EventStore) -> Self {
        let handler = |aggregate: &Arc<dyn AnyAggregate>| {
            (aggregate.category(), aggregate.handler(store.clone()))
        };
        let handlers: BTreeMap<_, _> = app.aggregates().iter().map(handler).collect();
        let across = app
            .commands_across()
            .iter()
            .filter_map(|command| Some((command.name, (command.handler)(&handlers)?)));
        Self { across: Arc::new(across.collect()), handlers: Arc::new(handlers) }
    }

    /// Handles a command over several streams.
    ///
    /// # Errors
    /// [`AcrossError`]. It is not logged yet.
    pub(crate) async fn handle_across(
        &self,
        name: &str,
        request: MultiStreamRequest,
        command: CommandValue,
    ) -> Result<HandledAcross, AcrossError> {
        let Some(handler) = self.across.get(name) else {
            let reason = format!("this app has no command {name} over several streams");
            return Err(ExecuteAllError::Refused(CommandRefusal {
                code: "unknown-command",
                reason,
            }));
        };
        let handled = handler(request, command).await?;
        command_metrics::count_handled(handled.replayed);
        telemetry::record_outcome(handled.replayed, 0);
        Ok(handled)
    }

    /// Handles a command.
    ///
    /// # Errors
    /// [`CommandError`]. It is not logged yet: only the caller knows whether it tries again.
    pub(crate) async fn handle(
        &self,
        request: CommandRequest,
        command: &Command,
    ) -> Result<CommandResult, CommandError> {
        let Some(handler) = self.handlers.get(command.category()) else {
            return Err(unknown(command.category()));
        };
        let handled = handler
            .handle(request.clone(), command)
            .await
            .inspect_err(command_metrics::count_failed)?;
        command_metrics::log(&request, &handled);
        telemetry::annotate(&request.stream, Some(handled.version), &request.metadata);
        telemetry::record_outcome(handled.replayed, handled.lost_races);
        Ok(handled)
    }

    /// Sends the commands of processes to their aggregates. Their rejections are recorded.
    pub(crate) fn sender(self, app: &App) -> SendCommand {
        let app = app.clone();
        Arc::new(move |request, command| {
            let (dispatcher, app) = (self.clone(), app.clone());
            Box::pin(async move { dispatcher.ask(&app, request, &command).await })
        })
    }

    async fn ask(
        &self,
        app: &App,
        request: CommandRequest,
        command: &Value,
    ) -> Result<AskAnswer, AskError> {
        let permanent = |source| AskError { passes: false, source };
        let command = app
            .read_process_command(request.stream.category(), command)
            .map_err(|error| permanent(error.into()))?;
        let Some(handler) = self.handlers.get(command.category()) else {
            return Err(permanent(unknown(command.category()).into()));
        };
        let handled = handler.handle_recording(request.clone(), &command).await;
        let handled = handled.inspect_err(command_metrics::count_failed).map_err(|error| {
            let passes = matches!(error, ExecuteError::Contention { .. } | ExecuteError::Store(_));
            AskError { passes, source: error.into() }
        })?;
        let Some(refusal) = handled.commit.as_ref().and_then(Commit::refusal) else {
            command_metrics::log(&request, &handled);
            return Ok(AskAnswer::Done);
        };
        count(Metric::Refusals);
        let CommandRequest { stream, metadata, .. } = &request;
        let eventstore::RecordedRefusal { code, reason } = refusal;
        tracing::debug!(%stream, command_id = %metadata.command_id, code, reason, "command refused");
        Ok(AskAnswer::Refused { code, reason })
    }

    /// Compares the stream's snapshot with its events, folded by its aggregate. A stream of another
    /// category has no snapshot.
    ///
    /// # Errors
    /// [`StreamLoadError`].
    pub async fn verify_snapshot(
        &self,
        stream: &StreamId,
    ) -> Result<SnapshotVerification, StreamLoadError> {
        match self.handlers.get(stream.category()) {
            Some(handler) => handler.verify_snapshot(stream).await,
            None => Ok(SnapshotVerification::Absent),
        }
    }

    /// The recorded commit of a command, if there is one.
    ///
    /// # Errors
    /// [`CommandError`]. It is not logged yet, and a commit may exist.
    pub(crate) async fn recorded(
        &self,
        request: CommandRequest,
    ) -> Result<Option<Commit>, CommandError> {
        let category = request.stream.category();
        let Some(handler) = self.handlers.get(category) else { return Err(unknown(category)) };
        match handler.look_up(request).await {
            Ok(handled) => Ok(handled.commit),
            // The stream has another command under that id.
            Err(ExecuteError::CommandIdReused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The aggregate of a command is always known, but a stream may be of another category.
fn unknown(category: &str) -> CommandError {
    ExecuteError::Refused(CommandRefusal {
        code: "unknown-category",
        reason: format!("this app has no aggregate for streams of category {category:?}"),
    })
}

/// Whether the command's own content causes the error, so that each retry fails alike.
pub(crate) fn is_final(error: &CommandError) -> bool {
    match error {
        ExecuteError::Refused(_)
        | ExecuteError::CommandIdReused(_)
        | ExecuteError::VersionMismatch { .. }
        | ExecuteError::ClockSkew(_)
        | ExecuteError::TooLarge(_)
        | ExecuteError::StreamFull => true,
        ExecuteError::Contention { .. }
        | ExecuteError::Corrupt(_)
        | ExecuteError::Unreadable(_)
        | ExecuteError::Codec(_)
        | ExecuteError::Store(_) => false,
    }
}

/// Whether the stream cannot be read until operators repair it.
pub(crate) fn is_unreadable(error: &CommandError) -> bool {
    matches!(error, ExecuteError::Corrupt(_) | ExecuteError::Unreadable(_))
}

/// Whether the command is rejected because its id is ahead of the store's clock.
pub(crate) fn is_clock_skew(error: &CommandError) -> bool {
    matches!(error, ExecuteError::ClockSkew(_))
}
