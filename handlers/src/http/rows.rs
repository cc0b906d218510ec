//! Serves rows and lists of read models.

use super::extract::PathParameter;
use super::params::{PageCursor, Params, cursor_text};
use super::routes::{OptionalPathParameter, insert, key_of, key_parameter, stream, tag};
use super::{Api, ApiState};
use crate::app::{App, KeyFormat, ListRoute, Route, RowRoute};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use eventstore::MAX_VERSION;
use projections::{Follows, Kind, Projection, Row, TableError};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::schema::{ArrayBuilder, SchemaType, Type};
use utoipa::openapi::{Content, ObjectBuilder, OpenApi, Required, Response as OpenApiResponse};
use utoipa_axum::router::OpenApiRouter;

/// Rows of a page without `limit`.
const DEFAULT_LIMIT: u32 = 20;

/// A page of a list.
#[derive(Serialize)]
struct RowsPage {
    rows: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
}

pub(super) fn add_row(
    mut router: OpenApiRouter<Arc<Api>>,
    app: &App,
    route: &Route,
    to: &RowRoute,
    projection: Projection,
) -> OpenApiRouter<Arc<Api>> {
    let (to, parameter) = (to.clone(), route.parameter().unwrap_or_default());
    match (projection.kind, projection.follows) {
        (Kind::SingleStream { .. }, Follows::Categories(&[category])) => {
            let key =
                app.aggregate_of(category).map_or(KeyFormat::ANY, |aggregate| aggregate.key());
            describe_row(router.get_openapi_mut(), route, &to, key, Some(at_least()));
            let handler = move |State(api): ApiState,
                                PathParameter(text): PathParameter,
                                params: Params| async move {
                let at_least =
                    params.only(&["at_least"])?.number("at_least", 0..=MAX_VERSION)?.unwrap_or(0);
                let key = key_of(key, parameter, &text)?;
                let row = api
                    .projector
                    .row(&projection, &stream(category, parameter, &key)?, at_least)
                    .await?;
                row_response(&to, row, category, &key)
            };
            router.route(route.path, get(handler))
        }
        _ => {
            describe_row(router.get_openapi_mut(), route, &to, KeyFormat::ANY, None);
            let handler = move |State(api): ApiState,
                                PathParameter(key): PathParameter,
                                params: Params| async move {
                params.only(&[])?;
                row_response(&to, api.projector.row_of_many(&projection, &key).await?, "row", &key)
            };
            router.route(route.path, get(handler))
        }
    }
}

/// The row in the form of its route.
fn row_response(
    to: &RowRoute,
    row: Option<Row>,
    what: &str,
    key: &str,
) -> Result<Response, Problem> {
    let row = row.ok_or_else(|| Problem::not_found(format!("there is no {what} {key}")))?;
    let view = (to.view)(&row).map_err(TableError::from)?;
    let headers = [
        (header::ETAG, format!("\"{}\"", row.version)),
        (header::CONTENT_TYPE, "application/json".into()),
    ];
    Ok((headers, view.get().to_owned()).into_response())
}

pub(super) fn add_list(
    mut router: OpenApiRouter<Arc<Api>>,
    route: &Route,
    to: &ListRoute,
    projection: Projection,
) -> OpenApiRouter<Arc<Api>> {
    describe_list(router.get_openapi_mut(), route, to);
    let to = to.clone();
    let handler = move |State(api): ApiState,
                        OptionalPathParameter(key): OptionalPathParameter,
                        params: Params| async move {
        let params = params.only(&["limit", "cursor"])?;
        let list = to.list.replace("{}", key.as_deref().unwrap_or_default());
        let cursor = params.cursor()?.map(|cursor: PageCursor| cursor.of(&list)).transpose()?;
        let page = api
            .projector
            .list(&projection, &list, params.limit(DEFAULT_LIMIT)?, cursor.as_ref())
            .await?;
        let rows = page.rows.iter().map(|row| (to.row.view)(row)).collect::<Result<_, _>>();
        let next_cursor = page.next.and_then(|behind| cursor_text(&PageCursor::new(list, behind)));
        Ok::<_, Problem>(Json(RowsPage { rows: rows.map_err(TableError::from)?, next_cursor }))
    };
    router.route(route.path, get(handler))
}

// ------------------------------------------------------------ descriptions

fn describe_row(
    document: &mut OpenApi,
    route: &Route,
    to: &RowRoute,
    key: KeyFormat,
    at_least: Option<Parameter>,
) {
    let (schema, named) = (to.schema)();
    document.components.get_or_insert_default().schemas.extend(named);
    let mut found = OpenApiResponse::new(format!("A row of the read model {}", to.read_model));
    found.content.insert("application/json".to_owned(), Content::new(Some(schema)).into());
    let operation = OperationBuilder::new()
        .tag(tag(route.path))
        .operation_id(Some(format!("row-of-{}", to.read_model)))
        .summary(Some(format!("A row of {}.", to.read_model)))
        .parameter(key_parameter(route.parameter().unwrap_or_default(), key));
    let operation = at_least.into_iter().fold(operation, OperationBuilder::parameter);
    insert(document, route.path, HttpMethod::Get, operation.response("200", found).build());
}

fn at_least() -> Parameter {
    let versions = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(0_u64))
        .maximum(Some(MAX_VERSION));
    let text = "The least version of the stream that the row must include. 412 if the stream is not at that version yet.";
    query("at_least", text).schema(Some(versions)).build()
}

fn describe_list(document: &mut OpenApi, route: &Route, ListRoute { row, .. }: &ListRoute) {
    let (schema, named) = (row.schema)();
    document.components.get_or_insert_default().schemas.extend(named);
    let text = ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    let page = ObjectBuilder::new()
        .property("rows", ArrayBuilder::new().items(schema))
        .property(
            "next_cursor",
            text.description(Some("The cursor of the next page; null on the last page.")),
        )
        .required("rows")
        .required("next_cursor");
    let mut found = OpenApiResponse::new(format!(
        "A page of the list. Without rows of {} it is empty",
        row.read_model
    ));
    found.content.insert("application/json".to_owned(), Content::new(Some(page)).into());
    let limits =
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1_u64)).maximum(Some(500_u64));
    let cursors = ObjectBuilder::new().schema_type(Type::String);
    let operation = OperationBuilder::new()
        .tag(tag(route.path))
        .operation_id(Some(format!("list-of-{}", row.read_model)))
        .summary(Some(format!("A list of {}.", row.read_model)));
    let key = route.parameter().map(|name| key_parameter(name, KeyFormat::ANY));
    let operation = key.into_iter().fold(operation, OperationBuilder::parameter);
    let operation = operation
        .parameter(
            query("limit", "The most rows on the page; 20 by default.")
                .schema(Some(limits))
                .build(),
        )
        .parameter(
            query("cursor", "The `next_cursor` of an earlier page.").schema(Some(cursors)).build(),
        );
    insert(document, route.path, HttpMethod::Get, operation.response("200", found).build());
}

fn query(name: &str, text: &str) -> ParameterBuilder {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query);
    parameter.required(Required::False).description(Some(text))
}
