//! The context of a fold: projection, generation, and a fault for tests.

use crate::definition::projection::{FoldError, Projection, RecordedEvent};
use crate::tables::row::Generation;

/// The context of a fold.
#[derive(Clone, Copy)]
pub(crate) struct FoldContext<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) generation: Generation,
    pub(crate) broken: Option<&'a InjectedFault>,
}

/// A projection that fails on events of one type, for tests.
#[derive(Debug, Clone)]
pub(crate) struct InjectedFault {
    pub(crate) projection: String,
    pub(crate) event_type: String,
}

impl FoldContext<'_> {
    /// The result of the fold; none if the event is ignored.
    pub(crate) fn apply<T>(
        &self,
        fact: &RecordedEvent<'_>,
        fold: impl FnOnce(&RecordedEvent<'_>) -> Result<T, FoldError>,
    ) -> Result<Option<T>, FoldError> {
        let event_type = &fact.event.event_type;
        let fails =
            |broken: &&InjectedFault| broken.projection == self.projection.name && broken.event_type == *event_type;
        if self.broken.filter(fails).is_some() {
            return Err(FoldError::OnPurpose(event_type.clone()));
        }
        self.projection.apply(fact, fold)
    }
}
