//! The tree of causes: command, its events, the commands that they caused, and so on.

use super::{AuditError, DamagedCommit, OpenTrail, tree};
use eventstore::{Commit, Direction, Id, StreamId};
use projections::audit_index::{AuditSearch, IndexEntry};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The most commits of a trace.
const MAX_COMMITS: usize = 1_000;
/// Reading ends after that many bytes of data.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The most commits that are read at once.
const PAGE_COMMITS: usize = 100;
/// The most pages of the index that are read.
const MAX_PAGES: u32 = 10;

/// All commits with a correlation id, as a tree of causes.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Trace {
    /// The correlation id.
    pub correlation_id: String,
    /// The number of shown commands.
    pub commits: u64,
    /// Whether there are more, later ones.
    pub truncated: bool,
    /// Commits that are missing or changed in their streams; they are not shown.
    pub damaged: Vec<DamagedCommit>,
    /// The commands without a cause in this trace, the oldest first. A chain of more than 20
    /// commands continues as another root, which names its cause.
    pub roots: Vec<TracedCommand>,
}

/// A command with its effects.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TracedCommand {
    /// The stream that it addressed.
    pub stream: String,
    /// The version of its first event.
    pub version: u64,
    /// The command's id.
    pub command_id: String,
    /// The actor.
    pub actor: String,
    /// When it was recorded, RFC 3339.
    pub recorded_at: String,
    /// Its cause, such as `order-6f0f…:1`: the event's stream and version.
    pub caused_by: Option<String>,
    /// Its events.
    pub events: Vec<TracedEvent>,
}

/// An event with the commands that it caused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TracedEvent {
    /// Its place in the stream.
    pub version: u64,
    /// The event type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The schema version of `data`.
    pub schema: u32,
    /// The event's data.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
    /// The commands that it caused, the oldest first.
    #[schema(no_recursion)]
    pub commands: Vec<TracedCommand>,
}

impl OpenTrail {
    /// The tree of causes of a correlation id: at most its 1,000 oldest commits.
    ///
    /// # Errors
    /// [`AuditError`]; [`AuditError::NoCorrelation`] if no commit has it.
    pub async fn trace(&self, correlation: &Id) -> Result<Trace, AuditError> {
        self.has_index()?;
        let (mut found, more) = self.correlated(correlation).await?;
        found.truncate(MAX_COMMITS);
        let (mut commits, mut damaged, mut bytes) = (Vec::new(), Vec::new(), 0);
        for page in found.chunks(PAGE_COMMITS) {
            if bytes >= MAX_BYTES {
                break;
            }
            for gathered in self.gather(page).await? {
                match gathered {
                    Ok((stream, commit)) => {
                        bytes += data_bytes(&commit);
                        commits.push((stream, commit));
                    }
                    Err(commit) => damaged.push(commit),
                }
            }
        }
        if commits.is_empty() && damaged.is_empty() {
            return Err(AuditError::NoCorrelation(correlation.clone()));
        }
        Ok(Trace {
            correlation_id: correlation.to_string(),
            commits: u64::try_from(commits.len()).unwrap_or(u64::MAX),
            truncated: more || commits.len() + damaged.len() < found.len(),
            damaged,
            roots: tree::grow(&commits),
        })
    }

    /// The correlation id of the stream's first commit.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn correlation_of(&self, stream: &StreamId) -> Result<Id, AuditError> {
        let page = self.store.read(stream, 1, Direction::Forwards, 1).await?;
        let first =
            page.commits.into_iter().next().ok_or_else(|| AuditError::NoStream(stream.clone()))?;
        Ok(first.metadata.correlation_id)
    }

    /// The entries of the correlation id, the oldest first, and whether there are more than a trace
    /// shows.
    async fn correlated(&self, correlation: &Id) -> Result<(Vec<IndexEntry>, bool), AuditError> {
        let mut found = Vec::new();
        let mut search = AuditSearch {
            correlation: Some(correlation.clone()),
            ..AuditSearch::all(Direction::Forwards, MAX_COMMITS)
        };
        for _ in 0..MAX_PAGES {
            let page = self.find(&search).await?;
            found.extend(page.found);
            search.after = page.next;
            if search.after.is_none() || found.len() > MAX_COMMITS {
                break;
            }
        }
        let more = search.after.is_some() || found.len() > MAX_COMMITS;
        Ok((found, more))
    }
}

fn data_bytes(commit: &Commit) -> usize {
    commit.events.iter().map(|event| event.body.data.get().len()).sum()
}
