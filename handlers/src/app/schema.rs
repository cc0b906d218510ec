//! The schemas of an aggregate's commands, taken from the schema of their enum.

use utoipa::openapi::{RefOr, Schema};

/// A command of an enum.
#[derive(Clone)]
pub(crate) struct CommandSchema {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    /// The schema of its data; none for a unit variant.
    pub(crate) data: Option<RefOr<Schema>>,
}

/// The variants of an enum with `#[serde(tag = "type", content = "data")]`.
pub(crate) fn command_schemas(schema: &RefOr<Schema>) -> Vec<CommandSchema> {
    if let RefOr::T(Schema::OneOf(one_of)) = schema {
        return one_of.items.iter().filter_map(variant).collect();
    }
    // An enum with one variant.
    variant(schema).into_iter().collect()
}

fn variant(schema: &RefOr<Schema>) -> Option<CommandSchema> {
    let RefOr::T(Schema::Object(object)) = schema else { return None };
    let RefOr::T(Schema::Object(tag)) = object.properties.get("type")? else { return None };
    let name = tag.enum_values.as_ref()?.first()?.as_str()?.to_owned();
    Some(CommandSchema {
        name,
        description: object.description.clone(),
        data: object.properties.get("data").cloned(),
    })
}
