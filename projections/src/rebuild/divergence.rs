//! Finds and parks diverged streams: their position is not part of the stream.
//!
//! That happens after a restore of the event table to an earlier time. A pass compares positions
//! with the commits that it reads anyway. It reads the store only for a position beyond those. No
//! pass over events finds a stream that is gone. So a reconciliation also scans the rows, and
//! checks which of their streams exist.

use super::RebuildError;
use super::proof::ScannedStream;
use crate::definition::projection::Projection;
use crate::engine::gap::divergence;
use crate::engine::project_error::ProjectError;
use crate::engine::projector::Projector;
use crate::generations::job::Tally;
use crate::tables::position::{Divergence, Position};
use eventstore::{ReadError, Segment, StreamId};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeSet;

/// How many streams are compared or parked at once.
const CONCURRENT_STREAMS: usize = 10;

/// The streams that diverged, and their counts.
#[derive(Default)]
pub(super) struct DivergedStreams {
    pub(super) streams: BTreeSet<StreamId>,
    pub(super) tally: Tally,
}

/// A stream, its position, and how that differs.
type DivergedStream = (StreamId, Position, Divergence);

/// A page of the rows of a read model.
pub(super) struct RowsPage {
    pub(super) tally: Tally,
    /// The next page.
    pub(super) next: Option<String>,
}

impl Projector {
    /// Finds the streams that diverged from the generation, and parks them there.
    pub(super) async fn find_diverged(
        &self,
        projection: &Projection,
        generation: u32,
        scanned: &[ScannedStream],
        reached: &[Position],
    ) -> Result<DivergedStreams, RebuildError> {
        let (mut found, mut beyond) = (Vec::new(), Vec::new());
        for (scanned, at) in scanned.iter().zip(reached) {
            if at.is_contradicted(&scanned.commits) {
                found.push((scanned.stream.clone(), *at, Divergence::OtherChain));
            } else if at.version > scanned.last_version() {
                // Usually the position is of a commit after this page was read, or in the next
                // page.
                beyond.push((scanned.stream.clone(), *at));
            }
        }
        found.extend(self.compare(beyond).await?);
        self.park_diverged(projection, generation, found).await
    }

    /// Reads a page of the rows and finds those whose streams are gone.
    pub(super) async fn check_rows(
        &self,
        projection: &Projection,
        generations: &[u32],
        segment: Segment,
        behind: Option<&str>,
    ) -> Result<RowsPage, RebuildError> {
        let (rows, next) = self.read_models.scan_positions(segment, behind).await?;
        let mut tally = Tally::default();
        for number in generations {
            let generation = projection.generation(*number);
            let position = |(key, at): &(String, Position)| {
                Some((projection.stream_of(generation.name(key)?)?, *at))
            };
            let positions: Vec<(StreamId, Position)> = rows.iter().filter_map(position).collect();
            tally = tally.plus(&self.gone(projection, *number, positions).await?.tally);
        }
        Ok(RowsPage { tally, next })
    }

    async fn gone(
        &self,
        projection: &Projection,
        generation: u32,
        positions: Vec<(StreamId, Position)>,
    ) -> Result<DivergedStreams, RebuildError> {
        let streams: Vec<StreamId> = positions.iter().map(|(stream, _)| stream.clone()).collect();
        let begun = self.store.existing_streams(&streams).await?.names;
        // The cheap read is eventually consistent: it may miss a new stream.
        let doubtful =
            positions.into_iter().filter(|(stream, _)| !begun.contains(stream)).collect();
        let found = self.compare(doubtful).await?;
        self.park_diverged(projection, generation, found).await
    }

    /// Compares positions with the store. A corrupt stream is skipped: the scan counts it.
    async fn compare(
        &self,
        positions: Vec<(StreamId, Position)>,
    ) -> Result<Vec<DivergedStream>, RebuildError> {
        let compared = positions.into_iter().map(|(stream, at)| async move {
            match divergence(&self.store, &stream, at).await {
                Err(ReadError::Corrupt(_)) => Ok(None),
                Err(ReadError::Store(fault)) => Err(RebuildError::from(fault)),
                Ok(how) => Ok(how.map(|how| (stream, at, how))),
            }
        });
        let compared = futures::stream::iter(compared).buffer_unordered(CONCURRENT_STREAMS);
        Ok(compared.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
    }

    async fn park_diverged(
        &self,
        projection: &Projection,
        generation: u32,
        found: Vec<DivergedStream>,
    ) -> Result<DivergedStreams, RebuildError> {
        let mut diverged = DivergedStreams::default();
        for (stream, at, how) in &found {
            diverged.tally = diverged.tally.plus(&counted(generation, stream, *at, *how));
            diverged.streams.insert(stream.clone());
        }
        let parked = found.into_iter().map(|(stream, at, how)| async move {
            let error = ProjectError::Diverged { version: at.version, divergence: how };
            self.park(projection, generation, &stream, error.version(), &error).await
        });
        let parked = futures::stream::iter(parked).buffer_unordered(CONCURRENT_STREAMS);
        parked.try_collect::<()>().await?;
        Ok(diverged)
    }
}

fn counted(generation: u32, stream: &StreamId, at: Position, how: Divergence) -> Tally {
    let (ahead, other_chain) = match how {
        Divergence::Ahead { .. } => (1, 0),
        Divergence::OtherChain => (0, 1),
    };
    let named = format!("{stream} at version {} in generation {generation} {how}", at.version);
    Tally { ahead, other_chain, strays: vec![named], ..Tally::default() }
}
