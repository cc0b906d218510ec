//! What identifies a command: its id, and the fingerprint of what was sent.

use super::canonical_json::CanonicalJson;
use eventstore::{EventStore, Fingerprint, Id};
use uuid::{NoContext, Timestamp, Uuid};

/// The fingerprint of a command: who asks for what. The same id from another actor is another command, not a retry.
///
/// It covers what the client sent, and no type of this program: a field that is left out is not the same as one that is sent
/// with its default, and a release that adds such a field knows the retries of commands that came before it.
pub(crate) fn fingerprint(name: &str, actor: &Id, sent: &CanonicalJson) -> Fingerprint {
    Fingerprint::of(&[b"ledgerfold/command/1", name.as_bytes(), actor.as_str().as_bytes(), sent.as_bytes()])
}

/// An id for a command that came without one. By the clock that the store checks ids with: it is never ahead of it, also when that
/// clock was set back.
pub(crate) fn new_id(store: &EventStore) -> Id {
    let now = store.now();
    let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, now.timestamp_subsec_nanos())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::canonical_json::ExactJson;

    fn of(name: &str, actor: &str, json: &str) -> String {
        let ExactJson(value) = serde_json::from_str(json).unwrap();
        fingerprint(name, &Id::new(actor).unwrap(), &CanonicalJson::of(&value).unwrap()).to_string()
    }

    /// They are stored with commits. A release that changes one refuses the retries of all commands before it.
    #[test]
    fn fingerprints_stay_what_they_are() {
        let order =
            r#"{"customer_id":"c","currency":"EUR","lines":[{"item":"book","quantity":1,"unit_price_minor":5}]}"#;
        for (name, actor, json, expected) in [
            ("ReceiveStock", "anna", r#"{"quantity":5}"#, "qJs2of-1Z6KOwwsxKAcPVA"),
            ("ReceiveStock", "anna", "{ \"quantity\" : 5 }", "qJs2of-1Z6KOwwsxKAcPVA"),
            ("ReceiveStock", "anna", r#"{"quantity":5,"note":null}"#, "KOp1Lw10xshYR2sVRpCBug"),
            ("ReceiveStock", "bert", r#"{"quantity":5}"#, "Wgwd_9oYHfmGxVIERqL-Ug"),
            ("ReserveStock", "anna", r#"{"quantity":5}"#, "jJPT1jTkz_8Yjf6NyGGEhA"),
            ("ConfirmOrder", "anna", "{}", "a-hktt0p2hmseBdweyeSEg"),
            ("PlaceOrder", "anna", order, "BuiCW9w6L4EimY4E_zZtDA"),
        ] {
            assert_eq!(of(name, actor, json), expected, "{name} by {actor}: {json}");
        }
    }
}
