//! Sending messages, single and in batches.

use serde::{Deserialize, Serialize};

use super::batch::{self, BatchAnswer};
use super::required;
use crate::error::{ApiError, ErrorKind};
use crate::message::{Attributes, md5_of_attributes, md5_of_body, size_bytes};
use crate::server::SharedServer;
use crate::settings::MESSAGE_LIMIT_BYTES;
use crate::store::{NewMessage, Sent};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendRequest {
    queue_url: Option<String>,
    #[serde(flatten)]
    message: MessageParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchRequest {
    queue_url: Option<String>,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(default)]
    id: String,
    #[serde(flatten)]
    message: MessageParameters,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MessageParameters {
    message_body: Option<String>,
    message_attributes: Option<Attributes>,
    message_system_attributes: Option<Attributes>,
    delay_seconds: Option<i64>,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

/// The digests of a message, computed before the store is locked.
struct Digests {
    body: String,
    attributes: Option<String>,
    system: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SentAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_system: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

impl MessageParameters {
    fn prepare(self) -> Result<(NewMessage, Digests), ApiError> {
        let body = self.message_body.ok_or_else(|| ApiError::missing("MessageBody"))?;
        let attributes = self.message_attributes.unwrap_or_default();
        let system = self.message_system_attributes.unwrap_or_default();
        let digests = Digests {
            body: md5_of_body(&body),
            attributes: md5_of_attributes(&attributes),
            system: md5_of_attributes(&system),
        };
        let message = NewMessage {
            body,
            attributes,
            trace_header: trace_header(&system)?,
            delay_s: self.delay_seconds,
            group: self.message_group_id,
            dedup_id: self.message_deduplication_id,
        };
        Ok((message, digests))
    }
}

/// The only system attribute that a sender may set.
fn trace_header(system: &Attributes) -> Result<Option<String>, ApiError> {
    match system.keys().find(|name| *name != "AWSTraceHeader") {
        Some(name) => {
            Err(ApiError::parameter(format!("Message system attribute name '{name}' is invalid.")))
        }
        None => Ok(system.get("AWSTraceHeader").and_then(|value| value.text()).map(str::to_owned)),
    }
}

fn sent_answer(id: Option<&str>, sent: Sent, digests: &Digests) -> SentAnswer {
    SentAnswer {
        id: id.map(str::to_owned),
        message_id: sent.message_id,
        md5_of_body: digests.body.clone(),
        md5_of_attributes: digests.attributes.clone(),
        md5_of_system: digests.system.clone(),
        sequence_number: sent.sequence,
    }
}

pub(crate) fn one(server: &SharedServer, request: SendRequest) -> Result<SentAnswer, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let (message, digests) = request.message.prepare()?;
    let sent = server.store().send(url, &[message])?.into_iter().next();
    let sent =
        sent.ok_or_else(|| ApiError::new(ErrorKind::Internal, "The message was not stored."))??;
    Ok(sent_answer(None, sent, &digests))
}

pub(crate) fn batch(
    server: &SharedServer,
    request: BatchRequest,
) -> Result<BatchAnswer<SentAnswer>, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    server.store().queue(url)?;
    let ids: Vec<String> = request.entries.iter().map(|entry| entry.id.clone()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    batch::check_ids(&ids)?;
    let prepared = request
        .entries
        .into_iter()
        .map(|entry| entry.message.prepare())
        .collect::<Result<Vec<_>, _>>()?;
    let (messages, digests): (Vec<NewMessage>, Vec<Digests>) = prepared.into_iter().unzip();
    check_total(&messages)?;
    let results = server.store().send(url, &messages)?;
    let results = results
        .into_iter()
        .zip(digests)
        .map(|(result, digests)| result.map(|sent| (sent, digests)))
        .collect();
    Ok(batch::answer(&ids, results, |id, (sent, digests)| sent_answer(Some(id), sent, &digests)))
}

fn check_total(messages: &[NewMessage]) -> Result<(), ApiError> {
    let total: usize =
        messages.iter().map(|message| size_bytes(&message.body, &message.attributes)).sum();
    if u64::try_from(total).is_ok_and(|total| total <= MESSAGE_LIMIT_BYTES) {
        return Ok(());
    }
    let message = format!(
        "Batch requests cannot be longer than {MESSAGE_LIMIT_BYTES} bytes. You have sent {total} bytes."
    );
    Err(ApiError::new(ErrorKind::BatchRequestTooLong, message))
}
