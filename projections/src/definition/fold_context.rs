//! What a fold works for, and what becomes of events that it cannot apply.

use crate::definition::projection::{FoldError, Projection, RecordedEvent};
use crate::tables::row::Generation;

/// What a fold works for.
#[derive(Clone, Copy)]
pub(crate) struct FoldContext<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) generation: Generation,
    pub(crate) broken: Option<&'a InjectedFault>,
}

/// A projection that cannot apply events of a type, on purpose.
#[derive(Debug, Clone)]
pub(crate) struct InjectedFault {
    pub(crate) projection: String,
    pub(crate) event_type: String,
}

impl FoldContext<'_> {
    /// What the fold makes of the event; nothing where the event is ignored.
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
