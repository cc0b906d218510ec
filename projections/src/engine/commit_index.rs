//! What a projector does with the audit index: it enters commits, and searches the active generation.

use crate::audit_index::{AuditCursor, AuditPage, AuditSearch, PROJECTION};
use crate::stream_read::TimeLimit;
use crate::engine::notification::NotifiedStream;
use crate::engine::project_error::ProjectError;
use crate::engine::projector::Projector;
use crate::tables::row::Generation;
use crate::tables::table::TableError;
use eventstore::{Commit, Direction, ReadError};

impl Projector {
    /// Enters the announced commits, and what is missing before them.
    pub(crate) async fn enter(
        &self,
        generation: Generation,
        news: &NotifiedStream,
        limit: TimeLimit,
    ) -> Result<(), ProjectError> {
        // What is carried comes first: the end of the stream may be damaged.
        self.audit_index.index(&self.store, generation.number, &news.stream, &news.commits, limit).await?;
        if news.commits.last().is_some_and(|commit| commit.last_version() >= news.version) {
            return Ok(());
        }
        let page = match self.store.read(&news.stream, news.version, Direction::Backwards, 1).await {
            Err(ReadError::Corrupt(damaged)) if damaged.version > 1 => {
                let before = damaged.version - 1;
                self.audit_index.mend(&self.store, generation.number, &news.stream, before, limit).await?;
                return Err(ReadError::Corrupt(damaged).into());
            }
            page => page?,
        };
        let found = page.commits.first().map_or(0, Commit::last_version);
        if found < news.version {
            return Err(ProjectError::Missing { announced: news.version, found });
        }
        Ok(self.audit_index.index(&self.store, generation.number, &news.stream, &page.commits, limit).await?)
    }

    /// Finds commits in the active generation of the audit index, a page at a time.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn audit_search(&self, search: &AuditSearch) -> Result<AuditPage, TableError> {
        let generation = self.active(&PROJECTION).await?;
        // Boxed, because futures nest deeper here than the compiler is ready to look through.
        Box::pin(self.audit_index.search(generation.number, search)).await
    }

    /// The place of the newest commit that the active generation of the audit index has for the search.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn audit_newest(&self, search: &AuditSearch) -> Result<AuditCursor, TableError> {
        let generation = self.active(&PROJECTION).await?;
        Box::pin(self.audit_index.newest(generation.number, search)).await
    }
}
