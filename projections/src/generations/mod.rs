//! The generations of a projection: which one is read, which ones are written, and what is being worked on.
//!
//! Each projection has one row of generations, and every change is a conditional put: a switch is one
//! write. Readers remember the row for a second. After each batch a projector re-reads it: it also
//! writes a generation that was begun meanwhile, and one that is begun later finds the batch in the
//! store.

pub(crate) mod job;
pub(crate) mod registry;

use crate::definition::projection::Projection;
use crate::generations::job::{Job, Report};
use crate::tables::row::Generation;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// The numbers of those that new events are applied to, the active one last: an event in the active one
    /// is also in the standby, unless a process did not know of the standby yet.
    pub(crate) fn written(&self) -> Vec<u32> {
        let other = self.other.filter(|other| other.state != GenerationState::Removing);
        other.map(|other| other.number).into_iter().chain([self.active]).collect()
    }

    /// The shapes of the generations that there are. One that has none yet is begun by this program.
    pub(crate) fn shapes_now(&self, projection: &Projection) -> BTreeMap<u32, String> {
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

    /// Checks that the program writes the active generation or the one being built. Otherwise another
    /// program must apply the events.
    pub(crate) fn serve(&self, projection: &Projection) -> Result<(), OtherShape> {
        let built = |other: &OtherGeneration| match other.state {
            GenerationState::Building | GenerationState::Complete | GenerationState::Incomplete => true,
            GenerationState::Previous | GenerationState::Removing => false,
        };
        let next = self.other.filter(|other| built(other) && self.fits(projection, other.number));
        if next.is_some() { Ok(()) } else { self.admit(projection, self.active) }
    }

    /// Checks that the program may write the generation.
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

impl Projection {
    pub(crate) fn generation(&self, number: u32) -> Generation {
        Generation { projection: self.name, number }
    }
}
