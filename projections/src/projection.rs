//! What a projection is: a name, the streams it follows, and pure folds.

use crate::row::RowData;
use crate::{bestsellers, orders, stock};
use chrono::{DateTime, Utc};
use eventstore::{CodecError, NewEvent, StreamId};
use serde_json::Value;

/// Every projection of the bookshop: a new read model is a file and a line here.
pub const ALL: [Projection; 3] = [orders::PROJECTION, stock::PROJECTION, bestsellers::PROJECTION];

/// A read model's definition.
#[derive(Debug, Clone, Copy)]
pub struct Projection {
    /// Its name: part of its rows' keys and of its queue's name.
    pub name: &'static str,
    /// The category of the streams that it follows.
    pub category: &'static str,
    /// How its rows come from events.
    pub kind: Kind,
}

/// How rows come from events.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A row comes from one stream, whose name is its key; the fence is in the row.
    SingleStream {
        /// The row after an event. A fold that has nothing to say of an event returns the row as it was.
        fold: fn(Option<&Value>, &Fact<'_>) -> Result<RowData, FoldError>,
    },
    /// A row comes from many streams; each stream has a fence of its own, with what must be remembered of the stream.
    MultiStream {
        /// What an event changes, and what to remember of its stream.
        fold: fn(Option<&Value>, &Fact<'_>) -> Result<Effect, FoldError>,
        /// The row after a change.
        merge: fn(Option<&Value>, &Change) -> Result<RowData, serde_json::Error>,
    },
}

/// An event, as a fold is told of it.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// Whose event it is.
    pub stream: &'a StreamId,
    /// When its commit was taken.
    pub recorded_at: DateTime<Utc>,
    /// What happened.
    pub event: &'a NewEvent,
}

/// What an event of one stream does to rows of many.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// What to remember of the stream until its next event.
    pub memory: Value,
    /// What changes.
    pub changes: Vec<Change>,
}

/// A change of one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The row's key within the projection.
    pub row: String,
    /// What changes, as the projection writes it.
    pub delta: Value,
}

/// An event that a projection cannot apply: a defect, or an event of a newer program.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The event is not known in that form.
    #[error(transparent)]
    Event(#[from] CodecError),
    /// The row or memory is not what the projection writes.
    #[error("the row is not one of this projection")]
    Row(#[from] serde_json::Error),
    /// The event cannot come before the stream's first.
    #[error("{0} cannot begin the stream")]
    Beginning(String),
}
