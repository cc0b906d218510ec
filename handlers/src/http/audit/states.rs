//! A stream in the past: its state as of a version or a time, and what changed between two.

use super::parse_stream;
use crate::audit::{Call, Difference, Moment, Span, StateAt, UnfitSpan};
use crate::http::Shared;
use crate::http::extract::{By, Segment};
use crate::http::params::Params;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use eventstore::MAX_VERSION;
use utoipa::IntoParams;

/// When. Either of them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct When {
    /// Behind the event of this version.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    version: Option<u64>,
    /// Behind what was recorded at this time or earlier, RFC 3339.
    time: Option<DateTime<Utc>>,
}

/// The state of a stream as of a version or a time, as its read model showed it.
#[utoipa::path(get, path = "/audit/streams/{stream}/at", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; an order's id in either case"), When),
    responses((status = 200, description = "The read model's row, and its place in a chain that fits", body = StateAt)))]
pub(crate) async fn at(
    State(api): Shared,
    By(reader): By,
    Segment(stream): Segment,
    params: Params,
) -> Result<Json<StateAt>, Problem> {
    let stream = parse_stream(&api, &stream)?;
    let params = params.only(&["version", "time"])?;
    let moment = moment(&params, ["version", "time"], 1)?
        .ok_or_else(|| Problem::invalid_pair(["version", "time"], "one of the two is required"))?;
    let trail = api.audit.open(&reader, Call::At, params.given([("stream", stream.as_str())])).await?;
    Ok(Json(trail.at(&stream, moment).await?))
}

/// From where to where: two versions, or two times.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Ends {
    /// The version before; 0, where nothing is, if nothing is said.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    from: Option<u64>,
    /// The version after, larger than `from`; the stream's end if nothing is said.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    to: Option<u64>,
    /// The time before, RFC 3339.
    from_time: Option<DateTime<Utc>>,
    /// The time after, RFC 3339 and later than `from_time`; the stream's end if nothing is said.
    to_time: Option<DateTime<Utc>>,
}

/// What changed in a stream's row between two versions or times, field by field, and the events that changed it.
#[utoipa::path(get, path = "/audit/streams/{stream}/diff", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; an order's id in either case"), Ends),
    responses((status = 200, description = "The fields that differ, and the events between", body = Difference)))]
pub(crate) async fn diff(
    State(api): Shared,
    By(reader): By,
    Segment(stream): Segment,
    params: Params,
) -> Result<Json<Difference>, Problem> {
    let stream = parse_stream(&api, &stream)?;
    let params = params.only(&["from", "to", "from_time", "to_time"])?;
    let span = span(&params)?;
    let trail = api.audit.open(&reader, Call::Diff, params.given([("stream", stream.as_str())])).await?;
    Ok(Json(trail.difference(&stream, span).await?))
}

/// A version or a time, not both.
fn moment(params: &Params, [version, time]: [&str; 2], first: u64) -> Result<Option<Moment>, Problem> {
    match (params.number(version, first..=MAX_VERSION)?, params.time(time)?) {
        (Some(_), Some(_)) => Err(Problem::invalid_pair([version, time], "only one of the two may be given")),
        (Some(version), None) => Ok(Some(Moment::Version(version))),
        (None, Some(time)) => Ok(Some(Moment::Time(time))),
        (None, None) => Ok(None),
    }
}

fn span(params: &Params) -> Result<Span, Problem> {
    let from = moment(params, ["from", "from_time"], 0)?;
    let to = moment(params, ["to", "to_time"], 1)?;
    let name = |moment: Option<Moment>, version, time| match moment {
        Some(Moment::Time(_)) => time,
        Some(Moment::Version(_)) | None => version,
    };
    let names = [name(from, "from", "from_time"), name(to, "to", "to_time")];
    Span::new(from, to).map_err(|rule: UnfitSpan| Problem::invalid_pair(names, &rule.to_string()))
}
