//! The difference between two states of a stream, field by field, and the events between them.

use super::replay::{Proof, Replayed};
use super::schema::AuditedEvent;
use super::{AuditError, Moment, Occurrence, OpenTrail, values};
use chrono::{DateTime, Utc};
use eventstore::{StreamId, time_text};
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

/// A span between two moments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: Moment,
    to: Option<Moment>,
}

/// The ends of a span do not fit together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSpan {
    /// It would end before its beginning, or there.
    #[error("from must be before to")]
    Backwards,
    /// One end is a version, the other a time.
    #[error("both ends must be versions, or both times")]
    Mixed,
}

/// The difference between two states of a stream.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Difference {
    /// The stream.
    pub stream: String,
    /// The read model whose rows are compared.
    #[schema(example = "orders")]
    pub read_model: String,
    /// The state before; version 0 is the empty stream.
    pub from: End,
    /// The state after.
    pub to: End,
    /// Always true: the hash chain was verified from the first commit to the last.
    pub verified: bool,
    /// The fields that differ.
    pub changes: Vec<ChangedField>,
    /// The events between the two, the oldest first: at most 500, or 4 MB of data.
    #[serde(serialize_with = "audited")]
    #[schema(value_type = Vec<AuditedEvent>)]
    pub events: Vec<Occurrence>,
    /// The number of later events, which are not shown.
    pub events_left_out: u64,
}

/// One of two states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct End {
    /// The version of its last event; 0 for the empty stream.
    pub version: u64,
    /// When that event was recorded, RFC 3339.
    pub recorded_at: Option<String>,
    /// The chain hash of the commit with that event.
    pub hash: Option<String>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ChangedField {
    /// Its path, such as `status` or `lines[0].quantity`.
    pub path: String,
    /// The value before; null if missing.
    #[schema(value_type = Option<Value>)]
    pub before: Value,
    /// The value after; null if missing.
    #[schema(value_type = Option<Value>)]
    pub after: Value,
}

impl Span {
    /// From one moment, or from before the stream began, to a later one, or to the stream's end.
    ///
    /// # Errors
    /// [`UnfitSpan`].
    pub fn new(from: Option<Moment>, to: Option<Moment>) -> Result<Self, UnfitSpan> {
        let from = from.unwrap_or(match to {
            Some(Moment::Time(_)) => Moment::Time(DateTime::<Utc>::MIN_UTC),
            Some(Moment::Version(_)) | None => Moment::Version(0),
        });
        let forwards = match (from, to) {
            (Moment::Version(from), Some(Moment::Version(to))) => from < to,
            (Moment::Time(from), Some(Moment::Time(to))) => from < to,
            (Moment::Version(_), Some(Moment::Time(_)))
            | (Moment::Time(_), Some(Moment::Version(_))) => {
                return Err(UnfitSpan::Mixed);
            }
            (Moment::Version(_) | Moment::Time(_), None) => true,
        };
        if forwards { Ok(Self { from, to }) } else { Err(UnfitSpan::Backwards) }
    }
}

impl OpenTrail {
    /// The difference of the stream's row over the span. Before the stream begins it is empty:
    /// version 0.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn difference(
        &self,
        stream: &StreamId,
        span: Span,
    ) -> Result<Difference, AuditError> {
        let replayed = self.replay(stream, span.from, span.to).await?;
        let Replayed { read_model, from, to, before, after, events } = replayed;
        let shown = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let (from, to) = (End::of(from), End::of(Some(to)));
        Ok(Difference {
            stream: stream.to_string(),
            read_model: read_model.to_owned(),
            events_left_out: to.version.saturating_sub(from.version).saturating_sub(shown),
            from,
            to,
            verified: true,
            changes: values::changes(&before, &after),
            events,
        })
    }
}

impl End {
    fn of(last: Option<Proof>) -> Self {
        Self {
            version: last.map_or(0, |last| last.version),
            recorded_at: last.map(|last| time_text(last.recorded_at)),
            hash: last.map(|last| last.hash.to_string()),
        }
    }
}

/// The stream is said once, not at each event.
fn audited<S: Serializer>(events: &[Occurrence], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(events.iter().map(Occurrence::audited))
}
