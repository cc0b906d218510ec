//! Each function uses only the rights of its role in the template, down to the keys of rows.
//!
//! The local stack does not know `dynamodb:LeadingKeys`. Here the real functions run all
//! operations, and each request is compared with the template.

use super::gateway::Caller;
use super::line::{Mappings, until};
use super::{COMMAND_API, COMMAND_WORKER, QUERY_API, function};
use crate::aws::template::Template;
use crate::aws::template::rights::{Grant, grants};
use crate::harness::recorder::{Asked, Recorder};
use crate::harness::seed::append_each;
use crate::harness::stack::TestStack;
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

const BOOK: &str = "9780306406157";

/// The rights for one request: an action on a resource, and the keys.
pub(crate) struct Need {
    pub(crate) action: String,
    pub(crate) resource: String,
    pub(crate) keys: Vec<String>,
}

/// The name of a table's hash key.
fn hash_key(logical: &str) -> &'static str {
    match logical {
        "Events" => "stream_id",
        "ReadModels" => "row",
        "Journal" => "partition",
        _ => "command",
    }
}

pub(crate) fn needs(template: &Template, asked: &Asked) -> Vec<Need> {
    let table = |name: &Value| {
        let name = name.as_str().unwrap().strip_prefix("ledgerfold").unwrap();
        template.named(
            "AWS::DynamoDB::Table",
            "TableName",
            &json!({"Fn::Sub": format!("ledgerfold-${{Stage}}{name}")}),
        )
    };
    let key =
        |logical: &str, item: &Value| item[hash_key(logical)]["S"].as_str().unwrap().to_owned();
    let of_table = |action: &str, name: &Value, items: Vec<&Value>| {
        let logical = table(name);
        let keys = items.into_iter().map(|item| key(logical, item)).collect();
        Need { action: format!("dynamodb:{action}"), resource: logical.to_owned(), keys }
    };
    let body = &asked.body;
    match asked.operation.as_str() {
        "PutItem" => vec![of_table("PutItem", &body["TableName"], vec![&body["Item"]])],
        "GetItem" => vec![of_table("GetItem", &body["TableName"], vec![&body["Key"]])],
        "DeleteItem" => vec![of_table("DeleteItem", &body["TableName"], vec![&body["Key"]])],
        "TransactWriteItems" => {
            let put = |item: &Value| {
                of_table("PutItem", &item["Put"]["TableName"], vec![&item["Put"]["Item"]])
            };
            body["TransactItems"].as_array().unwrap().iter().map(put).collect()
        }
        "BatchGetItem" => {
            let tables = body["RequestItems"].as_object().unwrap().iter();
            let get = |(name, of): (&String, &Value)| {
                of_table(
                    "BatchGetItem",
                    &json!(name),
                    of["Keys"].as_array().unwrap().iter().collect(),
                )
            };
            tables.map(get).collect()
        }
        "BatchWriteItem" => {
            let tables = body["RequestItems"].as_object().unwrap().iter();
            let item = |write: &'static str, inner: &'static str| {
                move |request: &Value| request[write][inner].clone()
            };
            let (put, delete) = (item("PutRequest", "Item"), item("DeleteRequest", "Key"));
            let write = |(name, of): (&String, &Value)| {
                let items: Vec<Value> = of
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|request| {
                        if request["PutRequest"].is_null() { delete(request) } else { put(request) }
                    })
                    .collect();
                of_table("BatchWriteItem", &json!(name), items.iter().collect())
            };
            tables.map(write).collect()
        }
        action @ ("Query" | "Scan" | "DescribeTable") => {
            let mut need = of_table(action, &body["TableName"], Vec::new());
            if body["IndexName"].is_string() {
                need.resource += "/index/*";
            }
            vec![need]
        }
        action => {
            let url = body["QueueUrl"].as_str().or_else(|| body["QueueName"].as_str()).unwrap();
            let suffix = url.rsplit('/').next().unwrap().strip_prefix("ledgerfold").unwrap();
            let name = json!({"Fn::Sub": format!("ledgerfold-${{Stage}}{suffix}")});
            let resource = template.named("AWS::SQS::Queue", "QueueName", &name).to_owned();
            // The right to send one message is the right to send several.
            let action = format!("sqs:{}", action.strip_suffix("Batch").unwrap_or(action));
            vec![Need { action, resource, keys: Vec::new() }]
        }
    }
}

/// Whether a key is like an IAM pattern, in which `*` stands for any text.
fn is_like(key: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return key == pattern };
    let Some(key) = key.strip_prefix(first) else { return false };
    (0..=key.len()).filter(|at| key.is_char_boundary(*at)).any(|at| is_like(&key[at..], rest))
}

pub(crate) fn allows(grant: &Grant<'_>, need: &Need) -> bool {
    let fits = grant.action == need.action && grant.resource == need.resource;
    let patterns = grant.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"].as_array();
    fits && patterns.is_none_or(|patterns| {
        let any =
            |key: &String| patterns.iter().any(|pattern| is_like(key, pattern.as_str().unwrap()));
        !need.keys.is_empty() && need.keys.iter().all(any)
    })
}

/// Every operation of callers, operators and queues, once.
async fn work(system: &TestStack) {
    let (commands, queries) =
        (function(system, COMMAND_API, &[]).await, function(system, QUERY_API, &[]).await);
    let mut mappings = Mappings::start(system).await;
    mappings.map_queue(system, "commands", COMMAND_WORKER, &[]).await;
    let anna = Caller { function: &commands, subject: "anna", scope: "ledgerfold/write" };
    let reader = Caller { function: &queries, subject: "anna", scope: "ledgerfold/read" };
    let auditor = Caller { function: &queries, subject: "carl", scope: "ledgerfold/audit" };
    let operator = Caller { function: &queries, subject: "olga", scope: "ledgerfold/operate" };
    let stock = format!("/stock/{BOOK}");
    assert_eq!(
        anna.post(&format!("{stock}/receive"), "delivery", &json!({"quantity": 5})).await.status,
        200
    );
    let lines = json!([{"isbn": BOOK, "quantity": 2, "unit_price_minor": 995}]);
    let order = json!({"customer_id": "c-1", "currency": "EUR", "lines": lines});
    let placed = anna.post("/orders", "an-order", &order).await;
    let location = placed.headers["location"].as_str().unwrap().to_owned();
    let headers = json!({"content-type": "application/json", "idempotency-key": "later", "prefer": "respond-async"});
    let body = super::gateway::Body::Text(json!({"quantity": 1}).to_string());
    assert_eq!(anna.send("POST", &format!("{stock}/receive"), headers, body).await.status, 202);
    until(&reader, &location, |order| order["status"] == "confirmed").await;
    until(&reader, &stock, |stock| stock["available"] == 4).await;
    until(&auditor, "/audit/events?type=OrderConfirmed", |found| {
        found["events"][0]["actor"] == "fulfilment"
    })
    .await;
    let commands_of = |name: &str| format!("/commands/{name}");
    assert!(anna.get(&commands_of("later")).await.status < 500);
    let stream = format!("/audit/streams/stock-{BOOK}");
    for path in ["", "/at?version=1", "/diff?from=1&to=2", "/verify"] {
        assert_eq!(auditor.get(&format!("{stream}{path}")).await.status, 200, "{path}");
    }
    for path in ["/customers/c-1/orders", "/bestsellers"] {
        assert_eq!(reader.get(path).await.status, 200, "{path}");
    }
    operate(&operator, &reader, &location).await;
    park_and_resume(system, &operator).await;
    mappings.stop().await;
}

/// All steps of three read models. They wait for caches, so they are taken at once.
async fn operate(operator: &Caller<'_>, reader: &Caller<'_>, location: &str) {
    let names = ["orders", "audit", "bestsellers"];
    join_all(names.map(|name| operate_on(name, operator, reader, location))).await;
    assert_eq!(operator.get("/projections").await.status, 200);
}

async fn operate_on(name: &str, operator: &Caller<'_>, reader: &Caller<'_>, location: &str) {
    let idle = |view: &Value| view["job"].is_null();
    let complete = |view: &Value| view["job"].is_null() && view["report"]["complete"] == true;
    let path = format!("/projections/{name}");
    let post = |step: &str, body: Value| {
        let path = format!("{path}/{step}");
        async move { assert_eq!(operator.post(&path, "k", &body).await.status, 202, "{path}") }
    };
    post("rebuild", json!({"segments": 2})).await;
    until(operator, &path, complete).await;
    post("switch", json!({})).await;
    until(reader, location, |order| order["status"] == "confirmed").await;
    post("rollback", json!({})).await;
    post("drop", json!({"generation": 2})).await;
    until(operator, &path, idle).await;
    post("reconcile", json!({})).await;
    until(operator, &path, idle).await;
    assert_eq!(operator.post(&format!("{path}/redrive"), "k", &json!({})).await.status, 200);
    assert_eq!(operator.get(&format!("{path}/dead")).await.status, 200);
}

/// An unreadable event parks its stream; it is resumed, and parked again.
async fn park_and_resume(system: &TestStack, operator: &Caller<'_>) {
    let stream = "order-6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11";
    append_each(&system.store, stream, &[("OrderEaten", 1, "{}")]).await;
    for name in ["orders", "fulfilment"] {
        let path = format!("/projections/{name}/parked");
        let parked =
            |view: &Value| view["streams"].as_array().is_some_and(|streams| !streams.is_empty());
        until(operator, &path, parked).await;
        let resumed = operator.post(&format!("/projections/{name}/resume"), "k", &json!({})).await;
        assert!(resumed.status < 300, "{resumed:?}");
        until(operator, &path, parked).await;
    }
}

#[tokio::test]
async fn a_function_asks_for_nothing_that_its_role_does_not_allow() {
    let recorder = Arc::new(Recorder::default());
    let system = TestStack::start().await.recorded_by(recorder.clone());
    work(&system).await;
    let template = Template::read();
    let grants = grants(&template);
    let mut refused = BTreeSet::new();
    for asked in recorder.asked() {
        let function = template.function(&asked.component, asked.projection.as_deref());
        for need in needs(&template, &asked) {
            if !grants[function].iter().any(|grant| allows(grant, &need)) {
                refused.insert(format!(
                    "{function}: {} on {} {:?}",
                    need.action, need.resource, need.keys
                ));
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
    let components: BTreeSet<String> =
        recorder.asked().into_iter().map(|asked| asked.component).collect();
    assert_eq!(components.len(), 7, "each function has asked for something: {components:?}");
}

#[test]
fn patterns_of_keys_are_read_as_iam_reads_them() {
    for (key, pattern, is) in [
        ("orders.1/order-1", "orders.*", true),
        ("orders/generations", "orders.*", false),
        ("orders.1/parked/order-1", "*/parked/*", true),
        ("orders.1/order-1", "*/parked/*", false),
        ("access-1", "access-*", true),
        ("x", "x", true),
    ] {
        assert_eq!(is_like(key, pattern), is, "{key} like {pattern}");
    }
}
