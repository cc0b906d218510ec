//! The table of commands that are answered later: a row a command, changed under conditions only.

use super::SendError;
use super::row::{Answer, EXPIRES, KEY, Round, StatusRow, Subject, now};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValuesOnConditionCheckFailure,
    ScalarAttributeType, TableStatus, TimeToLiveSpecification, TimeToLiveStatus,
};
use eventstore::{ErrorSource, Item};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a row is looked at that others change at the same time.
const MAX_ATTEMPTS: u32 = 5;
/// How often a new table is looked at, a second apart.
const MAX_LOOKS: u32 = 60;

/// Nothing is there, or nothing that counts any more.
const IS_FREE: &str = "attribute_not_exists(#command) OR #expires < :now";
/// The round that was met is still answered: somebody may begin the next one.
const IS_ANSWERED: &str =
    "#stream = :stream AND #fingerprint = :fingerprint AND #round = :round AND #status IN (:refused, :failed)";
/// What is done stays so.
const MAY_BE_DONE: &str =
    "attribute_not_exists(#command) OR (#stream = :stream AND #fingerprint = :fingerprint AND #status <> :done)";
/// That round still waits for its answer.
const STILL_WAITS: &str =
    "#stream = :stream AND #fingerprint = :fingerprint AND #round = :round AND #status = :pending";
/// A refusal or failure is that of its own round only.
const MAY_BE_ANSWERED: &str = "attribute_not_exists(#command) OR (#stream = :stream AND #fingerprint = :fingerprint AND #round = :round AND #status IN (:pending, :failed))";

/// The table of what became of commands. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CommandStatuses {
    client: Client,
    table: String,
}

/// Why the table of commands did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandTableError {
    /// More was asked than the table may do.
    #[error("DynamoDB throttled the table of commands")]
    Throttled(#[source] ErrorSource),
    /// Anything else: no answer, no table, no rights.
    #[error("the table of commands {table:?} did not answer as it should")]
    Failed {
        /// The table's name.
        table: String,
        /// DynamoDB's answer.
        #[source]
        source: ErrorSource,
    },
    /// A row is not as it was written.
    #[error("a row of the table of commands {table:?} cannot be read")]
    Unreadable {
        /// The table's name.
        table: String,
        /// What is wrong with it.
        #[source]
        source: ErrorSource,
    },
}

/// One send of a command.
#[derive(Debug)]
pub(super) struct SendOnce {
    /// No other send has it, be it of the same command.
    pub(super) id: String,
    /// When it came, by this process's own clock.
    came_at: Instant,
    /// What is seen so soon after it came was there before it.
    looks_within: Duration,
}

/// How a command stands before it is sent to the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Begun {
    /// It waits for the answer of that round.
    Waits { round: Round },
    /// It was done before, or answered since this send came: no message is needed.
    Answered,
}

/// Whether an answer was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    /// It was.
    Written,
    /// The command is done, was answered in this round, or is in a later one.
    KnownBefore,
    /// The row is about another command by now: this one's time is over.
    OfAnother,
}

/// What became of a write.
enum Put {
    Written,
    /// The condition does not hold of what is there.
    Met(Option<Box<StatusRow>>),
}

impl SendOnce {
    /// A send that comes now.
    pub(super) fn now(looks_within: Duration) -> Self {
        Self { id: Uuid::now_v7().simple().to_string(), came_at: Instant::now(), looks_within }
    }
}

impl CommandStatuses {
    /// The table of that name, which [`CommandStatuses::create_table`] or your own template makes: hash key `command`, text; time
    /// to live by `expires_at_s`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Notes that a command waits, unless it does already or is answered.
    ///
    /// A round that was refused is followed by the next one only if it was refused before this send came: whoever was told so
    /// relies on it until they send again. The proof is the first request. It is made once, soon after the send came, so what it
    /// meets was there before. What a later request meets may have been answered since.
    pub(super) async fn begin(&self, subject: &Subject, send: &SendOnce) -> Result<Begun, SendError> {
        let (mut round, mut condition, mut met_number) = (Round::first(&send.id), IS_FREE, 0);
        let first = subject.row(&round, Answer::Pending);
        let (mut put, in_time) = match self.put_once(&first, condition, met_number).await {
            Ok(put) => (put, send.came_at.elapsed() <= send.looks_within),
            Err(_) => (self.put(&first, condition, met_number).await?, false),
        };
        for attempt in 1..=MAX_ATTEMPTS {
            let met = match put {
                Put::Written => return Ok(Begun::Waits { round }),
                Put::Met(met) => met,
            };
            match met {
                // It was removed a moment ago.
                None => (round, condition) = (Round::first(&send.id), IS_FREE),
                Some(met) if !met.is_about(subject) => return Err(SendError::Reused { stream: met.stream }),
                Some(met) => match met.answer {
                    Answer::Pending => return Ok(Begun::Waits { round: met.round }),
                    Answer::Done { .. } => return Ok(Begun::Answered),
                    Answer::Refused { .. } | Answer::Failed { .. } if attempt > 1 || met.round.begun_by == send.id => {
                        return Ok(Begun::Answered);
                    }
                    Answer::Refused { .. } if !in_time => return Err(SendError::Unsure),
                    Answer::Refused { .. } | Answer::Failed { .. } => {
                        (condition, met_number) = (IS_ANSWERED, met.round.number);
                        round = met.round.next(&send.id);
                    }
                },
            }
            put = self.put(&subject.row(&round, Answer::Pending), condition, met_number).await?;
        }
        Err(SendError::Contention { attempts: MAX_ATTEMPTS })
    }

    /// Notes that a round which still waits is given up. Nothing is noted of any other.
    pub(super) async fn give_up(
        &self,
        subject: &Subject,
        round: &Round,
        problem: String,
    ) -> Result<(), CommandTableError> {
        let row = subject.row(round, Answer::Failed { problem });
        self.put(&row, STILL_WAITS, round.number).await.map(drop)
    }

    /// Notes what became of a command in a round, unless something more lasting is known.
    pub(super) async fn answer(
        &self,
        subject: &Subject,
        round: &Round,
        answer: Answer,
    ) -> Result<Noted, CommandTableError> {
        let condition = if matches!(answer, Answer::Done { .. }) { MAY_BE_DONE } else { MAY_BE_ANSWERED };
        Ok(match self.put(&subject.row(round, answer), condition, round.number).await? {
            Put::Written => Noted::Written,
            Put::Met(met) if met.as_ref().is_some_and(|row| row.is_about(subject)) => Noted::KnownBefore,
            Put::Met(_) => Noted::OfAnother,
        })
    }

    /// The row under that key, strongly consistent.
    pub(super) async fn find(&self, key: &str) -> Result<Option<StatusRow>, CommandTableError> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.key(KEY, text(key)).send().await.map_err(|error| self.failed(error))?;
        answer.item.map(|item| self.row(item)).transpose()
    }

    /// The same, if its time is not over.
    pub(super) async fn find_fresh(&self, key: &str) -> Result<Option<StatusRow>, CommandTableError> {
        Ok(self.find(key).await?.filter(|row| !row.is_over()))
    }

    async fn put(&self, row: &StatusRow, condition: &str, met_round: u64) -> Result<Put, CommandTableError> {
        self.put_as(Builder::default(), row, condition, met_round).await
    }

    /// The same, and the SDK does not send it a second time.
    async fn put_once(&self, row: &StatusRow, condition: &str, met_round: u64) -> Result<Put, CommandTableError> {
        self.put_as(Builder::default().retry_config(RetryConfig::disabled()), row, condition, met_round).await
    }

    async fn put_as(
        &self,
        config: Builder,
        row: &StatusRow,
        condition: &str,
        met_round: u64,
    ) -> Result<Put, CommandTableError> {
        let item: Item = serde_dynamo::to_item(row).map_err(|error| self.unreadable(error))?;
        let (names, values) = placeholders(row, condition, met_round);
        let request = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let request = request
            .condition_expression(condition)
            .set_expression_attribute_names(Some(names))
            .set_expression_attribute_values(Some(values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match request.customize().config_override(config).send().await {
            Ok(_) => Ok(Put::Written),
            Err(error) => match refused(&error) {
                Some(item) if item.is_empty() => Ok(Put::Met(None)),
                Some(item) => Ok(Put::Met(Some(Box::new(self.row(item)?)))),
                None => Err(self.failed(error)),
            },
        }
    }

    fn row(&self, item: Item) -> Result<StatusRow, CommandTableError> {
        serde_dynamo::from_item(item).map_err(|error| self.unreadable(error))
    }

    fn unreadable(&self, error: serde_dynamo::Error) -> CommandTableError {
        CommandTableError::Unreadable { table: self.table.clone(), source: Arc::new(error) }
    }

    fn failed<E, R>(&self, error: SdkError<E, R>) -> CommandTableError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let throttled = matches!(
            error.code(),
            Some("ProvisionedThroughputExceededException" | "ThrottlingException" | "RequestLimitExceeded")
        );
        if throttled { CommandTableError::Throttled(Arc::new(error)) } else { self.impossible(error) }
    }

    fn impossible(&self, error: impl std::error::Error + Send + Sync + 'static) -> CommandTableError {
        CommandTableError::Failed { table: self.table.clone(), source: Arc::new(error) }
    }

    /// Makes the table and waits until it can be used. Does nothing where it is there.
    ///
    /// # Errors
    /// [`CommandTableError`].
    pub async fn create_table(&self) -> Result<(), CommandTableError> {
        let key = KeySchemaElement::builder().attribute_name(KEY).key_type(KeyType::Hash).build();
        let attribute =
            AttributeDefinition::builder().attribute_name(KEY).attribute_type(ScalarAttributeType::S).build();
        let request = self.client.create_table().table_name(&self.table).billing_mode(BillingMode::PayPerRequest);
        let request = request.key_schema(key.map_err(|error| self.impossible(error))?);
        match request.attribute_definitions(attribute.map_err(|error| self.impossible(error))?).send().await {
            Ok(_) => {}
            Err(error) if error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) => {}
            Err(error) => return Err(self.failed(error)),
        }
        self.wait_until_active().await?;
        self.let_rows_expire().await
    }

    async fn wait_until_active(&self) -> Result<(), CommandTableError> {
        for _ in 0..MAX_LOOKS {
            let answer = self.client.describe_table().table_name(&self.table).send().await;
            let table = answer.map_err(|error| self.failed(error))?.table;
            if table.and_then(|table| table.table_status) == Some(TableStatus::Active) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let late: Box<dyn std::error::Error + Send + Sync> = "it was not active after 60 s".into();
        Err(CommandTableError::Failed { table: self.table.clone(), source: late.into() })
    }

    /// DynamoDB refuses to be told twice.
    async fn let_rows_expire(&self) -> Result<(), CommandTableError> {
        let answer = self.client.describe_time_to_live().table_name(&self.table).send().await;
        let known = answer.map_err(|error| self.failed(error))?.time_to_live_description;
        let status = known.and_then(|known| known.time_to_live_status);
        if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(());
        }
        let wanted = TimeToLiveSpecification::builder().attribute_name(EXPIRES).enabled(true).build();
        let wanted = wanted.map_err(|error| self.impossible(error))?;
        let request = self.client.update_time_to_live().table_name(&self.table).time_to_live_specification(wanted);
        request.send().await.map(drop).map_err(|error| self.failed(error))
    }
}

/// The item that a condition refused to overwrite; empty where nothing was there.
fn refused<R>(error: &SdkError<PutItemError, R>) -> Option<Item> {
    match error.as_service_error() {
        Some(PutItemError::ConditionalCheckFailedException(refused)) => Some(refused.item.clone().unwrap_or_default()),
        _ => None,
    }
}

/// What a condition speaks of. DynamoDB refuses names and values that none of it uses.
fn placeholders(
    row: &StatusRow,
    condition: &str,
    met_round: u64,
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
        (":round", AttributeValue::N(met_round.to_string())),
        (":pending", text("pending")),
        (":done", text("done")),
        (":refused", text("refused")),
        (":failed", text("failed")),
    ];
    let used =
        |name: &str| condition.split(|c: char| !(c.is_alphanumeric() || "#:".contains(c))).any(|word| word == name);
    let names =
        names.into_iter().filter(|(name, _)| used(name)).map(|(name, value)| (name.to_owned(), value.to_owned()));
    let values = values.into_iter().filter(|(name, _)| used(name)).map(|(name, value)| (name.to_owned(), value));
    (names.collect(), values.collect())
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
