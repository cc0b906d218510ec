//! Parked streams: a generation cannot apply their next event.
//!
//! A parked stream has a row, for people to see. A projector reads that row only after an event
//! fails, so parking costs nothing while nothing fails. When a newer program can apply the event,
//! the stream continues with its next message.

use crate::definition::projection::Projection;
use crate::engine::gap::check_position;
use crate::engine::notification::{Notification, join};
use crate::engine::project_error::ProjectError;
use crate::engine::projector::Projector;
use crate::generations::now;
use crate::stream_read::TimeLimit;
use crate::tables::read_models::ListCursor;
use crate::tables::row::{Listing, Row, RowData, UnreadableRow};
use crate::tables::table::TableError;
use chrono::{DateTime, Utc};
use eventstore::{Consistency, StreamId, time_text};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::sync::Arc;

/// The list of a generation's parked streams, oldest last.
const LIST: &str = "parked";
/// The most streams of one page.
const PAGE: u32 = 100;
/// How often a resumed stream is read again for commits that came meanwhile.
const MAX_RECHECKS: u32 = 10;
/// The most rows of parked streams that are read after a pass over all streams.
const MAX_OUTDATED: u32 = 500;

/// A parked stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The stream.
    pub stream: StreamId,
    /// The generation in which it is parked.
    pub generation: u32,
    /// The version of the event that fails; none if a row is unreadable.
    pub version: Option<u64>,
    /// Why: the error and its causes.
    pub error: String,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
}

/// A page of parked streams.
#[derive(Debug)]
pub struct ParkedPage {
    /// The streams, newest first.
    pub streams: Vec<Parked>,
    /// The next page; none at the end.
    pub next: Option<ListCursor>,
}

/// The result of resuming a parked stream.
#[derive(Debug)]
pub struct Resumed {
    /// The stream, as it was parked.
    pub parked: Parked,
    /// Why it is still parked; none if it has caught up. If only the time ran out, the event was
    /// applied but the end is not reached: notify the stream, then [`unpark`](Projector::unpark)
    /// it.
    pub still: Option<ProjectError>,
}

impl Resumed {
    /// Why it is still parked, with all causes, in one line; none if it has caught up.
    pub fn reason(&self) -> Option<String> {
        self.still.as_ref().map(|error| chain(error))
    }
}

impl Projector {
    /// Parks a stream at that version. Safe to repeat.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn park(
        &self,
        projection: &Projection,
        generation: u32,
        stream: &StreamId,
        version: Option<u64>,
        error: &(dyn Error + Send + Sync),
    ) -> Result<(), TableError> {
        let parked = Parked {
            stream: stream.clone(),
            generation,
            version,
            error: chain(error),
            parked_at: now(),
        };
        let rank = parked.rank();
        let unwritable = |error| UnreadableRow { key: name(stream), source: Some(Arc::new(error)) };
        let data = serde_json::to_value(&parked).map_err(unwritable)?;
        let content = RowData { data, listing: Some(Listing { list: LIST.to_owned(), rank }) };
        let row = Row::of(projection.generation(generation), &name(stream), 1, content);
        self.read_models.overwrite(&row).await
    }

    /// Whether the stream is parked at that version. A row for an earlier version is outdated.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn is_parked(
        &self,
        projection: &Projection,
        generation: u32,
        stream: &StreamId,
        version: Option<u64>,
    ) -> Result<bool, TableError> {
        let key = projection.generation(generation).key(&name(stream));
        let Some(row) = self.read_models.get(key, true).await? else { return Ok(false) };
        Ok(row.read::<Parked>()?.version == version)
    }

    /// Removes the row of the parked stream, unless the stream was parked again meanwhile. For a
    /// process, whose handler gets the stream again.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn unpark(&self, projection: &Projection, parked: &Parked) -> Result<(), TableError> {
        let key = projection.generation(parked.generation).key(&name(&parked.stream));
        self.read_models.remove_ranked(key, parked.rank()).await
    }

    /// The parked streams of a generation. Eventually consistent.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn parked(
        &self,
        projection: &Projection,
        generation: u32,
        limit: u32,
        cursor: Option<&ListCursor>,
    ) -> Result<ParkedPage, TableError> {
        let page =
            self.read_models.list(projection.generation(generation), LIST, limit, cursor).await?;
        let streams = page.rows.iter().map(Row::read).collect::<Result<_, _>>()?;
        Ok(ParkedPage { streams, next: page.next })
    }

    /// Catches up a stream from the store in every generation in which it is parked.
    ///
    /// # Errors
    /// [`ProjectError`] if the store or the table fails. A stream that is still parked is no error.
    pub async fn resume_stream(
        &self,
        projection: &Projection,
        stream: &StreamId,
    ) -> Result<Vec<Resumed>, ProjectError> {
        let (mut resumed, limit) = (Vec::new(), self.resume_limit());
        for number in self.registry.read(projection).await?.generations.written() {
            let key = projection.generation(number).key(&name(stream));
            if let Some(row) = self.read_models.get(key, true).await? {
                let parked: Parked = row.read().map_err(TableError::from)?;
                resumed.push(self.catch_up(projection, parked, limit).await?);
            }
        }
        Ok(resumed)
    }

    /// Catches up every parked stream, as [`resume_stream`](Self::resume_stream). Eventually
    /// consistent: a stream that was parked a moment ago may be left out.
    ///
    /// # Errors
    /// [`ProjectError`] if the store or the table fails.
    pub async fn resume_all(&self, projection: &Projection) -> Result<Vec<Resumed>, ProjectError> {
        let (mut resumed, limit) = (Vec::new(), self.resume_limit());
        for number in self.registry.read(projection).await?.generations.written() {
            let mut cursor = None;
            loop {
                let page = self.parked(projection, number, PAGE, cursor.as_ref()).await?;
                resumed.extend(self.resume(projection, page.streams, limit).await?);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(resumed)
    }

    /// Catches up those streams, as [`resume_stream`](Self::resume_stream). Gaps are filled until
    /// the limit.
    ///
    /// # Errors
    /// [`ProjectError`] if the store or the table fails.
    pub async fn resume(
        &self,
        projection: &Projection,
        parked: Vec<Parked>,
        limit: TimeLimit,
    ) -> Result<Vec<Resumed>, ProjectError> {
        let mut resumed = Vec::new();
        for parked in parked {
            resumed.push(self.catch_up(projection, parked, limit).await?);
        }
        Ok(resumed)
    }

    async fn catch_up(
        &self,
        projection: &Projection,
        parked: Parked,
        limit: TimeLimit,
    ) -> Result<Resumed, ProjectError> {
        let mut caught_up = match self.project_to_head(projection, &parked, limit).await {
            Ok(version) => version,
            Err(error) => return self.still_parked(projection, parked, error).await,
        };
        self.unpark(projection, &parked).await?;
        // While the stream was parked its messages were dropped: commits that came with them are
        // read from the store.
        for _ in 0..MAX_RECHECKS {
            match self.project_to_head(projection, &parked, limit).await {
                Ok(version) if version == caught_up => break,
                Ok(version) => caught_up = version,
                Err(error) => return self.still_parked(projection, parked, error).await,
            }
        }
        Ok(Resumed { parked, still: None })
    }

    /// Applies all commits of the stream; returns its version.
    async fn project_to_head(
        &self,
        projection: &Projection,
        parked: &Parked,
        limit: TimeLimit,
    ) -> Result<u64, ProjectError> {
        self.registry
            .recent(projection)
            .await
            .map_err(ProjectError::from)?
            .admit(projection, parked.generation)?;
        let (head, _) = self.store.head(&parked.stream, Consistency::Strong).await?;
        let head_notified = vec![Notification {
            stream: parked.stream.clone(),
            version: head.version(),
            batch: None,
        }];
        let notified = join(head_notified, projection.follows);
        let failed = self.project_into(projection, parked.generation, notified, limit).await;
        if let Some((_, error)) = failed.into_iter().next() {
            return Err(error);
        }
        self.check_reached(projection, parked).await?;
        Ok(head.version())
    }

    /// Checks that the position is part of the stream: without missing commits nothing was compared
    /// yet.
    async fn check_reached(
        &self,
        projection: &Projection,
        parked: &Parked,
    ) -> Result<(), ProjectError> {
        let Some(name) = projection.position_name_of(&parked.stream) else { return Ok(()) };
        let key = projection.generation(parked.generation).key(&name);
        let reached = self.read_models.positions(std::slice::from_ref(&key)).await?;
        match reached.get(&key) {
            Some(at) => check_position(&self.store, &parked.stream, *at).await,
            None => Ok(()),
        }
    }

    async fn still_parked(
        &self,
        projection: &Projection,
        parked: Parked,
        error: ProjectError,
    ) -> Result<Resumed, ProjectError> {
        if error.is_out_of_time() {
            return Ok(Resumed { parked, still: Some(error) });
        }
        if !error.is_permanent() {
            return Err(error);
        }
        self.park(projection, parked.generation, &parked.stream, error.version(), &error).await?;
        Ok(Resumed { parked, still: Some(error) })
    }

    /// Removes rows of parked streams that have continued without being resumed.
    pub(crate) async fn forget_outdated(
        &self,
        projection: &Projection,
        generation: u32,
    ) -> Result<(), TableError> {
        if !projection.is_read_model() {
            // A process has no rows to compare with.
            return Ok(());
        }
        let page = self.parked(projection, generation, MAX_OUTDATED, None).await?;
        let key = |parked: &Parked| {
            Some(
                projection
                    .generation(generation)
                    .key(&projection.position_name_of(&parked.stream)?),
            )
        };
        let keys: Vec<String> = page.streams.iter().filter_map(key).collect();
        let reached = self.read_models.positions(&keys).await?;
        for parked in page.streams {
            let reached =
                key(&parked).and_then(|key| reached.get(&key)).map(|reached| reached.version);
            if reached.zip(parked.version).is_some_and(|(reached, version)| reached >= version) {
                self.unpark(projection, &parked).await?;
            }
        }
        Ok(())
    }
}

impl Parked {
    /// Its rank in the list, which is unique.
    fn rank(&self) -> String {
        format!("{}#{}", time_text(self.parked_at), self.stream)
    }
}

fn name(stream: &StreamId) -> String {
    format!("{LIST}/{stream}")
}

/// The error and its causes in one line, each once.
fn chain(error: &(dyn Error + Send + Sync)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}
