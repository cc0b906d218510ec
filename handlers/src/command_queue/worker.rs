//! The worker: from the command queue to the event store, and the answer to the table of commands.

use super::message::{CommandMessage, Marker, QueueMessage, UnreadableMessage};
use super::row::{Answer, Subject};
use super::statuses::{CommandStatuses, CommandTableError, Noted};
use crate::app::{App, CommandError, Dispatcher, is_clock_skew, is_final};
use crate::problem::Problem;
use crate::telemetry::{self, Component, Metric, Panicked, TraceParent, TracedWork};
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use eventstore::EventStore;
use futures::StreamExt;
use std::time::SystemTime;

/// How many groups of a batch are worked off at once: as many as a batch can have.
const CONCURRENT_GROUPS: usize = 10;

/// Handles the messages of the command queue. Any number of them may run at once.
#[derive(Clone)]
pub struct CommandWorker {
    app: App,
    commands: Dispatcher,
    statuses: CommandStatuses,
}

/// Why a message is not done with. It comes again.
#[derive(Debug, thiserror::Error)]
enum Unhandled {
    #[error("a message is no command")]
    Unreadable(#[from] UnreadableMessage),
    #[error("a command has no answer")]
    Command(#[from] CommandError),
    #[error("the clock here is behind the one that made a command's id")]
    ClockBehind(#[source] CommandError),
    #[error("the handling of a command panicked")]
    Panicked(#[from] Panicked),
    #[error("a command is given up, {}", .0.kind())]
    GivenUp(Problem),
    #[error(transparent)]
    Statuses(#[from] CommandTableError),
    #[error("a command's answer is no JSON")]
    Json(#[from] serde_json::Error),
}

impl CommandWorker {
    /// From which receive of its message on a command is given up if it fails: its sender is told.
    pub const MAX_RECEIVES: u32 = 5;
    /// The queue's `maxReceiveCount`. More than the worker's tries, because a throttled call is a receive too, without a try.
    pub const QUEUE_RECEIVES: u32 = 10;

    /// A worker for the app's commands on that store, which notes answers in that table.
    pub fn new(app: App, store: &EventStore, statuses: CommandStatuses) -> Self {
        Self::of(app.clone(), Dispatcher::new(&app, store), statuses)
    }

    pub(crate) fn of(app: App, commands: Dispatcher, statuses: CommandStatuses) -> Self {
        Self { app, commands, statuses }
    }

    /// Handles a batch of messages: those of a group one after the other, groups at once. The answer names those that are to come
    /// again: each failed one and, as FIFO order demands, every later one of its group. One that is given up holds up nobody any
    /// more: those behind it were received as often as it was, and would be lost with it without ever having been tried.
    pub async fn handle(&self, event: SqsEvent) -> SqsBatchResponse {
        self.record_failure_up_front(&event.records).await;
        let work = groups(event.records).into_iter().map(|group| self.work_off(group));
        let unhandled: Vec<Vec<String>> =
            futures::stream::iter(work).buffer_unordered(CONCURRENT_GROUPS).collect().await;
        let mut response = SqsBatchResponse::default();
        unhandled.into_iter().flatten().for_each(|message_id| response.add_failure(message_id));
        response
    }

    /// Notes the failure of what is tried for the last time, before anything is tried: who is killed over one of a batch tells
    /// nobody of the others.
    async fn record_failure_up_front(&self, messages: &[SqsMessage]) {
        let last = messages.iter().filter(|message| receives(message) >= Self::MAX_RECEIVES);
        for message in last {
            let Ok(QueueMessage::Command(command)) = QueueMessage::read(&self.app, message.body.as_deref()) else {
                continue;
            };
            if let Err(error) = self.note_beforehand(&command).await {
                let error: &(dyn std::error::Error + Send + Sync) = &error;
                tracing::warn!(error, "that a command may fail was not noted beforehand");
            }
        }
    }

    async fn note_beforehand(&self, message: &CommandMessage) -> Result<(), Unhandled> {
        let subject = message.subject();
        let known = self.statuses.find(&subject.key).await?;
        if !known.is_some_and(|row| row.settles(&subject, &message.round)) {
            let problem = serde_json::to_string(&Problem::worker_ended())?;
            self.statuses.answer(&subject, &message.round, Answer::Failed { problem }).await?;
        }
        Ok(())
    }

    /// The ids of the messages that are to come again.
    async fn work_off(&self, group: Vec<SqsMessage>) -> Vec<String> {
        let (mut unhandled, mut blocked) = (Vec::new(), false);
        for message in &group {
            telemetry::count(Metric::Messages);
            let is_last_try = receives(message) >= Self::MAX_RECEIVES;
            if blocked {
                unhandled.push(id(message));
                telemetry::count(Metric::Unhandled);
            } else if !self.follow(message, is_last_try).await {
                unhandled.push(id(message));
                telemetry::count(Metric::Unhandled);
                blocked = !is_last_try;
            }
        }
        unhandled
    }

    /// Whether the message is done with. In the trace of the request that brought the command.
    async fn follow(&self, message: &SqsMessage, is_last_try: bool) -> bool {
        let read = QueueMessage::read(&self.app, message.body.as_deref());
        let trace = match &read {
            Ok(QueueMessage::Command(command)) => TraceParent::of(command.metadata.trace_parent.as_ref()),
            Ok(QueueMessage::Marker(_)) | Err(_) => None,
        };
        let (name, kind, begun) = (Component::CommandWorker.name(), "queue.process", SystemTime::now());
        TracedWork { name, kind, trace, begun }.run(self.follow_read(read, message, is_last_try)).await
    }

    async fn follow_read(
        &self,
        read: Result<QueueMessage, UnreadableMessage>,
        message: &SqsMessage,
        is_last_try: bool,
    ) -> bool {
        let followed = match read {
            Ok(QueueMessage::Marker(marker)) => match self.pass(&marker).await {
                // No dead letter is made of it: whoever asks for the command again sends another.
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

    /// Everything in front of the marker is gone: a round that still waits has no message left.
    async fn pass(&self, marker: &Marker) -> Result<(), Unhandled> {
        let problem = serde_json::to_string(&Problem::message_lost())?;
        Ok(self.statuses.give_up(&marker.behind, &marker.round, problem).await?)
    }

    /// A panic over one command is none of the others' of its batch.
    async fn answer_or_panic(&self, message: &CommandMessage) -> Result<(), Unhandled> {
        telemetry::caught(self.answer(message)).await?
    }

    /// Handles a command, unless it was answered before, and notes its answer.
    async fn answer(&self, message: &CommandMessage) -> Result<(), Unhandled> {
        let subject = message.subject();
        telemetry::annotate(&message.stream, message.expected_version, &message.metadata);
        let known = self.statuses.find(&subject.key).await?;
        if known.is_some_and(|row| row.settles(&subject, &message.round)) {
            return Ok(());
        }
        let answer = match self.commands.handle(message.request(), &message.command).await {
            Ok(handled) => Answer::Done { version: handled.version, recorded: handled.commit.is_some() },
            // Another worker's clock may be right, or this one's soon.
            Err(error) if message.id_made_here && is_clock_skew(&error) => {
                return Err(Unhandled::ClockBehind(error));
            }
            Err(error) if is_final(&error) => {
                Answer::Refused { problem: serde_json::to_string(&Problem::from(error))? }
            }
            Err(error) => return Err(error.into()),
        };
        self.note(message, &subject, answer).await
    }

    /// Tells the sender that the command is given up. Done with only where somebody else has answered it meanwhile.
    async fn give_up(&self, message: &CommandMessage, unhandled: Unhandled) -> Result<(), Unhandled> {
        // Here it is reported: until now it was tried again.
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
        match self.statuses.answer(&subject, &message.round, Answer::Failed { problem: text }).await? {
            Noted::KnownBefore => Ok(()),
            Noted::Written | Noted::OfAnother => Err(Unhandled::GivenUp(problem)),
        }
    }

    /// Notes an answer. Where something more lasting is known, or the next round has begun, the message is done with all the same.
    async fn note(&self, message: &CommandMessage, subject: &Subject, answer: Answer) -> Result<(), Unhandled> {
        let noted = self.statuses.answer(subject, &message.round, answer).await?;
        if noted != Noted::Written {
            let (stream, command_id) = (&message.stream, &message.metadata.command_id);
            tracing::info!(%stream, %command_id, round = message.round.number, ?noted, "an answer was not noted");
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
    message.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
}

fn id(message: &SqsMessage) -> String {
    message.message_id.clone().unwrap_or_default()
}
