//! The state of a stream as of a version or a time: the row that its read model showed then.

use super::{AuditError, Occurrence, OpenTrail};
use chrono::{DateTime, Utc};
use eventstore::{Commit, Consistency, Direction, Event, Hash, StreamId, time_text};
use projections::{ALL, Fact, FoldError, Kind, Projection, RowData, Unknown};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A place in a stream's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Behind the event of that version.
    Version(u64),
    /// Behind the last commit that was taken at that time or earlier.
    Time(DateTime<Utc>),
}

/// The state of a stream as of a version.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StateAt {
    /// The stream.
    pub stream: String,
    /// The version of the last event that is in it.
    pub version: u64,
    /// When that event was recorded, RFC 3339.
    pub recorded_at: String,
    /// The read model whose row it is.
    #[schema(example = "orders")]
    pub read_model: String,
    /// The row, as the read model has it.
    #[schema(value_type = Object)]
    pub state: Value,
    /// That the stream's chain was walked from the first commit to the last, and every commit fits: an answer that could
    /// not say so is none.
    pub verified: bool,
    /// The chain hash of the commit with that event.
    pub hash: String,
}

impl OpenTrail {
    /// The state of the stream as of that moment.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn at(&self, stream: &StreamId, moment: Moment) -> Result<StateAt, AuditError> {
        let replay = self.replay(stream).await?;
        let version = replay.version_at(moment)?;
        let commit = replay.commit(version).ok_or_else(|| AuditError::NoStream(stream.clone()))?;
        Ok(StateAt {
            stream: stream.to_string(),
            version,
            recorded_at: time_text(commit.recorded_at),
            read_model: replay.read_model().to_owned(),
            state: replay.row(version)?,
            verified: true,
            hash: commit.hash.to_string(),
        })
    }

    /// The stream whole: loading it walks its chain.
    pub(super) async fn replay<'a>(&self, stream: &'a StreamId) -> Result<Replay<'a>, AuditError> {
        let (projection, fold) =
            follower(stream).ok_or_else(|| AuditError::NoReadModel(stream.category().to_owned()))?;
        let loaded = self.store.load(stream, Consistency::Strong).await?;
        let commits: Vec<Commit> = loaded.batches.into_iter().flat_map(|batch| batch.commits).collect();
        match commits.first().map(|first| first.recorded_at) {
            Some(begins) => Ok(Replay { stream, projection, fold, commits, begins, head: loaded.head.version() }),
            None => Err(AuditError::NoStream(stream.clone())),
        }
    }
}

type Fold = fn(Option<&Value>, &Fact<'_>) -> Result<RowData, FoldError>;

/// The projection that has a row for each stream of that kind.
fn follower(stream: &StreamId) -> Option<(Projection, Fold)> {
    ALL.into_iter().filter(|projection| projection.follows.includes(stream)).find_map(|projection| {
        let Kind::SingleStream { fold } = projection.kind else { return None };
        Some((projection, fold))
    })
}

/// A stream that is there, with the fold of its read model.
pub(super) struct Replay<'a> {
    stream: &'a StreamId,
    projection: Projection,
    fold: Fold,
    commits: Vec<Commit>,
    begins: DateTime<Utc>,
    pub(super) head: u64,
}

impl Replay<'_> {
    /// The read model's name.
    pub(super) fn read_model(&self) -> &'static str {
        self.projection.name
    }

    /// The version of the last event at that moment; at least 1.
    pub(super) fn version_at(&self, moment: Moment) -> Result<u64, AuditError> {
        let stream = self.stream.clone();
        match moment {
            Moment::Version(asked) if asked > self.head => Err(AuditError::Beyond { stream, asked, head: self.head }),
            Moment::Version(version) => Ok(version),
            Moment::Time(asked) => {
                let last = self.commits.iter().rfind(|commit| commit.recorded_at <= asked);
                let begins = self.begins;
                last.map(Commit::last_version).ok_or(AuditError::NotYet { stream, asked, begins })
            }
        }
    }

    /// The commit with that event.
    pub(super) fn commit(&self, version: u64) -> Option<&Commit> {
        self.commits.iter().find(|commit| (commit.version..=commit.last_version()).contains(&version))
    }

    /// The row behind the event of that version; null behind version 0, where nothing is.
    pub(super) fn row(&self, version: u64) -> Result<Value, AuditError> {
        let mut row = None;
        for (commit, event) in self.events().take_while(|(_, event)| event.version <= version) {
            let fact = Fact { stream: self.stream, recorded_at: commit.recorded_at, event: &event.body };
            match (self.fold)(row.as_ref(), &fact) {
                Ok(folded) => row = Some(folded.data),
                Err(source) if self.passes_over(&source, event) => {}
                Err(source) => {
                    let (stream, version) = (self.stream.clone(), event.version);
                    return Err(AuditError::Fold { stream, version, source });
                }
            }
        }
        Ok(row.unwrap_or_default())
    }

    /// Whether the read model, too, was left as it was by the event.
    fn passes_over(&self, error: &FoldError, event: &Event) -> bool {
        let Projection { knows, unknown, .. } = self.projection;
        matches!(error, FoldError::Event(_)) && unknown == Unknown::Ignored && !knows(&event.body.event_type)
    }

    /// The events between two versions, the second one with them, but at most `limit`.
    pub(super) fn between(&self, from: u64, to: u64, limit: usize) -> Vec<Occurrence> {
        let commits = self.commits.iter().filter(|commit| commit.last_version() > from && commit.version <= to);
        let occurrences = commits
            .take(limit)
            .flat_map(|commit| Occurrence::of_commit(self.stream, commit.clone(), Direction::Forwards));
        occurrences.filter(|found| found.event.version > from && found.event.version <= to).take(limit).collect()
    }

    /// The chain hash of the commit with that event, and when it was taken.
    pub(super) fn proof(&self, version: u64) -> Option<(Hash, DateTime<Utc>)> {
        self.commit(version).map(|commit| (commit.hash, commit.recorded_at))
    }

    fn events(&self) -> impl Iterator<Item = (&Commit, &Event)> {
        self.commits.iter().flat_map(|commit| commit.events.iter().map(move |event| (commit, event)))
    }
}
