//! Checks that consecutive commits follow each other. Else a changed commit would be shown, or a
//! filter would hide it.

use super::{AuditError, OpenTrail};
use eventstore::{Commit, CorruptStream, Damage, Direction, Head, ReadError, StreamId, StreamPage};

/// The commits of a stream, in the order of reading.
pub(super) struct Chain<'a> {
    stream: &'a StreamId,
    direction: Direction,
    /// The last commit that was read.
    last: Option<Commit>,
}

impl<'a> Chain<'a> {
    pub(super) fn new(stream: &'a StreamId, direction: Direction) -> Self {
        Self { stream, direction, last: None }
    }

    /// Takes the next commit of the read.
    fn take(&mut self, commit: &Commit) -> Result<(), ReadError> {
        if let Some(last) = &self.last {
            let (earlier, later) = match self.direction {
                Direction::Forwards => (last, commit),
                Direction::Backwards => (commit, last),
            };
            follows(self.stream, later, Some(earlier))?;
        }
        if commit.version == 1 {
            follows(self.stream, commit, None)?;
        }
        self.last = Some(commit.clone());
        Ok(())
    }
}

/// Whether the commit follows the one before it, or begins the stream.
pub(super) fn follows(
    stream: &StreamId,
    commit: &Commit,
    before: Option<&Commit>,
) -> Result<(), CorruptStream> {
    let hash = before.map_or_else(|| Head::empty(stream).hash(), |before| before.hash);
    if commit.follows(&hash) {
        return Ok(());
    }
    Err(CorruptStream {
        stream: stream.to_string(),
        version: commit.version,
        damage: Damage::Chain,
    })
}

impl OpenTrail {
    /// Reads the next page of the stream, and checks each commit by the one before it. For that,
    /// the commit before a first page that goes forwards is read, too, and the one before each page
    /// that goes backwards.
    ///
    /// # Errors
    /// [`AuditError`]; a commit that was changed is damage.
    pub(super) async fn read_chained(
        &self,
        chain: &mut Chain<'_>,
        from: u64,
        limit: u32,
    ) -> Result<StreamPage, AuditError> {
        let (stream, direction) = (chain.stream, chain.direction);
        let page = self.store.read(stream, from, direction, limit).await?;
        let first = page
            .commits
            .first()
            .filter(|first| direction == Direction::Forwards && first.version > 1);
        if let (Some(first), None) = (first, &chain.last) {
            chain.last = self.before(stream, first.version).await?;
        }
        page.commits.iter().try_for_each(|commit| chain.take(commit))?;
        let oldest = page
            .commits
            .last()
            .filter(|last| direction == Direction::Backwards && last.version > 1);
        if let Some(oldest) = oldest {
            let before = self.before(stream, oldest.version).await?;
            before
                .map_or(Ok(()), |before| follows(stream, oldest, Some(&before)))
                .map_err(ReadError::from)?;
        }
        Ok(page)
    }

    /// The commit that ends before that version. If it is corrupt or missing, later ones can be
    /// read all the same.
    async fn before(&self, stream: &StreamId, version: u64) -> Result<Option<Commit>, AuditError> {
        let page = match self.store.read(stream, version - 1, Direction::Backwards, 1).await {
            Err(ReadError::Corrupt(_)) => return Ok(None),
            page => page?,
        };
        let first = page.commits.into_iter().next();
        Ok(first.filter(|commit| commit.last_version() + 1 == version))
    }
}
