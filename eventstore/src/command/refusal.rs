//! Recorded refusals: the only event that the store itself writes.

use crate::{CodecError, Untranslatable};
use crate::{Commit, NewEvent};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

/// The type of a recorded refusal.
const REFUSED: &str = "$Refused";
const SCHEMA: u32 = 1;

/// A recorded refusal: the model's answer to a command, stored in place of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedRefusal {
    /// The stable code of the refusal, for programs.
    pub code: String,
    /// The text of the refusal, for people.
    pub reason: String,
}

impl Commit {
    /// The refusal that the commit records; none for a commit of a model's events.
    ///
    /// [`CommandHandler::handle_recording_refusals`](crate::CommandHandler::handle_recording_refusals)
    /// writes such commits.
    pub fn refusal(&self) -> Option<RecordedRefusal> {
        let [event] = self.events.as_slice() else { return None };
        let refused = event.body.event_type == REFUSED;
        refused.then(|| serde_json::from_str(event.body.data.get()).ok())?
    }
}

/// How refusals of a type become events.
pub(crate) struct RefusalCodec<R> {
    pub(crate) code: fn(&R) -> &'static str,
    pub(crate) reason: fn(&R) -> String,
}

impl<R> RefusalCodec<R> {
    pub(crate) fn encode(&self, refusal: &R) -> Result<NewEvent, CodecError> {
        let refusal = RecordedRefusal {
            code: (self.code)(refusal).to_owned(),
            reason: (self.reason)(refusal),
        };
        let data = to_raw_value(&refusal).map_err(|error| CodecError {
            event_type: REFUSED.to_owned(),
            schema: SCHEMA,
            source: Untranslatable::Shape(error),
        })?;
        Ok(NewEvent { event_type: REFUSED.to_owned(), schema: SCHEMA, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewCommit;
    use crate::stream::commit::tests::{event, metadata, stream};
    use crate::stream::hash_chain::genesis;
    use chrono::DateTime;

    fn commit(events: Vec<NewEvent>) -> Commit {
        let now = DateTime::from_timestamp_millis(1_790_000_000_123).unwrap();
        Commit::chain(NewCommit { metadata: metadata("c"), events }, 1, now, &genesis(&stream()))
    }

    fn refused() -> NewEvent {
        let codec = RefusalCodec {
            code: |_: &u32| "too-little",
            reason: |least| format!("less than {least}"),
        };
        codec.encode(&5).unwrap()
    }

    /// The storage format: another text here needs another schema version.
    #[test]
    fn a_refusal_is_stored_in_this_form() {
        let event = refused();
        let stored = (event.event_type.as_str(), event.schema, event.data.get());
        assert_eq!(stored, ("$Refused", 1, r#"{"code":"too-little","reason":"less than 5"}"#));
    }

    #[test]
    fn a_commit_tells_the_refusal_that_it_records() {
        let told = RecordedRefusal { code: "too-little".into(), reason: "less than 5".into() };
        assert_eq!(commit(vec![refused()]).refusal(), Some(told));
        assert_eq!(commit(vec![event("1")]).refusal(), None);
        assert_eq!(
            commit(vec![refused(), event("1")]).refusal(),
            None,
            "a refusal is alone in its commit"
        );
        let other = NewEvent { event_type: "$Other".into(), ..refused() };
        assert!(other.is_of_store() && !event("1").is_of_store());
        assert_eq!(commit(vec![other]).refusal(), None);
    }
}
