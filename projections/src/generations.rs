//! The generations of a projection: which one is read, which ones are written, and what is being worked on.
//!
//! They stand in one row a projection, which every change replaces under a condition: a switch is one write. Readers go by
//! what they knew a second ago. Projectors ask again behind each batch that they have written: a generation that was
//! begun meanwhile is written as well then, and one that is begun later finds the batch in the store.

use crate::definition::projection::Projection;
use crate::rebuild::{Job, Report};
use crate::tables::read_models::{FencedWrite, ReadModels, Written};
use crate::tables::row::{Generation, Row, RowData, UnreadableRow};
use crate::tables::table::TableError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a process goes by what it knows of a projection's generations, if nobody says.
const REMEMBERED: Duration = Duration::from_secs(1);

/// A projection's generations. There are never more than two: each costs its share of every write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generations {
    /// The one that is read.
    pub active: u32,
    /// The one beside it, if there is one.
    pub other: Option<OtherGeneration>,
    /// The newest number that was given: none is given twice.
    pub newest: u32,
    /// The newest job's number.
    pub newest_job: u64,
    /// What is being worked on.
    pub job: Option<Job>,
    /// What the last job came to.
    pub report: Option<Report>,
    /// The shape of each generation that there is; none while nobody has stored anything of them.
    #[serde(default)]
    pub(crate) shapes: BTreeMap<u32, String>,
    /// Tells this change from one of somebody else that says the same.
    #[serde(default)]
    pub(crate) change: u64,
}

/// A generation that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherGeneration {
    /// Its number.
    pub number: u32,
    /// What it is good for.
    pub state: GenerationState,
}

/// What a generation that is not read is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationState {
    /// It is being filled.
    Building,
    /// It is filled, and proven to be complete: it can be switched to.
    Complete,
    /// It is filled, but something stands still in it; the report says what.
    Incomplete,
    /// It was read until a switch, and is kept up to date: it can be rolled back to.
    Previous,
    /// Its rows are being removed. Nobody writes it any more.
    Removing,
}

impl Default for Generations {
    fn default() -> Self {
        Self {
            active: 1,
            other: None,
            newest: 1,
            newest_job: 0,
            job: None,
            report: None,
            shapes: BTreeMap::new(),
            change: 0,
        }
    }
}

impl Generations {
    /// The numbers of those that live events are applied to, the active one last: whoever finds an event in the active one
    /// finds it in the other too, unless a process did not know of the other yet.
    pub(crate) fn written(&self) -> Vec<u32> {
        let other = self.other.filter(|other| other.state != GenerationState::Removing);
        other.map(|other| other.number).into_iter().chain([self.active]).collect()
    }

    /// The shapes of the generations that there are. One that has none yet is begun by this program.
    fn shapes_now(&self, projection: &Projection) -> BTreeMap<u32, String> {
        let numbers = self.other.map(|other| other.number).into_iter().chain([self.active]);
        let shape = |number| self.shapes.get(&number).cloned().unwrap_or_else(|| projection.shape.to_owned());
        numbers.map(|number| (number, shape(number))).collect()
    }

    /// Those of them that the program may write: another shape is another program's.
    pub(crate) fn written_by(&self, projection: &Projection) -> Vec<u32> {
        self.written().into_iter().filter(|number| self.fits(projection, *number)).collect()
    }

    /// Whether the generation has the program's shape. So does one of which nothing is stored yet.
    pub(crate) fn fits(&self, projection: &Projection, number: u32) -> bool {
        self.admit(projection, number).is_ok()
    }

    /// That the program writes what is read, or what is going to be read: then news that it has applied is done with. Else
    /// somebody else must apply it.
    pub(crate) fn serve(&self, projection: &Projection) -> Result<(), OtherShape> {
        let built = |other: &OtherGeneration| match other.state {
            GenerationState::Building | GenerationState::Complete | GenerationState::Incomplete => true,
            GenerationState::Previous | GenerationState::Removing => false,
        };
        let next = self.other.filter(|other| built(other) && self.fits(projection, other.number));
        if next.is_some() { Ok(()) } else { self.admit(projection, self.active) }
    }

    /// That the program may write the generation.
    pub(crate) fn admit(&self, projection: &Projection, number: u32) -> Result<(), OtherShape> {
        match self.shapes.get(&number).filter(|shape| *shape != projection.shape && projection.is_read_model()) {
            None => Ok(()),
            Some(stored) => Err(OtherShape { generation: number, stored: stored.clone(), program: projection.shape }),
        }
    }
}

/// The program writes rows of another shape than the generation has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("generation {generation} has shape {stored}, this program has {program}: rebuild with the newer program")]
pub struct OtherShape {
    /// The generation.
    pub generation: u32,
    /// Its shape.
    pub stored: String,
    /// The program's shape.
    pub program: &'static str,
}

/// What stands in the table, and the version under which it stands.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) generations: Generations,
    version: Option<u64>,
}

/// The rows of all projections' generations.
#[derive(Clone)]
pub(crate) struct Registry {
    read_models: ReadModels,
    remembered: Arc<Mutex<HashMap<&'static str, (Instant, Generations)>>>,
    /// How long it goes by that.
    pub(crate) remembers: Duration,
    /// The job that each projection was met with last, and when it was met first.
    jobs: Arc<Mutex<HashMap<&'static str, (u64, Instant)>>>,
}

impl Registry {
    pub(crate) fn new(read_models: ReadModels) -> Self {
        Self { read_models, remembered: Arc::default(), remembers: REMEMBERED, jobs: Arc::default() }
    }

    /// The same, with a memory of its own that lasts so long.
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

    /// The generations as this process knew them last, however long ago: nothing is asked.
    pub(crate) fn last_known(&self, projection: &Projection) -> Generations {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(projection.name).map(|(_, known)| known.clone()).unwrap_or_default()
    }

    /// The generations as they stand, for a second from now.
    pub(crate) async fn refreshed(&self, projection: &Projection) -> Result<Generations, TableError> {
        // Taken before the read: what was read may be older than the answer, never newer.
        let asked = Instant::now();
        let Standing { generations, .. } = self.standing(projection).await?;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.insert(projection.name, (asked, generations.clone()));
        Ok(generations)
    }

    /// The generations as they were a second ago or later, for somebody who writes: who is the first to do so makes the first
    /// generation one of its own shape.
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

    /// When this process met the job first.
    pub(crate) fn knows_job(&self, projection: &Projection, number: u64) -> Instant {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let met = jobs.entry(projection.name).or_insert_with(|| (number, Instant::now()));
        if met.0 != number {
            *met = (number, Instant::now());
        }
        met.1
    }

    /// Whether the generation is one that is written, as of a second ago or later.
    pub(crate) async fn writes(&self, projection: &Projection, number: u32) -> Result<bool, TableError> {
        if self.recent(projection).await?.written().contains(&number) {
            return Ok(true);
        }
        // It may be too new to be remembered.
        Ok(self.standing(projection).await?.generations.written().contains(&number))
    }

    /// The generations as they stand.
    pub(crate) async fn standing(&self, projection: &Projection) -> Result<Standing, TableError> {
        let Some(row) = self.read_models.get(key(projection), true).await? else {
            return Ok(Standing { generations: Generations::default(), version: None });
        };
        let mut generations: Generations = row.read()?;
        if generations.shapes.is_empty() {
            // Stored before shapes were.
            let known = generations.other.map(|other| other.number).into_iter().chain([generations.active]);
            generations.shapes = known.map(|number| (number, projection.first_shape())).collect();
        }
        Ok(Standing { generations, version: Some(row.version) })
    }

    /// Replaces what stands there, if it is still that. Tells whether it was.
    pub(crate) async fn replace(
        &self,
        projection: &Projection,
        standing: &Standing,
        by: &Generations,
    ) -> Result<bool, TableError> {
        let key = key(projection);
        let unwritable = |error| UnreadableRow { key: key.clone(), source: Some(Arc::new(error)) };
        let by = Generations { change: fastrand::u64(..), shapes: by.shapes_now(projection), ..by.clone() };
        let data = serde_json::to_value(&by).map_err(unwritable)?;
        let version = standing.version.map_or(1, |version| version + 1);
        let row = Row { key: key.clone(), version, hash: None, content: RowData { data, listing: None } };
        let write = FencedWrite { expected: standing.version, row };
        match self.read_models.put(&write).await? {
            Written::Yes => {
                let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                remembered.insert(projection.name, (Instant::now(), by));
                Ok(true)
            }
            // The answer to the SDK's first try was lost: what stands there is ours.
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

impl Projection {
    pub(crate) fn generation(&self, number: u32) -> Generation {
        Generation { projection: self.name, number }
    }
}
