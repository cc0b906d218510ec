//! Read models: typed folds over the events of an aggregate.

use super::Aggregate;
use chrono::{DateTime, Utc};
use eventstore::{EventCodec, StreamId};
use projections::{
    Change, FoldError, Follows, Kind, Listing, MultiStreamDelta, Projection, RecordedEvent, RowData,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Stream and time of an event, for folds.
#[derive(Debug, Clone, Copy)]
pub struct EventContext<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// When its commit was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// A contribution to a row of a multi-stream read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition<D> {
    /// The row's key within the read model.
    pub row: String,
    /// What is added.
    pub delta: D,
}

/// Returns the new memory of a stream after an event, and what the event adds to which rows.
pub type FoldOfMany<Memory, E, Delta> =
    fn(Memory, &E, EventContext<'_>) -> (Memory, Vec<Addition<Delta>>);

/// Builds read models. Their functions are leaked: each read model is built once, at start.
pub struct ReadModel;

impl ReadModel {
    /// A single-stream read model. `fold` returns the row after an event, or none for an event that
    /// cannot begin a stream. `listed` puts the row into a list. `shape` names the meaning of rows
    /// and folds, as `orders/1`. A new number requires a rebuild.
    pub fn of_stream<S, C, E, R, Row>(
        name: &'static str,
        shape: &'static str,
        of: &Aggregate<S, C, E, R>,
        fold: fn(Option<Row>, &E, EventContext<'_>) -> Option<Row>,
        listed: fn(&Row, EventContext<'_>) -> Option<Listing>,
    ) -> Projection
    where
        E: DeserializeOwned + 'static,
        Row: Serialize + DeserializeOwned + 'static,
    {
        let events = of.events;
        let typed = move |row: Option<&Value>, recorded: &RecordedEvent<'_>| {
            let row = row.cloned().map(serde_json::from_value).transpose()?;
            let context =
                EventContext { stream: recorded.stream, recorded_at: recorded.recorded_at };
            let row = fold(row, &events.decode(recorded.event)?, context);
            let row = row.ok_or_else(|| FoldError::Beginning(recorded.event.event_type.clone()))?;
            Ok(RowData { listing: listed(&row, context), data: serde_json::to_value(row)? })
        };
        let kind = Kind::SingleStream { fold: Box::leak(Box::new(typed)) };
        projection(name, shape, of.category, events, kind)
    }

    /// A multi-stream read model. `fold` returns the memory of a stream, with which contributions
    /// can be taken back later, and what is added to which rows. `merge` adds to a row. `listed`
    /// puts the row into a list.
    pub fn of_many<S, C, E, R, Memory, Delta, Row>(
        name: &'static str,
        shape: &'static str,
        of: &Aggregate<S, C, E, R>,
        fold: FoldOfMany<Memory, E, Delta>,
        merge: fn(Option<Row>, &Delta) -> Row,
        listed: fn(&Row, &Delta) -> Option<Listing>,
    ) -> Projection
    where
        E: DeserializeOwned + 'static,
        Memory: Default + Serialize + DeserializeOwned + 'static,
        Delta: Serialize + DeserializeOwned + 'static,
        Row: Serialize + DeserializeOwned + 'static,
    {
        let events = of.events;
        let typed = move |memory: Option<&Value>, recorded: &RecordedEvent<'_>| {
            let memory =
                memory.cloned().map(serde_json::from_value).transpose()?.unwrap_or_default();
            let context =
                EventContext { stream: recorded.stream, recorded_at: recorded.recorded_at };
            let (memory, added) = fold(memory, &events.decode(recorded.event)?, context);
            let change = |added: Addition<Delta>| {
                Ok(Change { row: added.row, delta: serde_json::to_value(added.delta)? })
            };
            let changes =
                added.into_iter().map(change).collect::<Result<_, serde_json::Error>>()?;
            Ok(MultiStreamDelta { memory: serde_json::to_value(memory)?, changes })
        };
        let merged = move |row: Option<&Value>, change: &Change| {
            let delta = serde_json::from_value(change.delta.clone())?;
            let row = merge(row.cloned().map(serde_json::from_value).transpose()?, &delta);
            Ok(RowData { listing: listed(&row, &delta), data: serde_json::to_value(row)? })
        };
        let kind = Kind::MultiStream {
            fold: Box::leak(Box::new(typed)),
            merge: Box::leak(Box::new(merged)),
        };
        projection(name, shape, of.category, events, kind)
    }
}

fn projection<E: DeserializeOwned + 'static>(
    name: &'static str,
    shape: &'static str,
    category: &'static str,
    events: EventCodec<E>,
    kind: Kind,
) -> Projection {
    let knows = Box::leak(Box::new(move |event_type: &str| events.knows(event_type)));
    Projection {
        name,
        shape,
        follows: Follows::Categories(Box::leak(Box::new([category]))),
        knows,
        ignored: &[],
        kind,
    }
}
