//! Many streams: events that fit, and the tree of causes.

use super::export::{Answer, Limit};
use super::parse_stream;
use crate::audit::schema::FoundEvents;
use crate::audit::{Call, Cursor, Filter, FoundPage, Period, Search, Trace};
use crate::http::extract::{By, Segment};
use crate::http::params::Params;
use crate::http::{Api, Shared};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use eventstore::{Direction, Id};
use utoipa::IntoParams;

/// Which events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Wanted {
    /// Only events of this stream: then the stream itself is read, up to its end, and the answer is exact. Without it, events
    /// of every stream as far as the index has them: what waits in the queue of the projection `audit`, moments as a rule, and
    /// what stands still there, is missing. `GET /projections/audit` tells how much.
    #[param(pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100)]
    stream: Option<String>,
    /// Only events of this actor.
    #[param(pattern = "^[!-~]{1,128}$")]
    actor: Option<String>,
    /// Only events of this type.
    #[param(pattern = "^[!-~]{1,128}$")]
    r#type: Option<String>,
    /// Only events of the command with this id.
    #[param(pattern = "^[!-~]{1,128}$")]
    command: Option<String>,
    /// Only events with this correlation id.
    #[param(pattern = "^[!-~]{1,128}$")]
    correlation: Option<String>,
    /// Only events recorded at this time or later, RFC 3339.
    from: Option<DateTime<Utc>>,
    /// Only events recorded before this time, RFC 3339; later than `from`.
    to: Option<DateTime<Utc>>,
    /// `desc`, newest first, or `asc`. If nothing is said it is `desc`, on a page as in a file.
    #[param(pattern = "^(asc|desc)$")]
    order: Option<String>,
    /// How many events at most: 1 to 500, and 100 if nothing is said. For a file any number, and all if nothing is said.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    limit: Option<u64>,
    /// `true` for the readings of the audit trail, too. Without it they are left out, unless `stream`, `type` or `command`
    /// names them.
    readings: Option<bool>,
    /// Where an earlier page of the same search ended. It bears the end of the walk: what comes later is not in it. It is a place among the events: another search begins there.
    #[param(max_length = 1024)]
    cursor: Option<String>,
}

const KNOWN: [&str; 11] =
    ["stream", "actor", "type", "command", "correlation", "from", "to", "order", "limit", "readings", "cursor"];

/// Finds events by actor, type, command, correlation and time, in one stream or in all: a page of them, or as a file what the
/// Accept header asks for.
#[utoipa::path(get, path = "/audit/events", tag = "audit", params(Wanted),
    responses((status = 200, description = "A page of the events that fit; or all of them as a file, a line an event", content(
        (FoundEvents = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
pub(crate) async fn search(
    State(api): Shared,
    By(reader): By,
    answer: Answer,
    params: Params,
) -> Result<Response, Problem> {
    let params = params.only(&KNOWN)?;
    let limit = answer.limit(&params)?;
    let search = wanted(&api, &params)?;
    let mut about = params.given([]);
    about.extend(search.stream().map(|stream| ("stream".to_owned(), stream.to_string())));
    match limit {
        Limit::Page(limit) => {
            let trail = api.audit.open(&reader, Call::Search, about).await?;
            let page: FoundPage = trail.search(&search, limit).await?;
            Ok(Json(page).into_response())
        }
        Limit::File(format, limit) => {
            let trail = api.audit.open(&reader, Call::Export, format.named(about)).await?;
            super::export::file(trail.export(search, limit, format).await?, format).await
        }
    }
}

fn wanted(api: &Api, params: &Params) -> Result<Search, Problem> {
    let direction = match params.text("order") {
        Some("asc") => Direction::Forwards,
        None | Some("desc") => Direction::Backwards,
        Some(_) => return Err(Problem::invalid("order", "must be asc or desc")),
    };
    let period = Period::new(params.time("from")?, params.time("to")?);
    let filter = Filter {
        actor: params.id("actor")?,
        event_type: params.id("type")?,
        command: params.id("command")?,
        correlation: params.id("correlation")?,
        period: period.map_err(|rule| Problem::invalid_pair(["from", "to"], &rule.to_string()))?,
        readings: match params.text("readings") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Problem::invalid("readings", "must be true or false")),
        },
    };
    let cursor: Option<Cursor> = params.parsed("cursor")?;
    let stream = params.text("stream").map(|stream| parse_stream(api, stream)).transpose()?;
    Search::new(stream, filter, direction, cursor).map_err(|_| Problem::foreign_cursor())
}

/// The tree of causes of a business process: its commands, their events, the commands that these caused, and so on.
#[utoipa::path(get, path = "/audit/trace/{correlation}", tag = "audit",
    params(("correlation" = String, Path, pattern = "^[!-~]{1,128}$", description = "The correlation id that its commits bear")),
    responses((status = 200, description = "The tree, with at most 1,000 commits", body = Trace)))]
pub(crate) async fn trace(
    State(api): Shared,
    By(reader): By,
    Segment(correlation): Segment,
    params: Params,
) -> Result<Json<Trace>, Problem> {
    let params = params.only(&[])?;
    let correlation = Id::new(correlation).map_err(|rule| Problem::invalid("correlation", rule.to_string()))?;
    let about = params.given([("correlation", correlation.as_str())]);
    let trail = api.audit.open(&reader, Call::Trace, about).await?;
    Ok(Json(trail.trace(&correlation).await?))
}
