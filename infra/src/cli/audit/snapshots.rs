//! `ledgerfold audit verify --snapshots`.

use crate::cli::exit::Failure;
use eventstore::{SnapshotVerification, Verification};
use handlers::app::Dispatcher;
use serde_json::{Value, json};

/// Compares the snapshot of a stream whose chain is verified. Events of a broken one cannot be
/// folded.
pub(super) async fn check(
    dispatcher: &Dispatcher,
    walk: &Verification,
) -> Result<SnapshotVerification, Failure> {
    if !walk.verified() {
        return Ok(SnapshotVerification::Absent);
    }
    let found = dispatcher.verify_snapshot(&walk.stream).await;
    found.map_err(|error| Failure::new(format!("{} cannot be folded", walk.stream), error))
}

/// The results over all streams.
#[derive(Default)]
pub(super) struct SnapshotReport {
    equal: usize,
    ignored: usize,
    /// Each with its stream.
    different: Vec<(String, SnapshotVerification)>,
}

impl SnapshotReport {
    pub(super) fn add(&mut self, walk: &Verification, found: SnapshotVerification) {
        match found {
            SnapshotVerification::Absent => {}
            SnapshotVerification::Ignored => self.ignored += 1,
            SnapshotVerification::Equal { .. } => self.equal += 1,
            SnapshotVerification::Different { .. } => {
                self.different.push((walk.stream.to_string(), found))
            }
        }
    }

    pub(super) fn verified(&self) -> bool {
        self.different.is_empty()
    }

    pub(super) fn to_json(&self) -> Value {
        let different = |(stream, found): &(String, SnapshotVerification)| {
            with_member(to_json(found), "stream", Some(json!(stream)))
        };
        let different: Vec<Value> = self.different.iter().map(different).collect();
        json!({"equal": self.equal, "ignored": self.ignored, "different": different})
    }

    /// A line for each difference, then the counts.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .different
            .iter()
            .map(|(stream, found)| format!("{stream}: {}", verdict(found)))
            .collect();
        lines.push(format!(
            "Snapshots: {} equal the fold of the events, {} differ, {} have another shape and are ignored.",
            self.equal,
            self.different.len(),
            self.ignored
        ));
        lines
    }
}

/// The object with one more member, if there is one.
pub(super) fn with_member(mut object: Value, name: &str, member: Option<Value>) -> Value {
    if let (Some(members), Some(member)) = (object.as_object_mut(), member) {
        members.insert(name.to_owned(), member);
    }
    object
}

/// The result for one stream; null without a snapshot.
pub(super) fn to_json(found: &SnapshotVerification) -> Value {
    match found {
        SnapshotVerification::Absent => Value::Null,
        SnapshotVerification::Ignored => json!({"result": "ignored"}),
        SnapshotVerification::Equal { version } => json!({"result": "equal", "version": version}),
        SnapshotVerification::Different { version, difference } => {
            json!({"result": "different", "version": version, "reason": difference.to_string()})
        }
    }
}

/// The same in one sentence.
pub(super) fn verdict(found: &SnapshotVerification) -> String {
    match found {
        SnapshotVerification::Absent => "no snapshot was compared".to_owned(),
        SnapshotVerification::Ignored => {
            "the snapshot has another shape, so commands ignore it".to_owned()
        }
        SnapshotVerification::Equal { version } => {
            format!("the snapshot at version {version} equals the fold of the events")
        }
        SnapshotVerification::Different { version, difference } => {
            format!("the snapshot at version {version} DIFFERS: {difference}")
        }
    }
}
