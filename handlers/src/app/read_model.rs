//! Read models: typed folds over the events of an aggregate.

use super::Aggregate;
use chrono::{DateTime, Utc};
use eventstore::{EventCodec, StreamId};
use projections::{Change, FoldError, Follows, Kind, Listing, MultiStreamDelta, Projection, RecordedEvent, RowData};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Where an event stands, as folds are told of it.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The stream.
    pub stream: &'a StreamId,
    /// When its commit was taken.
    pub recorded_at: DateTime<Utc>,
}

/// A row of many streams, and what is added to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addition<D> {
    /// The row's key within the read model.
    pub row: String,
    /// What is added.
    pub delta: D,
}

/// What is remembered of a stream after an event, and what the event adds to which rows.
pub type FoldOfMany<Memory, E, Delta> = fn(Memory, &E, Told<'_>) -> (Memory, Vec<Addition<Delta>>);

/// Builds read models. Each is made once, at start: its functions live as long as the program.
pub struct ReadModel;

impl ReadModel {
    /// A row a stream. `fold` is the row after an event; none for an event that cannot begin a stream. `listed` puts the row
    /// into a list. `shape` is the name of what rows and folds mean, as `orders/1`: another number is another read model,
    /// which is rebuilt.
    pub fn of_stream<S, C, E, R, Row>(
        name: &'static str,
        shape: &'static str,
        of: &Aggregate<S, C, E, R>,
        fold: fn(Option<Row>, &E, Told<'_>) -> Option<Row>,
        listed: fn(&Row, Told<'_>) -> Option<Listing>,
    ) -> Projection
    where
        E: DeserializeOwned + 'static,
        Row: Serialize + DeserializeOwned + 'static,
    {
        let events = of.events;
        let typed = move |row: Option<&Value>, fact: &RecordedEvent<'_>| {
            let row = row.cloned().map(serde_json::from_value).transpose()?;
            let told = Told { stream: fact.stream, recorded_at: fact.recorded_at };
            let row = fold(row, &events.decode(fact.event)?, told);
            let row = row.ok_or_else(|| FoldError::Beginning(fact.event.event_type.clone()))?;
            Ok(RowData { listing: listed(&row, told), data: serde_json::to_value(row)? })
        };
        let kind = Kind::SingleStream { fold: Box::leak(Box::new(typed)) };
        projection(name, shape, of.category, events, kind)
    }

    /// Rows that come from many streams. `fold` gives what is remembered of the stream (to take it back later), and what is
    /// added to which rows; `merge` is a row with that added; `listed` puts it into a list.
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
        let typed = move |memory: Option<&Value>, fact: &RecordedEvent<'_>| {
            let memory = memory.cloned().map(serde_json::from_value).transpose()?.unwrap_or_default();
            let told = Told { stream: fact.stream, recorded_at: fact.recorded_at };
            let (memory, added) = fold(memory, &events.decode(fact.event)?, told);
            let change =
                |added: Addition<Delta>| Ok(Change { row: added.row, delta: serde_json::to_value(added.delta)? });
            let changes = added.into_iter().map(change).collect::<Result<_, serde_json::Error>>()?;
            Ok(MultiStreamDelta { memory: serde_json::to_value(memory)?, changes })
        };
        let merged = move |row: Option<&Value>, change: &Change| {
            let delta = serde_json::from_value(change.delta.clone())?;
            let row = merge(row.cloned().map(serde_json::from_value).transpose()?, &delta);
            Ok(RowData { listing: listed(&row, &delta), data: serde_json::to_value(row)? })
        };
        let kind = Kind::MultiStream { fold: Box::leak(Box::new(typed)), merge: Box::leak(Box::new(merged)) };
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
    Projection { name, shape, follows: Follows::Categories(Box::leak(Box::new([category]))), knows, ignored: &[], kind }
}
