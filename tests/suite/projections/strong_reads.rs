//! Consistency rules that no local engine violates. The cases check or break them at the wire.

use super::rebuild::jobs::{self, Calls, NO_END, finish, projector, ruled, work};
use crate::harness::events::{confirmed, new_order, placed, shipped, write};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{Message, deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::harness::waiting::eventually;
use crate::harness::wire::{Act, Exchange};
use bookshop::{bestsellers, orders};
use handlers::ProjectorHandler;
use projections::{Projection, audit_index};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_transaction_that_met_another_one_is_done_again() {
    for code in ["TransactionConflict", "ConditionalCheckFailed"] {
        let stack = TestStack::start().await;
        let (projector, wire) = ruled(&stack);
        let order = new_order();
        let batches = write(&stack.store, &order, &[&placed("c", [(1, 2)]), &confirmed()]).await;
        let handler = ProjectorHandler::new(bestsellers(), projector);
        let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
        let reasons =
            json!([{ "Code": "None" }, { "Code": code, "Message": "injected at the wire" }]);
        let canceled = json!({ "__type": kind, "Message": "injected at the wire", "CancellationReasons": reasons });
        wire.rule(move |seen| {
            let first = seen.operation == "TransactWriteItems" && seen.nth == 0;
            std::future::ready(if first {
                Act::Answer(400, canceled.to_string())
            } else {
                Act::Pass
            })
        });
        assert!(deliver(&handler, &messages_of(&batches)).await.is_empty(), "{code}");
        let sent = wire
            .operations()
            .into_iter()
            .filter(|operation| operation == "TransactWriteItems")
            .count();
        assert_eq!(sent, 2, "{code} is no success");
        let expected = ReadModel::of_streams(&stack.store, [&order]).await.only("bestsellers");
        assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), expected);
    }
}

/// Events that another program applies only to the active generation, after the rebuild began.
#[tokio::test]
async fn a_standby_behind_the_active_generation_is_behind() {
    let stack = TestStack::start().await;
    let (operator, order) = (projector(&stack), new_order());
    let newer = Projection { shape: "orders/2", ..orders() };
    let first = write(&stack.store, &order, &[&placed("c", [(1, 1)])]).await;
    assert!(deliver(&stack.handler(orders()), &messages_of(&first)).await.is_empty());
    let mut calls = Calls::of(operator.rebuild(&newer, 1).await.unwrap());
    let mut proof = Vec::new();
    while let Some(wake) = calls.next() {
        match wake.pass {
            0 => calls.send(work(&operator, &newer, &wake, NO_END).await.unwrap()),
            _ => proof.push(wake),
        }
    }
    let begun = operator.status(&newer).await.unwrap().job.unwrap().started_at;
    let (head, _) = stack.store.head(&order, eventstore::Consistency::Strong).await.unwrap();
    // Recorded after the job began: earlier commits are handled in any case.
    let after = std::time::SystemTime::from(begun + chrono::TimeDelta::milliseconds(1));
    eventually("the clock goes on", async || (std::time::SystemTime::now() > after).then_some(()))
        .await;
    let event = crate::harness::events::Stored::stored(&confirmed());
    let second = stack
        .store
        .append(&head, vec![crate::harness::events::commit(vec![event])])
        .await
        .unwrap()
        .batch;
    assert!(second.commits[0].recorded_at > begun);
    assert!(deliver(&stack.handler(orders()), &[Message::of(&second)]).await.is_empty());
    let report = finish(&operator, &newer, proof).await;
    assert_eq!(
        (report.complete, report.passes),
        (true, 3),
        "a pass that found something is followed by one: {report:?}"
    );
    assert_eq!(jobs::rows(&stack, &newer, 2).await[0]["version"].as_n().unwrap(), "2");
}

/// Whether the request reads strongly; none if it is no read.
fn strong(exchange: &Exchange) -> Option<bool> {
    let says = |request: &Value| request["ConsistentRead"] == json!(true);
    match exchange.operation.as_str() {
        "BatchGetItem" => {
            Some(exchange.request["RequestItems"].as_object().unwrap().values().all(says))
        }
        "GetItem" | "Query" | "Scan" => Some(says(&exchange.request)),
        _ => None,
    }
}

/// What is read: the operation, the table without its prefix, and whether it is an index.
fn read(exchange: &Exchange) -> String {
    let request = &exchange.request;
    let table = request["TableName"].as_str().map(str::to_owned);
    let table = table.unwrap_or_else(|| {
        request["RequestItems"].as_object().unwrap().keys().next().unwrap().clone()
    });
    let index = request["IndexName"].as_str().map(|name| format!("/{name}")).unwrap_or_default();
    let row =
        if request["Key"].to_string().contains("/generations\"") { ", generations" } else { "" };
    let batch =
        if request["RequestItems"].to_string().contains("fence/") { ", fences" } else { "" };
    format!("{} of {table}{index}{row}{batch}", exchange.operation)
}

#[tokio::test]
async fn what_a_proof_rests_on_is_read_strongly() {
    let stack = TestStack::start().await;
    let (projector, wire) = ruled(&stack);
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for projection in [orders(), bestsellers(), audit_index::PROJECTION] {
        let order = new_order();
        let batches =
            write(&stack.store, &order, &[&placed("c", [(1, 2)]), &confirmed(), &shipped()]).await;
        let handler = ProjectorHandler::new(projection, projector.clone());
        for message in
            [Message::of(&batches[0]), Message::of(&batches[1]), Message::address_of(&batches[2])]
        {
            assert!(deliver(&handler, &[message]).await.is_empty());
        }
        assert!(jobs::rebuild(&projector, &projection, 1).await.complete);
        assert!(jobs::reconcile(&projector, &projection).await.complete);
        for exchange in wire.take() {
            if let Some(strong) = strong(&exchange) {
                seen[usize::from(strong)].insert(read(&exchange));
            }
        }
    }
    let [weak, strong] = seen;
    let (events, rows) = (stack.names.events(), stack.names.read_models());
    // Lists of parked streams may be stale; a stream that the cheap read misses is read strongly.
    let known = [format!("BatchGetItem of {events}"), format!("Query of {rows}/listing")];
    assert_eq!(weak, known.into());
    for (operation, table) in [
        ("Scan", events.clone()),
        ("Query", events.clone()),
        ("Scan", rows.clone()),
        ("GetItem", rows.clone()),
        ("GetItem", format!("{rows}, generations")),
        ("BatchGetItem", rows.clone()),
        ("BatchGetItem", format!("{rows}, fences")),
        ("BatchGetItem", stack.names.audit_index()),
    ] {
        assert!(
            strong.contains(&format!("{operation} of {table}")),
            "{operation} of {table}: {strong:?}"
        );
    }
}
