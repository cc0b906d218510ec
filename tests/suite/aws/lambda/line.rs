//! The whole line through the real functions: a command comes in at the gateway, and the mappings
//! of this machine call the rest.

use super::gateway::{Caller, GatewayResponse};
use super::runtime_api::Function;
use super::{
    COMMAND_API, FAN_OUT, PROCESS_MANAGER, PROJECTOR, QUERY_API, REBUILD_WORKER, function,
};
use crate::harness::stack::TestStack;
use crate::harness::waiting::becomes;
use aws_lambda_events::event::sqs::SqsEvent;
use handlers::delivery::QueueMapping;
use ledgerfold::local::event_source::mapping::StreamMapping;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A call of a function by a mapping.
async fn call<E: Serialize, A: DeserializeOwned>(
    function: Arc<Function>,
    event: E,
) -> Result<A, String> {
    let answer = function.invoke(&serde_json::to_value(event).unwrap()).await;
    Ok(serde_json::from_value(answer.map_err(|error| error.to_string())?).unwrap())
}

/// The mappings of all functions but those of HTTP, until they are told to stop.
pub(crate) struct Mappings {
    running: JoinSet<()>,
    stop: CancellationToken,
}

impl Mappings {
    pub(crate) async fn start(system: &TestStack) -> Self {
        let mut mappings = Self { running: JoinSet::new(), stop: CancellationToken::new() };
        mappings.map_stream(system).await;
        for projection in ["orders", "stock", "bestsellers", "audit", "journal"] {
            mappings
                .map_queue(system, projection, PROJECTOR, &[("LEDGERFOLD_PROJECTION", projection)])
                .await;
        }
        mappings
            .map_queue(
                system,
                "fulfilment",
                PROCESS_MANAGER,
                &[("LEDGERFOLD_PROJECTION", "fulfilment")],
            )
            .await;
        mappings.map_queue(system, "rebuild", REBUILD_WORKER, &[]).await;
        mappings
    }

    async fn map_stream(&mut self, system: &TestStack) {
        let fan_out = Arc::new(function(system, FAN_OUT, &[]).await);
        let mapping =
            StreamMapping::new(system.stream_arn().await, system.folder().join("checkpoint"));
        let (streams, stop) = (system.clients().streams.clone(), self.stop.clone());
        self.running.spawn(mapping.run(streams, move |event| call(fan_out.clone(), event), stop));
    }

    pub(super) async fn map_queue(
        &mut self,
        system: &TestStack,
        queue: &str,
        program: &str,
        own: &[(&str, &str)],
    ) {
        let function = Arc::new(function(system, program, own).await);
        let sqs = system.clients().sqs.clone();
        let url = sqs
            .get_queue_url()
            .queue_name(format!("ledgerfold-{queue}.fifo"))
            .send()
            .await
            .unwrap();
        let mut mapping = QueueMapping::new(url.queue_url.unwrap());
        mapping.retry_after = Some(Duration::ZERO);
        let handler = move |event: SqsEvent| call(function.clone(), event);
        self.running.spawn(mapping.run(sqs, handler, self.stop.clone()));
    }

    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
    }
}

/// Asks until the answer is as wanted.
pub(super) async fn until(
    caller: &Caller<'_>,
    path: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let body = |answer: &GatewayResponse| serde_json::from_str::<Value>(&answer.body).unwrap();
    let answer = becomes(
        path,
        async || caller.get(path).await,
        |answer| answer.status == 200 && wanted(&body(answer)),
    )
    .await;
    body(&answer)
}

#[tokio::test]
async fn an_order_passes_all_functions_confirmed_audited_and_rebuilt() {
    let system = TestStack::start().await;
    let (commands, queries) =
        (function(&system, COMMAND_API, &[]).await, function(&system, QUERY_API, &[]).await);
    let mappings = Mappings::start(&system).await;
    let anna = Caller { function: &commands, subject: "anna", scope: "ledgerfold/write" };
    let reader = Caller { function: &queries, subject: "anna", scope: "ledgerfold/read" };
    let auditor = Caller { function: &queries, subject: "carl", scope: "ledgerfold/audit" };
    let operator = Caller { function: &queries, subject: "olga", scope: "ledgerfold/operate" };
    let received =
        anna.post("/stock/9780306406157/receive", "delivery", &json!({"quantity": 5})).await;
    assert_eq!(received.status, 200, "{received:?}");
    let lines = json!([{"isbn": "9780306406157", "quantity": 2, "unit_price_minor": 995}]);
    let placed = anna
        .post(
            "/orders",
            "an-order",
            &json!({"customer_id": "c-1", "currency": "EUR", "lines": lines}),
        )
        .await;
    let location = placed.headers["location"].as_str().unwrap().to_owned();
    until(&reader, &location, |order| order["status"] == "confirmed").await;
    until(&reader, "/stock/9780306406157", |stock| stock["available"] == 3).await;
    let by_fulfilment = |found: &Value| {
        found["events"].as_array().unwrap().iter().any(|event| event["actor"] == "fulfilment")
    };
    until(&auditor, "/audit/events?type=OrderConfirmed", by_fulfilment).await;
    assert_eq!(
        operator.post("/projections/orders/rebuild", "k", &json!({"segments": 2})).await.status,
        202
    );
    let complete = |view: &Value| view["job"].is_null() && view["report"]["complete"] == true;
    until(&operator, "/projections/orders", complete).await;
    assert_eq!(operator.post("/projections/orders/switch", "k", &json!({})).await.status, 202);
    until(&reader, &location, |order| order["status"] == "confirmed").await;
    mappings.stop().await;
}
