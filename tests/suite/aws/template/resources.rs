//! The template's tables and queues equal those of `ledgerfold tables create`.

use super::{PREFIX, Template, get_att, sub};
use crate::harness::program::Dev;
use crate::harness::seed::clients;
use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use ledgerfold::clients::Clients;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tempfile::TempDir;

/// The default prefix.
const LOCAL: &str = "ledgerfold";

/// A new system's tables and queues, and clients to describe them.
async fn made() -> (Clients, Dev, TempDir) {
    let data = TempDir::new().unwrap();
    let mut dev = Dev::start(data.path()).await;
    let clients = clients(&dev.exports().await);
    (clients, dev, data)
}

/// The properties of a table that the program depends on, in the template's form.
async fn table(clients: &Clients, name: &str) -> Value {
    let table =
        clients.dynamodb.describe_table().table_name(name).send().await.unwrap().table.unwrap();
    let keys = |schema: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Vec<Value> {
        let key = |key: &aws_sdk_dynamodb::types::KeySchemaElement| json!({ "AttributeName": key.attribute_name, "KeyType": key.key_type.as_str() });
        schema.iter().map(key).collect()
    };
    let mut indexes: Vec<Value> = Vec::new();
    for index in table.global_secondary_indexes() {
        let projection = index.projection().unwrap().projection_type().unwrap().as_str();
        indexes.push(json!({ "IndexName": index.index_name, "KeySchema": keys(index.key_schema()),
            "Projection": { "ProjectionType": projection } }));
    }
    let attributes = table.attribute_definitions().iter();
    let attributes =
        attributes.map(|a| json!({ "AttributeName": a.attribute_name, "AttributeType": a.attribute_type.as_str() }));
    let stream = table.stream_specification().and_then(|stream| stream.stream_view_type.clone());
    json!({
        "AttributeDefinitions": sorted(attributes.collect()),
        "KeySchema": keys(table.key_schema()),
        "GlobalSecondaryIndexes": sorted(indexes),
        "StreamViewType": stream.map(|view| view.as_str().to_owned()),
    })
}

/// The same properties in the template.
fn described(properties: &Value) -> Value {
    let list = |name: &str| sorted(properties[name].as_array().cloned().unwrap_or_default());
    json!({
        "AttributeDefinitions": list("AttributeDefinitions"),
        "KeySchema": properties["KeySchema"],
        "GlobalSecondaryIndexes": list("GlobalSecondaryIndexes"),
        "StreamViewType": properties["StreamSpecification"]["StreamViewType"],
    })
}

fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by_key(Value::to_string);
    values
}

#[tokio::test]
async fn the_template_makes_the_tables_that_the_program_makes() {
    let (clients, dev, _data) = made().await;
    let template = Template::read();
    let tables = clients.dynamodb.list_tables().send().await.unwrap().table_names.unwrap();
    assert!(tables.len() >= 3, "{tables:?}");
    for name in &tables {
        let suffix = name.strip_prefix(LOCAL).unwrap();
        let logical =
            template.named("AWS::DynamoDB::Table", "TableName", &sub(&format!("{PREFIX}{suffix}")));
        let properties = template.properties(logical);
        assert_eq!(described(properties), table(&clients, name).await, "{name}");
        assert_eq!(properties["BillingMode"], "PAY_PER_REQUEST", "{name}");
    }
    dev.kill().await;
}

/// The properties of a queue that the program depends on.
async fn queue(clients: &Clients, name: &str) -> BTreeMap<String, String> {
    let url = clients.sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
    let request = clients.sqs.get_queue_attributes().queue_url(url).attribute_names(Attribute::All);
    let attributes = request.send().await.unwrap().attributes.unwrap();
    let of_queue = [
        Attribute::FifoQueue,
        Attribute::DeduplicationScope,
        Attribute::FifoThroughputLimit,
        Attribute::MessageRetentionPeriod,
        Attribute::VisibilityTimeout,
        Attribute::RedrivePolicy,
    ];
    let found = of_queue
        .iter()
        .filter_map(|name| Some((name.as_str().to_owned(), attributes.get(name)?.clone())));
    found.collect()
}

/// The same properties in the template.
fn described_queue(template: &Template, properties: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut of_queue = BTreeMap::new();
    for name in ["FifoQueue", "DeduplicationScope", "FifoThroughputLimit", "MessageRetentionPeriod"]
    {
        of_queue.insert(name.to_owned(), text(&properties[name]));
    }
    // The default of SQS.
    let visibility = properties.get("VisibilityTimeout").map_or_else(|| "30".to_owned(), text);
    of_queue.insert("VisibilityTimeout".to_owned(), visibility);
    if let Some(policy) = properties.get("RedrivePolicy") {
        let dead = template.properties(get_att(&policy["deadLetterTargetArn"]).unwrap().0);
        let name = dead["QueueName"]["Fn::Sub"].as_str().unwrap().replace(PREFIX, LOCAL);
        of_queue.insert(
            "RedrivePolicy".to_owned(),
            format!("{name} after {}", policy["maxReceiveCount"]),
        );
    }
    of_queue
}

/// The redrive policy with the queue's name instead of its ARN.
fn by_name(mut attributes: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if let Some(policy) = attributes.get_mut("RedrivePolicy") {
        let parsed: Value = serde_json::from_str(policy).unwrap();
        let name = parsed["deadLetterTargetArn"].as_str().unwrap().rsplit(':').next().unwrap();
        *policy = format!("{name} after {}", parsed["maxReceiveCount"]);
    }
    attributes
}

#[tokio::test]
async fn the_template_makes_the_queues_that_the_program_makes() {
    let (clients, dev, _data) = made().await;
    let template = Template::read();
    let urls = clients.sqs.list_queues().send().await.unwrap().queue_urls.unwrap();
    let names: BTreeSet<&str> = urls.iter().map(|url| url.rsplit('/').next().unwrap()).collect();
    assert!(names.len() >= 12, "{names:?}");
    for name in names {
        let suffix = name.strip_prefix(LOCAL).unwrap();
        let logical =
            template.named("AWS::SQS::Queue", "QueueName", &sub(&format!("{PREFIX}{suffix}")));
        let described = described_queue(&template, template.properties(logical));
        assert_eq!(described, by_name(queue(&clients, name).await), "{name}");
    }
    dev.kill().await;
}

#[test]
fn what_is_kept_is_encrypted_and_the_truth_outlives_its_stack() {
    let template = Template::read();
    for (name, table) in template.all("AWS::DynamoDB::Table") {
        assert_eq!(table["SSESpecification"]["SSEEnabled"], true, "{name}");
        assert_eq!(
            table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"], true,
            "{name}"
        );
        assert_eq!(
            table["DeletionProtectionEnabled"],
            json!({ "Fn::If": ["IsProtected", true, false] }),
            "{name}"
        );
    }
    for (name, queue) in template.all("AWS::SQS::Queue") {
        assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
    }
    let events = &template.document["Resources"]["Events"];
    assert_eq!(
        (&events["DeletionPolicy"], &events["UpdateReplacePolicy"]),
        (&json!("RetainExceptOnCreate"), &json!("Retain"))
    );
}
