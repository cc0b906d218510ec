//! Tables without a stream, because the engine would also write a stream record for each item.

use crate::Failure;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};

/// A table with a text as partition key, and optionally a number as sort key.
pub(super) fn table(
    client: &Client,
    name: &str,
    partition: &str,
    sort: Option<&str>,
) -> Result<CreateTableFluentBuilder, Failure> {
    let request = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let request = request.attribute_definitions(attribute(partition, ScalarAttributeType::S)?);
    let request = request.key_schema(key(partition, KeyType::Hash)?);
    match sort {
        Some(sort) => {
            let request = request.attribute_definitions(attribute(sort, ScalarAttributeType::N)?);
            Ok(request.key_schema(key(sort, KeyType::Range)?))
        }
        None => Ok(request),
    }
}

/// A table with an index over the same partition key and another number.
pub(super) fn with_index(
    request: CreateTableFluentBuilder,
    index: &str,
    partition: &str,
    sort: &str,
) -> Result<CreateTableFluentBuilder, Failure> {
    let index = GlobalSecondaryIndex::builder()
        .index_name(index)
        .key_schema(key(partition, KeyType::Hash)?)
        .key_schema(key(sort, KeyType::Range)?)
        .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
        .build()?;
    Ok(request
        .attribute_definitions(attribute(sort, ScalarAttributeType::N)?)
        .global_secondary_indexes(index))
}

fn attribute(name: &str, kind: ScalarAttributeType) -> Result<AttributeDefinition, Failure> {
    Ok(AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build()?)
}

fn key(name: &str, kind: KeyType) -> Result<KeySchemaElement, Failure> {
    Ok(KeySchemaElement::builder().attribute_name(name).key_type(kind).build()?)
}
