//! Audit queries over many streams: search, and the tree of causes.

use super::export::{EventLimit, ResponseFormat};
use super::parse_stream;
use crate::audit::schema::FoundEvents;
use crate::audit::{Call, Cursor, Filter, FoundPage, Period, Search, Trace};
use crate::http::extract::PathParameter;
use crate::http::params::Params;
use crate::http::request_headers::AuditReader;
use crate::http::{Api, ApiState};
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
struct SearchParameters {
    /// Only events of this stream. Then the stream is read, and the result is exact. Without it,
    /// the index is read. It misses events of parked streams, and those that wait in the queue of
    /// the projection `audit`, mostly for moments. `GET /projections/audit` shows how many.
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
    /// `desc`, newest first, or `asc`. `desc` by default.
    #[param(pattern = "^(asc|desc)$")]
    order: Option<String>,
    /// The most events. On a page 1 to 500, and 100 by default. In a file any number, and all by
    /// default.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    limit: Option<u64>,
    /// `true` to include the records of audit queries. Without it they are left out, unless
    /// `stream`, `type` or `command` names them.
    readings: Option<bool>,
    /// The `next_cursor` of an earlier page. It fixes the end of paging: later events are not in
    /// it. It is a position among all events, so another search can begin there.
    #[param(max_length = 1024)]
    cursor: Option<String>,
}

const KNOWN: [&str; 11] = [
    "stream",
    "actor",
    "type",
    "command",
    "correlation",
    "from",
    "to",
    "order",
    "limit",
    "readings",
    "cursor",
];

/// Finds events by actor, type, command, correlation and time, in one stream or in all.
///
/// The response is a page, or a file in the format that the Accept header names.
#[utoipa::path(get, path = "/audit/events", tag = "audit", params(SearchParameters),
    responses((status = 200, description = "A page of matching events; or all of them as a file, one event per line", content(
        (FoundEvents = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
pub(crate) async fn search(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    answer: ResponseFormat,
    params: Params,
) -> Result<Response, Problem> {
    let params = params.only(&KNOWN)?;
    let limit = answer.limit(&params)?;
    let search = search_of(&api, &params)?;
    let mut about = params.given([]);
    about.extend(search.stream().map(|stream| ("stream".to_owned(), stream.to_string())));
    match limit {
        EventLimit::Page(limit) => {
            let trail = api.audit.open(&reader, Call::Search, about).await?;
            let page: FoundPage = trail.search(&search, limit).await?;
            Ok(Json(page).into_response())
        }
        EventLimit::File(format, limit) => {
            let trail = api.audit.open(&reader, Call::Export, format.named(about)).await?;
            super::export::file(trail.export(search, limit, format).await?, format).await
        }
    }
}

fn search_of(api: &Api, params: &Params) -> Result<Search, Problem> {
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
        readings: params.flag("readings")?,
    };
    let cursor: Option<Cursor> = params.parsed("cursor")?;
    let stream = params.text("stream").map(|stream| parse_stream(api, stream)).transpose()?;
    Search::new(stream, filter, direction, cursor).map_err(|_| Problem::foreign_cursor())
}

/// The tree of causes of a business process.
///
/// It has the commands, their events, the commands that these caused, and so on.
#[utoipa::path(get, path = "/audit/trace/{correlation}", tag = "audit",
    params(("correlation" = String, Path, pattern = "^[!-~]{1,128}$", description = "The correlation id of its commits")),
    responses((status = 200, description = "The tree, with at most 1,000 commits", body = Trace)))]
pub(crate) async fn trace(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    PathParameter(correlation): PathParameter,
    params: Params,
) -> Result<Json<Trace>, Problem> {
    let params = params.only(&[])?;
    let correlation =
        Id::new(correlation).map_err(|rule| Problem::invalid("correlation", rule.to_string()))?;
    let about = params.given([("correlation", correlation.as_str())]);
    let trail = api.audit.open(&reader, Call::Trace, about).await?;
    Ok(Json(trail.trace(&correlation).await?))
}
