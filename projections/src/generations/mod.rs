//! The generations of a projection: which one is read, which ones are written, and the current job.
//!
//! Each projection has one row of generations, and every change is a conditional put: a switch is
//! one write. Readers remember the row for a second. After each batch a projector re-reads it: it
//! also writes a generation that was begun meanwhile, and one that is begun later finds the batch
//! in the store.

pub(crate) mod job;
pub(crate) mod registry;

use crate::definition::projection::Projection;
use crate::generations::job::{Job, Report};
use crate::tables::row::Generation;
use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// A projection's generations: at most two, because each commit is written to both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generations {
    /// The active one, which is read.
    pub active: u32,
    /// The standby one, if there is one.
    pub other: Option<OtherGeneration>,
    /// The highest number so far. Numbers are not reused.
    pub newest: u32,
    /// The newest job's number.
    pub newest_job: u64,
    /// The current job.
    pub job: Option<Job>,
    /// The report of the last job.
    pub report: Option<Report>,
    /// The shape of each generation; empty before the first writer stores it.
    #[serde(default)]
    pub(crate) shapes: BTreeMap<u32, String>,
    /// A random number: distinguishes this change from an equal one by another process.
    #[serde(default)]
    pub(crate) change: u64,
}

/// The standby generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherGeneration {
    /// Its number.
    pub number: u32,
    /// Its state.
    pub state: GenerationState,
}

/// The state of a standby generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GenerationState {
    /// It is being filled.
    Building,
    /// It is filled and verified: it can be switched to.
    Complete,
    /// It is filled, but some streams are not complete in it; the report says which.
    Incomplete,
    /// It was active before a switch and is still written: it can be rolled back to.
    Previous,
    /// Its rows are being removed. It is not written any more.
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
    /// The numbers of the generations that are written, the active one last: an event in the active
    /// one is also in the standby, unless a projector had not read the standby's row yet.
    pub(crate) fn written(&self) -> Vec<u32> {
        let other = self.other.filter(|other| other.state != GenerationState::Removing);
        other.map(|other| other.number).into_iter().chain([self.active]).collect()
    }

    /// The shapes of the generations. One without a shape gets this program's.
    pub(crate) fn shapes_now(&self, projection: &Projection) -> BTreeMap<u32, String> {
        let numbers = self.other.map(|other| other.number).into_iter().chain([self.active]);
        let shape = |number| {
            self.shapes.get(&number).cloned().unwrap_or_else(|| projection.shape.to_owned())
        };
        numbers.map(|number| (number, shape(number))).collect()
    }

    /// The written generations that have this program's shape.
    pub(crate) fn written_by(&self, projection: &Projection) -> Vec<u32> {
        self.written().into_iter().filter(|number| self.fits(projection, *number)).collect()
    }

    /// Whether the generation has the program's shape, or none yet.
    pub(crate) fn fits(&self, projection: &Projection, number: u32) -> bool {
        self.admit(projection, number).is_ok()
    }

    /// Checks that the program writes the active generation or the one being built. Otherwise
    /// another program must apply the events.
    pub(crate) fn serve(&self, projection: &Projection) -> Result<(), OtherShape> {
        let built = |other: &OtherGeneration| match other.state {
            GenerationState::Building | GenerationState::Complete | GenerationState::Incomplete => {
                true
            }
            GenerationState::Previous | GenerationState::Removing => false,
        };
        let next = self.other.filter(|other| built(other) && self.fits(projection, other.number));
        if next.is_some() { Ok(()) } else { self.admit(projection, self.active) }
    }

    /// Checks that the program may write the generation.
    pub(crate) fn admit(&self, projection: &Projection, number: u32) -> Result<(), OtherShape> {
        match self
            .shapes
            .get(&number)
            .filter(|shape| *shape != projection.shape && projection.is_read_model())
        {
            None => Ok(()),
            Some(stored) => Err(OtherShape {
                generation: number,
                stored: stored.clone(),
                program: projection.shape,
            }),
        }
    }
}

/// The program writes rows of another shape than the generation has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "generation {generation} has shape {stored}, this program has {program}: rebuild with the newer program"
)]
pub struct OtherShape {
    /// The generation.
    pub generation: u32,
    /// Its shape.
    pub stored: String,
    /// The program's shape.
    pub program: &'static str,
}

impl Projection {
    pub(crate) fn generation(&self, number: u32) -> Generation {
        Generation { projection: self.name, number }
    }
}

/// The time in whole milliseconds, as rows store it.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::<Utc>::from(SystemTime::now()).trunc_subsecs(3)
}
