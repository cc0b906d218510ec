//! Audit queries on one stream: its history, and its verification.

use super::export::{EventLimit, ResponseFormat};
use super::parse_stream;
use crate::audit::schema::{BrokenAt, History, StreamHead, VerifyAnswer};
use crate::audit::{Call, HistoryPage, Search};
use crate::http::ApiState;
use crate::http::extract::PathParameter;
use crate::http::params::Params;
use crate::http::request_headers::AuditReader;
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
struct HistoryRange {
    /// The first version, from 1.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    from: Option<u64>,
    /// The last version; by default, the stream's end. Send the `to` of the first page with the
    /// next ones: then paging ends, even if the stream grows. The stream of your own audit queries
    /// grows with each page.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    to: Option<u64>,
    /// The most events. On a page 1 to 500, and 100 by default. In a file any number, and all by
    /// default.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    limit: Option<u64>,
}

/// The history of a stream, oldest event first.
///
/// The response is a page, or a file in the format that the Accept header names.
#[utoipa::path(get, path = "/audit/streams/{stream}", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; its key in any form that the app accepts"), HistoryRange),
    responses((status = 200, description = "A page of the history; or all of it as a file, one event per line", content(
        (History = "application/json"), (String = "application/x-ndjson"), (String = "text/csv")))))]
pub(crate) async fn history(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    answer: ResponseFormat,
    PathParameter(stream): PathParameter,
    params: Params,
) -> Result<Response, Problem> {
    let stream = parse_stream(&api, &stream)?;
    let params = params.only(&["from", "to", "limit"])?;
    let from = params.number("from", 1..=MAX_VERSION)?.unwrap_or(1);
    let to = params.number("to", 1..=MAX_VERSION)?;
    if to.is_some_and(|to| to < from) {
        return Err(Problem::invalid_pair(["from", "to"], "from must not be larger than to"));
    }
    let about = params.given([("stream", stream.as_str())]);
    match answer.limit(&params)? {
        EventLimit::Page(limit) => {
            let trail = api.audit.open(&reader, Call::History, about).await?;
            let page: HistoryPage = trail.history(&stream, from, to, limit).await?;
            Ok(Json(page).into_response())
        }
        EventLimit::File(format, limit) => {
            let trail = api.audit.open(&reader, Call::Export, format.named(about)).await?;
            let events = to.map(|to| to - from + 1).into_iter().chain(limit).min();
            super::export::file(
                trail.export(Search::of_stream(stream, from), events, format).await?,
                format,
            )
            .await
        }
    }
}

/// Verifies the hash chain of a stream, from its first commit to its last.
///
/// It compares the end with the snapshot and with the positions of read models. Removed commits at
/// the end that none of these has seen are not found.
#[utoipa::path(get, path = "/audit/streams/{stream}/verify", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; its key in any form that the app accepts")),
    responses((status = 200, description = "Whether the chain is intact; if not, its first wrong commit", body = VerifyAnswer)))]
pub(crate) async fn verify(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    PathParameter(stream): PathParameter,
    params: Params,
) -> Result<Json<VerifyAnswer>, Problem> {
    let params = params.only(&[])?;
    let stream = parse_stream(&api, &stream)?;
    let trail =
        api.audit.open(&reader, Call::Verify, params.given([("stream", stream.as_str())])).await?;
    let walk = trail.verify(&stream).await?;
    Ok(Json(VerifyAnswer {
        stream: stream.to_string(),
        verified: walk.verified(),
        commits: walk.commits,
        head: StreamHead { version: walk.version(), hash: walk.hash().to_string() },
        broken_at: walk
            .broken_at
            .map(|broken| BrokenAt { version: broken.version, reason: broken.damage.to_string() }),
    }))
}
