//! Streams of which more or something else is applied than there is: found, named and parked.
//!
//! That happens when the table of events was restored to an earlier moment. A position is compared with the commits that a
//! pass over the streams reads anyway; the store is asked only of a position beyond those. A stream that is gone is met in no
//! such pass: so reconciling goes through the rows as well, and asks the store which of their streams there are.

use super::RebuildError;
use super::check::ScannedStream;
use crate::generations::job::Tally;
use crate::definition::projection::Projection;
use crate::tables::position::{Position, Stray};
use crate::engine::project_error::ProjectError;
use crate::engine::projector::Projector;
use eventstore::{ReadError, Segment, StreamId};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;

/// How many streams are compared or parked at once.
const CONCURRENT_STREAMS: usize = 10;

/// Streams that do not fit to what is applied of them, and what is counted of them.
#[derive(Default)]
pub(super) struct Strays {
    pub(super) streams: BTreeSet<StreamId>,
    pub(super) tally: Tally,
}

/// A stream, what is applied of it, and how that differs.
type Found = (StreamId, Position, Stray);

/// A page of the rows of a read model.
pub(super) struct Walked {
    pub(super) tally: Tally,
    /// Where it goes on.
    pub(super) next: Option<String>,
}

impl Projector {
    /// Finds those of the streams that do not fit to what is applied of them in the generation, and parks them there.
    pub(super) async fn strays(
        &self,
        projection: &Projection,
        generation: u32,
        met: &[ScannedStream],
        reached: &[Position],
    ) -> Result<Strays, RebuildError> {
        let (mut found, mut beyond) = (Vec::new(), Vec::new());
        for (met, at) in met.iter().zip(reached) {
            if at.is_contradicted(&met.commits) {
                found.push((met.stream.clone(), *at, Stray::OtherChain));
            } else if at.version > met.last_version() {
                // What came since the page was read, if nothing is wrong; or the stream goes on in the next page.
                beyond.push((met.stream.clone(), *at));
            }
        }
        found.extend(self.compare(beyond).await?);
        self.note_strays(projection, generation, found).await
    }

    /// Goes through a page of the rows and finds those whose streams are gone.
    pub(super) async fn walk_rows(
        &self,
        projection: &Projection,
        generations: &[u32],
        segment: Segment,
        behind: Option<&str>,
    ) -> Result<Walked, RebuildError> {
        let (rows, next) = self.read_models.scan_positions(segment, behind).await?;
        let mut tally = Tally::default();
        for number in generations {
            let generation = projection.generation(*number);
            let position = |(key, at): &(String, Position)| Some((projection.stream_of(generation.name(key)?)?, *at));
            let positions: Vec<(StreamId, Position)> = rows.iter().filter_map(position).collect();
            tally = tally.plus(&self.gone(projection, *number, positions).await?.tally);
        }
        Ok(Walked { tally, next })
    }

    async fn gone(
        &self,
        projection: &Projection,
        generation: u32,
        positions: Vec<(StreamId, Position)>,
    ) -> Result<Strays, RebuildError> {
        let streams: Vec<StreamId> = positions.iter().map(|(stream, _)| stream.clone()).collect();
        let begun = self.store.existing_streams(&streams).await?.names;
        // A stream that has only just begun may be missing in the cheap answer.
        let doubtful = positions.into_iter().filter(|(stream, _)| !begun.contains(stream)).collect();
        let found = self.compare(doubtful).await?;
        self.note_strays(projection, generation, found).await
    }

    /// Compares positions with the store. A damaged item tells nothing of one: it is counted where it is met.
    async fn compare(&self, positions: Vec<(StreamId, Position)>) -> Result<Vec<Found>, RebuildError> {
        let compared = positions.into_iter().map(|(stream, at)| async move {
            match self.stray(&stream, at).await {
                Err(ReadError::Corrupt(_)) => Ok(None),
                Err(ReadError::Store(fault)) => Err(RebuildError::from(fault)),
                Ok(stray) => Ok(stray.map(|stray| (stream, at, stray))),
            }
        });
        let compared = futures::stream::iter(compared).buffer_unordered(CONCURRENT_STREAMS);
        Ok(compared.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn note_strays(
        &self,
        projection: &Projection,
        generation: u32,
        found: Vec<Found>,
    ) -> Result<Strays, RebuildError> {
        let mut strays = Strays::default();
        for (stream, at, stray) in &found {
            strays.tally = strays.tally.plus(&counted(generation, stream, *at, *stray));
            strays.streams.insert(stream.clone());
        }
        let parked = found.into_iter().map(|(stream, at, stray)| async move {
            let error = ProjectError::Stray { version: at.version, stray };
            self.park(projection, generation, &stream, error.version(), &error).await
        });
        let parked = futures::stream::iter(parked).buffer_unordered(CONCURRENT_STREAMS);
        parked.try_collect::<()>().await?;
        Ok(strays)
    }
}

fn counted(generation: u32, stream: &StreamId, at: Position, stray: Stray) -> Tally {
    let (ahead, other_chain) = match stray {
        Stray::Ahead { .. } => (1, 0),
        Stray::OtherChain => (0, 1),
    };
    let named = format!("{stream} at version {} in generation {generation} {stray}", at.version);
    Tally { ahead, other_chain, strays: vec![named], ..Tally::default() }
}
