//! Events by actor, type, command, correlation and time: of one stream, or over the whole store by
//! its index.

use super::chain::Chain;
use super::cursor::{Cut, SearchPlace};
use super::occurrence::MAX_DATA_BYTES;
use super::schema::FoundEvents;
use super::{AuditError, Cursor, DamagedCommit, Filter, InvalidCursor, Occurrence, OpenTrail};
use eventstore::{Commit, Direction, StreamId};
use projections::audit_index::{AuditCursor, AuditPage, AuditSearch, IndexEntry};
use serde::{Serialize, Serializer};

/// The most pages, of a stream or of the index, that are read for one answer.
const MAX_PAGES: u32 = 10;
/// The events of a stream that are read at once.
const PAGE_EVENTS: u32 = 500;
/// The most commits that are read at once; an item of the store has at most 400 KB.
const PAGE_COMMITS: usize = 100;

/// A search for events.
#[derive(Debug, Clone)]
pub struct Search {
    stream: Option<StreamId>,
    filter: Filter,
    direction: Direction,
    cursor: Option<Cursor>,
    /// The last place of a search without a cursor.
    end: Option<AuditCursor>,
}

/// A page of the events that were found. It serialises as the API shows it.
#[derive(Debug, Clone)]
pub struct FoundPage {
    /// The events, in the requested order.
    pub events: Vec<Occurrence>,
    /// Matching commits that are missing or changed in their streams.
    pub damaged: Vec<DamagedCommit>,
    /// The next page. A short or empty page may have a next one.
    pub next: Option<Cursor>,
}

impl Search {
    /// A search in one stream, or over the whole store, from the cursor on.
    ///
    /// # Errors
    /// [`InvalidCursor`] if the cursor is of the other kind of search.
    pub fn new(
        stream: Option<StreamId>,
        filter: Filter,
        direction: Direction,
        cursor: Option<Cursor>,
    ) -> Result<Self, InvalidCursor> {
        let fits = match &cursor {
            None => true,
            Some(Cursor(SearchPlace::Stream { .. })) => stream.is_some(),
            Some(Cursor(SearchPlace::Index { .. })) => stream.is_none(),
        };
        if fits {
            Ok(Self { stream, filter, direction, cursor, end: None })
        } else {
            Err(InvalidCursor)
        }
    }

    /// The events of a stream from that version on, the oldest first.
    pub fn of_stream(stream: StreamId, from: u64) -> Self {
        let cursor = Some(Cursor::in_stream(from, None));
        Self {
            stream: Some(stream),
            filter: Filter::default(),
            direction: Direction::Forwards,
            cursor,
            end: None,
        }
    }

    /// The stream that is searched; none for the whole store.
    pub fn stream(&self) -> Option<&StreamId> {
        self.stream.as_ref()
    }

    /// The same, but over all streams it ends at that place.
    pub(super) fn until(self, end: Option<AuditCursor>) -> Self {
        Self { end, ..self }
    }

    /// Continues after a page.
    pub(super) fn go_on(&mut self, next: Option<Cursor>) {
        self.cursor = next;
    }
}

/// The events of a page: it ends at the limit, or after 4 MB of data.
struct Collected {
    events: Vec<Occurrence>,
    limit: usize,
    bytes: usize,
}

impl Collected {
    fn up_to(limit: usize) -> Self {
        Self { events: Vec::new(), limit, bytes: 0 }
    }

    fn push(&mut self, event: Occurrence) {
        self.bytes += event.data_bytes();
        self.events.push(event);
    }

    fn are_full(&self) -> bool {
        self.events.len() >= self.limit || self.bytes >= MAX_DATA_BYTES
    }
}

impl OpenTrail {
    /// At most `limit` matching events, up to 4 MB of data, and the next page.
    ///
    /// A search in one stream reads the stream, and is exact. A search over the whole store finds
    /// commits by the index, usually moments after they were recorded. Commits that wait in its
    /// queue, or are parked, are missing. Events are read from their streams. Readings of the audit
    /// trail are left out unless requested.
    ///
    /// Paging ends: the first page fixes the end, and the cursor carries it. Otherwise a search
    /// would find the readings of its own pages, one more with each page.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn search(&self, search: &Search, limit: usize) -> Result<FoundPage, AuditError> {
        match &search.stream {
            Some(stream) => {
                let head = self.existing(stream).await?.version();
                let end = search.last_version().map_or(head, |end| end.min(head));
                self.search_stream(search, stream, end, limit).await
            }
            None => {
                self.has_index()?;
                self.search_index(search, limit).await
            }
        }
    }
}

impl OpenTrail {
    /// Searches the stream up to its version `head`.
    pub(super) async fn search_stream(
        &self,
        search: &Search,
        stream: &StreamId,
        head: u64,
        limit: usize,
    ) -> Result<FoundPage, AuditError> {
        let (mut events, mut next) = (Collected::up_to(limit), Some(search.first_version(head)));
        let go_on = |version| {
            Cursor::in_stream(version, (search.direction == Direction::Forwards).then_some(head))
        };
        let mut chain = Chain::new(stream, search.direction);
        for _ in 0..MAX_PAGES {
            let Some(start) = next.filter(|version| *version <= head) else { break };
            let page = self.read_chained(&mut chain, start, PAGE_EVENTS).await?;
            for found in page.commits.into_iter().flat_map(|commit| search.fitting(stream, commit))
            {
                let version = found.event.version;
                // A page has whole commits: events before the start were on an earlier page.
                if version > head || search.is_before(version, start) {
                    continue;
                }
                events.push(found);
                if events.are_full() {
                    let behind = search.behind(version).filter(|version| *version <= head);
                    return Ok(FoundPage::whole(events.events, behind.map(go_on)));
                }
            }
            next = page.next;
        }
        let next = next.filter(|version| *version <= head);
        Ok(FoundPage::whole(events.events, next.map(go_on)))
    }

    /// Searches the whole store.
    pub(super) async fn search_index(
        &self,
        search: &Search,
        limit: usize,
    ) -> Result<FoundPage, AuditError> {
        let (mut after, cut) = search.place();
        let end = search.end();
        let (mut events, mut damaged) = (Collected::up_to(limit), Vec::new());
        for _ in 0..MAX_PAGES {
            let wanted = limit.saturating_sub(events.events.len()).clamp(1, PAGE_COMMITS);
            let AuditPage { found, next } =
                self.find(&search.of_commits(after, end.cloned(), wanted)).await?;
            // The index reached its limit of requests before the page was full.
            let spent = next.is_some() && found.len() < wanted;
            let commits = self.gather(&found).await?;
            for (entry, gathered) in found.iter().zip(commits) {
                let (stream, commit) = match gathered {
                    Ok(commit) => commit,
                    Err(commit) => {
                        damaged.push(commit);
                        continue;
                    }
                };
                for event in search
                    .fitting(&stream, commit)
                    .into_iter()
                    .filter(|found| search.is_unseen(found, cut))
                {
                    if events.are_full() {
                        let events = events.events;
                        let (after, cut) = search.cut_before(entry, &events);
                        let next = Some(self.behind(search, after, cut).await?);
                        return Ok(FoundPage { events, damaged, next });
                    }
                    events.push(event);
                }
            }
            after = next;
            if after.is_none() || spent || events.are_full() {
                break;
            }
        }
        let next = match after {
            Some(after) => Some(self.behind(search, after, None).await?),
            None => None,
        };
        Ok(FoundPage { events: events.events, damaged, next })
    }

    /// The cursor after a page. That of a first page fixes the end of the search.
    async fn behind(
        &self,
        search: &Search,
        after: AuditCursor,
        cut: Option<Cut>,
    ) -> Result<Cursor, AuditError> {
        let end = match search.end().cloned() {
            Some(end) => Some(end),
            // A secondary index may be late: the end must not be before the shown events.
            None => self.end_of(search).await?.map(|end| end.later(after.clone())),
        };
        Ok(Cursor(SearchPlace::Index { after, cut, end }))
    }

    /// The place at which a search ends that begins now. Backwards it ends at the oldest commit
    /// anyway.
    pub(super) async fn end_of(&self, search: &Search) -> Result<Option<AuditCursor>, AuditError> {
        match search.direction {
            Direction::Forwards => {
                let newest = search.of_commits(None, None, 1);
                Ok(Some(Box::pin(self.projector.audit_newest(&newest)).await?))
            }
            Direction::Backwards => Ok(None),
        }
    }

    /// Queries the index.
    pub(super) async fn find(&self, search: &AuditSearch) -> Result<AuditPage, AuditError> {
        // Boxed: the nested futures exceed the compiler's recursion limit.
        Ok(Box::pin(self.projector.audit_search(search)).await?)
    }
}

impl Search {
    /// Where a stream is read from.
    fn first_version(&self, head: u64) -> u64 {
        match (&self.cursor, self.direction) {
            (Some(Cursor(SearchPlace::Stream { version, .. })), _) => *version,
            (None | Some(Cursor(SearchPlace::Index { .. })), Direction::Forwards) => 1,
            (None | Some(Cursor(SearchPlace::Index { .. })), Direction::Backwards) => head,
        }
    }

    /// The last version of a search in a stream, by its cursor.
    fn last_version(&self) -> Option<u64> {
        match &self.cursor {
            Some(Cursor(SearchPlace::Stream { end, .. })) => *end,
            None | Some(Cursor(SearchPlace::Index { .. })) => None,
        }
    }

    /// Where the index query begins, and the commit that was shown in part.
    fn place(&self) -> (Option<AuditCursor>, Option<&Cut>) {
        match &self.cursor {
            Some(Cursor(SearchPlace::Index { after, cut, .. })) => {
                (Some(after.clone()), cut.as_ref())
            }
            None | Some(Cursor(SearchPlace::Stream { .. })) => (None, None),
        }
    }

    /// The last place of the search, if it is fixed.
    fn end(&self) -> Option<&AuditCursor> {
        match &self.cursor {
            Some(Cursor(SearchPlace::Index { end: Some(end), .. })) => Some(end),
            None
            | Some(Cursor(SearchPlace::Index { end: None, .. } | SearchPlace::Stream { .. })) => {
                self.end.as_ref()
            }
        }
    }

    fn of_commits(
        &self,
        after: Option<AuditCursor>,
        until: Option<AuditCursor>,
        limit: usize,
    ) -> AuditSearch {
        let without = self.filter.without();
        let Filter { actor, event_type, command, correlation, period, readings: _ } =
            self.filter.clone();
        let event_type = event_type.map(String::from);
        let (from, to, direction) = (period.from(), period.to(), self.direction);
        AuditSearch {
            actor,
            event_type,
            command,
            correlation,
            from,
            to,
            direction,
            limit,
            after,
            until,
            without,
        }
    }

    /// The events of a commit that fit, in the order of the search.
    fn fitting(&self, stream: &StreamId, commit: Commit) -> Vec<Occurrence> {
        let mut events = Occurrence::of_commit(stream, commit, self.direction);
        events.retain(|found| self.filter.fits(&found.commit, &found.event));
        events
    }

    fn is_before(&self, version: u64, other: u64) -> bool {
        match self.direction {
            Direction::Forwards => version < other,
            Direction::Backwards => version > other,
        }
    }

    fn behind(&self, version: u64) -> Option<u64> {
        match self.direction {
            Direction::Forwards => Some(version + 1),
            Direction::Backwards => version.checked_sub(1).filter(|version| *version > 0),
        }
    }

    /// Whether the event was not on an earlier page with another part of its commit.
    fn is_unseen(&self, found: &Occurrence, cut: Option<&Cut>) -> bool {
        let holds_cut = |cut: &&Cut| {
            cut.stream == found.stream
                && (found.commit.version..=found.commit.last_version()).contains(&cut.version)
        };
        cut.filter(holds_cut).is_none_or(|cut| self.is_before(cut.version, found.event.version))
    }

    /// Where the page behind these events begins: with the commit of the entry, of which they may
    /// have a part.
    fn cut_before(&self, entry: &IndexEntry, events: &[Occurrence]) -> (AuditCursor, Option<Cut>) {
        let is_of_entry = |last: &&Occurrence| {
            last.stream == entry.stream && last.commit.version == entry.version
        };
        let last = events.last().filter(is_of_entry);
        let cut = last.map(|last| Cut { stream: last.stream.clone(), version: last.event.version });
        // Commits of the stream and time that were shown lie at this place or on its other side.
        let version = match self.direction {
            Direction::Forwards => entry.version.saturating_sub(1),
            Direction::Backwards => entry.version + 1,
        };
        (AuditCursor::of(entry.recorded_at, &entry.stream, version), cut)
    }
}

impl FoundPage {
    fn whole(events: Vec<Occurrence>, next: Option<Cursor>) -> Self {
        Self { events, damaged: Vec::new(), next }
    }
}

impl Serialize for FoundPage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let events = self.events.iter().map(Occurrence::found).collect();
        let next_cursor = self.next.as_ref().map(Cursor::to_string);
        FoundEvents { events, damaged: self.damaged.clone(), next_cursor }.serialize(serializer)
    }
}
