//! A stream: its history, and whether it is what was written.

use super::export::{Answer, Limit};
use super::parse_stream;
use crate::audit::schema::{BrokenAt, History, StreamHead, VerifyAnswer};
use crate::audit::{Call, HistoryPage, Search};
use crate::http::Shared;
use crate::http::extract::{By, Segment};
use crate::http::params::Params;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use eventstore::MAX_VERSION;
use utoipa::IntoParams;

/// Which part of a history.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Part {
    /// The first version, from 1.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    from: Option<u64>,
    /// The last version; the stream's end if nothing is said. With the `to` of the first page, a walk from page to page ends
    /// though the stream grows, as the stream of your own readings does with every page.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    to: Option<u64>,
    /// How many events at most: 1 to 500, and 100 if nothing is said. For a file any number, and all if nothing is said.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    limit: Option<u64>,
}

/// The history of a stream, oldest event first: a page of it, or as a file what the Accept header asks for.
#[utoipa::path(get, path = "/audit/streams/{stream}", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; an order's id in either case"), Part),
    responses((status = 200, description = "A page of the history; or all of it as a file, a line an event", content(
        (History = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
pub(crate) async fn history(
    State(api): Shared,
    By(reader): By,
    answer: Answer,
    Segment(stream): Segment,
    params: Params,
) -> Result<Response, Problem> {
    let stream = parse_stream(&api, &stream)?;
    let params = params.only(&["from", "to", "limit"])?;
    let from = params.number("from", 1..=MAX_VERSION)?.unwrap_or(1);
    let to = params.number("to", 1..=MAX_VERSION)?;
    if to.is_some_and(|to| to < from) {
        return Err(Problem::invalid_pair(["from", "to"], "from must not be behind to"));
    }
    let about = params.given([("stream", stream.as_str())]);
    match answer.limit(&params)? {
        Limit::Page(limit) => {
            let trail = api.audit.open(&reader, Call::History, about).await?;
            let page: HistoryPage = trail.history(&stream, from, to, limit).await?;
            Ok(Json(page).into_response())
        }
        Limit::File(format, limit) => {
            let trail = api.audit.open(&reader, Call::Export, format.named(about)).await?;
            let events = to.map(|to| to - from + 1).into_iter().chain(limit).min();
            super::export::file(trail.export(Search::of_stream(stream, from), events, format).await?, format).await
        }
    }
}

/// Walks the stream's chain from the first commit to the last, and compares its end with its snapshot and with what read models
/// have seen of it. Commits that nobody has seen can be removed from the end unnoticed.
#[utoipa::path(get, path = "/audit/streams/{stream}/verify", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; an order's id in either case")),
    responses((status = 200, description = "Whether every commit fits; if not, the first that does not", body = VerifyAnswer)))]
pub(crate) async fn verify(
    State(api): Shared,
    By(reader): By,
    Segment(stream): Segment,
    params: Params,
) -> Result<Json<VerifyAnswer>, Problem> {
    let params = params.only(&[])?;
    let stream = parse_stream(&api, &stream)?;
    let trail = api.audit.open(&reader, Call::Verify, params.given([("stream", stream.as_str())])).await?;
    let walk = trail.verify(&stream).await?;
    Ok(Json(VerifyAnswer {
        stream: stream.to_string(),
        verified: walk.verified(),
        commits: walk.commits,
        head: StreamHead { version: walk.version(), hash: walk.hash().to_string() },
        broken_at: walk.broken_at.map(|broken| BrokenAt { version: broken.version, reason: broken.damage.to_string() }),
    }))
}
