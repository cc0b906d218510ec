//! Audit: who did what, when and why; and is it still what was written.

use super::extract::Segment;
use super::params::{Params, cursor_text};
use super::problem::Problem;
use super::schema::{AuditedEvent, BrokenAt, Failures, FoundEvent, FoundEvents, History, StreamHead, VerifyAnswer};
use super::{Api, Shared};
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use eventstore::{Commit, Consistency, Direction, Event, Head, MAX_VERSION, StreamId};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// The most pages of a stream that one request looks through.
const MAX_PAGES: u32 = 10;
/// The events that a search reads at once.
const PAGE_EVENTS: u32 = 500;

/// Which part of a history.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Part {
    /// The first version, from 1.
    #[param(minimum = 1)]
    from: Option<u64>,
    /// How many events at most; 100 if nothing is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// The history of a stream, oldest event first.
#[utoipa::path(get, path = "/audit/streams/{stream}", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name"), Part),
    responses((status = 200, description = "A page of the history", body = History), Failures))]
pub(crate) async fn history(
    State(api): Shared,
    Segment(stream): Segment,
    params: Params,
) -> Result<Json<History>, Problem> {
    let stream = parse_stream(&stream)?;
    let params = params.only(&["from", "limit"])?;
    let from = params.number("from", 1..=MAX_VERSION)?.unwrap_or(1);
    let limit = params.limit(100)?;
    let head = existing(&api, &stream).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let commits = commits_from(&api, &stream, from, limit).await?;
    let events = commits.iter().flat_map(|commit| commit.events.iter().map(move |event| (commit, event)));
    // What was appended since the head was read is not shown: the answer is the history up to its head.
    let events = events.filter(|(_, event)| (from..=head.version()).contains(&event.version));
    let events: Vec<(&Commit, &Event)> = events.take(limit).collect();
    let next_from = events.last().map(|(_, event)| event.version + 1).filter(|next| *next <= head.version());
    Ok(Json(History {
        stream: stream.to_string(),
        head: head_view(&head),
        next_from,
        events: events.into_iter().map(|(commit, event)| AuditedEvent::new(commit, event)).collect(),
    }))
}

/// Commits that hold so many events from that version on, if there are. The store reads whole commits, so that one page may
/// begin with events that lie before.
async fn commits_from(api: &Api, stream: &StreamId, from: u64, limit: usize) -> Result<Vec<Commit>, Problem> {
    let (mut commits, mut found, mut next) = (Vec::new(), 0, Some(from));
    for _ in 0..MAX_PAGES {
        let Some(start) = next.filter(|_| found < limit) else { break };
        let missing = u32::try_from(limit - found).unwrap_or(u32::MAX);
        let page = api.store.read(stream, start, Direction::Forwards, missing).await?;
        let events = page.commits.iter().flat_map(|commit: &Commit| &commit.events);
        found += events.filter(|event| event.version >= from).count();
        commits.extend(page.commits);
        next = page.next;
    }
    Ok(commits)
}

/// Walks the stream's chain from the first commit to the last.
#[utoipa::path(get, path = "/audit/streams/{stream}/verify", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name")),
    responses((status = 200, description = "Whether every commit fits; if not, the first that does not", body = VerifyAnswer), Failures))]
pub(crate) async fn verify(
    State(api): Shared,
    Segment(stream): Segment,
    params: Params,
) -> Result<Json<VerifyAnswer>, Problem> {
    params.only(&[])?;
    let stream = parse_stream(&stream)?;
    let walk = api.store.verify(&stream).await?;
    if walk.commits == 0 && walk.verified() {
        return Err(no_stream(&stream));
    }
    Ok(Json(VerifyAnswer {
        stream: stream.to_string(),
        verified: walk.verified(),
        commits: walk.commits,
        head: StreamHead { version: walk.version(), hash: walk.hash().to_string() },
        broken_at: walk.broken_at.map(|broken| BrokenAt { version: broken.version, reason: broken.damage.to_string() }),
    }))
}

/// Which events of a stream.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Filter {
    /// The stream to search.
    #[param(pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100)]
    stream: String,
    /// Only events of this actor.
    actor: Option<String>,
    /// Only events of this type.
    r#type: Option<String>,
    /// Only events of the command with this id.
    command: Option<String>,
    /// Only events with this correlation id.
    correlation: Option<String>,
    /// Only events recorded at this time or later, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Only events recorded before this time, RFC 3339.
    to: Option<DateTime<Utc>>,
    /// `desc`, newest first (so it is if nothing is said), or `asc`.
    #[param(pattern = "^(asc|desc)$")]
    order: Option<String>,
    /// How many events at most; 100 if nothing is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where an earlier page ended.
    cursor: Option<String>,
}

/// Finds events of a stream by actor, type, command, correlation and time.
#[utoipa::path(get, path = "/audit/events", tag = "audit", params(Filter),
    responses((status = 200, description = "A page of the events that fit", body = FoundEvents), Failures))]
pub(crate) async fn search(State(api): Shared, params: Params) -> Result<Json<FoundEvents>, Problem> {
    let search = Search::new(params)?;
    let head = existing(&api, &search.stream).await?;
    let mut from = Some(search.start.unwrap_or(match search.direction {
        Direction::Forwards => 1,
        Direction::Backwards => head.version(),
    }));
    let mut events = Vec::new();
    for _ in 0..MAX_PAGES {
        let Some(start) = from else { break };
        let page = api.store.read(&search.stream, start, search.direction, PAGE_EVENTS).await?;
        for (commit, event) in search.ordered(&page.commits).filter(|(_, event)| search.reached(start, event)) {
            if search.fits(commit, event) {
                let stream = search.stream.to_string();
                events.push(FoundEvent { stream, event: AuditedEvent::new(commit, event) });
                if events.len() == search.limit {
                    let next = search.behind(event.version).filter(|version| *version <= head.version());
                    return Ok(found(events, next));
                }
            }
        }
        from = page.next;
    }
    Ok(found(events, from))
}

fn found(events: Vec<FoundEvent>, next: Option<u64>) -> Json<FoundEvents> {
    let next_cursor = next.and_then(|version| cursor_text(&SearchCursor { version }));
    Json(FoundEvents { events, next_cursor })
}

#[derive(Serialize, Deserialize)]
struct SearchCursor {
    version: u64,
}

impl SearchCursor {
    fn start(self) -> Result<u64, Problem> {
        Some(self.version).filter(|version| (1..=MAX_VERSION).contains(version)).ok_or_else(Problem::foreign_cursor)
    }
}

struct Search {
    stream: StreamId,
    actor: Option<String>,
    event_type: Option<String>,
    command: Option<String>,
    correlation: Option<String>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    direction: Direction,
    limit: usize,
    start: Option<u64>,
}

impl Search {
    fn new(params: Params) -> Result<Self, Problem> {
        let known = ["stream", "actor", "type", "command", "correlation", "from", "to", "order", "limit", "cursor"];
        let params = params.only(&known)?;
        let text = |name| params.text(name).map(str::to_owned);
        let direction = match params.text("order").unwrap_or("desc") {
            "asc" => Direction::Forwards,
            "desc" => Direction::Backwards,
            _ => return Err(Problem::invalid("order", "must be asc or desc")),
        };
        let stream = params.parsed("stream")?;
        let cursor: Option<SearchCursor> = params.cursor()?;
        Ok(Self {
            stream: stream.ok_or_else(|| Problem::invalid("stream", "is required: name the stream to search"))?,
            actor: text("actor"),
            event_type: text("type"),
            command: text("command"),
            correlation: text("correlation"),
            from: params.time("from")?,
            to: params.time("to")?,
            direction,
            limit: usize::try_from(params.limit(100)?).unwrap_or(usize::MAX),
            start: cursor.map(SearchCursor::start).transpose()?,
        })
    }

    /// The events of a page in the direction of the search.
    fn ordered<'a>(&self, commits: &'a [Commit]) -> Box<dyn Iterator<Item = (&'a Commit, &'a Event)> + Send + 'a> {
        let forwards = |commit: &'a Commit| commit.events.iter().map(move |event| (commit, event));
        match self.direction {
            Direction::Forwards => Box::new(commits.iter().flat_map(forwards)),
            Direction::Backwards => Box::new(commits.iter().flat_map(move |commit| forwards(commit).rev())),
        }
    }

    /// Pages consist of whole commits: what lies before the start was on an earlier page.
    fn reached(&self, start: u64, event: &Event) -> bool {
        match self.direction {
            Direction::Forwards => event.version >= start,
            Direction::Backwards => event.version <= start,
        }
    }

    fn behind(&self, version: u64) -> Option<u64> {
        match self.direction {
            Direction::Forwards => Some(version + 1),
            Direction::Backwards => version.checked_sub(1).filter(|version| *version > 0),
        }
    }

    fn fits(&self, commit: &Commit, event: &Event) -> bool {
        let envelope = &commit.envelope;
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.actor, envelope.actor.as_str())
            && is(&self.event_type, &event.body.event_type)
            && is(&self.command, envelope.command_id.as_str())
            && is(&self.correlation, envelope.correlation_id.as_str())
            && self.from.is_none_or(|from| commit.recorded_at >= from)
            && self.to.is_none_or(|to| commit.recorded_at < to)
    }
}

fn parse_stream(stream: &str) -> Result<StreamId, Problem> {
    StreamId::new(stream).map_err(|rule| Problem::invalid("stream", rule.to_string()))
}

async fn existing(api: &Api, stream: &StreamId) -> Result<Head, Problem> {
    let (head, _) = api.store.head(stream, Consistency::Strong).await?;
    if head.version() == 0 { Err(no_stream(stream)) } else { Ok(head) }
}

fn no_stream(stream: &StreamId) -> Problem {
    Problem::not_found(format!("there is no stream {stream}"))
}

fn head_view(head: &Head) -> StreamHead {
    StreamHead { version: head.version(), hash: head.hash().to_string() }
}
