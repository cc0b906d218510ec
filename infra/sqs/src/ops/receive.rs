//! Receiving messages, with long polls.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::required;
use crate::error::ApiError;
use crate::message::{Attributes, md5_of_attributes, md5_of_body, select};
use crate::server::SharedServer;
use crate::settings::WAIT_LIMIT_S;
use crate::store::{Delivery, ReceiveRequest, check_token, check_visibility};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveMessageRequest {
    queue_url: Option<String>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    attribute_names: Option<Vec<String>>,
    message_system_attribute_names: Option<Vec<String>>,
    message_attribute_names: Option<Vec<String>>,
    receive_request_attempt_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveAnswer {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<ReceivedMessage>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ReceivedMessage {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    body: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(skip_serializing_if = "Attributes::is_empty")]
    message_attributes: Attributes,
}

const SYSTEM_NAMES: [&str; 11] = [
    "All",
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
    "SqsManagedSseEnabled",
];

impl ReceiveMessageRequest {
    fn system_names(&self) -> Result<Vec<String>, ApiError> {
        let names = [&self.attribute_names, &self.message_system_attribute_names];
        let names: Vec<String> = names.into_iter().flatten().flatten().cloned().collect();
        match names.iter().find(|name| !SYSTEM_NAMES.contains(&name.as_str())) {
            None => Ok(names),
            Some(name) => Err(ApiError::new(
                crate::error::ErrorKind::InvalidAttributeName,
                format!("Unknown Attribute {name}."),
            )),
        }
    }

    /// The request to the store, without the wait time.
    fn check(&self) -> Result<ReceiveRequest, ApiError> {
        check_token("ReceiveRequestAttemptId", self.receive_request_attempt_id.as_deref())?;
        let most = self.max_number_of_messages.unwrap_or(1);
        let checked = usize::try_from(most).ok().filter(|most| (1..=10).contains(most)).ok_or_else(|| {
            ApiError::parameter(format!(
                "Value {most} for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
            ))
        })?;
        Ok(ReceiveRequest {
            most: checked,
            visibility_ms: self.visibility_timeout.map(check_visibility).transpose()?,
            attempt: self.receive_request_attempt_id.clone(),
            long_poll: false,
        })
    }

    fn wait_s(&self, of_queue: u64) -> Result<u64, ApiError> {
        let Some(wait_s) = self.wait_time_seconds else { return Ok(of_queue) };
        u64::try_from(wait_s).ok().filter(|seconds| *seconds <= WAIT_LIMIT_S).ok_or_else(|| {
            ApiError::parameter(format!(
                "Value {wait_s} for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided."
            ))
        })
    }
}

pub(crate) async fn receive(
    server: &SharedServer,
    request: ReceiveMessageRequest,
) -> Result<ReceiveAnswer, ApiError> {
    let url = required("QueueUrl", &request.queue_url)?;
    let of_queue = server.store().queue(url)?.settings.wait_s;
    let system_names = request.system_names()?;
    let mut wanted = request.check()?;
    let wait_s = request.wait_s(of_queue)?;
    wanted.long_poll = wait_s > 0;
    let deadline = Instant::now() + Duration::from_secs(wait_s);
    let closed = server.closed();
    let mut closed = pin!(closed);
    loop {
        // Subscribe before reading, so that a message that arrives in between ends the wait.
        let available = server.store().queue(url)?.available.clone();
        let mut notified = pin!(available.notified());
        notified.as_mut().enable();
        let (deliveries, next_in_ms) = server.store().receive(url, &wanted)?;
        if !deliveries.is_empty() || Instant::now() >= deadline {
            return Ok(answer(deliveries, &system_names, &request));
        }
        let next = next_in_ms
            .map_or(deadline, |ms| deadline.min(Instant::now() + Duration::from_millis(ms)));
        tokio::select! {
            () = notified => {}
            () = tokio::time::sleep_until(next) => {}
            () = &mut closed => return Ok(answer(Vec::new(), &system_names, &request)),
        }
    }
}

fn answer(
    deliveries: Vec<Delivery>,
    system_names: &[String],
    request: &ReceiveMessageRequest,
) -> ReceiveAnswer {
    let wanted = request.message_attribute_names.as_deref().unwrap_or_default();
    ReceiveAnswer {
        messages: deliveries
            .into_iter()
            .map(|delivery| message(delivery, system_names, wanted))
            .collect(),
    }
}

fn message(delivery: Delivery, system_names: &[String], wanted: &[String]) -> ReceivedMessage {
    let message_attributes = select(&delivery.attributes, wanted);
    ReceivedMessage {
        attributes: system_attributes(&delivery, system_names),
        message_id: delivery.message_id,
        receipt_handle: delivery.handle,
        md5_of_body: md5_of_body(&delivery.body),
        body: delivery.body,
        md5_of_attributes: md5_of_attributes(&message_attributes),
        message_attributes,
    }
}

fn system_attributes(delivery: &Delivery, names: &[String]) -> BTreeMap<&'static str, String> {
    let values = [
        ("ApproximateFirstReceiveTimestamp", Some(delivery.first_received_ms.to_string())),
        ("ApproximateReceiveCount", Some(delivery.receives.to_string())),
        ("SentTimestamp", Some(delivery.sent_ms.to_string())),
        ("SenderId", Some("LOOPBACK".to_owned())),
        ("AWSTraceHeader", delivery.trace_header.clone()),
        ("DeadLetterQueueSourceArn", delivery.source_arn.clone()),
        ("MessageDeduplicationId", delivery.dedup_id.clone()),
        ("MessageGroupId", delivery.group.clone()),
        ("SequenceNumber", delivery.sequence.clone()),
    ];
    let is_wanted = |name: &str| names.iter().any(|wanted| wanted == "All" || wanted == name);
    values
        .into_iter()
        .filter_map(|(name, value)| value.filter(|_| is_wanted(name)).map(|value| (name, value)))
        .collect()
}
