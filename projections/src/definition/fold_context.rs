//! The context of a fold: projection, generation, and a fault for tests.

use crate::definition::projection::{FoldError, Projection, RecordedEvent};
use crate::tables::row::Generation;

/// The context of a fold.
#[derive(Clone, Copy)]
pub(crate) struct FoldContext<'a> {
    pub(crate) projection: &'a Projection,
    pub(crate) generation: Generation,
    pub(crate) fault: Option<&'a InjectedFault>,
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
        recorded: &RecordedEvent<'_>,
        fold: impl FnOnce(&RecordedEvent<'_>) -> Result<T, FoldError>,
    ) -> Result<Option<T>, FoldError> {
        let event_type = &recorded.event.event_type;
        let fails = |fault: &&InjectedFault| {
            fault.projection == self.projection.name && fault.event_type == *event_type
        };
        if self.fault.filter(fails).is_some() {
            return Err(FoldError::InjectedFault(event_type.clone()));
        }
        self.projection.apply(recorded, fold)
    }
}
