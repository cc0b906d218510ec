//! The status of projections, and the steps of operators.

use super::extract::{PathParameter, StepBody};
use super::params::Params;
use super::projection_schema::{
    DropBody, EmptyBody, JobBody, ParkedView, ProjectionView, ProjectionsView, RedrivenView,
    ResumeBody, ResumptionView, RollbackBody, SwitchBody,
};
use super::{Api, ApiState};
use crate::operations::View;
use crate::operations::redrive::Redriven;
use crate::operations::resume::{InvalidParkedCursor, ParkedStreams, Resumption};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use eventstore::StreamId;
use projections::Projection;
use projections::rebuild::Accepted;
use serde::Serialize;
use utoipa::IntoParams;

/// The response to a step: the status of the projection after it. 202 if a job works on it.
type Step = Result<(StatusCode, Json<View>), Problem>;

/// The status of all projections.
#[derive(Serialize)]
pub(crate) struct Views {
    projections: Vec<View>,
}

/// The status of all projections.
#[utoipa::path(get, path = "/projections", tag = "projections",
    responses((status = 200, description = "The projections", body = ProjectionsView)))]
pub(crate) async fn list(State(api): ApiState, params: Params) -> Result<Json<Views>, Problem> {
    params.only(&[])?;
    let mut projections = Vec::new();
    for projection in api.operations.app().consumers() {
        projections.push(api.operations.view(projection).await?);
    }
    Ok(Json(Views { projections }))
}

/// The status of a projection.
#[utoipa::path(get, path = "/projections/{name}", tag = "projections",
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "Its status", body = ProjectionView)))]
pub(crate) async fn status(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    params: Params,
) -> Result<Json<View>, Problem> {
    params.only(&[])?;
    Ok(Json(api.operations.view(&known(&api, &name)?).await?))
}

/// Which page of the parked streams.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct PageParameters {
    /// The most streams on the page; 100 by default.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// The `next_cursor` of an earlier page.
    cursor: Option<String>,
}

/// The parked streams, which have an event that cannot be applied.
#[utoipa::path(get, path = "/projections/{name}/parked", tag = "projections",
    params(("name" = String, Path, description = "The projection's name"), PageParameters),
    responses((status = 200, description = "A page of parked streams", body = ParkedView)))]
pub(crate) async fn parked(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    params: Params,
) -> Result<Json<ParkedStreams>, Problem> {
    let projection = known(&api, &name)?;
    let params = params.only(&["limit", "cursor"])?;
    let (limit, cursor) = (params.limit(100)?, params.parsed("cursor")?);
    Ok(Json(api.operations.parked(&projection, limit, cursor.as_ref()).await?))
}

/// Rebuilds the read model into the standby generation. The active one stays in use.
#[utoipa::path(post, path = "/projections/{name}/rebuild", tag = "projections", request_body = JobBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "The job has begun", body = ProjectionView)))]
pub(crate) async fn rebuild(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(body): StepBody<JobBody>,
) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.rebuild(&projection, body.segments.0).await?;
    step_response(&api, &projection, job).await
}

/// Compares all streams with the projection and catches up those that are behind.
#[utoipa::path(post, path = "/projections/{name}/reconcile", tag = "projections", request_body = JobBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "The job has begun", body = ProjectionView)))]
pub(crate) async fn reconcile(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(body): StepBody<JobBody>,
) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.reconcile(&projection, body.segments.0).await?;
    step_response(&api, &projection, job).await
}

/// Pauses the job until it is resumed.
#[utoipa::path(post, path = "/projections/{name}/pause", tag = "projections", request_body = EmptyBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "It is paused", body = ProjectionView)))]
pub(crate) async fn pause(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(EmptyBody {}): StepBody<EmptyBody>,
) -> Result<Json<View>, Problem> {
    let projection = known(&api, &name)?;
    api.operations.pause(&projection).await?;
    Ok(Json(api.operations.view_behind_step(&projection).await?))
}

/// Resumes the job and all parked streams.
///
/// A call works for at most 20 seconds. If the response has a `next_cursor`, send it with the next
/// call. It is safe to repeat.
#[utoipa::path(post, path = "/projections/{name}/resume", tag = "projections", request_body = ResumeBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "What was resumed, and what stays parked", body = ResumptionView)))]
pub(crate) async fn resume(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(body): StepBody<ResumeBody>,
) -> Result<Json<Resumption>, Problem> {
    let projection = known(&api, &name)?;
    let named = |stream: StreamId| api.operations.app().stream(stream.as_str());
    let stream = body
        .stream
        .map(named)
        .transpose()
        .map_err(|rule| Problem::invalid("stream", rule.to_string()))?;
    let cursor =
        body.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(str::parse).transpose();
    let cursor =
        cursor.map_err(|rule: InvalidParkedCursor| Problem::invalid("cursor", rule.to_string()))?;
    Ok(Json(api.operations.resume(&projection, stream.as_ref(), cursor.as_ref()).await?))
}

/// Cancels the job. The rows that a rebuild has written are removed.
#[utoipa::path(post, path = "/projections/{name}/cancel", tag = "projections", request_body = EmptyBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses(
        (status = 200, description = "It is cancelled", body = ProjectionView),
        (status = 202, description = "It is cancelled, and its rows are being removed", body = ProjectionView),
    ))]
pub(crate) async fn cancel(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(EmptyBody {}): StepBody<EmptyBody>,
) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.cancel(&projection).await?;
    step_response(&api, &projection, job).await
}

/// Makes the standby generation active.
#[utoipa::path(post, path = "/projections/{name}/switch", tag = "projections", request_body = SwitchBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "Reads follow within a second; a final check has begun", body = ProjectionView)))]
pub(crate) async fn switch(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(body): StepBody<SwitchBody>,
) -> Step {
    let projection = known(&api, &name)?;
    let accepted =
        Accepted { incomplete: body.accept_incomplete, new_positions: body.accept_new_positions };
    let job = api.operations.switch(&projection, accepted).await?;
    step_response(&api, &projection, job).await
}

/// Undoes the last switch.
#[utoipa::path(post, path = "/projections/{name}/rollback", tag = "projections", request_body = RollbackBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "Reads follow within a second; a final check has begun", body = ProjectionView)))]
pub(crate) async fn rollback(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(body): StepBody<RollbackBody>,
) -> Step {
    let projection = known(&api, &name)?;
    let accepted = Accepted { new_positions: body.accept_new_positions, ..Accepted::default() };
    let job = api.operations.rollback(&projection, accepted).await?;
    step_response(&api, &projection, job).await
}

/// Drops the standby generation and removes its rows.
#[utoipa::path(post, path = "/projections/{name}/drop", tag = "projections", request_body = DropBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "Its rows are being removed", body = ProjectionView)))]
pub(crate) async fn drop_generation(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(body): StepBody<DropBody>,
) -> Step {
    let projection = known(&api, &name)?;
    let job = api
        .operations
        .drop_generation(&projection, body.generation.map(|generation| generation.0))
        .await?;
    step_response(&api, &projection, job).await
}

/// Moves the messages of the dead-letter queue back to the queue.
///
/// A call works for at most 20 seconds. Repeat it while the response has `more` and something was
/// sent. It is safe to repeat.
#[utoipa::path(post, path = "/projections/{name}/redrive", tag = "projections", request_body = EmptyBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "How many messages were moved, and which stay", body = RedrivenView)))]
pub(crate) async fn redrive(
    State(api): ApiState,
    PathParameter(name): PathParameter,
    StepBody(EmptyBody {}): StepBody<EmptyBody>,
) -> Result<Json<Redriven>, Problem> {
    Ok(Json(api.operations.redrive(&known(&api, &name)?).await?))
}

/// The projection of that name. Otherwise the problem lists all names.
pub(crate) fn known(api: &Api, name: &str) -> Result<Projection, Problem> {
    let app = api.operations.app();
    app.consumer(name).copied().ok_or_else(|| {
        let names: Vec<&str> = app.consumers().iter().map(|projection| projection.name).collect();
        Problem::not_found(format!(
            "there is no projection of that name; known: {}",
            names.join(", ")
        ))
    })
}

async fn step_response(api: &Api, projection: &Projection, job: Option<u64>) -> Step {
    let status = if job.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(api.operations.view_behind_step(projection).await?)))
}
