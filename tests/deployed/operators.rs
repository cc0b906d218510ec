//! Operations on a deployed system.

use crate::stack::{Stack, eventually};
use serde_json::{Value, json};

/// Waits until no job is running.
async fn idle(stack: &Stack, projection: &str) -> Value {
    eventually(&format!("the job of {projection} ends"), || async {
        let status = stack.get(&format!("/projections/{projection}")).await.body;
        (status["name"] == projection && status["job"].is_null()).then_some(status)
    })
    .await
}

#[tokio::test]
async fn a_projection_is_rebuilt_and_switched_under_its_readers() {
    let stack = Stack::of("operators-olga").await;
    let isbn = stack.book(7).await;
    let path = format!("/stock/{isbn}");
    eventually("it is read", || async { (stack.get(&path).await.status == 200).then_some(()) })
        .await;
    let begun = stack.post("/projections/stock/rebuild", &json!({"segments": 2})).await;
    assert_eq!((begun.status, &begun.body["job"]["segments"]), (202, &json!(2)), "{begun:?}");
    let built = idle(&stack, "stock").await;
    assert_eq!(
        (&built["other"], &built["report"]["complete"]),
        (&json!({"number": 2, "state": "complete"}), &json!(true)),
        "{built}"
    );
    // New events go to both generations.
    assert_eq!(stack.post(&format!("{path}/receive"), &json!({"quantity": 1})).await.status, 200);
    let switched = stack.post("/projections/stock/switch", &json!({})).await;
    assert_eq!((switched.status, &switched.body["active"]), (202, &json!(2)), "{switched:?}");
    idle(&stack, "stock").await;
    let levels = stack.get(&format!("{path}?at_least=2")).await;
    assert_eq!((levels.status, &levels.body["on_hand"]), (200, &json!(8)), "{levels:?}");
    let dropped = stack.post("/projections/stock/drop", &json!({"generation": 1})).await;
    assert_eq!(dropped.status, 202, "{dropped:?}");
    assert_eq!(idle(&stack, "stock").await["other"], Value::Null);
}
