//! Queues and tables that do not answer for a while.

use super::eventually;
use super::{Deployment, Service};
use crate::harness::gate::Gate;
use crate::harness::http::isbn;
use serde_json::{Value, json};

/// The environment of the program, with a proxy before one of its engines.
async fn gated(deployment: &Deployment, variable: &str) -> (Gate, Vec<(String, String)>) {
    let mut environment = deployment.environment();
    let (_, endpoint) = environment.iter_mut().find(|(name, _)| name == variable).unwrap();
    let gate = Gate::before(endpoint).await;
    endpoint.clone_from(&gate.endpoint);
    (gate, environment)
}

#[tokio::test]
async fn an_outage_of_queues_is_reported_once_and_caught_up() {
    let deployment = Deployment::start().await;
    deployment.return_messages_after(2).await;
    let _fan_out = deployment.fan_out().await;
    let api = deployment.serve(&["api"]).await;
    let anna = deployment.caller(&api);
    let (gate, environment) = gated(&deployment, "AWS_ENDPOINT_URL_SQS").await;
    let tries = ("RUST_LOG".to_owned(), "info,handlers::delivery=debug".to_owned());
    let consumers =
        Service::start(&["consumers"], environment.into_iter().chain([tries]).collect()).await;
    anna.receive(&isbn(1), 100).await;
    let mut orders = anna.place_many("before", 1, 3).await;
    anna.all_confirmed(&orders).await;
    gate.close();
    orders.extend(anna.place_many("meanwhile", 1, 5).await);
    let of_orders = |line: &Value| {
        line["source"].as_str().is_some_and(|source| source.ends_with("ledgerfold-orders.fifo"))
    };
    let lines =
        |message: &str| consumers.said(message).into_iter().filter(of_orders).collect::<Vec<_>>();
    eventually("several tries", || async {
        (lines("still cannot be read").len() >= 2).then_some(())
    })
    .await;
    assert!(deployment.held("orders").await >= 5);
    gate.open();
    anna.all_confirmed(&orders).await;
    deployment.idle().await;
    let outages = lines("cannot be read, trying again");
    assert_eq!((outages.len(), &outages[0]["level"]), (1, &json!("ERROR")), "{outages:?}");
    assert_eq!(lines("can be read again").len(), 1);
    consumers.stop().await;
    api.stop().await;
}

#[tokio::test]
async fn it_is_not_ready_while_its_tables_do_not_answer() {
    let deployment = Deployment::start().await;
    let (gate, environment) = gated(&deployment, "AWS_ENDPOINT_URL_DYNAMODB").await;
    let service = Service::start(&[], environment).await;
    let anybody = deployment.caller(&service).without_token();
    gate.close();
    let problem = anybody.until("/readyz", |answer| answer.status == 503).await;
    assert_eq!(problem["type"], "https://ledgerfold.dev/problems/unavailable", "{problem}");
    assert_eq!(
        problem["detail"],
        "the table of events does not answer; the table of read models does not answer"
    );
    assert_eq!(anybody.get("/healthz").await.status, 200, "it runs all the same");
    gate.open();
    anybody
        .until("/readyz", |answer| answer.status == 200 && answer.body["status"] == "ready")
        .await;
    service.stop().await;
}
