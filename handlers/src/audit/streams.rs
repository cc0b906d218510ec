//! The streams of the journal: their names, and their verification page by page.

use super::schema::{BrokenStream, StreamList, StreamSummary, StreamsVerified};
use super::{AuditError, OpenTrail};
use eventstore::{StreamId, Verification, Witness};
use projections::journal::{JournaledStream, StreamsPage};
use std::time::{Duration, Instant};

/// How long a page of a verification goes on to the next stream. Functions have 28 seconds.
const VERIFY_TIME: Duration = Duration::from_secs(5);

/// Which streams.
#[derive(Debug, Clone, Copy)]
pub struct StreamSelection<'a> {
    /// Their category; none for all categories of the app.
    pub category: Option<&'a str>,
    /// What their keys begin with.
    pub prefix: &'a str,
    /// Only streams after this one, by category and name.
    pub after: Option<&'a StreamId>,
    /// The most streams of a page.
    pub limit: usize,
}

/// A page of streams.
#[derive(Debug, Clone)]
pub struct ListedStreams {
    /// The streams, by category and name.
    pub streams: Vec<JournaledStream>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// The verification of a page of streams.
#[derive(Debug, Clone)]
pub struct VerifiedStreams {
    /// How many streams were verified.
    pub streams: u64,
    /// How many commits they have.
    pub commits: u64,
    /// The streams that do not fit, each with the first thing that does not.
    pub broken: Vec<(StreamId, Verification)>,
    /// The last stream of this page, if there are more.
    pub after: Option<StreamId>,
}

impl OpenTrail {
    /// The streams of the journal, page by page.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn streams(
        &self,
        selection: StreamSelection<'_>,
    ) -> Result<ListedStreams, AuditError> {
        let (journal, generation) = self.journal().await?;
        let mut found = ListedStreams { streams: Vec::new(), more: false };
        for category in self.categories(selection) {
            let room = selection.limit - found.streams.len();
            if room == 0 {
                // Whether this category has streams is not known: an empty page is no harm.
                found.more = true;
                break;
            }
            let after = selection.after.filter(|after| after.category() == category);
            let page =
                journal.streams(generation, &category, selection.prefix, after, room).await?;
            let StreamsPage { streams, more } = page;
            found.streams.extend(streams);
            if more {
                found.more = true;
                break;
            }
        }
        Ok(found)
    }

    /// The selected categories by name, from the one of the last stream on.
    fn categories(&self, selection: StreamSelection<'_>) -> Vec<String> {
        let mut categories = match selection.category {
            Some(category) => vec![category.to_owned()],
            None => self.app.categories(),
        };
        let passed = selection.after.map(StreamId::category).unwrap_or_default();
        categories.retain(|category| &**category >= passed);
        categories
    }

    /// Verifies the selected streams, for some seconds. The end of each is compared with its
    /// witnesses, and with the journal.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn verify_streams(
        &self,
        selection: StreamSelection<'_>,
    ) -> Result<VerifiedStreams, AuditError> {
        let until = Instant::now() + VERIFY_TIME;
        let ListedStreams { streams, more } = self.streams(selection).await?;
        let last = streams.len();
        let mut verified =
            VerifiedStreams { streams: 0, commits: 0, broken: Vec::new(), after: None };
        for (number, journaled) in (1..).zip(streams) {
            let stream = journaled.stream;
            let mut witnesses = self.projector.witnesses(&stream, self.app.consumers()).await?;
            witnesses.push(Witness {
                name: "the journal".to_owned(),
                version: journaled.version,
                hash: journaled.hash.as_bytes().to_vec(),
            });
            let walk = self.store.verify_against(&stream, &witnesses).await?;
            verified.streams += 1;
            verified.commits += walk.commits;
            if !walk.verified() {
                verified.broken.push((stream.clone(), walk));
            }
            if number < last && Instant::now() >= until || number == last && more {
                verified.after = Some(stream);
                break;
            }
        }
        Ok(verified)
    }
}

impl ListedStreams {
    /// The stream after which the next page begins.
    pub fn after(&self) -> Option<&StreamId> {
        self.streams.last().map(|last| &last.stream).filter(|_| self.more)
    }

    /// As the API shows it.
    pub(crate) fn described(&self, next_cursor: Option<String>) -> StreamList {
        let summary = |found: &JournaledStream| StreamSummary {
            stream: found.stream.to_string(),
            version: found.version,
            position: found.position,
        };
        StreamList { streams: self.streams.iter().map(summary).collect(), next_cursor }
    }
}

impl VerifiedStreams {
    /// As the API shows it.
    pub(crate) fn described(&self, next_cursor: Option<String>) -> StreamsVerified {
        let broken = |(stream, walk): &(StreamId, Verification)| {
            walk.broken_at.as_ref().map(|broken| BrokenStream {
                stream: stream.to_string(),
                version: broken.version,
                reason: broken.damage.to_string(),
            })
        };
        StreamsVerified {
            streams: self.streams,
            commits: self.commits,
            broken: self.broken.iter().filter_map(broken).collect(),
            next_cursor,
        }
    }
}
