//! The attributes of a queue, their rules, and the rules for queue names.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::{ApiError, ErrorKind};

/// Attributes as the caller sent them, by name.
pub(crate) type AttributeMap = BTreeMap<String, String>;

/// The limit in bytes of a message, and of all messages of a batch.
pub(crate) const MESSAGE_LIMIT_BYTES: u64 = 1_048_576;
/// The longest visibility timeout in seconds.
pub(crate) const VISIBILITY_LIMIT_S: u64 = 43_200;
/// The longest delay in seconds.
pub(crate) const DELAY_LIMIT_S: u64 = 900;
/// The longest wait of a receive in seconds.
pub(crate) const WAIT_LIMIT_S: u64 = 20;

/// The redrive policy: the dead-letter queue and the maximum of receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedrivePolicy {
    pub(crate) target_arn: String,
    pub(crate) max_receives: i64,
}

/// Which queues may use a queue as their dead-letter queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum RedriveAllowed {
    #[default]
    All,
    None,
    Sources(Vec<String>),
}

/// The checked attributes of a queue, with defaults.
#[derive(Clone, Debug)]
pub(crate) struct QueueSettings {
    pub(crate) given: AttributeMap,
    pub(crate) fifo: bool,
    pub(crate) deduplicate_by_content: bool,
    pub(crate) deduplicate_per_group: bool,
    pub(crate) delay_ms: u64,
    pub(crate) visibility_ms: u64,
    pub(crate) retention_ms: u64,
    pub(crate) wait_s: u64,
    pub(crate) message_limit_bytes: u64,
    pub(crate) redrive: Option<RedrivePolicy>,
    pub(crate) redrive_allowed: RedriveAllowed,
}

impl QueueSettings {
    /// Checks the attributes. An empty value resets an attribute.
    pub(crate) fn new(given: AttributeMap) -> Result<Self, ApiError> {
        let given: AttributeMap =
            given.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        given.keys().try_for_each(|name| check_name(name))?;
        let fifo = flag(&given, "FifoQueue")?;
        if !fifo && let Some(name) = FIFO_ONLY.into_iter().find(|name| given.contains_key(*name)) {
            let message = format!("You can specify the {name} only when FifoQueue is set to true.");
            return Err(ApiError::new(ErrorKind::InvalidAttributeName, message));
        }
        let deduplicate_per_group = check_throughput(&given)?;
        flag(&given, "SqsManagedSseEnabled")?;
        number(&given, "KmsDataKeyReusePeriodSeconds", 300, 60, 86_400)?;
        if let Some(policy) = given.get("Policy") {
            parse_json(policy, "Policy")?;
        }
        Ok(Self {
            fifo,
            deduplicate_by_content: flag(&given, "ContentBasedDeduplication")?,
            deduplicate_per_group,
            delay_ms: number(&given, "DelaySeconds", 0, 0, DELAY_LIMIT_S)? * 1_000,
            visibility_ms: number(&given, "VisibilityTimeout", 30, 0, VISIBILITY_LIMIT_S)? * 1_000,
            retention_ms: number(&given, "MessageRetentionPeriod", 345_600, 60, 1_209_600)? * 1_000,
            wait_s: number(&given, "ReceiveMessageWaitTimeSeconds", 0, 0, WAIT_LIMIT_S)?,
            message_limit_bytes: number(
                &given,
                "MaximumMessageSize",
                MESSAGE_LIMIT_BYTES,
                1_024,
                MESSAGE_LIMIT_BYTES,
            )?,
            redrive: given.get("RedrivePolicy").map(|text| parse_redrive(text)).transpose()?,
            redrive_allowed: given
                .get("RedriveAllowPolicy")
                .map(|text| parse_allowed(text))
                .transpose()?
                .unwrap_or_default(),
            given,
        })
    }

    /// All settable attributes with their values, as in `GetQueueAttributes`.
    pub(crate) fn shown(&self) -> AttributeMap {
        let mut shown = AttributeMap::from([
            ("DelaySeconds".to_owned(), (self.delay_ms / 1_000).to_string()),
            ("VisibilityTimeout".to_owned(), (self.visibility_ms / 1_000).to_string()),
            ("MessageRetentionPeriod".to_owned(), (self.retention_ms / 1_000).to_string()),
            ("ReceiveMessageWaitTimeSeconds".to_owned(), self.wait_s.to_string()),
            ("MaximumMessageSize".to_owned(), self.message_limit_bytes.to_string()),
        ]);
        let managed = if self.given.contains_key("KmsMasterKeyId") { "false" } else { "true" };
        shown.insert("SqsManagedSseEnabled".to_owned(), managed.to_owned());
        if self.fifo {
            shown.extend(
                [
                    ("FifoQueue", "true"),
                    ("ContentBasedDeduplication", "false"),
                    ("DeduplicationScope", "queue"),
                    ("FifoThroughputLimit", "perQueue"),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        shown.extend(self.given.clone());
        shown
    }

    /// The first attribute whose value differs from this queue's.
    pub(crate) fn first_difference(&self, given: &AttributeMap) -> Option<String> {
        let mine = self.shown();
        let differs = |(name, value): &(&String, &String)| {
            !is_same(name, mine.get(*name).map_or("", String::as_str), value)
        };
        given.iter().find(differs).map(|(name, _)| name.clone())
    }
}

/// Whether two values of an attribute have the same meaning; the JSON of policies may differ.
fn is_same(name: &str, mine: &str, theirs: &str) -> bool {
    let as_json = |text: &str| serde_json::from_str::<Value>(text).ok();
    mine == theirs
        || match name {
            "RedrivePolicy" => parse_redrive(mine)
                .ok()
                .is_some_and(|policy| parse_redrive(theirs).ok() == Some(policy)),
            "RedriveAllowPolicy" | "Policy" => {
                as_json(mine).is_some_and(|policy| as_json(theirs) == Some(policy))
            }
            _ => false,
        }
}

const SETTABLE: [&str; 15] = [
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "Policy",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
];
const FIFO_ONLY: [&str; 3] =
    ["ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"];

/// Attributes that can be read but not set.
pub(crate) const READ_ONLY: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Whether `GetQueueAttributes` knows the name.
pub(crate) fn is_known(name: &str) -> bool {
    name == "All" || SETTABLE.contains(&name) || READ_ONLY.contains(&name)
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if SETTABLE.contains(&name) {
        return Ok(());
    }
    Err(ApiError::new(ErrorKind::InvalidAttributeName, format!("Unknown Attribute {name}.")))
}

fn invalid(name: &str) -> ApiError {
    ApiError::new(
        ErrorKind::InvalidAttributeValue,
        format!("Invalid value for the parameter {name}."),
    )
}

fn number(
    given: &AttributeMap,
    name: &str,
    default: u64,
    least: u64,
    most: u64,
) -> Result<u64, ApiError> {
    let Some(text) = given.get(name) else { return Ok(default) };
    text.parse().ok().filter(|value| (least..=most).contains(value)).ok_or_else(|| invalid(name))
}

fn flag(given: &AttributeMap, name: &str) -> Result<bool, ApiError> {
    match given.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(invalid(name)),
    }
}

/// Whether deduplication is per message group.
fn check_throughput(given: &AttributeMap) -> Result<bool, ApiError> {
    let per_group = match given.get("DeduplicationScope").map(String::as_str) {
        None | Some("queue") => false,
        Some("messageGroup") => true,
        Some(_) => return Err(invalid("DeduplicationScope")),
    };
    match given.get("FifoThroughputLimit").map(String::as_str) {
        None | Some("perQueue") => Ok(per_group),
        Some("perMessageGroupId") if per_group => Ok(per_group),
        Some(_) => Err(invalid("FifoThroughputLimit")),
    }
}

fn parse_json(text: &str, name: &str) -> Result<Value, ApiError> {
    serde_json::from_str(text).map_err(|_| invalid(name))
}

fn parse_redrive(text: &str) -> Result<RedrivePolicy, ApiError> {
    let policy = parse_json(text, "RedrivePolicy")?;
    let target_arn =
        policy.get("deadLetterTargetArn").and_then(Value::as_str).filter(|arn| !arn.is_empty());
    let max_receives = match policy.get("maxReceiveCount") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_i64(),
        None => None,
    };
    match (target_arn, max_receives) {
        (Some(arn), Some(max_receives @ 1..=1_000)) => {
            Ok(RedrivePolicy { target_arn: arn.to_owned(), max_receives })
        }
        _ => Err(ApiError::parameter(format!(
            "Value {text} for parameter RedrivePolicy is invalid. Reason: It must name a deadLetterTargetArn and a maxReceiveCount between 1 and 1000."
        ))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AllowPolicy {
    redrive_permission: String,
    #[serde(default)]
    source_queue_arns: Vec<String>,
}

fn parse_allowed(text: &str) -> Result<RedriveAllowed, ApiError> {
    let policy: AllowPolicy =
        serde_json::from_str(text).map_err(|_| invalid("RedriveAllowPolicy"))?;
    match (policy.redrive_permission.as_str(), policy.source_queue_arns) {
        ("allowAll", arns) if arns.is_empty() => Ok(RedriveAllowed::All),
        ("denyAll", arns) if arns.is_empty() => Ok(RedriveAllowed::None),
        ("byQueue", arns) if (1..=10).contains(&arns.len()) => Ok(RedriveAllowed::Sources(arns)),
        _ => Err(invalid("RedriveAllowPolicy")),
    }
}

/// Checks AWS's rules for names: 1 to 80 letters, digits, hyphens and underscores. Names of FIFO
/// queues end with `.fifo`, others do not.
pub(crate) fn check_queue_name(name: &str, fifo: bool) -> Result<(), ApiError> {
    let stem = if fifo { name.strip_suffix(".fifo").unwrap_or_default() } else { name };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !stem.is_empty() && name.len() <= 80 && stem.bytes().all(allowed) {
        return Ok(());
    }
    Err(ApiError::parameter(if fifo {
        "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length."
    } else {
        "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<QueueSettings, ApiError> {
        QueueSettings::new(
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        )
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        for (name, good, bad) in [
            ("DelaySeconds", "900", "901"),
            ("VisibilityTimeout", "43200", "43201"),
            ("MessageRetentionPeriod", "60", "59"),
            ("MaximumMessageSize", "1048576", "1048577"),
            ("ReceiveMessageWaitTimeSeconds", "20", "21"),
            ("VisibilityTimeout", "0", "-1"),
            ("DelaySeconds", "0", "soon"),
        ] {
            assert!(settings(&[(name, good)]).is_ok(), "{name} {good}");
            assert_eq!(
                settings(&[(name, bad)]).unwrap_err().kind,
                ErrorKind::InvalidAttributeValue,
                "{name} {bad}"
            );
        }
    }

    #[test]
    fn attributes_of_fifo_queues_are_refused_on_others() {
        assert_eq!(
            settings(&[("ContentBasedDeduplication", "true")]).unwrap_err().kind,
            ErrorKind::InvalidAttributeName
        );
        assert_eq!(
            settings(&[("QueueArn", "x")]).unwrap_err().kind,
            ErrorKind::InvalidAttributeName
        );
        let high = [("FifoQueue", "true"), ("FifoThroughputLimit", "perMessageGroupId")];
        assert!(settings(&high).is_err());
        assert!(settings(&[high[0], high[1], ("DeduplicationScope", "messageGroup")]).is_ok());
    }

    #[test]
    fn a_redrive_policy_takes_its_count_as_number_or_text() {
        for count in ["2", "\"2\""] {
            let policy = format!(
                r#"{{"deadLetterTargetArn":"arn:aws:sqs:r:1:d","maxReceiveCount":{count}}}"#
            );
            assert_eq!(
                settings(&[("RedrivePolicy", &policy)]).unwrap().redrive.unwrap().max_receives,
                2
            );
        }
        for bad in [
            "{}",
            "no",
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":0}"#,
            r#"{"maxReceiveCount":2}"#,
        ] {
            assert!(settings(&[("RedrivePolicy", bad)]).is_err(), "{bad}");
        }
        assert!(settings(&[("RedrivePolicy", "")]).unwrap().redrive.is_none());
    }

    #[test]
    fn policies_are_compared_by_meaning() {
        let policy =
            |text: &str| AttributeMap::from([("RedrivePolicy".to_owned(), text.to_owned())]);
        let mine = QueueSettings::new(policy(r#"{"deadLetterTargetArn":"a","maxReceiveCount":2}"#))
            .unwrap();
        let same = policy(r#"{ "maxReceiveCount": "2", "deadLetterTargetArn": "a" }"#);
        assert_eq!(mine.first_difference(&same), None);
        let other = policy(r#"{"deadLetterTargetArn":"a","maxReceiveCount":3}"#);
        assert_eq!(mine.first_difference(&other).as_deref(), Some("RedrivePolicy"));
    }

    #[test]
    fn a_queue_name_has_1_to_80_letters_digits_hyphens_and_underscores() {
        let long = "q".repeat(81);
        for (name, fifo, good) in [
            ("a-B_9", false, true),
            (&long[..80], false, true),
            (&long, false, false),
            ("", false, false),
            ("a.b", false, false),
            ("a.fifo", false, false),
            ("a.fifo", true, true),
            (".fifo", true, false),
            ("a", true, false),
        ] {
            assert_eq!(check_queue_name(name, fifo).is_ok(), good, "{name}");
        }
    }
}
