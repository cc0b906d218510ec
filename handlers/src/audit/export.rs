//! Events as a file, page by page: memory holds one page, however long the file becomes.

use super::{AuditError, Format, FoundPage, OpenTrail, Search};
use eventstore::StreamId;

/// The most events of a page.
const PAGE_EVENTS: u64 = 500;

/// A file under way.
pub struct Export {
    trail: OpenTrail,
    search: Search,
    source: Source,
    format: Format,
    /// How many events may still come.
    left: u64,
    /// Whether something may still come.
    open: bool,
    /// What stands before the first event, until it is given.
    heading: Vec<u8>,
}

/// Where the events come from.
enum Source {
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
    /// Begins an export of at most `limit` events that fit the search. Of a stream it holds exactly what was recorded before
    /// it began. Over the whole store it holds of that what the index has by then: commits that wait in the queue of the
    /// projection `audit`, or stand still there, are missing. It ends with the newest commit of the index, whatever the
    /// clocks say: so it ends, though others write on.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn export(&self, search: Search, limit: Option<u64>, format: Format) -> Result<Export, AuditError> {
        let (source, search) = match search.stream().cloned() {
            Some(stream) => {
                let head = self.existing(&stream).await?.version();
                (Source::Stream { stream, head }, search)
            }
            None => {
                self.has_index()?;
                let end = self.end_of(&search).await?;
                (Source::Index, search.until(end))
            }
        };
        let (trail, left) = (self.clone(), limit.unwrap_or(u64::MAX));
        Ok(Export { trail, search, source, format, left, open: true, heading: format.heading() })
    }
}

impl Export {
    /// The next part of the file; none at its end. A part may be empty where a page was looked through and nothing in it fits:
    /// so whoever waits sees that it goes on. After an error the file stays incomplete.
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

    /// The next events. A page may be empty though more come.
    async fn page(&mut self) -> Result<Vec<super::Occurrence>, AuditError> {
        let limit = usize::try_from(self.left.min(PAGE_EVENTS)).unwrap_or(usize::MAX);
        let page = match &self.source {
            Source::Stream { stream, head } => self.trail.search_stream(&self.search, stream, *head, limit).await,
            Source::Index => self.trail.search_index(&self.search, limit).await,
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
