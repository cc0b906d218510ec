//! The table of commands that are answered later: one row each, changed only by conditional puts.

use super::row::{AnswerRound, CommandProgress, EXPIRES, KEY, StatusRow, Subject, now};
use super::{CommandTableError, SendError};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use eventstore::Item;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a row is tried after conflicts.
const MAX_ATTEMPTS: u32 = 5;

/// There is no row, or it has expired.
const IS_FREE: &str = "attribute_not_exists(#command) OR #expires < :now";
/// The stored round is still the answered one, so the next one may begin.
const IS_ANSWERED: &str = "#stream = :stream AND #fingerprint = :fingerprint AND #round = :round AND #status IN (:refused, :failed)";
/// `done` is never overwritten.
const MAY_BE_DONE: &str = "attribute_not_exists(#command) OR (#stream = :stream AND #fingerprint = :fingerprint AND #status <> :done)";
/// The round is still pending.
const STILL_WAITS: &str =
    "#stream = :stream AND #fingerprint = :fingerprint AND #round = :round AND #status = :pending";
/// A refusal or failure applies only to its own round.
const MAY_BE_ANSWERED: &str = "attribute_not_exists(#command) OR (#stream = :stream AND #fingerprint = :fingerprint AND #round = :round AND #status IN (:pending, :failed))";

/// The table of statuses. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CommandStatuses {
    pub(super) client: Client,
    pub(super) table: String,
}

/// One send of a command.
#[derive(Debug)]
pub(super) struct SendOnce {
    /// Unique, also among sends of the same command.
    pub(super) id: String,
    /// When it came, by this process's clock.
    came_at: Instant,
    /// A row that is read within this time is proven to be older than the send.
    proof_time: Duration,
}

/// Whether a command needs a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begun {
    /// It is pending in that round.
    Waits { round: AnswerRound },
    /// It is done, or was answered since this send came: no message is needed.
    Answered,
}

/// Whether a status was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// It was.
    Written,
    /// The command is done, was answered in this round, or is in a later one.
    KnownBefore,
    /// The row expired, and belongs to another command now.
    OtherCommand,
}

/// The result of a conditional put.
enum Put {
    Written,
    /// The condition failed; the stored row, if there is one.
    Refused(Option<Box<StatusRow>>),
}

impl SendOnce {
    /// A send that comes now.
    pub(super) fn now(proof_time: Duration) -> Self {
        Self { id: Uuid::now_v7().simple().to_string(), came_at: Instant::now(), proof_time }
    }
}

impl CommandStatuses {
    /// The table of that name, which [`CommandStatuses::create_table`] or your own template makes:
    /// hash key `command`, text; time to live by `expires_at_s`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Stores `pending`, unless the command is pending or answered.
    ///
    /// After a refusal the next round begins only if the refusal is older than this send: a caller
    /// that got it relies on it until it sends again. The first request proves that. It is sent
    /// once, soon after the send came, so the row that it returns is older. Later requests prove
    /// nothing: the row may have been answered since.
    pub(super) async fn begin(
        &self,
        subject: &Subject,
        send: &SendOnce,
    ) -> Result<Begun, SendError> {
        let (mut round, mut condition, mut stored_number) =
            (AnswerRound::first(&send.id), IS_FREE, 0);
        let first = subject.row(&round, CommandProgress::Pending);
        let (mut put, in_time) = match self.put_once(&first, condition, stored_number).await {
            Ok(put) => (put, send.came_at.elapsed() <= send.proof_time),
            Err(_) => (self.put(&first, condition, stored_number).await?, false),
        };
        for attempt in 1..=MAX_ATTEMPTS {
            let stored = match put {
                Put::Written => return Ok(Begun::Waits { round }),
                Put::Refused(stored) => stored,
            };
            match stored {
                // It was removed a moment ago.
                None => (round, condition) = (AnswerRound::first(&send.id), IS_FREE),
                Some(stored) if !stored.is_about(subject) => {
                    return Err(SendError::Reused { stream: stored.stream });
                }
                Some(stored) => match stored.answer {
                    CommandProgress::Pending => return Ok(Begun::Waits { round: stored.round }),
                    CommandProgress::Done { .. } => return Ok(Begun::Answered),
                    CommandProgress::Refused { .. } | CommandProgress::Failed { .. }
                        if attempt > 1 || stored.round.begun_by == send.id =>
                    {
                        return Ok(Begun::Answered);
                    }
                    CommandProgress::Refused { .. } if !in_time => return Err(SendError::Unsure),
                    CommandProgress::Refused { .. } | CommandProgress::Failed { .. } => {
                        (condition, stored_number) = (IS_ANSWERED, stored.round.number);
                        round = stored.round.next(&send.id);
                    }
                },
            }
            put = self
                .put(&subject.row(&round, CommandProgress::Pending), condition, stored_number)
                .await?;
        }
        Err(SendError::Contention { attempts: MAX_ATTEMPTS })
    }

    /// Marks a round failed, if it is still pending.
    pub(super) async fn give_up(
        &self,
        subject: &Subject,
        round: &AnswerRound,
        problem: String,
    ) -> Result<(), CommandTableError> {
        let row = subject.row(round, CommandProgress::Failed { problem });
        self.put(&row, STILL_WAITS, round.number).await.map(drop)
    }

    /// Stores the status of a command in a round, unless the row has a stronger one.
    pub(super) async fn answer(
        &self,
        subject: &Subject,
        round: &AnswerRound,
        answer: CommandProgress,
    ) -> Result<Noted, CommandTableError> {
        let condition = if matches!(answer, CommandProgress::Done { .. }) {
            MAY_BE_DONE
        } else {
            MAY_BE_ANSWERED
        };
        Ok(match self.put(&subject.row(round, answer), condition, round.number).await? {
            Put::Written => Noted::Written,
            Put::Refused(stored) if stored.as_ref().is_some_and(|row| row.is_about(subject)) => {
                Noted::KnownBefore
            }
            Put::Refused(_) => Noted::OtherCommand,
        })
    }

    /// The row under that key, strongly consistent.
    pub(super) async fn find(&self, key: &str) -> Result<Option<StatusRow>, CommandTableError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer =
            request.key(KEY, text(key)).send().await.map_err(|error| self.failed(error))?;
        answer.item.map(|item| self.row(item)).transpose()
    }

    /// The same, if it has not expired.
    pub(super) async fn find_fresh(
        &self,
        key: &str,
    ) -> Result<Option<StatusRow>, CommandTableError> {
        Ok(self.find(key).await?.filter(|row| !row.is_over()))
    }

    async fn put(
        &self,
        row: &StatusRow,
        condition: &str,
        stored_round: u64,
    ) -> Result<Put, CommandTableError> {
        self.put_as(Builder::default(), row, condition, stored_round).await
    }

    /// The same, without a retry by the SDK.
    async fn put_once(
        &self,
        row: &StatusRow,
        condition: &str,
        stored_round: u64,
    ) -> Result<Put, CommandTableError> {
        self.put_as(
            Builder::default().retry_config(RetryConfig::disabled()),
            row,
            condition,
            stored_round,
        )
        .await
    }

    async fn put_as(
        &self,
        config: Builder,
        row: &StatusRow,
        condition: &str,
        stored_round: u64,
    ) -> Result<Put, CommandTableError> {
        let item: Item = serde_dynamo::to_item(row).map_err(|error| self.unreadable(error))?;
        let (names, values) = placeholders(row, condition, stored_round);
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let request = request
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.customize().config_override(config).send().await {
            Ok(_) => Ok(Put::Written),
            Err(error) => match refused(&error) {
                Some(item) if item.is_empty() => Ok(Put::Refused(None)),
                Some(item) => Ok(Put::Refused(Some(Box::new(self.row(item)?)))),
                None => Err(self.failed(error)),
            },
        }
    }

    fn row(&self, item: Item) -> Result<StatusRow, CommandTableError> {
        serde_dynamo::from_item(item).map_err(|error| self.unreadable(error))
    }
}

/// The item that failed the condition; empty if there was none.
fn refused<R>(error: &SdkError<PutItemError, R>) -> Option<Item> {
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(refused)) => {
            Some(refused.item.clone().unwrap_or_default())
        }
        _ => None,
    }
}

/// The names and values of a condition. DynamoDB rejects unused ones.
fn placeholders(
    row: &StatusRow,
    condition: &str,
    stored_round: u64,
) -> (HashMap<String, String>, HashMap<String, AttributeValue>) {
    let names = [
        ("#command", KEY),
        ("#expires", EXPIRES),
        ("#stream", "stream"),
        ("#fingerprint", "fingerprint"),
        ("#round", "round"),
        ("#status", "status"),
    ];
    let values = [
        (":now", AttributeValue::N(now().timestamp().to_string())),
        (":stream", text(row.stream.as_str())),
        (":fingerprint", text(&row.fingerprint.to_string())),
        (":round", AttributeValue::N(stored_round.to_string())),
        (":pending", text("pending")),
        (":done", text("done")),
        (":refused", text("refused")),
        (":failed", text("failed")),
    ];
    let used = |name: &str| {
        condition
            .split(|c: char| !(c.is_alphanumeric() || "#:".contains(c)))
            .any(|word| word == name)
    };
    let names = names
        .into_iter()
        .filter(|(name, _)| used(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let values = values
        .into_iter()
        .filter(|(name, _)| used(name))
        .map(|(name, value)| (name.to_owned(), value));
    (names.collect(), values.collect())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
