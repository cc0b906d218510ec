//! Who asked for a command, why, and by which id: what a commit says beside its events.

use crate::{Fingerprint, Id};
use serde::{Deserialize, Serialize};

/// Who asked for a command, why, and by which id it is known for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandMetadata {
    /// The command's id; its scope is the stream that it addresses.
    pub command_id: Id,
    /// What the command asks for: the same id with another fingerprint is another command, and refused.
    pub fingerprint: Fingerprint,
    /// The business process that the command belongs to.
    pub correlation_id: Id,
    /// The id of what caused the command, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Id>,
    /// Who gave the command.
    pub actor: Id,
    /// The W3C `traceparent` of the request, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<Id>,
}

impl CommandMetadata {
    /// A command that no event caused, and that begins a business process: set the other fields where it is otherwise.
    ///
    /// The fingerprint is of the actor and of the command's canonical JSON (RFC 8785). A retry must serialise to the same
    /// JSON, also in later releases: a field that is added with a default makes it another command.
    ///
    /// # Errors
    /// When the command cannot be written as JSON.
    pub fn new<C: Serialize>(command_id: Id, actor: Id, command: &C) -> Result<Self, serde_json::Error> {
        let json = serde_json_canonicalizer::to_string(command)?;
        let fingerprint = Fingerprint::of(&[COMMAND_JSON, actor.as_str().as_bytes(), json.as_bytes()]);
        let correlation_id = command_id.clone();
        Ok(Self { command_id, fingerprint, correlation_id, causation_id: None, actor, trace_parent: None })
    }

    /// Whether what was recorded under that envelope is this command: its id, and what it asks for. The system derives an id of its
    /// own from all that the command says, so that whatever is recorded under it is the command, however it was written.
    pub(crate) fn is_recorded_as(&self, recorded: &Self) -> bool {
        let is_same = self.command_id.is_of_system() || self.fingerprint == recorded.fingerprint;
        self.command_id == recorded.command_id && is_same
    }
}

/// What fingerprints of commands' JSON begin with: another rule is another number.
const COMMAND_JSON: &[u8] = b"eventstore/command/1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_fingerprint_is_of_its_canonical_json_and_its_actor() {
        let of = |actor: &str, json: &str| {
            let command: serde_json::Value = serde_json::from_str(json).unwrap();
            let metadata = CommandMetadata::new(Id::new("c-1").unwrap(), Id::new(actor).unwrap(), &command).unwrap();
            assert_eq!(metadata.correlation_id, metadata.command_id);
            metadata.fingerprint.to_string()
        };
        // Stored with commits: a release that changes it refuses the retries of all commands before it.
        assert_eq!(of("ann", r#"{"coins":5,"note":"x"}"#), "XVuT2808lRDE-KTkLVvwgg");
        assert_eq!(of("ann", r#"{ "note": "x", "coins": 5 }"#), "XVuT2808lRDE-KTkLVvwgg");
        assert_ne!(of("bob", r#"{"coins":5,"note":"x"}"#), "XVuT2808lRDE-KTkLVvwgg");
        assert_ne!(of("ann", r#"{"coins":6,"note":"x"}"#), "XVuT2808lRDE-KTkLVvwgg");
    }
}
