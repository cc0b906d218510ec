//! What a projection is: a name, the streams it follows, and pure folds.

use crate::definition::consumer::{Consumer, Follows};
use crate::tables::position::{position_name, stream_of_position};
use crate::tables::row::RowData;
use chrono::{DateTime, Utc};
use eventstore::{CodecError, NewEvent, StreamId};
use serde_json::Value;
use std::fmt;

/// Whether events of a type are known.
pub type Knows = dyn Fn(&str) -> bool + Send + Sync;
/// The result of an event, given the row before it (or the stream's memory).
pub type Fold<T> = dyn Fn(Option<&Value>, &RecordedEvent<'_>) -> Result<T, FoldError> + Send + Sync;
/// A row after a change.
pub type Merge =
    dyn Fn(Option<&Value>, &Change) -> Result<RowData, serde_json::Error> + Send + Sync;

/// A read model's definition.
#[derive(Clone, Copy)]
pub struct Projection {
    /// Its name: part of its rows' keys and of its queue's name.
    pub name: &'static str,
    /// The name of its rows' shape, such as `orders/1`. Change the number when the same events make
    /// other rows. Each generation stores its shape; a program of another shape does not write it.
    pub shape: &'static str,
    /// The streams that it follows.
    pub follows: Follows,
    /// Whether it knows events of the type.
    pub knows: &'static Knows,
    /// The types that it ignores on purpose, in every schema version. An event of any other unknown
    /// type parks its stream, until a program runs that knows the type.
    pub ignored: &'static [&'static str],
    /// How its rows come from events.
    pub kind: Kind,
}

/// How rows come from events.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A row comes from one stream, whose name is its key; the position is in the row.
    SingleStream {
        /// The row after an event; the same row if the event changes nothing.
        fold: &'static Fold<RowData>,
    },
    /// A row comes from many streams. Each stream has a row with its position and its memory.
    MultiStream {
        /// What an event changes, and the memory of its stream.
        fold: &'static Fold<MultiStreamDelta>,
        /// The row after a change.
        merge: &'static Merge,
    },
    /// Each commit makes an entry of the audit index. The entry of a stream's last commit is the
    /// stream's position.
    CommitIndex,
    /// Each commit gets a position in the journal. The end of a stream in the journal is the
    /// stream's position.
    Journal,
    /// A process: it acts on events and writes no rows
    /// ([`Projector::react`](crate::Projector::react)). It is parked, resumed and reconciled like a
    /// read model, and never rebuilt.
    Process,
}

impl fmt::Debug for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.shape, self.follows)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SingleStream { .. } => "SingleStream",
            Self::MultiStream { .. } => "MultiStream",
            Self::CommitIndex => "CommitIndex",
            Self::Journal => "Journal",
            Self::Process => "Process",
        })
    }
}

impl Projection {
    /// The consumer that its queue is for.
    pub const fn consumer(&self) -> Consumer {
        let bundled = matches!(self.kind, Kind::Journal);
        Consumer { name: self.name, follows: self.follows, bundled }
    }

    /// The shape of generations that were begun before shapes were stored.
    pub(crate) fn first_shape(&self) -> String {
        let name = self.shape.split_once('/').map_or(self.shape, |(name, _)| name);
        format!("{name}/1")
    }

    /// Whether the event is ignored on purpose, as the store's own events always are. Read models,
    /// audit and processes share this rule.
    ///
    /// # Errors
    /// [`UnknownType`]: neither this event nor a later one of its stream may be applied.
    pub fn ignores(&self, event: &NewEvent) -> Result<bool, UnknownType> {
        let event_type = event.event_type.as_str();
        let ignored = event.is_of_store() || self.ignored.contains(&event_type);
        if ignored || (self.knows)(event_type) {
            return Ok(ignored);
        }
        Err(UnknownType { event_type: event_type.to_owned() })
    }

    /// The fold's result; none if the event is ignored.
    ///
    /// # Errors
    /// [`FoldError`].
    pub fn apply<T>(
        &self,
        recorded: &RecordedEvent<'_>,
        fold: impl FnOnce(&RecordedEvent<'_>) -> Result<T, FoldError>,
    ) -> Result<Option<T>, FoldError> {
        if self.ignores(recorded.event)? { Ok(None) } else { fold(recorded).map(Some) }
    }

    /// The name of the row with the stream's position; none in the audit index and in the journal,
    /// which have tables of their own.
    pub(crate) fn position_name_of(&self, stream: &StreamId) -> Option<String> {
        match self.kind {
            Kind::SingleStream { .. } => Some(stream.to_string()),
            Kind::MultiStream { .. } | Kind::Process => Some(position_name(stream)),
            Kind::CommitIndex | Kind::Journal => None,
        }
    }

    /// Whether each of its streams has a row with a position.
    pub(crate) fn has_positions(&self) -> bool {
        !matches!(self.kind, Kind::CommitIndex | Kind::Journal)
    }

    /// The followed stream whose position the row of that name has.
    pub(crate) fn stream_of(&self, name: &str) -> Option<StreamId> {
        let stream = match self.kind {
            Kind::SingleStream { .. } => name,
            Kind::MultiStream { .. } | Kind::Process => stream_of_position(name)?,
            Kind::CommitIndex | Kind::Journal => return None,
        };
        StreamId::new(stream).ok().filter(|stream| self.follows.includes(stream))
    }

    /// Whether it can be rebuilt from the events.
    pub const fn is_read_model(&self) -> bool {
        match self.kind {
            Kind::SingleStream { .. } | Kind::MultiStream { .. } => true,
            Kind::CommitIndex | Kind::Journal => true,
            Kind::Process => false,
        }
    }

    /// Whether readers store positions that another generation does not have.
    pub const fn has_stored_cursors(&self) -> bool {
        matches!(self.kind, Kind::Journal)
    }
}

/// An event with its stream and time, as a fold gets it.
#[derive(Debug, Clone, Copy)]
pub struct RecordedEvent<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// When its commit was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The event.
    pub event: &'a NewEvent,
}

/// What an event of one stream changes in multi-stream rows.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiStreamDelta {
    /// The stream's memory: the fold of its next event gets it.
    pub memory: Value,
    /// The changes of rows.
    pub changes: Vec<Change>,
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The row's key within the projection.
    pub row: String,
    /// The change, in the projection's own form.
    pub delta: Value,
}

/// Probably a newer program wrote the event. Its stream waits for a program that knows the type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("events of type {event_type:?} are not known to this program")]
pub struct UnknownType {
    /// The type.
    pub event_type: String,
}

/// An event that a projection cannot apply: a defect, or an event of a newer program.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// This program does not know the event's type, and the projection does not ignore it.
    #[error(transparent)]
    Unknown(#[from] UnknownType),
    /// The event's data cannot be decoded.
    #[error(transparent)]
    Event(#[from] CodecError),
    /// The row or memory does not have the projection's form.
    #[error("the row is not one of this projection")]
    Row(#[from] serde_json::Error),
    /// The event cannot be the first of a stream.
    #[error("{0} cannot begin the stream")]
    Beginning(String),
    /// The projector runs with an injected fault, as `dev --break` sets it.
    #[error("a fault is injected for events of type {0}")]
    InjectedFault(String),
}
