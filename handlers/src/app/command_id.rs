//! Ids and fingerprints of commands.

use super::canonical_json::CanonicalJson;
use eventstore::{EventStore, Fingerprint, Id};
use uuid::{NoContext, Timestamp, Uuid};

/// The fingerprint of a command. It covers the actor: the same id from another actor is another
/// command, not a retry.
///
/// It covers what the client sent, not the parsed command: a missing field differs from one that is
/// sent with its default. So a release can add a field and still match retries of earlier commands.
pub(crate) fn fingerprint(name: &str, actor: &Id, sent: &CanonicalJson) -> Fingerprint {
    Fingerprint::of(&[
        b"ledgerfold/command/1",
        name.as_bytes(),
        actor.as_str().as_bytes(),
        sent.as_bytes(),
    ])
}

/// An id for a command without one. It uses the store's clock, which checks ids: the id is not
/// ahead of it even if the clock was set back.
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

    /// Commits store fingerprints. A release that changes them rejects retries of all earlier
    /// commands.
    #[test]
    fn fingerprints_stay_what_they_are() {
        let order = r#"{"customer_id":"c","currency":"EUR","lines":[{"item":"book","quantity":1,"unit_price_minor":5}]}"#;
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
