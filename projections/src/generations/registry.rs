//! The rows of generations: read, remembered for a second, and replaced under a condition.

use super::Generations;
use crate::definition::projection::Projection;
use crate::tables::read_models::{ConditionalWrite, ReadModels, Written};
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::TableError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a process remembers a projection's generations, by default.
const REMEMBERED: Duration = Duration::from_secs(1);

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
    remembered: Arc<Mutex<HashMap<&'static str, (Instant, Generations)>>>,
    /// For how long.
    pub(crate) remembers: Duration,
    /// The newest known job of each projection, and when this process saw it first.
    jobs: Arc<Mutex<HashMap<&'static str, (u64, Instant)>>>,
}

impl Registry {
    pub(crate) fn new(read_models: ReadModels) -> Self {
        Self { read_models, remembered: Arc::default(), remembers: REMEMBERED, jobs: Arc::default() }
    }

    /// The same, but it remembers for that long, and shares nothing with the first.
    pub(crate) fn remembering(self, remembers: Duration) -> Self {
        Self { remembers, ..Self::new(self.read_models) }
    }

    /// The generations as they were a second ago or later.
    pub(crate) async fn recent(&self, projection: &Projection) -> Result<Generations, TableError> {
        let known = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(projection.name).cloned();
        if let Some((_, known)) = known.filter(|(since, _)| since.elapsed() < self.remembers) {
            return Ok(known);
        }
        self.refreshed(projection).await
    }

    /// The generations as this process knew them last; sends no request.
    pub(crate) fn last_known(&self, projection: &Projection) -> Generations {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(projection.name).map(|(_, known)| known.clone()).unwrap_or_default()
    }

    /// Reads the generations, and remembers them for a second.
    pub(crate) async fn refreshed(&self, projection: &Projection) -> Result<Generations, TableError> {
        // Before the read: the row may be older than the answer, never newer.
        let asked = Instant::now();
        let VersionedGenerations { generations, .. } = self.standing(projection).await?;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.insert(projection.name, (asked, generations.clone()));
        Ok(generations)
    }

    /// The generations as they were a second ago or later, for a writer: the first writer gives the first
    /// generation its shape.
    pub(crate) async fn claimed(&self, projection: &Projection) -> Result<Generations, TableError> {
        let known = self.recent(projection).await?;
        if !known.shapes.is_empty() {
            return Ok(known);
        }
        let standing = self.standing(projection).await?;
        if standing.version.is_none() && self.replace(projection, &standing, &standing.generations).await? {
            return self.recent(projection).await;
        }
        self.refreshed(projection).await
    }

    /// When this process saw the job first.
    pub(crate) fn knows_job(&self, projection: &Projection, number: u64) -> Instant {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let met = jobs.entry(projection.name).or_insert_with(|| (number, Instant::now()));
        if met.0 != number {
            *met = (number, Instant::now());
        }
        met.1
    }

    /// Whether the generation is written, as of a second ago or later.
    pub(crate) async fn writes(&self, projection: &Projection, number: u32) -> Result<bool, TableError> {
        if self.recent(projection).await?.written().contains(&number) {
            return Ok(true);
        }
        // It may be newer than the remembered row.
        Ok(self.standing(projection).await?.generations.written().contains(&number))
    }

    /// Reads the generations.
    pub(crate) async fn standing(&self, projection: &Projection) -> Result<VersionedGenerations, TableError> {
        let Some(row) = self.read_models.get(key(projection), true).await? else {
            return Ok(VersionedGenerations { generations: Generations::default(), version: None });
        };
        let mut generations: Generations = row.read()?;
        if generations.shapes.is_empty() {
            // Stored before shapes were.
            let known = generations.other.map(|other| other.number).into_iter().chain([generations.active]);
            generations.shapes = known.map(|number| (number, projection.first_shape())).collect();
        }
        Ok(VersionedGenerations { generations, version: Some(row.version) })
    }

    /// Replaces the row, if it is unchanged. Returns whether it was.
    pub(crate) async fn replace(
        &self,
        projection: &Projection,
        standing: &VersionedGenerations,
        by: &Generations,
    ) -> Result<bool, TableError> {
        let key = key(projection);
        let unwritable = |error| UnreadableRow { key: key.clone(), source: Some(Arc::new(error)) };
        let by = Generations { change: fastrand::u64(..), shapes: by.shapes_now(projection), ..by.clone() };
        let data = serde_json::to_value(&by).map_err(unwritable)?;
        let version = standing.version.map_or(1, |version| version + 1);
        let row = Row { key: key.clone(), version, hash: None, content: RowData { data, listing: None } };
        let write = ConditionalWrite { expected: standing.version, row };
        match self.read_models.put(&write).await? {
            Written::Yes => {
                let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                remembered.insert(projection.name, (Instant::now(), by));
                Ok(true)
            }
            // The answer to the SDK's first try was lost: the row is already ours.
            Written::Lost(Some(theirs)) => {
                Ok(theirs.version == write.row.version && theirs.content == write.row.content)
            }
            Written::Lost(None) => Ok(false),
        }
    }
}

fn key(projection: &Projection) -> String {
    format!("{}/generations", projection.name)
}
