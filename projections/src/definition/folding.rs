//! What a fold works for, and what becomes of events that it cannot apply.

use crate::definition::projection::{Fact, FoldError, Projection};
use crate::tables::row::Generation;

/// What a fold works for.
#[derive(Clone, Copy)]
pub(crate) struct Folding<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) generation: Generation,
    pub(crate) broken: Option<&'a Broken>,
}

/// A projection that cannot apply events of a type, on purpose.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) projection: String,
    pub(crate) event_type: String,
}

impl Folding<'_> {
    /// What the fold makes of the event; nothing where the event is ignored.
    pub(crate) fn apply<T>(
        &self,
        fact: &Fact<'_>,
        fold: impl FnOnce(&Fact<'_>) -> Result<T, FoldError>,
    ) -> Result<Option<T>, FoldError> {
        let event_type = &fact.event.event_type;
        let fails = |broken: &&Broken| broken.projection == self.projection.name && broken.event_type == *event_type;
        if self.broken.filter(fails).is_some() {
            return Err(FoldError::OnPurpose(event_type.clone()));
        }
        self.projection.apply(fact, fold)
    }
}
