//! Reports of the running program to Sentry.

use super::{RELEASE, STAGE, reporting};
use crate::harness::http::{Response, order, order_stream as stream, sent};
use crate::harness::program::Program;
use crate::harness::seed::clients;
use crate::harness::sentry::{Ingest, chain};
use crate::harness::waiting::becomes;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What no report may have.
const CUSTOMER: &str = "customer-anna-meier";
const REASON: &str = "because-of-her-illness";

/// The program, which reports to an ingest.
async fn open(arguments: &[&str], variables: &[(&str, &str)]) -> (Program, Ingest) {
    let (data, ingest) = (TempDir::new().unwrap(), Ingest::open().await);
    let fixed = ["dev", "--port", "0", "--data", data.path().to_str().unwrap()];
    let mut command = reporting(fixed.into_iter().chain(arguments.iter().copied()), &ingest.dsn);
    (Program::of(command.envs(variables.iter().copied()), data).await, ingest)
}

impl Program {
    async fn traced(&self, path: &str, key: &str, body: &Value) -> Response {
        sent(self.keyed(path, key, body).header("X-Correlation-Id", "process-1")).await
    }

    /// Places an order of the customer. Its path.
    async fn ordered(&self, key: &str) -> String {
        let book = json!({"isbn": "9780306406157", "quantity": 1, "unit_price_minor": 5});
        let placed = self.traced("/orders", key, &order(CUSTOMER, &[book])).await;
        assert_eq!(placed.status, 201);
        placed.header("location").to_owned()
    }

    /// Damages the first commit of a stream, behind the store's back.
    async fn damage(&self, stream: &str) {
        let dynamodb = clients(&self.exports).dynamodb;
        let update = dynamodb.update_item().table_name("ledgerfold-events");
        let update = update.key("stream_id", AttributeValue::S(stream.to_owned()));
        let update = update.key("version", AttributeValue::N("1".to_owned()));
        let update = update
            .update_expression("REMOVE #format")
            .expression_attribute_names("#format", "format");
        update.send().await.unwrap();
    }
}

fn trace_id(answer: &Response) -> String {
    answer.header("traceparent").split('-').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_parked_stream_is_reported_once_in_its_trace() {
    let (program, ingest) =
        open(&["--break", "orders=OrderCancelled", "--without-processes"], &[]).await;
    let path = program.ordered("place-1").await;
    let cancelled =
        program.traced(&format!("{path}/cancel"), "cancel-1", &json!({"reason": REASON})).await;
    assert_eq!(cancelled.status, 200);
    let event = ingest.event("the report", |event| event["tags"]["consumer"] == "orders").await;
    assert_eq!(event["message"], "the stream is parked until it is resumed");
    assert_eq!(chain(&event)[0], "event 2 cannot be applied");
    let tags = json!({
        "component": "projector", "consumer": "orders", "stream": stream(&path), "version": "2", "generation": "1",
        "command_id": "cancel-1", "correlation_id": "process-1", "actor": "dev", "request_id": event["tags"]["request_id"],
    });
    assert_eq!(event["tags"], tags);
    assert_eq!((&event["release"], &event["environment"]), (&json!(RELEASE), &json!(STAGE)));
    assert_eq!(event["contexts"]["trace"]["trace_id"], trace_id(&cancelled));
    // The program sends all reports before it ends, so there are no others.
    assert_eq!(program.dev.interrupt().await, 0);
    assert_eq!(ingest.events().len(), 1, "{:#?}", ingest.events());
    for personal in [CUSTOMER, REASON] {
        assert!(!event.to_string().contains(personal), "{event:#}");
    }
}

#[tokio::test]
async fn a_5xx_is_reported_by_its_id_and_a_refusal_never() {
    let (program, ingest) = open(&["--without-processes"], &[]).await;
    let (path, other) = (program.ordered("place-1").await, program.ordered("place-2").await);
    let ship = json!({"tracking_code": "1Z-999"});
    assert_eq!(
        program.traced(&format!("{other}/cancel"), "c", &json!({"reason": REASON})).await.status,
        200
    );
    assert_eq!(program.traced(&format!("{other}/ship"), "s", &ship).await.status, 422);
    assert_eq!(
        program.traced(&format!("{other}/ship"), "s", &json!({"tracking_code": 5})).await.status,
        400
    );
    program.damage(&stream(&path)).await;
    let unread = program.get(&format!("/audit/streams/{}", stream(&path))).await;
    let trace = trace_id(&unread);
    assert_eq!(unread.status, 500);
    let problem = unread.body;
    let is_answer = |event: &Value| event["message"] == "a request failed";
    let event = ingest.event("the report", is_answer).await;
    assert_eq!(event["event_id"], problem["error_id"]);
    assert_eq!(event["contexts"]["trace"]["trace_id"], trace);
    assert_eq!(
        (&event["tags"]["component"], &event["transaction"]),
        (&json!("query-api"), &Value::Null)
    );
    assert!(chain(&event)[0].contains("is damaged at version 1"), "{event:#}");
    assert_eq!(program.dev.interrupt().await, 0);
    // Fan-out reports the changed commit as another failure.
    let (answers, others): (Vec<Value>, Vec<Value>) =
        ingest.events().into_iter().partition(is_answer);
    assert_eq!(answers.len(), 1, "{answers:#?}");
    let tampering: Vec<_> = others
        .iter()
        .map(|event| (&event["tags"]["stream"], &event["tags"]["component"]))
        .collect();
    assert_eq!(tampering, [(&json!(stream(&path)), &json!("fan-out"))], "{others:#?}");
    assert!(others.iter().chain(&answers).all(|event| !event.to_string().contains(CUSTOMER)));
}

#[tokio::test]
async fn sampled_steps_of_a_command_share_its_trace() {
    let (program, ingest) = open(&[], &[("SENTRY_TRACES_SAMPLE_RATE", "1")]).await;
    let path = program.ordered("place-1").await;
    let read = program.get(&format!("{path}?at_least=1")).await;
    assert_eq!(read.status, 200);
    let receive =
        program.traced("/stock/9780306406157/receive", "receive-1", &json!({"quantity": 5})).await;
    let trace = trace_id(&receive);
    let wanted = ["POST /stock/{isbn}/receive", "audit", "fan-out", "fulfilment", "stock"];
    let seen = || {
        let mut seen = std::collections::BTreeSet::new();
        for step in ingest
            .transactions()
            .iter()
            .filter(|step| step["contexts"]["trace"]["trace_id"] == trace)
        {
            seen.insert(step["transaction"].as_str().unwrap().to_owned());
        }
        seen
    };
    becomes(
        "each step arrives",
        async || seen(),
        |seen| wanted.iter().all(|name| seen.contains(*name)),
    )
    .await;
    assert!(ingest.transactions().iter().all(|step| !step.to_string().contains(CUSTOMER)));
    assert_eq!(ingest.events(), Vec::<Value>::new(), "nothing failed");
}
