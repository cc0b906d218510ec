//! Not a peer: the minimum of a store, written on the SDK. A command is a consistent query of the
//! whole stream and one conditional put of an item with its events.

use super::{Attempt, Read, tables};
use crate::Failure;
use crate::notebook::{Command, Notebook, Noted};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;

const TABLE: &str = "floor";

/// The table and a client.
pub(crate) struct FloorRow {
    client: Client,
}

/// The events of a stream, folded.
struct Folded {
    state: Notebook,
    events: u64,
}

pub(super) async fn create_tables(client: &Client) -> Result<(), Failure> {
    tables::table(client, TABLE, "stream_id", Some("version"))?.send().await?;
    Ok(())
}

impl FloorRow {
    pub(super) fn open(client: Client) -> Self {
        Self { client }
    }

    pub(super) async fn attempt(
        &self,
        stream: &str,
        command: &Command,
    ) -> Result<Attempt, Failure> {
        let Folded { state, events } = match command.creates {
            true => Folded { state: Notebook::default(), events: 0 },
            false => self.fold(stream).await?,
        };
        let notes = state.decide(&command.notes)?;
        match self.put(stream, events + 1, &notes).await {
            Ok(()) => Ok(Attempt::DONE),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Ok(Attempt::LOST)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn read(&self, stream: &str) -> Result<Read, Failure> {
        let Folded { state, events } = self.fold(stream).await?;
        Ok(Read { events, notes: state.notes })
    }

    pub(super) async fn fill(&self, stream: &str, events: u64) -> Result<(), Failure> {
        for version in 1..=events {
            self.put(stream, version, &[Noted::any()]).await?;
        }
        Ok(())
    }

    async fn fold(&self, stream: &str) -> Result<Folded, Failure> {
        let query = self.client.query().table_name(TABLE).consistent_read(true);
        let query = query.key_condition_expression("stream_id = :stream");
        let query =
            query.expression_attribute_values(":stream", AttributeValue::S(stream.to_owned()));
        let mut folded = Folded { state: Notebook::default(), events: 0 };
        let mut next = None;
        loop {
            let page = query.clone().set_exclusive_start_key(next).send().await?;
            for item in page.items.unwrap_or_default() {
                let json = item
                    .get("events")
                    .and_then(|value| value.as_s().ok())
                    .ok_or("an item without events")?;
                for note in serde_json::from_str::<Vec<Noted>>(json)? {
                    folded.state = folded.state.evolve(&note);
                    folded.events += 1;
                }
            }
            next = page.last_evaluated_key;
            if next.is_none() {
                return Ok(folded);
            }
        }
    }

    async fn put(
        &self,
        stream: &str,
        version: u64,
        notes: &[Noted],
    ) -> Result<(), SdkError<PutItemError>> {
        let json = serde_json::to_string(notes).map_err(SdkError::construction_failure)?;
        let put = self.client.put_item().table_name(TABLE);
        let put = put.item("stream_id", AttributeValue::S(stream.to_owned()));
        let put = put.item("version", AttributeValue::N(version.to_string()));
        let put = put.item("events", AttributeValue::S(json));
        put.condition_expression("attribute_not_exists(stream_id)").send().await.map(|_| ())
    }
}
