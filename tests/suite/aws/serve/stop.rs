//! A clean stop, and an immediate one.

use super::Deployment;
use super::eventually;
use crate::harness::gate::Gate;
use crate::harness::http::{Client, isbn};
use futures::future::join_all;
use handlers::NotificationMessage;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

const CLIENTS: usize = 8;

/// Sends commands, one after the other, until the program takes no more. Returns the answered ones.
async fn work(caller: Client, client: usize, answers: &AtomicUsize) -> BTreeSet<String> {
    let (mut answered, path) = (BTreeSet::new(), format!("/stock/{}/receive", isbn(1)));
    for number in 0.. {
        let key = format!("{client}-{number}");
        let Ok(answer) = caller.keyed(&path, &key, &json!({"quantity": 1})).send().await else {
            break;
        };
        assert_eq!(answer.status(), 200);
        answered.insert(key);
        answers.fetch_add(1, Ordering::Relaxed);
    }
    answered
}

#[tokio::test]
async fn a_stop_under_load_answers_every_accepted_command() {
    let deployment = Deployment::start().await;
    let _fan_out = deployment.fan_out().await;
    let mut service = deployment.serve(&[]).await;
    let (anna, answers) = (deployment.caller(&service), AtomicUsize::new(0));
    let clients = join_all((0..CLIENTS).map(|client| work(anna.clone(), client, &answers)));
    let stop = async {
        eventually("load", || async { (answers.load(Ordering::Relaxed) > 50).then_some(()) }).await;
        service.signal("TERM").await;
    };
    let (answered, ()) = futures::join!(clients, stop);
    assert_eq!(service.ended().await, 0, "{:?}", service.lines());
    assert_eq!(service.said("stopped").len(), 1);
    let answered: BTreeSet<String> = answered.into_iter().flatten().collect();
    // All answered commands are recorded, each once.
    let again = deployment.serve(&[]).await;
    let (anna, mut written, mut from) = (deployment.caller(&again), Vec::new(), Some(1));
    while let Some(start) = from {
        let page =
            anna.read(&format!("/audit/streams/stock-{}?from={start}&limit=500", isbn(1))).await;
        let events = page["events"].as_array().unwrap();
        written.extend(events.iter().map(|event| event["command_id"].as_str().unwrap().to_owned()));
        from = page["next_from"].as_u64();
    }
    assert_eq!(written.len(), answered.len());
    assert_eq!(written.into_iter().collect::<BTreeSet<_>>(), answered);
    anna.until(&format!("/stock/{}", isbn(1)), |stock| stock.body["on_hand"] == answered.len())
        .await;
    deployment.idle().await;
    again.stop().await;
}

#[tokio::test]
async fn a_stop_informs_load_balancers_first() {
    let deployment = Deployment::start().await;
    let mut service = deployment.serve(&["--linger", "30", "--drain", "31"]).await;
    let anna = deployment.caller(&service);
    anna.without_token().until("/readyz", |answer| answer.status == 200).await;
    service.signal("TERM").await;
    let problem = anna.without_token().until("/readyz", |answer| answer.status == 503).await;
    assert_eq!(
        (&problem["status"], &problem["detail"]),
        (&json!(503), &json!("it is stopping")),
        "{problem}"
    );
    anna.receive(&isbn(1), 1).await;
    // Another signal ends it at once.
    service.signal("INT").await;
    assert_eq!(service.ended().await, 1);
    assert_eq!(
        service.said("stopped with work in hand: its messages come again")[0]["why"],
        "another signal came"
    );
}

/// A program whose tables stop answering during a batch and a request.
#[tokio::test]
async fn a_stop_out_of_time_logs_what_is_open() {
    let deployment = Deployment::start().await;
    let engine = deployment.stack.exports()[0].1.clone();
    let gate = Gate::before(&engine).await;
    let mut environment = deployment.environment();
    environment[0].1 = gate.endpoint.clone();
    let mut service = super::Service::start(&["--drain", "1"], environment).await;
    let anna = deployment.caller(&service);
    anna.receive(&isbn(1), 1).await;
    gate.fall_silent();
    let stream = eventstore::StreamId::new("order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e").unwrap();
    let message = serde_json::to_string(&NotificationMessage::address(stream.clone(), 1)).unwrap();
    deployment.stack.send("ledgerfold-orders.fifo", stream.as_str(), &message).await;
    let path = format!("/stock/{}/receive", isbn(1));
    let request = tokio::spawn(anna.keyed(&path, "never", &json!({"quantity": 1})).send());
    eventually("the batch is in hand", || async {
        (deployment.stack.waiting("ledgerfold-orders.fifo").await == 0).then_some(())
    })
    .await;
    service.signal("TERM").await;
    assert_eq!(service.ended().await, 1);
    let lines = service.said("stopped with work in hand: its messages come again");
    assert_eq!(
        (&lines[0]["why"], &lines[0]["batches"]),
        (&json!("the time for it is over"), &json!("orders:1")),
        "{lines:?}"
    );
    assert_eq!(lines[0]["requests"], 1, "{lines:?}");
    assert!(request.await.unwrap().is_err());
    assert_eq!(deployment.held("orders").await, 1, "the message is still there");
}
