//! Command metadata: who sent a command, why, and under which id.

use crate::{Fingerprint, Id};
use serde::{Deserialize, Serialize};

/// Who sent a command, why, and under which id it is deduplicated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandMetadata {
    /// The id of the command; its scope is the stream that it addresses.
    pub command_id: Id,
    /// A hash of what the command contains. The same id with another fingerprint is refused.
    pub fingerprint: Fingerprint,
    /// The business process that the command belongs to.
    pub correlation_id: Id,
    /// The id of the cause of the command, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Id>,
    /// Who sent the command.
    pub actor: Id,
    /// The W3C `traceparent` of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<Id>,
}

impl CommandMetadata {
    /// The metadata of a command that no event caused and that starts a business process. Set the
    /// other fields if that is not so.
    ///
    /// The fingerprint covers the actor and the canonical JSON of the command (RFC 8785). A retry
    /// must serialise to the same JSON, in later releases too: a new field with a default makes it
    /// another command.
    ///
    /// # Errors
    /// When the command cannot be written as JSON.
    pub fn new<C: Serialize>(
        command_id: Id,
        actor: Id,
        command: &C,
    ) -> Result<Self, serde_json::Error> {
        let json = serde_json_canonicalizer::to_string(command)?;
        let fingerprint =
            Fingerprint::of(&[COMMAND_JSON, actor.as_str().as_bytes(), json.as_bytes()]);
        let correlation_id = command_id.clone();
        Ok(Self {
            command_id,
            fingerprint,
            correlation_id,
            causation_id: None,
            actor,
            trace_parent: None,
        })
    }

    /// Whether the recorded metadata is of this same command. The system derives its ids from the
    /// whole command, so there the id alone decides.
    pub(crate) fn is_recorded_as(&self, recorded: &Self) -> bool {
        let is_same = self.command_id.is_of_system() || self.fingerprint == recorded.fingerprint;
        self.command_id == recorded.command_id && is_same
    }
}

/// The prefix of fingerprints of JSON: another rule needs another number.
const COMMAND_JSON: &[u8] = b"eventstore/command/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_fingerprint_is_of_its_canonical_json_and_its_actor() {
        let of = |actor: &str, json: &str| {
            let command: serde_json::Value = serde_json::from_str(json).unwrap();
            let metadata =
                CommandMetadata::new(Id::new("c-1").unwrap(), Id::new(actor).unwrap(), &command)
                    .unwrap();
            assert_eq!(metadata.correlation_id, metadata.command_id);
            metadata.fingerprint.to_string()
        };
        // Stored with commits: a release that changes it refuses the retries of all earlier
        // commands.
        assert_eq!(of("ann", r#"{"coins":5,"note":"x"}"#), "XVuT2808lRDE-KTkLVvwgg");
        assert_eq!(of("ann", r#"{ "note": "x", "coins": 5 }"#), "XVuT2808lRDE-KTkLVvwgg");
        assert_ne!(of("bob", r#"{"coins":5,"note":"x"}"#), "XVuT2808lRDE-KTkLVvwgg");
        assert_ne!(of("ann", r#"{"coins":6,"note":"x"}"#), "XVuT2808lRDE-KTkLVvwgg");
    }
}
