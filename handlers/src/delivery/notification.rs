//! The message that fan-out sends to consumers: a stream has new commits.

use eventstore::{Batch, CorruptStream, StreamId};
use projections::Notification;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The most bytes of commits in a message: ten messages fit into one send (1 MiB). Consumers read
/// larger commits from the store.
const MAX_CARRIED_BYTES: usize = 96 * 1024;
/// The most bytes of a message with several notifications, for the same reason.
pub(crate) const MAX_MESSAGE_BYTES: usize = 100 * 1024;
/// The most bytes of a notification without its commits.
const MAX_ADDRESS_BYTES: usize = 256;

/// The characters that SQS refuses in a message, and that JSON does not escape: U+FFFE and U+FFFF.
const NEVER_CARRIED: [char; 2] = ['\u{fffe}', '\u{ffff}'];

/// A message to a consumer. JSON; fields may be added, none renamed or dropped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotificationMessage {
    /// The stream, which is also the message's group.
    pub stream: StreamId,
    /// The version of the batch's first event.
    pub version: u64,
    /// The version of its last event.
    pub last_version: u64,
    /// The format of the commits, where the message has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<u64>,
    /// The commits as they are stored, unless they are too large or have a refused character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commits: Option<Box<RawValue>>,
}

impl NotificationMessage {
    /// The message for a batch.
    ///
    /// # Errors
    /// None for a batch that came from the store.
    pub fn of(batch: &Batch) -> Result<Self, serde_json::Error> {
        let json = batch.commits_json()?;
        let fits = json.len() <= MAX_CARRIED_BYTES && !json.contains(NEVER_CARRIED);
        let commits = fits.then(|| RawValue::from_string(json)).transpose()?;
        let (version, last_version) = (batch.version(), batch.last_version());
        let format = commits.is_some().then_some(Batch::COMMITS_FORMAT);
        Ok(Self { stream: batch.stream.clone(), version, last_version, format, commits })
    }

    /// The message for a batch that could not be read.
    pub fn address(stream: StreamId, version: u64) -> Self {
        Self { stream, version, last_version: version, format: None, commits: None }
    }

    /// The notifications of a message: one, or an array of several.
    ///
    /// # Errors
    /// The body is neither.
    pub fn read(body: &str) -> Result<Vec<Self>, serde_json::Error> {
        if body.starts_with('[') {
            let several: Vec<Self> = serde_json::from_str(body)?;
            let empty = || serde::de::Error::custom("a message has at least one notification");
            Some(several).filter(|several| !several.is_empty()).ok_or_else(empty)
        } else {
            serde_json::from_str(body).map(|notification| vec![notification])
        }
    }

    /// About as many bytes as it has in a message, and not fewer.
    pub(crate) fn bytes(&self) -> usize {
        MAX_ADDRESS_BYTES + self.commits.as_ref().map_or(0, |commits| commits.get().len())
    }

    /// Unique for the batch: SQS drops a second message with it for five minutes.
    pub fn deduplication_id(&self) -> String {
        format!("{}:{}", self.stream, self.version)
    }

    /// The notification. Commits in another format are dropped: the projector reads the store.
    ///
    /// # Errors
    /// [`CorruptStream`] when the commits are not what the store writes.
    pub fn notification(self) -> Result<Notification, CorruptStream> {
        let Self { stream, version, last_version, format, commits } = self;
        let known = commits.filter(|_| format == Some(Batch::COMMITS_FORMAT));
        let batch = known.map(|json| Batch::from_commits_json(stream.clone(), version, json.get()));
        Ok(Notification { stream, version: last_version, batch: batch.transpose()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rest: &str) -> Result<Notification, CorruptStream> {
        let json = format!(r#"{{"stream":"order-1","version":1,"last_version":2{rest}}}"#);
        serde_json::from_str::<NotificationMessage>(&json).unwrap().notification()
    }

    #[test]
    fn commits_of_another_format_are_left_to_the_store() {
        for rest in [
            "",
            r#","commits":[{}]"#,
            r#","format":1,"commits":[{}]"#,
            r#","format":3,"commits":[{}]"#,
        ] {
            let Notification { version, batch, .. } = read(rest).unwrap();
            assert!(version == 2 && batch.is_none(), "{rest}");
        }
        assert!(read(r#","format":2,"commits":[{}]"#).is_err());
    }
}
