//! The log lines of functions per call and per command, commit and message: `ledgerfold-bench cost`
//! uses their sizes.

use super::gateway::Caller;
use super::runtime_api::Function;
use super::{COMMAND_API, FAN_OUT, PROCESS_MANAGER, PROJECTOR, function};
use crate::harness::program::ledgerfold_bench;
use crate::harness::stack::TestStack;
use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::streams::DynamoDbEventResponse;
use ledgerfold::local::event_source::mapping::StreamMapping;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The batch size of a queue.
const ORDERS: usize = 10;

/// What Lambda logs itself of a call:
/// <https://docs.aws.amazon.com/lambda/latest/dg/rust-logging.html>
const OF_LAMBDA: [&str; 3] = [
    "START RequestId: 12345678-1234-1234-1234-123456789012 Version: $LATEST\n",
    "END RequestId: 12345678-1234-1234-1234-123456789012\n",
    "REPORT RequestId: 12345678-1234-1234-1234-123456789012\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 256 MB\t\
     Max Memory Used: 40 MB\t\n",
];

/// Bytes that a function logged: in lines of metrics, one a call, and in lines of its work.
#[derive(Debug, Default)]
struct Logged {
    metric_lines: usize,
    metric_bytes: usize,
    work_lines: usize,
    work_bytes: usize,
}

impl Logged {
    /// Ends the function, and counts what it wrote.
    async fn of(mut function: Function) -> Self {
        function.child.start_kill().unwrap();
        let (mut logged, (_, written)) = (Self::default(), function.ended().await);
        for line in written.lines() {
            let (lines, bytes) =
                match serde_json::from_str::<Value>(line).unwrap()["_aws"].is_null() {
                    true => (&mut logged.work_lines, &mut logged.work_bytes),
                    false => (&mut logged.metric_lines, &mut logged.metric_bytes),
                };
            *lines += 1;
            *bytes += line.len();
        }
        logged
    }

    /// The log bytes of that many calls with that many commands, commits or messages.
    fn bytes(&self, calls: f64, lines: f64) -> f64 {
        let mean = |bytes: usize, lines: usize| f64::from(u32::try_from(bytes / lines).unwrap());
        let of_lambda =
            OF_LAMBDA.iter().map(|line| f64::from(u32::try_from(line.len()).unwrap())).sum::<f64>();
        calls * (mean(self.metric_bytes, self.metric_lines) + of_lambda)
            + lines * mean(self.work_bytes, self.work_lines)
    }
}

/// The changes of the event table, as Lambda's mapping would give them to fan-out.
async fn changes(system: &TestStack) -> Value {
    let table =
        system.clients().dynamodb.describe_table().table_name(system.names.events()).send().await;
    let arn = table.unwrap().table.unwrap().latest_stream_arn.unwrap();
    let (seen, mut batches) = mpsc::unbounded_channel();
    let (mapping, stop) =
        (StreamMapping::new(arn, system.folder().join("checkpoint")), CancellationToken::new());
    let note = move |event: Event| {
        let noted = seen.send(serde_json::to_value(event).unwrap());
        async move { noted.map(|()| DynamoDbEventResponse::default()) }
    };
    let running = tokio::spawn(mapping.run(system.clients().streams.clone(), note, stop.clone()));
    let mut records = Vec::new();
    while records.len() < ORDERS {
        records.append(batches.recv().await.unwrap()["Records"].as_array_mut().unwrap());
    }
    stop.cancel();
    running.await.unwrap();
    json!({"Records": records})
}

/// All messages of a queue as one batch of it.
async fn batch(system: &TestStack, queue: &str) -> Value {
    let messages = system.take_all(&format!("ledgerfold-{queue}.fifo")).await;
    let record = |message: aws_sdk_sqs::types::Message| {
        let attributes = message.attributes.unwrap();
        let attributes: serde_json::Map<String, Value> = attributes
            .into_iter()
            .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
            .collect();
        json!({"messageId": message.message_id, "body": message.body, "attributes": attributes, "messageAttributes": {}})
    };
    let records: Vec<Value> = messages.into_iter().map(record).collect();
    // The journal gets one message with all notifications.
    let expected = if queue == "journal" { 1 } else { ORDERS };
    assert_eq!(records.len(), expected, "{queue}");
    json!({"Records": records})
}

/// The log bytes of each function for ten orders: `command-api`, `fan-out` and the consumers, by
/// name.
async fn logged(system: &TestStack) -> BTreeMap<&'static str, Logged> {
    let commands = function(system, COMMAND_API, &[]).await;
    for order in 0..ORDERS {
        let lines = json!([{"isbn": "9780306406157", "quantity": 2, "unit_price_minor": 995}]);
        let body = json!({"customer_id": "c-1", "currency": "EUR", "lines": lines});
        let anna = Caller { function: &commands, subject: "anna", scope: "ledgerfold/write" };
        let key = format!("0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a{order:02}");
        assert_eq!(anna.post("/orders", &key, &body).await.status, 201);
    }
    let fan_out = function(system, FAN_OUT, &[]).await;
    fan_out.invoke(&changes(system).await).await.unwrap();
    let mut logged = BTreeMap::from([
        (COMMAND_API, Logged::of(commands).await),
        (FAN_OUT, Logged::of(fan_out).await),
    ]);
    for (queue, component) in [
        ("orders", PROJECTOR),
        ("bestsellers", PROJECTOR),
        ("audit", PROJECTOR),
        ("journal", PROJECTOR),
        ("fulfilment", PROCESS_MANAGER),
    ] {
        let consumer = function(system, component, &[("LEDGERFOLD_PROJECTION", queue)]).await;
        let answer = consumer.invoke(&batch(system, queue).await).await.unwrap();
        assert_eq!(answer["batchItemFailures"], json!([]), "{queue}");
        logged.insert(queue, Logged::of(consumer).await);
    }
    logged
}

#[tokio::test]
async fn a_call_and_a_message_log_what_cost_counts() {
    let system = TestStack::start().await;
    let logged = logged(&system).await;
    for (name, logged) in &logged {
        let calls = if *name == COMMAND_API { ORDERS } else { 1 };
        assert_eq!((logged.metric_lines, logged.work_lines), (calls, ORDERS), "{name}");
    }
    // One command a second: no batches. Messages of stock are like those of orders.
    let of = |name: &str, messages: f64| logged[name].bytes(messages, messages);
    let consumers = of("orders", 3.0)
        + of("bestsellers", 2.0)
        + of("audit", 3.0)
        + of("journal", 3.0)
        + of("fulfilment", 3.0);
    let measured = of(COMMAND_API, 1.0) + of(FAN_OUT, 3.0) + consumers;
    let said =
        ledgerfold_bench(["cost", "--rate", "1", "--reads", "0", "--json"]).output().await.unwrap();
    let said: Value = serde_json::from_slice(&said.stdout).unwrap();
    let items = said["estimates"][0]["items"].as_array().unwrap();
    let logs = items.iter().find(|item| item["item"] == "CloudWatch, logs taken in").unwrap();
    let counted = logs["quantity"].as_f64().unwrap() * 1_073_741_824.0 / 2_628_000.0;
    let ratio = measured / counted;
    assert!(
        (0.9..1.1).contains(&ratio),
        "a command logs {measured} bytes, and cost counts {counted}"
    );
}
