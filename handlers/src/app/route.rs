//! Routes of an app: paths, and what they lead to.

use eventstore::Id;
use projections::{Row, UnreadableRow};
use serde::Serialize;
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};
use uuid::Uuid;

/// A path of the API and its target. A path has one parameter at most, the key:
/// `/accounts/{id}/close`.
#[derive(Clone, Debug)]
pub struct Route {
    pub(crate) path: &'static str,
    pub(crate) to: Target,
}

/// What a path leads to.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Command(CommandRoute),
    /// The command over several streams of that name.
    Across(&'static str),
    Row(RowRoute),
    List(ListRoute),
}

/// A command to one stream.
#[derive(Clone, Debug)]
pub(crate) struct CommandRoute {
    pub(crate) category: &'static str,
    pub(crate) command: &'static str,
    pub(crate) creates: Option<Creates>,
}

/// How a command that creates a stream gets its key: from actor and `Idempotency-Key`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Creates {
    namespace: Uuid,
    /// The path at which the created row is read, with `{}` for its key.
    location: &'static str,
}

/// A row of a read model.
#[derive(Clone)]
pub(crate) struct RowRoute {
    pub(crate) read_model: &'static str,
    pub(crate) view: Arc<RowView>,
    pub(crate) schema: fn() -> SchemaWithRefs,
}

/// A list of a read model's rows.
#[derive(Clone, Debug)]
pub(crate) struct ListRoute {
    /// The name of the list, with `{}` for the key in the path.
    pub(crate) list: &'static str,
    pub(crate) row: RowRoute,
}

/// A schema, and the schemas that it refers to.
pub(crate) type SchemaWithRefs = (RefOr<Schema>, Vec<(String, RefOr<Schema>)>);
/// Turns a row into its JSON.
pub(crate) type RowView = dyn Fn(&Row) -> Result<Box<RawValue>, UnreadableRow> + Send + Sync;

impl fmt::Debug for RowRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {}", self.read_model)
    }
}

/// `POST` of that command, to the stream whose key is in the path.
pub fn command(path: &'static str, category: &'static str, command: &'static str) -> Route {
    Route { path, to: Target::Command(CommandRoute { category, command, creates: None }) }
}

/// `POST` of a command that begins a stream. The key is a UUID in that namespace, made of actor and
/// `Idempotency-Key`; a retry thus addresses the same stream. `location` is the path at which its
/// row is read, as `/orders/{}`.
pub fn creation(
    path: &'static str,
    category: &'static str,
    command: &'static str,
    namespace: Uuid,
    location: &'static str,
) -> Route {
    let creates = Some(Creates { namespace, location });
    Route { path, to: Target::Command(CommandRoute { category, command, creates }) }
}

/// `POST` of the command over several streams of that name.
pub fn across(path: &'static str, name: &'static str) -> Route {
    Route { path, to: Target::Across(name) }
}

/// `GET` of a row in the form of `view`. The key in the path is that of a stream, or of a row if
/// the read model is multi-stream.
pub fn row<V: Serialize + ToSchema + 'static>(
    path: &'static str,
    read_model: &'static str,
    view: fn(&Row) -> Result<V, UnreadableRow>,
) -> Route {
    Route { path, to: Target::Row(RowRoute::of(read_model, view)) }
}

/// `GET` of a list, page by page, each row in the form of `view`. `list` is the name in the rows'
/// [`Listing`](projections::Listing), with `{}` for the key in the path, if there is one:
/// `owner/{}`.
pub fn list<V: Serialize + ToSchema + 'static>(
    path: &'static str,
    read_model: &'static str,
    list: &'static str,
    view: fn(&Row) -> Result<V, UnreadableRow>,
) -> Route {
    Route { path, to: Target::List(ListRoute { list, row: RowRoute::of(read_model, view) }) }
}

impl RowRoute {
    fn of<V: Serialize + ToSchema + 'static>(
        read_model: &'static str,
        view: fn(&Row) -> Result<V, UnreadableRow>,
    ) -> Self {
        let schema = || {
            let mut named = Vec::new();
            V::schemas(&mut named);
            named.push((V::name().into_owned(), V::schema()));
            (utoipa::openapi::Ref::from_schema_name(V::name()).into(), named)
        };
        let json = move |row: &Row| {
            let unreadable =
                |error| UnreadableRow { key: row.key.clone(), source: Some(Arc::new(error)) };
            serde_json::value::to_raw_value(&view(row)?).map_err(unreadable)
        };
        Self { read_model, view: Arc::new(json), schema }
    }
}

impl Creates {
    /// The key of the stream that this actor creates under that `Idempotency-Key`.
    pub(crate) fn key(&self, actor: &Id, key: &Id) -> String {
        // Ids have no line breaks, so two pairs never make the same name.
        Uuid::new_v5(&self.namespace, format!("{actor}\n{key}").as_bytes()).to_string()
    }

    /// The path at which the created row is read.
    pub(crate) fn location(&self, key: &str) -> String {
        self.location.replace("{}", key)
    }
}

impl Route {
    /// The name of the path's parameter.
    pub(crate) fn parameter(&self) -> Option<&'static str> {
        let (_, rest) = self.path.split_once('{')?;
        rest.split_once('}').map(|(name, _)| name)
    }
}
