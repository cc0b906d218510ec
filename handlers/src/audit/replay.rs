//! The state of a stream as of a version or a time: the row of its read model at that point.

use super::occurrence::MAX_DATA_BYTES;
use super::{AuditError, DamagedCommit, Occurrence, OpenTrail};
use crate::app::App;
use chrono::{DateTime, Utc};
use eventstore::{Commit, Event, Hash, Head, StreamId, time_text};
use projections::{Kind, Projection, RecordedEvent, RowData};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// The most events between two moments that are shown.
const MAX_EVENTS: usize = 500;

/// A place in a stream's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the event of that version.
    Version(u64),
    /// After the last commit of that time or earlier.
    Time(DateTime<Utc>),
}

/// The state of a stream as of a version.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StateAt {
    /// The stream.
    pub stream: String,
    /// The version of its last event.
    pub version: u64,
    /// When that event was recorded, RFC 3339.
    pub recorded_at: String,
    /// The read model whose row it is.
    #[schema(example = "orders")]
    pub read_model: String,
    /// The row, as the read model has it; null if the stream has only recorded refusals.
    #[schema(value_type = Option<Object>)]
    pub state: Value,
    /// Always true: the hash chain was verified from the first commit to the last. Otherwise the
    /// query fails.
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
        let Replayed { read_model, to, after, .. } =
            self.replay(stream, moment, Some(moment)).await?;
        Ok(StateAt {
            stream: stream.to_string(),
            version: to.version,
            recorded_at: time_text(to.recorded_at),
            read_model: read_model.to_owned(),
            state: after,
            verified: true,
            hash: to.hash.to_string(),
        })
    }

    /// Reads the stream from its first commit to its last, page by page; returns its states at two
    /// moments. The second moment is the stream's end by default. In memory are a page, two rows,
    /// and the shown events between them.
    pub(super) async fn replay(
        &self,
        stream: &StreamId,
        from: Moment,
        to: Option<Moment>,
    ) -> Result<Replayed, AuditError> {
        let follower = follower(&self.app, stream)
            .ok_or_else(|| AuditError::NoReadModel(stream.category().to_owned()))?;
        let end = self.existing(stream).await?;
        for moment in [Some(from), to].into_iter().flatten() {
            is_within(moment, &end)?;
        }
        let mut walk =
            ReplayRun::new(stream, follower, from, to.unwrap_or(Moment::Version(end.version())));
        let mut head = Head::empty(stream);
        while head.version() < end.version() {
            let next = self.store.load_next(&head).await?;
            if next.batches.is_empty() {
                return Err(gone(&head).into());
            }
            // Commits that were appended after the end was read are left out.
            let commits = next.batches.into_iter().flat_map(|batch| batch.commits);
            commits
                .filter(|commit| commit.version <= end.version())
                .try_for_each(|commit| walk.step(commit))?;
            head = next.head;
        }
        walk.ended()
    }
}

/// The stream is shorter than its end a moment ago: commits were removed.
fn gone(head: &Head) -> DamagedCommit {
    let reason = "what follows is there no more".to_owned();
    DamagedCommit { stream: head.stream().to_string(), version: head.version() + 1, reason }
}

fn is_within(moment: Moment, end: &Head) -> Result<(), AuditError> {
    match moment {
        Moment::Version(asked) if asked > end.version() => {
            Err(AuditError::Beyond { stream: end.stream().clone(), asked, head: end.version() })
        }
        Moment::Version(_) | Moment::Time(_) => Ok(()),
    }
}

type Fold = &'static projections::Fold<RowData>;

/// The projection that has a row for each stream of that kind.
fn follower(app: &App, stream: &StreamId) -> Option<(Projection, Fold)> {
    app.consumers().iter().filter(|projection| projection.follows.includes(stream)).find_map(
        |projection| {
            let Kind::SingleStream { fold } = projection.kind else { return None };
            Some((*projection, fold))
        },
    )
}

/// The states of a stream at two moments.
pub(super) struct Replayed {
    /// The read model whose rows they are.
    pub(super) read_model: &'static str,
    /// The first moment; none before the stream began.
    pub(super) from: Option<Proof>,
    /// The second one.
    pub(super) to: Proof,
    /// The row then; null where nothing was.
    pub(super) before: Value,
    /// The row at the second moment.
    pub(super) after: Value,
    /// The events between the two, the oldest first: at most 500, and none behind 4 MB of data.
    pub(super) events: Vec<Occurrence>,
}

/// The last event at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proof {
    /// Its version.
    pub(super) version: u64,
    /// When it was recorded.
    pub(super) recorded_at: DateTime<Utc>,
    /// The chain hash of its commit.
    pub(super) hash: Hash,
}

impl Moment {
    /// Whether the event had happened. In a stream, versions grow and times never go back.
    fn has(self, commit: &Commit, event: &Event) -> bool {
        match self {
            Self::Version(version) => event.version <= version,
            Self::Time(time) => commit.recorded_at <= time,
        }
    }
}

/// Folds a stream by its read model, page by page.
struct ReplayRun<'a> {
    stream: &'a StreamId,
    projection: Projection,
    fold: Fold,
    from: Moment,
    to: Moment,
    begins: Option<DateTime<Utc>>,
    /// The row after the folded commits, up to the second moment.
    row: Option<Value>,
    /// The row at the first moment, once it is passed.
    before: Option<Value>,
    reached_from: Option<Proof>,
    reached_to: Option<Proof>,
    events: Vec<Occurrence>,
    bytes: usize,
}

impl<'a> ReplayRun<'a> {
    fn new(
        stream: &'a StreamId,
        (projection, fold): (Projection, Fold),
        from: Moment,
        to: Moment,
    ) -> Self {
        let (begins, row, before, reached_from, reached_to) = (None, None, None, None, None);
        let (events, bytes) = (Vec::new(), 0);
        Self {
            stream,
            projection,
            fold,
            from,
            to,
            begins,
            row,
            before,
            reached_from,
            reached_to,
            events,
            bytes,
        }
    }

    fn step(&mut self, commit: Commit) -> Result<(), AuditError> {
        let commit = Arc::new(commit);
        self.begins.get_or_insert(commit.recorded_at);
        let to = self.to;
        for event in commit.events.iter().filter(|event| to.has(&commit, event)) {
            let proof = Proof {
                version: event.version,
                recorded_at: commit.recorded_at,
                hash: commit.hash,
            };
            if self.from.has(&commit, event) {
                self.reached_from = Some(proof);
            } else {
                self.before.get_or_insert_with(|| self.row.clone().unwrap_or_default());
                self.keep(&commit, event);
            }
            self.reached_to = Some(proof);
            self.apply(&commit, event)?;
        }
        Ok(())
    }

    fn keep(&mut self, commit: &Arc<Commit>, event: &Event) {
        if self.events.len() < MAX_EVENTS && self.bytes < MAX_DATA_BYTES {
            let shown = Occurrence {
                stream: self.stream.clone(),
                commit: commit.clone(),
                event: event.clone(),
            };
            self.bytes += shown.data_bytes();
            self.events.push(shown);
        }
    }

    fn apply(&mut self, commit: &Commit, event: &Event) -> Result<(), AuditError> {
        let recorded = RecordedEvent {
            stream: self.stream,
            recorded_at: commit.recorded_at,
            event: &event.body,
        };
        let folded =
            self.projection.apply(&recorded, |recorded| (self.fold)(self.row.as_ref(), recorded));
        let failed = |source| AuditError::Fold {
            stream: self.stream.clone(),
            version: event.version,
            source,
        };
        if let Some(folded) = folded.map_err(failed)? {
            self.row = Some(folded.data);
        }
        Ok(())
    }

    fn ended(self) -> Result<Replayed, AuditError> {
        let Some(to) = self.reached_to else { return Err(self.not_yet()) };
        let after = self.row.unwrap_or_default();
        let before = self.before.unwrap_or_else(|| after.clone());
        let (read_model, from, events) = (self.projection.name, self.reached_from, self.events);
        Ok(Replayed { read_model, from, to, before, after, events })
    }

    fn not_yet(&self) -> AuditError {
        let stream = self.stream.clone();
        match (self.to, self.begins) {
            (Moment::Time(asked), Some(begins)) => AuditError::NotYet { stream, asked, begins },
            (Moment::Time(_) | Moment::Version(_), _) => AuditError::NoStream(stream),
        }
    }
}
