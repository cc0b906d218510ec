//! A stream in the past: its state at a version or a time, and the difference between two.

use super::parse_stream;
use crate::audit::{Call, Difference, Moment, Span, StateAt, UnfitSpan};
use crate::http::ApiState;
use crate::http::extract::PathParameter;
use crate::http::params::Params;
use crate::http::request_headers::AuditReader;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use eventstore::MAX_VERSION;
use utoipa::IntoParams;

/// A version or a time.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct MomentParameters {
    /// After the event of this version.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    version: Option<u64>,
    /// After all that was recorded at this time or earlier, RFC 3339.
    time: Option<DateTime<Utc>>,
}

/// The state of a stream at a version or a time, as a row of its read model.
#[utoipa::path(get, path = "/audit/streams/{stream}/at", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; its key in any form that the app accepts"), MomentParameters),
    responses((status = 200, description = "The row, and its position in the verified hash chain", body = StateAt)))]
pub(crate) async fn at(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    PathParameter(stream): PathParameter,
    params: Params,
) -> Result<Json<StateAt>, Problem> {
    let stream = parse_stream(&api, &stream)?;
    let params = params.only(&["version", "time"])?;
    let moment = moment(&params, ["version", "time"], 1)?
        .ok_or_else(|| Problem::invalid_pair(["version", "time"], "one of the two is required"))?;
    let trail =
        api.audit.open(&reader, Call::At, params.given([("stream", stream.as_str())])).await?;
    Ok(Json(trail.at(&stream, moment).await?))
}

/// Between two versions, or between two times.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct DiffRange {
    /// The first version; by default 0, before the first event.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    from: Option<u64>,
    /// The second version, larger than `from`; by default, the stream's end.
    #[param(minimum = 1, maximum = 9_007_199_254_740_991_u64)]
    to: Option<u64>,
    /// The first time, RFC 3339.
    from_time: Option<DateTime<Utc>>,
    /// The second time, RFC 3339 and later than `from_time`; by default, the stream's end.
    to_time: Option<DateTime<Utc>>,
}

/// How a stream's row changed between two versions or times, and by which events.
#[utoipa::path(get, path = "/audit/streams/{stream}/diff", tag = "audit",
    params(("stream" = String, Path, pattern = "^[a-z][a-z0-9_]*-[!-~]+$", max_length = 100, description = "The stream's name; its key in any form that the app accepts"), DiffRange),
    responses((status = 200, description = "The fields that differ, and the events between", body = Difference)))]
pub(crate) async fn diff(
    State(api): ApiState,
    AuditReader(reader): AuditReader,
    PathParameter(stream): PathParameter,
    params: Params,
) -> Result<Json<Difference>, Problem> {
    let stream = parse_stream(&api, &stream)?;
    let params = params.only(&["from", "to", "from_time", "to_time"])?;
    let span = span(&params)?;
    let trail =
        api.audit.open(&reader, Call::Diff, params.given([("stream", stream.as_str())])).await?;
    Ok(Json(trail.difference(&stream, span).await?))
}

/// A version or a time, not both.
fn moment(
    params: &Params,
    [version, time]: [&str; 2],
    first: u64,
) -> Result<Option<Moment>, Problem> {
    match (params.number(version, first..=MAX_VERSION)?, params.time(time)?) {
        (Some(_), Some(_)) => {
            Err(Problem::invalid_pair([version, time], "only one of the two may be given"))
        }
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
