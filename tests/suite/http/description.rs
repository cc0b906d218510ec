//! The OpenAPI document, compared with the program's responses.

use super::{Program, Response, isbn, line, order, order_stream, sent};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Every operation of the API.
const CALLS: [&str; 38] = [
    "get /audit/events",
    "get /audit/streams",
    "get /audit/streams/{stream}",
    "get /audit/streams/{stream}/at",
    "get /audit/streams/{stream}/diff",
    "get /audit/streams/{stream}/verify",
    "get /audit/tail",
    "get /audit/trace/{correlation}",
    "get /audit/verify",
    "get /bestsellers",
    "get /commands/{command_id}",
    "get /customers/{id}/orders",
    "get /healthz",
    "get /orders/{id}",
    "get /projections",
    "get /projections/{name}",
    "get /projections/{name}/dead",
    "get /projections/{name}/parked",
    "get /projections/{name}/progress",
    "get /stock/{isbn}",
    "post /orders",
    "post /orders/{id}/cancel",
    "post /orders/{id}/confirm",
    "post /orders/{id}/reject",
    "post /orders/{id}/ship",
    "post /projections/{name}/cancel",
    "post /projections/{name}/drop",
    "post /projections/{name}/pause",
    "post /projections/{name}/rebuild",
    "post /projections/{name}/reconcile",
    "post /projections/{name}/redrive",
    "post /projections/{name}/resume",
    "post /projections/{name}/rollback",
    "post /projections/{name}/switch",
    "post /stock/{isbn}/commit",
    "post /stock/{isbn}/receive",
    "post /stock/{isbn}/release",
    "post /stock/{isbn}/reserve",
];

/// The violations of a schema, with their paths. An unknown field is one, too.
fn broken(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let schema =
            document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("no {name}"));
        return broken(document, schema, value, place);
    }
    if let Some(any) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
        let fits = any.iter().any(|schema| broken(document, schema, value, place).is_empty());
        return if fits { Vec::new() } else { vec![format!("{place} is none of {any:?}")] };
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all_of(document, all, value, place);
    }
    if !is_of_type(&schema["type"], value) {
        return vec![format!("{place} is {value}, not {}", schema["type"])];
    }
    match value {
        Value::Object(fields) => {
            let required =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing = required
                .filter(|name| !fields.contains_key(*name))
                .map(|name| format!("{place}.{name} is missing"));
            let open = schema["properties"].is_null();
            let parts = fields.iter().flat_map(|(name, value)| {
                let place = format!("{place}.{name}");
                match (&schema["properties"][name], &schema["additionalProperties"]) {
                    (Value::Null, Value::Null | Value::Bool(_)) if open => Vec::new(),
                    (Value::Null, Value::Null | Value::Bool(_)) => {
                        vec![format!("{place} is not described")]
                    }
                    (Value::Null, schema) | (schema, _) => broken(document, schema, value, &place),
                }
            });
            missing.chain(parts).collect()
        }
        Value::Array(items) => {
            let parts = items.iter().enumerate();
            parts
                .flat_map(|(index, item)| {
                    broken(document, &schema["items"], item, &format!("{place}[{index}]"))
                })
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

/// The violations of several schemas that describe parts of one object.
fn all_of(document: &Value, all: &[Value], value: &Value, place: &str) -> Vec<String> {
    let mut merged = json!({"type": "object", "properties": {}, "required": []});
    for part in all {
        let part = part["$ref"]
            .as_str()
            .map_or(part, |name| document.pointer(name.trim_start_matches('#')).unwrap());
        let required = part["required"].as_array().cloned().unwrap_or_default();
        merged["required"].as_array_mut().unwrap().extend(required);
        let properties = part["properties"].as_object().cloned().unwrap_or_default();
        merged["properties"].as_object_mut().unwrap().extend(properties);
    }
    broken(document, &merged, value, place)
}

fn is_of_type(wanted: &Value, value: &Value) -> bool {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match wanted {
        Value::Array(types) => types.iter().any(|wanted| wanted == found),
        Value::String(wanted) => wanted == found || (wanted == "number" && found == "integer"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => true,
    }
}

/// The operations in the document.
fn described(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| {
            item.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
        })
        .collect()
}

/// Asserts that a response matches the description of its operation.
#[track_caller]
pub(super) fn fits(document: &Value, call: &str, answer: &Response) {
    let (method, path) = call.split_once(' ').unwrap();
    let responses = &document["paths"][path][method]["responses"];
    let status = answer.status.to_string();
    let response =
        responses.get(&status).unwrap_or_else(|| panic!("{call} does not describe {status}"));
    let response = match response["$ref"].as_str() {
        Some(name) => {
            document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("no {name}"))
        }
        None => response,
    };
    let media = answer.header("content-type");
    let schema = response["content"]
        .get(media)
        .unwrap_or_else(|| panic!("{call} does not describe {media}: {response}"));
    assert_eq!(broken(document, &schema["schema"], &answer.body, call), [""; 0]);
}

#[tokio::test]
async fn every_call_is_described_and_every_described_call_exists() {
    let program = Program::start().await;
    let document = program.get("/openapi.json").await;
    assert_eq!((document.status, document.header("content-type")), (200, "application/json"));
    assert!(
        super::text(&document.body["openapi"]).starts_with("3.1."),
        "{}",
        document.body["openapi"]
    );
    let described = described(&document.body);
    assert_eq!(described, CALLS.map(str::to_owned).into(), "described, and known to this test");
    for call in described {
        let (method, path) = call.split_once(' ').unwrap();
        let (id, isbn) = ("6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", isbn(7));
        let path = path.replace("{id}", id).replace("{isbn}", &isbn).replace("{stream}", "stock-1");
        let path = path
            .replace("{correlation}", "nobody")
            .replace("{command_id}", "nobody")
            .replace("{name}", "orders");
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = sent(program.http.request(method, program.url(&path))).await;
        let nowhere = format!("there is no path {path}");
        assert!(answer.status != 405 && answer.body["detail"] != nowhere, "{call}: {answer:?}");
        fits(&document.body, &call, &answer);
    }
}

#[tokio::test]
async fn responses_match_their_description() {
    let program = Program::start().await;
    let document = program.get("/openapi.json").await.body;
    let placed =
        program.command("/orders", "k", &order("c", &[line(1, 1, 5), line(2, 1, 5)])).await;
    fits(&document, "post /orders", &placed);
    let path = placed.header("location").to_owned();
    let stream = order_stream(&path);
    fits(
        &document,
        "post /orders/{id}/ship",
        &program.command(&format!("{path}/ship"), "s", &json!({"tracking_code": "T"})).await,
    );
    fits(
        &document,
        "post /orders/{id}/cancel",
        &program.command(&format!("{path}/cancel"), "c", &json!({"reason": "r"})).await,
    );
    fits(&document, "get /orders/{id}", &program.get(&format!("{path}?at_least=2")).await);
    fits(&document, "get /orders/{id}", &program.get(&format!("{path}?at_least=9")).await);
    let book = isbn(7);
    fits(
        &document,
        "post /stock/{isbn}/receive",
        &program.command(&format!("/stock/{book}/receive"), "k", &json!({"quantity": 1})).await,
    );
    fits(&document, "get /stock/{isbn}", &program.get(&format!("/stock/{book}?at_least=1")).await);
    fits(
        &document,
        "get /audit/streams/{stream}",
        &program.get(&format!("/audit/streams/{stream}")).await,
    );
    fits(
        &document,
        "get /audit/streams/{stream}/verify",
        &program.get(&format!("/audit/streams/{stream}/verify")).await,
    );
    fits(
        &document,
        "get /audit/events",
        &program.get(&format!("/audit/events?stream={stream}&limit=1")).await,
    );
    fits(
        &document,
        "get /audit/streams/{stream}/at",
        &program.get(&format!("/audit/streams/{stream}/at?version=1")).await,
    );
    fits(
        &document,
        "get /audit/streams/{stream}/diff",
        &program.get(&format!("/audit/streams/{stream}/diff")).await,
    );
    let traced = super::eventually("the order has a trace", || async {
        Some(program.get("/audit/trace/k").await).filter(|trace| trace.status == 200)
    });
    fits(&document, "get /audit/trace/{correlation}", &traced.await);
    for call in ["/audit/streams", "/audit/tail", "/audit/verify"] {
        fits(&document, &format!("get {call}"), &program.get(&format!("{call}?limit=5")).await);
    }
    fits(&document, "get /healthz", &program.get("/healthz").await);
    let listed = super::eventually("the order is listed", || async {
        let page = program.get("/customers/c/orders?limit=1").await;
        Some(page).filter(|page| !page.body["orders"].as_array().unwrap().is_empty())
    });
    fits(&document, "get /customers/{id}/orders", &listed.await);
    program.place("l", &order("c", &[line(1, 1, 5)])).await;
    let sold = super::eventually("the book is counted", || async {
        let page = program.get("/bestsellers").await;
        Some(page).filter(|page| !page.body["books"].as_array().unwrap().is_empty())
    });
    fits(&document, "get /bestsellers", &sold.await);
}

#[tokio::test]
async fn requests_match_their_description() {
    let program = Program::start().await;
    let document = program.get("/openapi.json").await.body;
    for body in [
        "OrderDetails",
        "OrderLine",
        "order.RejectOrder",
        "order.ConfirmOrder",
        "JobBody",
        "NothingMore",
    ] {
        assert_eq!(
            document["components"]["schemas"][body]["additionalProperties"], false,
            "{body}"
        );
    }
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["schema"]["type"].is_string(),
                    "{method} {path}: {parameter} may be null"
                );
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().all(|status| !status.ends_with("XX")),
                "{method} {path}: {responses:?}"
            );
            let takes_body = operation["requestBody"].is_object();
            assert_eq!(takes_body, responses.contains_key("415"), "{method} {path}");
            let is_optional = path == "/orders/{id}/confirm" || !takes_body;
            assert_eq!(
                operation["requestBody"]["required"] == true,
                !is_optional,
                "{method} {path}"
            );
        }
    }
    let declared: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    for group in ["orders", "stock", "reports", "commands", "audit", "projections", "operation"] {
        assert!(declared.contains(group), "{group} is not declared");
    }
    let name = &document["paths"]["/projections/{name}"]["get"]["parameters"][0]["schema"];
    let names = ["orders", "stock", "bestsellers", "audit", "journal", "fulfilment"];
    assert_eq!(name["enum"].as_array().unwrap().len(), names.len(), "{name}");
    let path = &document["paths"]["/orders"]["post"];
    assert_eq!(path["security"][0], json!({}), "without --auth no token is needed");
}

#[test]
fn the_checker_finds_missing_unknown_and_wrong_fields() {
    let document = json!({"book": {"type": "object", "required": ["isbn"],
        "properties": {"isbn": {"type": "string"}, "copies": {"type": ["integer", "null"]}}}});
    let check = |value| broken(&document, &json!({"$ref": "#/book"}), &value, "book");
    assert_eq!(check(json!({"isbn": "1", "copies": null})), [""; 0]);
    assert_eq!(check(json!({"copies": 1})), ["book.isbn is missing"]);
    assert_eq!(check(json!({"isbn": "1", "price": 1})), ["book.price is not described"]);
    assert_eq!(check(json!({"isbn": 1})).len(), 1);
    assert_eq!(check(json!([])).len(), 1);
}
