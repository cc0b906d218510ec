//! How projections stand, and what operators do with them.

use super::extract::{Segment, StepBody};
use super::params::Params;
use super::projection_schema::{
    DropBody, JobBody, NothingMore, ParkedView, ProjectionView, ProjectionsView, RedrivenView, ResumeBody,
    ResumptionView, SwitchBody,
};
use super::{Api, Shared};
use crate::operations::View;
use crate::operations::redrive::Redriven;
use crate::operations::resume::{InvalidParkedCursor, ParkedStreams, Resumption};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use eventstore::StreamId;
use projections::Projection;
use serde::Serialize;
use utoipa::IntoParams;

/// A step's answer: how the projection stands then. Accepted where a job works on.
type Step = Result<(StatusCode, Json<View>), Problem>;

/// All of them.
#[derive(Serialize)]
pub(crate) struct Views {
    projections: Vec<View>,
}

/// Every projection, and how it stands.
#[utoipa::path(get, path = "/projections", tag = "projections",
    responses((status = 200, description = "The projections", body = ProjectionsView)))]
pub(crate) async fn list(State(api): Shared, params: Params) -> Result<Json<Views>, Problem> {
    params.only(&[])?;
    let mut projections = Vec::new();
    for projection in api.operations.app().consumers() {
        projections.push(api.operations.view(projection).await?);
    }
    Ok(Json(Views { projections }))
}

/// How a projection stands.
#[utoipa::path(get, path = "/projections/{name}", tag = "projections",
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "How it stands", body = ProjectionView)))]
pub(crate) async fn status(State(api): Shared, Segment(name): Segment, params: Params) -> Result<Json<View>, Problem> {
    params.only(&[])?;
    Ok(Json(api.operations.view(&known(&api, &name)?).await?))
}

/// Which of the streams that stand still.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters")]
struct Page {
    /// How many at most; 100 if nothing is said.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Where an earlier page ended.
    cursor: Option<String>,
}

/// The streams that stand still, because of an event that cannot be applied.
#[utoipa::path(get, path = "/projections/{name}/parked", tag = "projections",
    params(("name" = String, Path, description = "The projection's name"), Page),
    responses((status = 200, description = "A page of them", body = ParkedView)))]
pub(crate) async fn parked(
    State(api): Shared,
    Segment(name): Segment,
    params: Params,
) -> Result<Json<ParkedStreams>, Problem> {
    let projection = known(&api, &name)?;
    let params = params.only(&["limit", "cursor"])?;
    let (limit, cursor) = (params.limit(100)?, params.parsed("cursor")?);
    Ok(Json(api.operations.parked(&projection, limit, cursor.as_ref()).await?))
}

/// Makes the read model anew, beside the one that is read.
#[utoipa::path(post, path = "/projections/{name}/rebuild", tag = "projections", request_body = JobBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "The job has begun", body = ProjectionView)))]
pub(crate) async fn rebuild(State(api): Shared, Segment(name): Segment, StepBody(body): StepBody<JobBody>) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.rebuild(&projection, body.segments.0).await?;
    stands(&api, &projection, job).await
}

/// Goes through all streams and catches up those that are behind.
#[utoipa::path(post, path = "/projections/{name}/reconcile", tag = "projections", request_body = JobBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "The job has begun", body = ProjectionView)))]
pub(crate) async fn reconcile(State(api): Shared, Segment(name): Segment, StepBody(body): StepBody<JobBody>) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.reconcile(&projection, body.segments.0).await?;
    stands(&api, &projection, job).await
}

/// Lets the job stand still, until it is resumed.
#[utoipa::path(post, path = "/projections/{name}/pause", tag = "projections", request_body = NothingMore,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "It is paused", body = ProjectionView)))]
pub(crate) async fn pause(
    State(api): Shared,
    Segment(name): Segment,
    StepBody(NothingMore {}): StepBody<NothingMore>,
) -> Result<Json<View>, Problem> {
    let projection = known(&api, &name)?;
    api.operations.pause(&projection).await?;
    Ok(Json(api.operations.view_behind_step(&projection).await?))
}

/// Resumes the job, and every parked stream. A call works for 20
/// seconds at most; while its answer has a `next_cursor`, send that with the next one. It is safe
/// to repeat.
#[utoipa::path(post, path = "/projections/{name}/resume", tag = "projections", request_body = ResumeBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "What was resumed, and what stays parked", body = ResumptionView)))]
pub(crate) async fn resume(
    State(api): Shared,
    Segment(name): Segment,
    StepBody(body): StepBody<ResumeBody>,
) -> Result<Json<Resumption>, Problem> {
    let projection = known(&api, &name)?;
    let named = |stream: StreamId| api.operations.app().stream(stream.as_str());
    let stream = body.stream.map(named).transpose().map_err(|rule| Problem::invalid("stream", rule.to_string()))?;
    let cursor = body.cursor.as_deref().filter(|cursor| !cursor.is_empty()).map(str::parse).transpose();
    let cursor = cursor.map_err(|rule: InvalidParkedCursor| Problem::invalid("cursor", rule.to_string()))?;
    Ok(Json(api.operations.resume(&projection, stream.as_ref(), cursor.as_ref()).await?))
}

/// Gives the job up. What a rebuild had written is removed.
#[utoipa::path(post, path = "/projections/{name}/cancel", tag = "projections", request_body = NothingMore,
    params(("name" = String, Path, description = "The projection's name")),
    responses(
        (status = 200, description = "It is given up", body = ProjectionView),
        (status = 202, description = "It is given up; what it had written is being removed", body = ProjectionView),
        ))]
pub(crate) async fn cancel(
    State(api): Shared,
    Segment(name): Segment,
    StepBody(NothingMore {}): StepBody<NothingMore>,
) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.cancel(&projection).await?;
    stands(&api, &projection, job).await
}

/// Lets readers see the generation that was built.
#[utoipa::path(post, path = "/projections/{name}/switch", tag = "projections", request_body = SwitchBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "Readers follow within a second; a last look has begun", body = ProjectionView)))]
pub(crate) async fn switch(State(api): Shared, Segment(name): Segment, StepBody(body): StepBody<SwitchBody>) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.switch(&projection, body.accept_incomplete).await?;
    stands(&api, &projection, job).await
}

/// Lets readers see again what they saw before a switch.
#[utoipa::path(post, path = "/projections/{name}/rollback", tag = "projections", request_body = NothingMore,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "Readers follow within a second; a last look has begun", body = ProjectionView)))]
pub(crate) async fn rollback(
    State(api): Shared,
    Segment(name): Segment,
    StepBody(NothingMore {}): StepBody<NothingMore>,
) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.rollback(&projection).await?;
    stands(&api, &projection, job).await
}

/// Gives the generation up that is not read, and removes its rows.
#[utoipa::path(post, path = "/projections/{name}/drop", tag = "projections", request_body = DropBody,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 202, description = "Its rows are being removed", body = ProjectionView)))]
pub(crate) async fn drop_generation(
    State(api): Shared,
    Segment(name): Segment,
    StepBody(body): StepBody<DropBody>,
) -> Step {
    let projection = known(&api, &name)?;
    let job = api.operations.drop_generation(&projection, body.generation.map(|generation| generation.0)).await?;
    stands(&api, &projection, job).await
}

/// Sends what lies in the dead-letter queue to the projection's queue again. A call works for 20
/// seconds at most; while its answer says that there is `more`, and something was sent, call again.
/// It is safe to repeat.
#[utoipa::path(post, path = "/projections/{name}/redrive", tag = "projections", request_body = NothingMore,
    params(("name" = String, Path, description = "The projection's name")),
    responses((status = 200, description = "How many were sent, and which stay", body = RedrivenView)))]
pub(crate) async fn redrive(
    State(api): Shared,
    Segment(name): Segment,
    StepBody(NothingMore {}): StepBody<NothingMore>,
) -> Result<Json<Redriven>, Problem> {
    Ok(Json(api.operations.redrive(&known(&api, &name)?).await?))
}

/// The projection of that name, or the names that there are.
pub(crate) fn known(api: &Api, name: &str) -> Result<Projection, Problem> {
    let app = api.operations.app();
    app.consumer(name).copied().ok_or_else(|| {
        let names: Vec<&str> = app.consumers().iter().map(|projection| projection.name).collect();
        Problem::not_found(format!("there is no projection of that name; there are {}", names.join(", ")))
    })
}

async fn stands(api: &Api, projection: &Projection, job: Option<u64>) -> Step {
    let status = if job.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Json(api.operations.view_behind_step(projection).await?)))
}
