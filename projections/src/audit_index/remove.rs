//! Removes a generation, slice by slice.

use super::entry::{COMMAND, RANK, days_key, prefix};
use super::index::AuditIndex;
use crate::tables::removal::{Removal, RemoveCursor, RemovedSlice};
use crate::tables::table::TableError;
use eventstore::Segment;

impl AuditIndex {
    /// Removes a generation's items among the next 500 items of a segment: entries, and days of
    /// the directory. Other generations are unchanged.
    ///
    /// # Errors
    /// [`TableError`]; the slice can be repeated.
    pub async fn remove_slice(
        &self,
        generation: u32,
        segment: Segment,
        cursor: Option<RemoveCursor>,
    ) -> Result<RemovedSlice, TableError> {
        let removal = Removal {
            partition: COMMAND,
            order: RANK,
            prefix: prefix(generation),
            also: Some(days_key(generation)),
        };
        self.table.remove_slice(&removal, segment, cursor).await
    }
}
