//! Questions to the active generation of the audit index.

use crate::audit_index::{AuditCursor, AuditPage, AuditSearch, PROJECTION, count_request};
use crate::engine::projector::Projector;
use crate::generations::Generations;
use crate::tables::table::TableError;
use eventstore::{CommandIndex, Id, IndexAnswer, IndexLookup, Mark, Usage};
use std::sync::Arc;

impl Projector {
    /// Finds commits, a page at a time.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn audit_search(&self, search: &AuditSearch) -> Result<AuditPage, TableError> {
        let generation = self.active(&PROJECTION).await?;
        // Boxed: the nested futures exceed the compiler's recursion limit.
        Box::pin(self.audit_index.search(generation.number, search)).await
    }

    /// The place of the newest commit for the search.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn audit_newest(&self, search: &AuditSearch) -> Result<AuditCursor, TableError> {
        let generation = self.active(&PROJECTION).await?;
        Box::pin(self.audit_index.newest(generation.number, search)).await
    }

    /// The audit index as the event store uses it to find commands.
    pub fn command_index(&self) -> CommandIndex {
        let projector = self.clone();
        Arc::new(move |mark, command| {
            let projector = projector.clone();
            Box::pin(async move { Ok(projector.recorded(&mark, &command).await?) })
        })
    }

    /// Looks for a command in the stream of the mark, up to the mark's commit. Every read is
    /// strongly consistent. The answer is correct because of the order of the reads:
    ///
    /// 1. The entry of the mark. Entries of a stream are written in the order of its commits, so
    ///    with this one every earlier commit has its entry.
    /// 2. The entries of the command.
    /// 3. The generations. Entries of a generation are removed only after its row says `removing`.
    ///    If it does not say so now, no entry was missing in step 2.
    ///
    /// Costs three requests of one read unit each, if the command has few entries. The steps are
    /// repeated once if this process did not know the active generation.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn recorded(&self, mark: &Mark, command: &Id) -> Result<IndexAnswer, TableError> {
        let mut usage = Usage::default();
        let mut number = self.registry.last_known(&PROJECTION).active;
        for _ in 0..2 {
            // Boxed: the nested futures exceed the compiler's recursion limit.
            let lookup =
                Box::pin(self.audit_index.recorded(number, mark, command, &mut usage)).await?;
            count_request(&mut usage);
            let now: Generations = self.registry.refreshed(&PROJECTION).await?;
            let answers = now.written().contains(&number)
                && (lookup != IndexLookup::NotIndexed || number == now.active);
            if answers {
                return Ok(IndexAnswer { lookup, usage });
            }
            number = now.active;
        }
        Ok(IndexAnswer { lookup: IndexLookup::NotIndexed, usage })
    }
}
