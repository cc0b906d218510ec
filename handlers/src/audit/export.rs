//! Exports events as a file, page by page: only one page is in memory.

use super::{AuditError, Format, FoundPage, OpenTrail, Search};
use eventstore::StreamId;

/// The most events of a page.
const PAGE_EVENTS: u64 = 500;

/// A file under way.
pub struct Export {
    trail: OpenTrail,
    search: Search,
    source: ExportSource,
    format: Format,
    /// How many more events are allowed.
    left: u64,
    /// Whether there may be more events.
    open: bool,
    /// The heading, until it is returned.
    heading: Vec<u8>,
}

/// Where the events come from.
enum ExportSource {
    /// A stream up to its end at the start of the export.
    Stream { stream: StreamId, head: u64 },
    /// The whole store.
    Index,
}

/// A part of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Whole lines, or none.
    pub bytes: Vec<u8>,
    /// How many events they hold.
    pub events: u64,
}

impl OpenTrail {
    /// Begins an export of at most `limit` events of the search. An export of a stream has exactly
    /// the events that were recorded before it began. An export of the whole store has those that
    /// the index has then. Commits that wait in the queue of projection `audit`, or are parked
    /// there, are missing. It ends with the index's newest commit of that time, so it ends even if
    /// others keep writing.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn export(
        &self,
        search: Search,
        limit: Option<u64>,
        format: Format,
    ) -> Result<Export, AuditError> {
        let (source, search) = match search.stream().cloned() {
            Some(stream) => {
                let head = self.existing(&stream).await?.version();
                (ExportSource::Stream { stream, head }, search)
            }
            None => {
                self.has_index()?;
                let end = self.end_of(&search).await?;
                (ExportSource::Index, search.until(end))
            }
        };
        let (trail, left) = (self.clone(), limit.unwrap_or(u64::MAX));
        Ok(Export { trail, search, source, format, left, open: true, heading: format.heading() })
    }
}

impl Export {
    /// The next part of the file; none at its end. A part is empty if no event of a page matches;
    /// it shows progress. After an error the file is incomplete.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn next(&mut self) -> Result<Option<Chunk>, AuditError> {
        if !self.open {
            return Ok(None);
        }
        let events = self.page().await?;
        let mut bytes = std::mem::take(&mut self.heading);
        bytes.extend(self.format.lines(&events).map_err(AuditError::Format)?);
        Ok(Some(Chunk { bytes, events: u64::try_from(events.len()).unwrap_or(u64::MAX) }))
    }

    /// The next events. An empty page may have a next one.
    async fn page(&mut self) -> Result<Vec<super::Occurrence>, AuditError> {
        let limit = usize::try_from(self.left.min(PAGE_EVENTS)).unwrap_or(usize::MAX);
        let page = match &self.source {
            ExportSource::Stream { stream, head } => {
                self.trail.search_stream(&self.search, stream, *head, limit).await
            }
            ExportSource::Index => self.trail.search_index(&self.search, limit).await,
        };
        let FoundPage { events, damaged, next } = page?;
        if let Some(damaged) = damaged.into_iter().next() {
            return Err(damaged.into());
        }
        self.left = self.left.saturating_sub(u64::try_from(events.len()).unwrap_or(u64::MAX));
        self.open = next.is_some() && self.left > 0;
        self.search.go_on(next);
        Ok(events)
    }
}
