//! The worker: handles commands of the queue, and stores their status.

use super::CommandTableError;
use super::message::{CommandMessage, Marker, QueueMessage, UnreadableMessage};
use super::row::{CommandProgress, Subject};
use super::statuses::{CommandStatuses, Noted};
use crate::app::{App, CommandError, Dispatcher, is_clock_skew, is_final};
use crate::problem::Problem;
use crate::telemetry::{self, Component, Metric, Panicked, TraceParent, TracedWork};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use eventstore::EventStore;
use futures::StreamExt;
use std::time::SystemTime;

/// How many groups of a batch are handled at once: as many as a batch can have.
const CONCURRENT_GROUPS: usize = 10;

/// Handles the messages of the command queue. Any number of them may run at once.
#[derive(Clone)]
pub struct CommandWorker {
    app: App,
    commands: Dispatcher,
    statuses: CommandStatuses,
}

/// Why a message was not handled. It is redelivered.
#[derive(Debug, thiserror::Error)]
enum Unhandled {
    #[error("a message of the command queue cannot be read")]
    Unreadable(#[from] UnreadableMessage),
    #[error("a command failed")]
    Command(#[from] CommandError),
    #[error("this clock is behind the one that made a command's id")]
    ClockBehind(#[source] CommandError),
    #[error("the handling of a command panicked")]
    Panicked(#[from] Panicked),
    #[error("a command is given up, {}", .0.kind())]
    GivenUp(Problem),
    #[error(transparent)]
    Statuses(#[from] CommandTableError),
    #[error("a command's status is no JSON")]
    Json(#[from] serde_json::Error),
}

impl CommandWorker {
    /// At this receive of its message a command is tried for the last time; a failure is its status
    /// then.
    pub const MAX_RECEIVES: u32 = 5;
    /// The queue's `maxReceiveCount`. More than the tries, because a throttled call counts as a
    /// receive.
    pub const QUEUE_RECEIVES: u32 = 10;

    /// A worker for the app's commands on that store, which stores statuses in that table.
    pub fn new(app: App, store: &EventStore, statuses: CommandStatuses) -> Self {
        Self::of(app.clone(), Dispatcher::new(&app, store), statuses)
    }

    pub(crate) fn of(app: App, commands: Dispatcher, statuses: CommandStatuses) -> Self {
        Self { app, commands, statuses }
    }

    /// Handles a batch of messages: groups at once, the messages of a group in order. The answer
    /// has the messages to redeliver: each failed one and every later one of its group, because of
    /// FIFO order. After a final failure the later ones are tried at once: they were received as
    /// often, and would become dead letters without a try.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        self.record_failure_up_front(&event.records).await;
        let work = groups(event.records).into_iter().map(|group| self.handle_group(group));
        let unhandled: Vec<Vec<String>> =
            futures::stream::iter(work).buffer_unordered(CONCURRENT_GROUPS).collect().await;
        let mut response = SqsBatchResponse::default();
        unhandled.into_iter().flatten().for_each(|message_id| response.add_failure(message_id));
        response
    }

    /// Stores a failure for each command that gets its last try, before any is tried: a worker that
    /// dies during one command cannot store the status of the others.
    async fn record_failure_up_front(&self, messages: &[SqsMessage]) {
        let last = messages.iter().filter(|message| receives(message) >= Self::MAX_RECEIVES);
        for message in last {
            let Ok(QueueMessage::Command(command)) =
                QueueMessage::read(&self.app, message.body.as_deref())
            else {
                continue;
            };
            if let Err(error) = self.record_failure(&command).await {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                tracing::warn!(error, "the status of a last try was not stored before it");
            }
        }
    }

    async fn record_failure(&self, message: &CommandMessage) -> Result<(), Unhandled> {
        let subject = message.subject();
        let known = self.statuses.find(&subject.key).await?;
        if !known.is_some_and(|row| row.settles(&subject, &message.round)) {
            let problem = serde_json::to_string(&Problem::worker_ended())?;
            self.statuses
                .answer(&subject, &message.round, CommandProgress::Failed { problem })
                .await?;
        }
        Ok(())
    }

    /// Returns the ids of the messages to redeliver.
    async fn handle_group(&self, group: Vec<SqsMessage>) -> Vec<String> {
        let (mut unhandled, mut blocked) = (Vec::new(), false);
        for message in &group {
            telemetry::count(Metric::Messages);
            let is_last_try = receives(message) >= Self::MAX_RECEIVES;
            if blocked {
                unhandled.push(id(message));
                telemetry::count(Metric::Unhandled);
            } else if !self.handle_message(message, is_last_try).await {
                unhandled.push(id(message));
                telemetry::count(Metric::Unhandled);
                blocked = !is_last_try;
            }
        }
        unhandled
    }

    /// Whether the message is done. Runs in the trace of the command's request.
    async fn handle_message(&self, message: &SqsMessage, is_last_try: bool) -> bool {
        let read = QueueMessage::read(&self.app, message.body.as_deref());
        let trace = match &read {
            Ok(QueueMessage::Command(command)) => {
                TraceParent::of(command.metadata.trace_parent.as_ref())
            }
            Ok(QueueMessage::Marker(_)) | Err(_) => None,
        };
        let (name, kind, begun) =
            (Component::CommandWorker.name(), "queue.process", SystemTime::now());
        TracedWork { name, kind, trace, begun }
            .run(self.handle_read(read, message, is_last_try))
            .await
    }

    async fn handle_read(
        &self,
        read: Result<QueueMessage, UnreadableMessage>,
        message: &SqsMessage,
        is_last_try: bool,
    ) -> bool {
        let followed = match read {
            Ok(QueueMessage::Marker(marker)) => match self.pass(&marker).await {
                // It is no dead letter: the next read of the status sends another.
                Err(error) if is_last_try => {
                    tracing::warn!(%error, "a marker is given up");
                    Ok(())
                }
                passed => passed,
            },
            Ok(QueueMessage::Command(command)) => match self.answer_or_panic(&command).await {
                Err(unhandled) if is_last_try => self.give_up(&command, unhandled).await,
                answered => answered,
            },
            Err(error) => Err(error.into()),
        };
        let Err(error) = followed else { return true };
        let is_unreadable = matches!(error, Unhandled::Unreadable(_));
        let (message_id, receives) = (id(message), receives(message));
        let error: &(dyn std::error::Error + Send + Sync) = &error;
        match is_unreadable && is_last_try {
            true => tracing::error!(
                message_id,
                error,
                "a message of the command queue cannot be read, it becomes a dead letter"
            ),
            false => tracing::warn!(message_id, receives, error, "a command was not handled"),
        }
        false
    }

    /// All messages before the marker are gone: a round that is still pending has none left.
    async fn pass(&self, marker: &Marker) -> Result<(), Unhandled> {
        let problem = serde_json::to_string(&Problem::message_lost())?;
        Ok(self.statuses.give_up(&marker.behind, &marker.round, problem).await?)
    }

    /// A panic during one command does not affect the others of its batch.
    async fn answer_or_panic(&self, message: &CommandMessage) -> Result<(), Unhandled> {
        telemetry::caught(self.answer(message)).await?
    }

    /// Handles a command, unless it was answered before, and stores its status.
    async fn answer(&self, message: &CommandMessage) -> Result<(), Unhandled> {
        let subject = message.subject();
        telemetry::annotate(&message.stream, message.expected_version, &message.metadata);
        let known = self.statuses.find(&subject.key).await?;
        if known.is_some_and(|row| row.settles(&subject, &message.round)) {
            return Ok(());
        }
        let answer = match self.commands.handle(message.request(), &message.command).await {
            Ok(handled) => CommandProgress::Done {
                version: handled.version,
                recorded: handled.commit.is_some(),
            },
            // Another worker's clock may be ahead of the id, or this one's soon.
            Err(error) if message.id_made_here && is_clock_skew(&error) => {
                return Err(Unhandled::ClockBehind(error));
            }
            Err(error) if is_final(&error) => {
                CommandProgress::Refused { problem: serde_json::to_string(&Problem::from(error))? }
            }
            Err(error) => return Err(error.into()),
        };
        self.store_status(message, &subject, answer).await
    }

    /// Stores the failure of the last try. The message is done only if another worker has answered
    /// it meanwhile.
    async fn give_up(
        &self,
        message: &CommandMessage,
        unhandled: Unhandled,
    ) -> Result<(), Unhandled> {
        // Reported only now: earlier tries were repeated.
        let problem = match unhandled {
            Unhandled::Command(error) => Problem::from(error).with_error_id(),
            Unhandled::ClockBehind(_) => Problem::clock_behind(),
            Unhandled::Panicked(panicked) => Problem::panicked(panicked.error_id),
            Unhandled::GivenUp(problem) => problem,
            other @ (Unhandled::Unreadable(_) | Unhandled::Statuses(_) | Unhandled::Json(_)) => {
                Problem::internal(&other)
            }
        };
        let (subject, text) = (message.subject(), serde_json::to_string(&problem)?);
        match self
            .statuses
            .answer(&subject, &message.round, CommandProgress::Failed { problem: text })
            .await?
        {
            Noted::KnownBefore => Ok(()),
            Noted::Written | Noted::OtherCommand => Err(Unhandled::GivenUp(problem)),
        }
    }

    /// Stores a status. The message is done, too, if a stronger one is stored or the next round has
    /// begun.
    async fn store_status(
        &self,
        message: &CommandMessage,
        subject: &Subject,
        answer: CommandProgress,
    ) -> Result<(), Unhandled> {
        let noted = self.statuses.answer(subject, &message.round, answer).await?;
        if noted != Noted::Written {
            let (stream, command_id) = (&message.stream, &message.metadata.command_id);
            tracing::info!(%stream, %command_id, round = message.round.number, ?noted, "a status was not stored");
        }
        Ok(())
    }
}

/// The messages by group, each in the order of the batch.
fn groups(messages: Vec<SqsMessage>) -> Vec<Vec<SqsMessage>> {
    let mut groups: Vec<(Option<String>, Vec<SqsMessage>)> = Vec::new();
    for message in messages {
        let name = message.attributes.get("MessageGroupId").cloned();
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, group)) => group.push(message),
            None => groups.push((name, vec![message])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn receives(message: &SqsMessage) -> u32 {
    message
        .attributes
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
}

fn id(message: &SqsMessage) -> String {
    message.message_id.clone().unwrap_or_default()
}
