//! Serves the routes that an app registers, and describes them in the OpenAPI document.

use super::commands::{self, CommandResponse};
use super::extract::{PathParameter, command_body, parse};
use super::request_headers::CommandHeaders;
use super::schema::{AcrossOutcome, CommandAccepted, CommandHeaderParameters, CommandOutcome};
use super::{Api, ApiState, rows};
use crate::app::schema::{CommandSchema, command_schemas};
use crate::app::{
    Across, AnyAggregate, App, Command, CommandRoute, KeyFormat, Route, Target, identity,
};
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use eventstore::StreamId;
use serde_json::Value;
use std::sync::Arc;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Components, Object, Type};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, Ref, RefOr, Required, Schema};
use utoipa::{IntoParams, IntoResponses};
use utoipa_axum::router::OpenApiRouter;

/// Adds the app's routes and their descriptions.
pub(super) fn add(mut router: OpenApiRouter<Arc<Api>>, app: &App) -> OpenApiRouter<Arc<Api>> {
    let info = &mut router.get_openapi_mut().info;
    info.title.clone_from(&identity().title);
    info.description = Some(
        [app.description(), info.description.as_deref().unwrap_or_default()]
            .join(" ")
            .trim()
            .to_owned(),
    );
    for route in app.registered_routes() {
        router = match &route.to {
            Target::Command(to) => match app.aggregate_of(to.category) {
                Some(aggregate) => add_command(router, route, to, aggregate),
                None => router,
            },
            Target::Across(name) => {
                match app.commands_across().iter().find(|command| command.name == *name) {
                    Some(command) => add_across(router, route.path, command),
                    None => router,
                }
            }
            Target::Row(to) => match app.consumer(to.read_model).copied() {
                Some(projection) => rows::add_row(router, app, route, to, projection),
                None => router,
            },
            Target::List(to) => match app.consumer(to.row.read_model).copied() {
                Some(projection) => rows::add_list(router, route, to, projection),
                None => router,
            },
        };
    }
    router
}

/// The parameter of a path, if the path has one.
pub(super) struct OptionalPathParameter(pub(super) Option<String>);

impl FromRequestParts<Arc<Api>> for OptionalPathParameter {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let has_one = parts
            .extensions
            .get::<axum::extract::MatchedPath>()
            .is_some_and(|path| path.as_str().contains('{'));
        if !has_one {
            return Ok(Self(None));
        }
        PathParameter::from_request_parts(parts, api)
            .await
            .map(|PathParameter(text)| Self(Some(text)))
    }
}

/// What the handler of a command's route needs.
struct ServedCommand {
    aggregate: Arc<dyn AnyAggregate>,
    route: CommandRoute,
    /// The name of the path's parameter.
    parameter: &'static str,
    example: Value,
}

fn add_command(
    router: OpenApiRouter<Arc<Api>>,
    route: &Route,
    to: &CommandRoute,
    aggregate: &Arc<dyn AnyAggregate>,
) -> OpenApiRouter<Arc<Api>> {
    let examples = aggregate.examples();
    let example =
        examples.into_iter().find(|(name, _)| name == to.command).map(|(_, example)| example);
    let served = Arc::new(ServedCommand {
        aggregate: Arc::clone(aggregate),
        route: to.clone(),
        parameter: route.parameter().unwrap_or_default(),
        example: example.unwrap_or_default(),
    });
    let mut router = router;
    describe_command(router.get_openapi_mut(), route.path, &served);
    let handler = move |State(api): ApiState,
                        OptionalPathParameter(key): OptionalPathParameter,
                        headers: CommandHeaders,
                        request: Request<Body>| async move {
        let body = command_body(request).await?;
        respond(&api, &served, key, headers, &body).await
    };
    router.route(route.path, post(handler))
}

/// Parses a command, finds its stream, and handles it or puts it into the command queue.
async fn respond(
    api: &Api,
    served: &ServedCommand,
    key: Option<String>,
    headers: CommandHeaders,
    body: &[u8],
) -> Result<Response, Problem> {
    let ServedCommand { aggregate, route, parameter, example } = served;
    let read = |data: &[u8], unknown: &mut Vec<String>| {
        Command::read(aggregate, route.command, data, unknown)
    };
    let (command, sent) = parse(body, &read, example)?;
    let key = match (key, route.creates) {
        (Some(text), _) => key_of(aggregate.key(), parameter, &text)?,
        (None, Some(creates)) => creates.key(&headers.actor, &headers.key),
        (None, None) => return Err(Problem::not_found("the path names no stream")),
    };
    let stream = stream(aggregate.category(), parameter, &key)?;
    let answer = commands::send(api, headers, stream, command, &sent).await?;
    Ok(match route.creates {
        Some(creates) => answer.created(&creates.location(&key)),
        None => CommandResponse::into_response(answer),
    })
}

/// A command over several streams, which its body names. It is always answered at once.
fn add_across(
    router: OpenApiRouter<Arc<Api>>,
    path: &'static str,
    command: &Arc<Across>,
) -> OpenApiRouter<Arc<Api>> {
    let mut router = router;
    describe_across(router.get_openapi_mut(), path, command);
    let command = Arc::clone(command);
    let handler = move |State(api): ApiState, headers: CommandHeaders, request: Request<Body>| async move {
        let body = command_body(request).await?;
        let example = example_of(&command);
        let read = |data: &[u8], unknown: &mut Vec<String>| (command.read)(data, unknown);
        let (value, sent) = parse(&body, &read, &example)?;
        let streams =
            (command.streams)(&value).map_err(|(field, rule)| Problem::invalid(field, rule))?;
        commands::handle_across_streams(&api, headers, command.name, streams, value, &sent).await
    };
    router.route(path, post(handler))
}

fn example_of(command: &Across) -> Value {
    serde_json::from_str(command.example).unwrap_or_default()
}

/// The key as stream names have it.
pub(super) fn key_of(key: KeyFormat, parameter: &str, text: &str) -> Result<String, Problem> {
    (key.parse)(text).map_err(|rule| Problem::invalid(parameter, rule))
}

pub(super) fn stream(category: &str, parameter: &str, key: &str) -> Result<StreamId, Problem> {
    StreamId::new(format!("{category}-{key}"))
        .map_err(|rule| Problem::invalid(parameter, rule.to_string()))
}

// ------------------------------------------------------------ descriptions

fn describe_command(document: &mut OpenApi, path: &'static str, served: &ServedCommand) {
    let ServedCommand { aggregate, route, parameter, example } = served;
    let (schema, named) = aggregate.schema();
    let variant =
        command_schemas(&schema).into_iter().find(|variant| variant.name == route.command);
    let Some(CommandSchema { name, description, data }) = variant else { return };
    let components = document.components.get_or_insert_default();
    components.schemas.extend(named);
    let name = format!("{}.{name}", aggregate.category());
    let body = body_schema(components, &name, data, example);
    let needs_body = body.1;
    let mut operation = OperationBuilder::new()
        .tag(tag(path))
        .operation_id(Some(name))
        .summary(description)
        .request_body(Some(
            RequestBodyBuilder::new()
                .content(
                    "application/json",
                    Content::builder().schema(Some(body.0)).example(Some(example.clone())).build(),
                )
                .required(Some(if needs_body { Required::True } else { Required::False }))
                .build(),
        ));
    if route.creates.is_none() {
        operation = operation.parameter(key_parameter(parameter, aggregate.key()));
    }
    let mut operation = with_headers(operation).build();
    let done =
        CommandOutcome::responses().into_iter().map(|(status, response)| match route.creates {
            Some(_) => ("201".to_owned(), response),
            None => (status, response),
        });
    operation.responses.responses.extend(done.chain(CommandAccepted::responses()));
    insert(document, path, HttpMethod::Post, operation);
}

fn describe_across(document: &mut OpenApi, path: &'static str, command: &Across) {
    let (name, (schema, named)) = (command.schema)();
    let components = document.components.get_or_insert_default();
    components.schemas.extend(named);
    let example = example_of(command);
    let (schema, _) = body_schema(components, &name, Some(schema), &example);
    let content = Content::builder().schema(Some(schema)).example(Some(example)).build();
    let body = RequestBodyBuilder::new()
        .content("application/json", content)
        .required(Some(Required::True))
        .build();
    let summary = format!("{name}, over several streams: all events are recorded, or none.");
    let operation =
        OperationBuilder::new().tag(tag(path)).operation_id(Some(name)).summary(Some(summary));
    let mut operation = with_headers(operation).request_body(Some(body)).build();
    operation.responses.responses.extend(AcrossOutcome::responses());
    insert(document, path, HttpMethod::Post, operation);
}

fn with_headers(operation: OperationBuilder) -> OperationBuilder {
    let headers = CommandHeaderParameters::into_params(|| Some(ParameterIn::Header));
    headers.into_iter().fold(operation, OperationBuilder::parameter)
}

/// The schema of a command's body, and whether a body is required.
fn body_schema(
    components: &mut Components,
    name: &str,
    data: Option<RefOr<Schema>>,
    example: &Value,
) -> (RefOr<Schema>, bool) {
    let data = data.unwrap_or_else(|| RefOr::T(Schema::Object(Object::new())));
    let needs_body = example.as_object().is_none_or(|fields| !fields.is_empty());
    match data {
        RefOr::Ref(reference) => (reference.into(), needs_body),
        RefOr::T(schema) => {
            components.schemas.insert(name.to_owned(), schema.into());
            (Ref::from_schema_name(name).into(), needs_body)
        }
    }
}

/// Operations are grouped by the first segment of their path.
pub(super) fn tag(path: &'static str) -> &'static str {
    path.split('/').nth(1).unwrap_or_default()
}

pub(super) fn key_parameter(name: &str, key: KeyFormat) -> Parameter {
    let schema = ObjectBuilder::new().schema_type(Type::String).pattern(Some(key.pattern));
    let parameter =
        ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter
        .description(Some(key.description))
        .example(Some(key.example.into()))
        .schema(Some(schema))
        .build()
}

pub(super) fn insert(document: &mut OpenApi, path: &str, method: HttpMethod, operation: Operation) {
    document.paths.add_path_operation(path, vec![method], operation);
}
