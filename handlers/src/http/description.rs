//! What the OpenAPI document says beyond what stands beside each call: its failures, bodies and parameters.

use super::access::{self, Access, operations};
use super::problem::Problem;
use crate::app::App;
use axum::http::Method;
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{AdditionalProperties, Object, SchemaType, Type};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, Required, Response, Schema};

/// The command without a field that is required.
const WITHOUT_BODY: &str = "/orders/{id}/confirm";
/// What stands in a body's list is known by its fields as well.
const OF_BODIES: &str = "OrderLine";

/// A failure: its status, what it tells, and which calls can be answered so.
type Failure = (u16, &'static str, fn(&Method, &str) -> bool);

/// Every failure that a caller may be told. A server in front may tell others.
const FAILURES: [Failure; 14] = [
    (400, "The request breaks a rule: `errors` names each field and its rule.", |_, path| !is_open(path)),
    (401, "The request has no valid token.", |_, path| !is_open(path)),
    (403, "The token does not grant the scope; or a web page of another origin sent the request.", |_, _| true),
    (404, "There is no such thing.", names_something),
    (408, "The body came too slowly.", |method, _| *method == Method::POST),
    (409, "The step cannot be taken as things stand.", |method, path| *method == Method::POST && is_step(path)),
    (412, "The stream is at another version.", names_a_version),
    (413, "The body or the answer is too large.", |_, path| !is_open(path)),
    (415, "The body is not JSON, or it is encoded.", |method, _| *method == Method::POST),
    (421, "The `Host` is not served: without tokens it must be a name of loopback.", |_, _| true),
    (422, "The command is refused, or its Idempotency-Key belongs to another command.", is_command),
    (429, "Too many requests. `Retry-After` says when to come again.", |_, path| !is_open(path)),
    (500, "Something needs the operators: tell them the `error_id`.", |_, _| true),
    (503, "Not known to be done: send it again with the same Idempotency-Key after `Retry-After`.", |_, _| true),
];

fn is_open(path: &str) -> bool {
    path == "/healthz"
}

fn is_step(path: &str) -> bool {
    path.starts_with("/projections")
}

fn is_command(method: &Method, path: &str) -> bool {
    *method == Method::POST && !is_step(path)
}

/// Whether what a question names may not be there. A customer who never ordered has no orders.
fn names_something(method: &Method, path: &str) -> bool {
    let is_there = is_command(method, path) || path.starts_with("/customers");
    !is_there && (path.contains('{') || path.starts_with("/audit"))
}

/// Whether the call takes `If-Match`, `at_least` or a version.
fn names_a_version(method: &Method, path: &str) -> bool {
    is_command(method, path) || path.starts_with("/audit/streams") || path.ends_with("{id}") || path.ends_with("{isbn}")
}

/// Completes the document of an app's API with that access.
pub(super) fn complete(document: &mut OpenApi, app: &App, access: &Access) {
    let components = document.components.get_or_insert_default();
    for (status, text, _) in FAILURES {
        let problem = Content::new(Some(Ref::from_schema_name(Problem::name())));
        let mut response = Response::new(text);
        response.content.insert("application/problem+json".to_owned(), problem.into());
        components.responses.insert(format!("Problem{status}"), response.into());
    }
    let mut closed = vec![OF_BODIES.to_owned()];
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            name_failures(operation, &method, path);
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    describe_parameter(parameter, app, path);
                }
            }
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = Some(if path == WITHOUT_BODY { Required::False } else { Required::True });
                closed.extend(schema_name(body));
            }
        }
    }
    for name in closed {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&name) {
            object.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    access::describe(document, access);
}

fn name_failures(operation: &mut Operation, method: &Method, path: &str) {
    for (status, ..) in FAILURES.iter().filter(|(_, _, can_be)| can_be(method, path)) {
        let response = Ref::from_response_name(format!("Problem{status}"));
        operation.responses.responses.insert(status.to_string(), response.into());
    }
}

/// A parameter is given or left out, and never null. Projections are known by name.
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

/// The name of the schema that a body refers to.
fn schema_name(body: &RequestBody) -> Option<String> {
    let RefOr::T(content) = body.content.values().next()? else { return None };
    let RefOr::Ref(reference) = content.schema.as_ref()? else { return None };
    reference.ref_location.rsplit_once('/').map(|(_, name)| name.to_owned())
}
