//! A sample of a projection's dead-letter queue.

use super::ApiState;
use super::extract::PathParameter;
use super::params::Params;
use super::projections::known;
use crate::operations::dead_letters::{DEFAULT_DEAD_LETTERS, DeadLetters, MAX_DEAD_LETTERS};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use utoipa::{IntoParams, ToSchema};

/// How many dead letters to show.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct SampleParameters {
    /// The most messages; 20 by default.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// A sample of the dead-letter queue.
///
/// The messages stay in the queue, and a look counts as a receive. A redrive in progress refuses
/// it.
#[utoipa::path(get, path = "/projections/{name}/dead", tag = "projections",
    params(("name" = String, Path, description = "The projection's name"), SampleParameters),
    responses((status = 200, description = "Some messages of the queue", body = DeadLettersView)))]
pub(crate) async fn dead_letters(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    params: Params,
) -> Result<Json<DeadLetters>, Problem> {
    let projection = known(&api, &name)?;
    let limit = params.only(&["limit"])?.number("limit", 1..=u64::from(MAX_DEAD_LETTERS))?;
    let limit = limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(DEFAULT_DEAD_LETTERS);
    Ok(Json(api.operations.dead_letters(&projection, limit).await?))
}

/// A sample of a dead-letter queue.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(super) struct DeadLettersView {
    /// The messages, at most ten of a group.
    messages: Vec<DeadLetterView>,
    /// About how many messages the queue has.
    in_queue: u64,
}

/// A message of a dead-letter queue.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes an answer")]
pub(super) struct DeadLetterView {
    /// Its id.
    message_id: String,
    /// Its message group: the name of its stream.
    group: String,
    /// The stream; null if the body is no notification.
    stream: Option<String>,
    /// The version of the first event; null if the body is no notification.
    version: Option<u64>,
    /// About how often it was received. Each look counts.
    receives: u64,
    /// When it was sent to the queue.
    sent_at: DateTime<Utc>,
    /// Its body, as text of any kind: at most 16 KB of JSON.
    body: String,
    /// Whether the body is longer, so that only its beginning is shown.
    truncated: bool,
}
