//! Responses that no engine gives on request: lost ones, unprocessed keys, unprocessed removals.

use super::jobs::{
    assert_exact, assert_same, finish, items, parked, projector, projector_over, rebuild, ruled,
};
use crate::harness::events::{confirmed, new_order, placed, write};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::harness::wire::Act;
use bookshop::{bestsellers, orders};
use handlers::ProjectorHandler;
use projections::rebuild::{RebuildError, SegmentTask};
use projections::{Projection, Projector};
use serde_json::{Value, json};

/// As many orders, projected by the first generation's projector.
async fn shop(stack: &TestStack, projection: Projection, count: u32) {
    let handler = ProjectorHandler::new(projection, projector(stack));
    for number in 0..count {
        let events: [&dyn crate::harness::events::Stored; 2] =
            [&placed("c", [(1, 1), (number % 3 + 2, 1)]), &confirmed()];
        let batches = write(&stack.store, &new_order(), &events).await;
        assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
    }
}

#[tokio::test]
async fn a_step_whose_answer_is_lost_is_taken_once() {
    let stack = TestStack::start().await;
    let of = &orders();
    shop(&stack, *of, 3).await;
    let (wire, sound) = (FaultInjector::default(), projector(&stack));
    let operator = projector_over(&stack, &wire);
    // The second request of a step replaces the row; without an answer the SDK sends it again.
    let lose = || wire.arm(Some(Fault::LosesAnswer(2)));
    let jobs = async || sound.status(of).await.unwrap().job.map(|job| (job.number, job.paused));

    lose();
    let wakes = operator.rebuild(of, 2).await.unwrap();
    assert!(!wire.is_armed() && wakes.len() == 2);
    assert_eq!(jobs().await, Some((1, false)));
    lose();
    operator.pause_job(of).await.unwrap();
    assert_eq!(jobs().await, Some((1, true)));
    lose();
    let wakes = operator.resume_job(of).await.unwrap();
    assert!(wakes.iter().all(|wake| wake.resumed == 1), "{wakes:?}");
    assert_eq!(jobs().await, Some((1, false)));
    finish(&sound, of, wakes).await;
    lose();
    operator.switch(of, false).await.unwrap();
    assert_eq!((jobs().await, sound.status(of).await.unwrap().active), (Some((2, false)), 2));
    lose();
    operator.rollback(of).await.unwrap();
    assert_eq!((jobs().await, sound.status(of).await.unwrap().active), (Some((3, false)), 1));
    lose();
    let wakes = operator.drop_generation(of, None).await.unwrap();
    assert!(!wire.is_armed());
    assert_eq!(jobs().await, Some((4, false)));
    finish(&sound, of, wakes).await;
    assert_exact(&stack, of, 1).await;
}

/// An operator's process dies after it replaced the row, before it sends tasks.
#[tokio::test]
async fn a_job_whose_calls_were_never_sent_is_resumed() {
    let stack = TestStack::start().await;
    let of = &bestsellers();
    shop(&stack, *of, 5).await;
    let (wire, sound) = (FaultInjector::default(), projector(&stack));
    wire.arm(Some(Fault::DiesAfter(2)));
    let died = projector_over(&stack, &wire).rebuild(of, 3).await.unwrap_err();
    assert!(matches!(died, RebuildError::Table(_)), "{died:?}");
    let refused = sound.rebuild(of, 3).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Busy { .. }), "{refused}");
    let wakes: Vec<SegmentTask> = sound.resume_job(of).await.unwrap();
    assert_eq!(wakes.len(), 3);
    assert!(finish(&sound, of, wakes).await.complete);
    assert_same(&stack, of, 1, 2).await;
}

/// In each answer with several rows, the last one is unprocessed.
fn leave_one_over(answer: &mut Value) {
    let Some(tables) = answer["Responses"].as_object_mut() else { return };
    let mut left = serde_json::Map::new();
    for (table, rows) in tables {
        let rows = rows.as_array_mut().unwrap();
        if rows.len() > 1 {
            let key = json!({"row": rows.pop().unwrap()["row"]});
            left.insert(table.clone(), json!({"Keys": [key], "ConsistentRead": true}));
        }
    }
    answer["UnprocessedKeys"] = Value::Object(left);
}

#[tokio::test]
async fn keys_that_dynamodb_leaves_over_are_asked_for_again() {
    let stack = TestStack::start().await;
    let of = &bestsellers();
    let (short, wire) = ruled(&stack);
    wire.rule(|seen| {
        let act = if seen.operation == "BatchGetItem" {
            Act::Change(Box::new(leave_one_over))
        } else {
            Act::Pass
        };
        std::future::ready(act)
    });
    let handler = ProjectorHandler::new(*of, short.clone());
    let mut messages = Vec::new();
    for number in 0..6 {
        let events: [&dyn crate::harness::events::Stored; 2] =
            [&placed("c", [(1, 1), (number % 3 + 2, 1)]), &confirmed()];
        messages.push(messages_of(&write(&stack.store, &new_order(), &events).await));
    }
    for part in 0..2 {
        let event: Vec<_> = messages.iter().map(|messages| messages[part].clone()).collect();
        assert!(deliver(&handler, &event).await.is_empty());
    }
    assert_exact(&stack, of, 1).await;
    assert!(rebuild(&short, of, 2).await.complete, "also when it is asked who is behind");
    assert_same(&stack, of, 1, 2).await;
}

#[tokio::test]
async fn keys_that_stay_unprocessed_are_an_error_and_park_no_stream() {
    let stack = TestStack::start().await;
    let of = &bestsellers();
    shop(&stack, *of, 1).await;
    let (starved, wire) = ruled(&stack);
    let table = stack.names.read_models();
    wire.rule(move |seen| {
        let left = json!({"Responses": {}, "UnprocessedKeys": {&table: seen.body["RequestItems"][&table]}});
        let act = if seen.operation == "BatchGetItem" { Act::Answer(200, left.to_string()) } else { Act::Pass };
        std::future::ready(act)
    });
    let batches = write(&stack.store, &new_order(), &[&placed("c", [(1, 1)])]).await;
    let mut messages = messages_of(&batches);
    messages[0].receives = 9;
    assert_eq!(deliver(&ProjectorHandler::new(*of, starved.clone()), &messages).await.len(), 1);
    assert!(parked(&projector(&stack), of, 1).await.is_empty());
    let refused = starved.rebuild(of, 2).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Table(_)), "{refused}");
    wire.no_rule();
    let wakes = starved.resume_job(of).await.unwrap();
    assert!(finish(&starved, of, wakes).await.complete, "the job stands as it was");
}

#[tokio::test]
async fn removals_that_dynamodb_leaves_over_are_sent_again() {
    let stack = TestStack::start().await;
    let of = &orders();
    shop(&stack, *of, 30).await;
    let (operator, wire): (Projector, _) = ruled(&stack);
    rebuild(&operator, of, 2).await;
    let table = stack.names.read_models();
    wire.rule(move |seen| {
        let nothing_done = json!({"UnprocessedItems": {&table: seen.body["RequestItems"][&table]}});
        let first = seen.operation == "BatchWriteItem" && seen.nth % 2 == 0;
        std::future::ready(if first {
            Act::Answer(200, nothing_done.to_string())
        } else {
            Act::Pass
        })
    });
    let wakes = operator.drop_generation(of, None).await.unwrap();
    let report = finish(&operator, of, wakes).await;
    assert_eq!((report.complete, report.first_pass.removed), (true, 30), "{report:?}");
    assert!(items(&stack, "orders.2/").await.is_empty());
}
