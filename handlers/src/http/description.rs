//! Completes the OpenAPI document: failures, bodies and parameters of all operations.

use super::access::{self, Access, operations};
use crate::app::App;
use crate::problem::Problem;
use axum::http::Method;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{AdditionalProperties, Object, SchemaType, Type};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, Response, Schema};

/// A failure: its status, its description, and which operations can fail so.
type Failure = (u16, &'static str, fn(&DescribedOperation<'_>) -> bool);

/// One operation of the document.
struct DescribedOperation<'a> {
    method: &'a Method,
    path: &'a str,
    /// The names of its parameters.
    parameters: Vec<String>,
}

/// All failures that the API answers with. A proxy may add others.
const FAILURES: [Failure; 14] = [
    (400, "The request breaks a rule: `errors` names each field and its rule.", |operation| {
        !is_health(operation.path)
    }),
    (401, "The request has no valid token.", |operation| !is_health(operation.path)),
    (
        403,
        "The token does not grant the scope; or a web page of another origin sent the request.",
        |_| true,
    ),
    (404, "It does not exist.", names_something),
    (408, "The body arrived too slowly.", |operation| *operation.method == Method::POST),
    (409, "The state of the projection does not allow this.", |operation| {
        let looks_at_dead_letters = operation.path.ends_with("/dead");
        is_step(operation.path) && (*operation.method == Method::POST || looks_at_dead_letters)
    }),
    (412, "The stream is at another version.", names_a_version),
    (413, "The body or the response is too large.", |operation| !is_health(operation.path)),
    (415, "The body is not JSON, or it has a Content-Encoding.", |operation| {
        *operation.method == Method::POST
    }),
    (421, "The `Host` is not served. Without tokens it must be a loopback name.", |_| true),
    (
        422,
        "The command is refused, or its Idempotency-Key was used for another command.",
        is_command,
    ),
    (429, "Too many requests. `Retry-After` says when to try again.", |operation| {
        !is_health(operation.path)
    }),
    (500, "An operator must fix this. Report the `error_id`.", |_| true),
    (
        503,
        "The outcome is unknown. Send it again with the same Idempotency-Key after `Retry-After`.",
        |_| true,
    ),
];

fn is_health(path: &str) -> bool {
    path == "/healthz"
}

fn is_step(path: &str) -> bool {
    path.starts_with("/projections")
}

fn is_command(operation: &DescribedOperation<'_>) -> bool {
    *operation.method == Method::POST && !is_step(operation.path)
}

/// Whether a read can miss its target. A list without rows is empty, not missing.
fn names_something(operation: &DescribedOperation<'_>) -> bool {
    let is_audit = operation.path.starts_with("/audit");
    let is_list = !is_audit && !is_step(operation.path) && operation.has("cursor");
    !is_command(operation) && !is_list && (operation.path.contains('{') || is_audit)
}

/// Whether the operation takes `If-Match`, `at_least` or a version.
fn names_a_version(operation: &DescribedOperation<'_>) -> bool {
    is_command(operation)
        || operation.path.starts_with("/audit/streams")
        || operation.has("at_least")
}

impl DescribedOperation<'_> {
    fn has(&self, parameter: &str) -> bool {
        self.parameters.iter().any(|name| name == parameter)
    }
}

/// Completes the document of an app's API.
pub(super) fn complete(document: &mut OpenApi, app: &App, access: &Access) {
    let components = document.components.get_or_insert_default();
    for (status, text, _) in FAILURES {
        let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
        let mut response = Response::new(text);
        response.content.insert("application/problem+json".to_owned(), problem.into());
        components.responses.insert(format!("Problem{status}"), response.into());
    }
    let mut closed = Vec::new();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            name_failures(operation, &method, path);
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    describe_parameter(parameter, app, path);
                }
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = body.required.clone().or(Some(Required::True));
                closed.extend(schema_name(body));
            }
        }
    }
    // Objects within a body take no unknown fields either.
    let mut index = 0;
    while let Some(name) = closed.get(index).cloned() {
        if let Some(RefOr::T(schema)) = components.schemas.get_mut(&name) {
            let within =
                serde_json::to_value(&*schema).map(|json| references(&json)).unwrap_or_default();
            closed.extend(
                within.into_iter().filter(|name| !closed.contains(name)).collect::<Vec<_>>(),
            );
            if let Schema::Object(object) = schema
                && !object.properties.is_empty() | object.required.is_empty()
                && object.schema_type == SchemaType::Type(Type::Object)
            {
                object.additional_properties =
                    Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
        index += 1;
    }
    declare_tags(document);
    access::describe(document, app, access);
}

/// Declares the tags of all operations: the machine's first, then the app's.
fn declare_tags(document: &mut OpenApi) {
    let mut tags = document.tags.take().unwrap_or_default();
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            for name in operation.tags.iter().flatten() {
                if !tags.iter().any(|tag| tag.name == *name) {
                    let what = format!("Commands and reads of {name}");
                    tags.push(TagBuilder::new().name(name).description(Some(what)).build());
                }
            }
        }
    }
    document.tags = Some(tags);
}

fn name_failures(operation: &mut Operation, method: &Method, path: &str) {
    let parameters = operation.parameters.iter().flatten();
    let parameters = parameters.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter.name.clone()),
        RefOr::Ref(_) => None,
    });
    let described = DescribedOperation { method, path, parameters: parameters.collect() };
    for (status, ..) in FAILURES.iter().filter(|(_, _, can_be)| can_be(&described)) {
        let response = Ref::from_response_name(format!("Problem{status}"));
        operation.responses.responses.insert(status.to_string(), response.into());
    }
}

/// A parameter may be left out, but is never null. Names of projections are listed.
fn describe_parameter(parameter: &mut Parameter, app: &App, path: &str) {
    let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema else { return };
    never_null(object);
    if is_step(path) && parameter.name == "name" {
        let names = app.consumers().iter().map(|projection| projection.name.into()).collect();
        object.enum_values = Some(names);
    }
}

fn never_null(object: &mut Object) {
    if let SchemaType::Array(types) = &mut object.schema_type {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            object.schema_type = SchemaType::Type(only.clone());
        }
    }
}

/// The names of the schemas that a schema refers to.
fn references(json: &Value) -> Vec<String> {
    match json {
        Value::Object(fields) => {
            let own =
                fields.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit_once('/'));
            own.map(|(_, name)| name.to_owned())
                .into_iter()
                .chain(fields.values().flat_map(references))
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The name of the schema that a body refers to.
fn schema_name(body: &RequestBody) -> Option<String> {
    let RefOr::T(content) = body.content.values().next()? else { return None };
    let RefOr::Ref(reference) = content.schema.as_ref()? else { return None };
    reference.ref_location.rsplit_once('/').map(|(_, name)| name.to_owned())
}
