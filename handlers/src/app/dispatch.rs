//! Commands to the aggregates that handle them: over HTTP at once, from the command queue later, and from processes.

use super::across::{AcrossError, HandleAcross, HandledAcross};
use super::aggregate::typed;
use super::command::{Command, CommandValue};
use super::{AnyAggregate, App};
use crate::process::{Answer, AskError, SendCommand};
use crate::telemetry::{self, command_metrics};
use crate::telemetry::{Metric, count};
use eventstore::{
    CommandHandler, CommandRequest, CommandResult, Commit, EventStore, ExecuteAllError, ExecuteError,
    MultiStreamRequest, SnapshotVerification, StreamId, StreamLoadError,
};
use futures::future::BoxFuture;
use serde_json::Value;
use std::any::Any;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{self, Display};
use std::sync::Arc;

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// A stable word for programs.
    pub code: &'static str,
    /// The same for people.
    pub reason: String,
}

impl Refusal {
    /// A refusal in an aggregate's own type, told in words.
    pub(super) fn of<R: Display>(refusal: &R, code: fn(&R) -> &'static str) -> Self {
        Self { code: code(refusal), reason: refusal.to_string() }
    }
}

impl From<Infallible> for Refusal {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Why a command was not handled.
pub(crate) type CommandError = ExecuteError<Refusal>;

/// Handles the commands of an app, each once. Clones share what they remember of streams.
#[derive(Clone)]
pub struct Dispatcher {
    handlers: Arc<BTreeMap<&'static str, Arc<dyn Handle>>>,
    across: Arc<BTreeMap<&'static str, HandleAcross>>,
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "commands of {:?}", self.handlers.keys().collect::<Vec<_>>())
    }
}

/// What handles the commands of one aggregate.
pub(crate) trait Handle: Send + Sync {
    fn handle<'a>(
        &'a self,
        request: CommandRequest,
        command: &Command,
    ) -> BoxFuture<'a, Result<CommandResult, CommandError>>;
    /// As [`Handle::handle`], but a refusal is recorded in the stream.
    fn handle_recording<'a>(
        &'a self,
        request: CommandRequest,
        command: &Command,
    ) -> BoxFuture<'a, Result<CommandResult, CommandError>>;
    /// As a command that asks for nothing: what was recorded before is its answer.
    fn look_up(&self, request: CommandRequest) -> BoxFuture<'_, Result<CommandResult, CommandError>>;
    /// Compares the stream's snapshot with its events.
    fn verify_snapshot<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<SnapshotVerification, StreamLoadError>>;
    /// The [`CommandHandler`] itself, for commands over several streams.
    fn command_handler(&self) -> &dyn Any;
}

/// The handler of an aggregate whose types are known.
pub(super) struct Typed<S, C, E, R> {
    pub(super) handler: CommandHandler<S, E, Refusal>,
    pub(super) decide: fn(&S, &C) -> Result<Vec<E>, R>,
    pub(super) code: fn(&R) -> &'static str,
}

impl<S, C, E, R> Typed<S, C, E, R>
where
    C: Send + Sync + 'static,
    R: Display + 'static,
    S: 'static,
    E: 'static,
{
    /// What the aggregate decides on a command.
    fn rule(&self, command: &Command) -> impl Fn(&S) -> Result<Vec<E>, Refusal> + Send + Sync + 'static {
        let (value, decide, code) = (Arc::clone(command.value()), self.decide, self.code);
        move |state| match typed::<C>(&value) {
            Some(command) => decide(state, command).map_err(|refusal| Refusal::of(&refusal, code)),
            None => Ok(Vec::new()),
        }
    }
}

impl<S, C, E, R> Handle for Typed<S, C, E, R>
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
        Box::pin(self.handler.handle(request, self.rule(command)))
    }

    fn handle_recording<'a>(
        &'a self,
        request: CommandRequest,
        command: &Command,
    ) -> BoxFuture<'a, Result<CommandResult, CommandError>> {
        Box::pin(self.handler.handle_recording_refusals(request, self.rule(command), |refusal| refusal.code))
    }

    fn look_up(&self, request: CommandRequest) -> BoxFuture<'_, Result<CommandResult, CommandError>> {
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
        let handler = |aggregate: &Arc<dyn AnyAggregate>| (aggregate.category(), aggregate.handler(store.clone()));
        let handlers: BTreeMap<_, _> = app.aggregates().iter().map(handler).collect();
        let across =
            app.commands_across().iter().filter_map(|command| Some((command.name, (command.handler)(&handlers)?)));
        Self { across: Arc::new(across.collect()), handlers: Arc::new(handlers) }
    }

    /// Handles a command over several streams.
    ///
    /// # Errors
    /// [`AcrossError`], not logged yet.
    pub(crate) async fn handle_across(
        &self,
        name: &str,
        request: MultiStreamRequest,
        command: CommandValue,
    ) -> Result<HandledAcross, AcrossError> {
        let Some(handler) = self.across.get(name) else {
            let reason = format!("this app has no command {name} over several streams");
            return Err(ExecuteAllError::Refused(Refusal { code: "unknown-command", reason }));
        };
        let handled = handler(request, command).await?;
        command_metrics::count_handled(handled.replayed);
        telemetry::came_to(handled.replayed, 0);
        Ok(handled)
    }

    /// Handles a command.
    ///
    /// # Errors
    /// [`CommandError`], not logged yet: its caller knows whether it is tried again.
    pub(crate) async fn handle(
        &self,
        request: CommandRequest,
        command: &Command,
    ) -> Result<CommandResult, CommandError> {
        let Some(handler) = self.handlers.get(command.category()) else { return Err(unknown(command.category())) };
        let handled = handler.handle(request.clone(), command).await.inspect_err(command_metrics::count_failed)?;
        command_metrics::log(&request, &handled);
        telemetry::annotate(&request.stream, Some(handled.version), &request.metadata);
        telemetry::came_to(handled.replayed, handled.lost_races);
        Ok(handled)
    }

    /// What hands a process's commands to their aggregates. Their refusals are recorded.
    pub(crate) fn sender(self, app: &App) -> SendCommand {
        let app = app.clone();
        Arc::new(move |request, command| {
            let (dispatcher, app) = (self.clone(), app.clone());
            Box::pin(async move { dispatcher.ask(&app, request, &command).await })
        })
    }

    async fn ask(&self, app: &App, request: CommandRequest, command: &Value) -> Result<Answer, AskError> {
        let lasts = |source| AskError { passes: false, source };
        let command = app.read_asked(request.stream.category(), command).map_err(|error| lasts(error.into()))?;
        let Some(handler) = self.handlers.get(command.category()) else {
            return Err(lasts(unknown(command.category()).into()));
        };
        let handled = handler.handle_recording(request.clone(), &command).await;
        let handled = handled.inspect_err(command_metrics::count_failed).map_err(|error| {
            let passes = matches!(error, ExecuteError::Contention { .. } | ExecuteError::Store(_));
            AskError { passes, source: error.into() }
        })?;
        let Some(refusal) = handled.commit.as_ref().and_then(Commit::refusal) else {
            command_metrics::log(&request, &handled);
            return Ok(Answer::Done);
        };
        count(Metric::Refusals);
        let CommandRequest { stream, metadata, .. } = &request;
        let eventstore::RecordedRefusal { code, reason } = refusal;
        tracing::debug!(%stream, command_id = %metadata.command_id, code, reason, "command refused");
        Ok(Answer::Refused { code, reason })
    }

    /// Compares the stream's snapshot with its events, folded by its aggregate. A stream of another
    /// category has no snapshot.
    ///
    /// # Errors
    /// [`StreamLoadError`].
    pub async fn verify_snapshot(&self, stream: &StreamId) -> Result<SnapshotVerification, StreamLoadError> {
        match self.handlers.get(stream.category()) {
            Some(handler) => handler.verify_snapshot(stream).await,
            None => Ok(SnapshotVerification::Absent),
        }
    }

    /// What is recorded of a command at this moment: it is asked to do nothing, and what was recorded before is its answer.
    ///
    /// # Errors
    /// [`CommandError`], not logged yet: it is not known whether something is recorded.
    pub(crate) async fn recorded(&self, request: CommandRequest) -> Result<Option<Commit>, CommandError> {
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

/// A command that was read is of an aggregate of the app, but a stream may be of another category.
fn unknown(category: &str) -> CommandError {
    ExecuteError::Refused(Refusal {
        code: "unknown-category",
        reason: format!("this app has no aggregate for streams of category {category:?}"),
    })
}

/// Whether the error is the command's own, and will be the same whenever the command is handled again: no fault, and no load.
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

/// Whether the stream cannot be read as it is, which lasts until its operators mend it.
pub(crate) fn is_unreadable(error: &CommandError) -> bool {
    matches!(error, ExecuteError::Corrupt(_) | ExecuteError::Unreadable(_))
}

/// Whether the command is refused because its id is ahead of the store's clock.
pub(crate) fn is_from_the_future(error: &CommandError) -> bool {
    matches!(error, ExecuteError::ClockSkew(_))
}
