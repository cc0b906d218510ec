//! The events of a stream.

use super::chain::Chain;
use super::occurrence::MAX_DATA_BYTES;
use super::schema::{History, StreamHead};
use super::{AuditError, Occurrence, OpenTrail};
use eventstore::{Consistency, Direction, Head, StreamId};
use serde::{Serialize, Serializer};

/// The most pages of a stream that are read for one answer.
const MAX_PAGES: u32 = 1_000;
/// The most events that are read at once.
const PAGE_EVENTS: usize = 1_000;

/// A page of a stream's history. It serialises as the API shows it.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// The stream's end at the time of the request.
    pub head: Head,
    /// The events, oldest first.
    pub events: Vec<Occurrence>,
    /// The version at which the next page begins, if there is one.
    pub next_from: Option<u64>,
    /// The last version of the history: the requested one, or the stream's end.
    pub to: u64,
}

impl OpenTrail {
    /// At most `limit` events of the stream from that version up to another, or to its end; a page
    /// ends after 4 MB of data. Each page has the last version of the history. Use it for the next
    /// page, so that paging ends: each page of the reader's own readings records one more.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn history(
        &self,
        stream: &StreamId,
        from: u64,
        to: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, AuditError> {
        let head = self.existing(stream).await?;
        let to = to.unwrap_or(u64::MAX).min(head.version());
        let (mut events, mut bytes, mut next) = (Vec::new(), 0, Some(from));
        let mut chain = Chain::new(stream, Direction::Forwards);
        for _ in 0..MAX_PAGES {
            let Some(start) = next.filter(|_| events.len() < limit && bytes < MAX_DATA_BYTES)
            else {
                break;
            };
            let missing =
                u32::try_from((limit - events.len()).min(PAGE_EVENTS)).unwrap_or(u32::MAX);
            let page = self.read_chained(&mut chain, start, missing).await?;
            let read = page.commits.into_iter();
            let read =
                read.flat_map(|commit| Occurrence::of_commit(stream, commit, Direction::Forwards));
            // The store reads whole commits. Commits that were appended after the head was read are
            // left out.
            for found in read.filter(|found| (from..=to).contains(&found.event.version)) {
                if bytes < MAX_DATA_BYTES {
                    bytes += found.data_bytes();
                    events.push(found);
                }
            }
            next = page.next.filter(|next| *next <= to);
        }
        events.truncate(limit);
        let behind = events.last().map(|last| last.event.version + 1);
        let next_from = behind.filter(|next| *next <= to);
        Ok(HistoryPage { head, events, next_from, to })
    }

    /// The end of an existing stream.
    pub(super) async fn existing(&self, stream: &StreamId) -> Result<Head, AuditError> {
        let (head, _) = self.store.head(stream, Consistency::Strong).await?;
        if head.version() == 0 { Err(AuditError::NoStream(stream.clone())) } else { Ok(head) }
    }
}

impl HistoryPage {
    fn shown(&self) -> History {
        let head = StreamHead { version: self.head.version(), hash: self.head.hash().to_string() };
        let events = self.events.iter().map(Occurrence::audited).collect();
        History {
            stream: self.head.stream().to_string(),
            head,
            events,
            next_from: self.next_from,
            to: self.to,
        }
    }
}

impl Serialize for HistoryPage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}
