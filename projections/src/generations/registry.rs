//! The rows of generations: read, cached for a second, and replaced by conditional puts.

use super::Generations;
use crate::definition::projection::Projection;
use crate::tables::read_models::{ConditionalWrite, ReadModels, Written};
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::TableError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a process caches a projection's generations, by default.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// The stored generations with the version of their row.
#[derive(Debug, Clone)]
pub(crate) struct VersionedGenerations {
    pub(crate) generations: Generations,
    version: Option<u64>,
}

/// The rows of all projections' generations.
#[derive(Clone)]
pub(crate) struct Registry {
    read_models: ReadModels,
    cache: Arc<Mutex<HashMap<&'static str, (Instant, Generations)>>>,
    pub(crate) cache_time: Duration,
    /// The newest known job of each projection, and when this process saw it first.
    jobs: Arc<Mutex<HashMap<&'static str, (u64, Instant)>>>,
}

impl Registry {
    pub(crate) fn new(read_models: ReadModels) -> Self {
        Self { read_models, cache: Arc::default(), cache_time: CACHE_TIME, jobs: Arc::default() }
    }

    /// The same with another cache time. The two share no cache.
    pub(crate) fn with_cache_time(self, cache_time: Duration) -> Self {
        Self { cache_time, ..Self::new(self.read_models) }
    }

    /// The generations, at most a second old.
    pub(crate) async fn recent(&self, projection: &Projection) -> Result<Generations, TableError> {
        let cached =
            self.cache.lock().unwrap_or_else(PoisonError::into_inner).get(projection.name).cloned();
        if let Some((_, generations)) =
            cached.filter(|(since, _)| since.elapsed() < self.cache_time)
        {
            return Ok(generations);
        }
        self.refreshed(projection).await
    }

    /// The cached generations, however old; sends no request.
    pub(crate) fn last_known(&self, projection: &Projection) -> Generations {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(projection.name).map(|(_, generations)| generations.clone()).unwrap_or_default()
    }

    /// Reads the generations, and caches them for a second.
    pub(crate) async fn refreshed(
        &self,
        projection: &Projection,
    ) -> Result<Generations, TableError> {
        // The time before the read, so that the age is never underestimated.
        let read_at = Instant::now();
        let VersionedGenerations { generations, .. } = self.read(projection).await?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(projection.name, (read_at, generations.clone()));
        Ok(generations)
    }

    /// The generations for a writer, at most a second old. The first writer gives the first
    /// generation its shape.
    pub(crate) async fn claimed(&self, projection: &Projection) -> Result<Generations, TableError> {
        let recent = self.recent(projection).await?;
        if !recent.shapes.is_empty() {
            return Ok(recent);
        }
        let stored = self.read(projection).await?;
        if stored.version.is_none()
            && self.replace(projection, &stored, &stored.generations).await?
        {
            return self.recent(projection).await;
        }
        self.refreshed(projection).await
    }

    /// When this process saw the job first.
    pub(crate) fn first_saw_job(&self, projection: &Projection, number: u64) -> Instant {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = jobs.entry(projection.name).or_insert_with(|| (number, Instant::now()));
        if known.0 != number {
            *known = (number, Instant::now());
        }
        known.1
    }

    /// Whether the generation is written, as of at most a second ago.
    pub(crate) async fn writes(
        &self,
        projection: &Projection,
        number: u32,
    ) -> Result<bool, TableError> {
        if self.recent(projection).await?.written().contains(&number) {
            return Ok(true);
        }
        // It may be newer than the cached row.
        Ok(self.read(projection).await?.generations.written().contains(&number))
    }

    /// Reads the generations.
    pub(crate) async fn read(
        &self,
        projection: &Projection,
    ) -> Result<VersionedGenerations, TableError> {
        let Some(row) = self.read_models.get(key(projection), true).await? else {
            return Ok(VersionedGenerations { generations: Generations::default(), version: None });
        };
        let mut generations: Generations = row.read()?;
        if generations.shapes.is_empty() {
            // An older program stored the row, without shapes.
            let numbers =
                generations.other.map(|other| other.number).into_iter().chain([generations.active]);
            generations.shapes = numbers.map(|number| (number, projection.first_shape())).collect();
        }
        Ok(VersionedGenerations { generations, version: Some(row.version) })
    }

    /// Replaces the row, if it is unchanged. Returns whether it was.
    pub(crate) async fn replace(
        &self,
        projection: &Projection,
        stored: &VersionedGenerations,
        next: &Generations,
    ) -> Result<bool, TableError> {
        let key = key(projection);
        let unwritable = |error| UnreadableRow { key: key.clone(), source: Some(Arc::new(error)) };
        let next = Generations {
            change: fastrand::u64(..),
            shapes: next.shapes_now(projection),
            ..next.clone()
        };
        let data = serde_json::to_value(&next).map_err(unwritable)?;
        let version = stored.version.map_or(1, |version| version + 1);
        let row =
            Row { key: key.clone(), version, hash: None, content: RowData { data, listing: None } };
        let write = ConditionalWrite { expected: stored.version, row };
        match self.read_models.put(&write).await? {
            Written::Yes => {
                let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
                cache.insert(projection.name, (Instant::now(), next));
                Ok(true)
            }
            // The SDK repeated the put after a lost answer: the row is already ours.
            Written::Conflict(Some(theirs)) => {
                Ok(theirs.version == write.row.version && theirs.content == write.row.content)
            }
            Written::Conflict(None) => Ok(false),
        }
    }
}

fn key(projection: &Projection) -> String {
    format!("{}/generations", projection.name)
}
