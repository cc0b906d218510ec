//! An order passes through all functions.

use crate::stack::{Stack, eventually, order};
use serde_json::{Value, json};

fn types(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_order_is_placed_confirmed_read_and_audited() {
    let stack = Stack::of("orders-anna").await;
    let isbn = stack.book(3).await;
    let path = stack.place("first", &isbn).await;
    let confirmed = stack.until(&path, "confirmed").await;
    assert_eq!((&confirmed["total_minor"], &confirmed["version"]), (&json!(1999), &json!(2)));
    let again = stack.command("/orders", "first", &order(&isbn)).await.unwrap();
    assert_eq!((again.status, again.replayed, again.location.unwrap()), (201, true, path.clone()));
    let levels = eventually("the copy is reserved", || async {
        let levels = stack.get(&format!("/stock/{isbn}")).await.body;
        (levels["reserved"] == 1).then_some(levels)
    });
    assert_eq!(levels.await["available"], json!(2));

    let stream = format!("order-{}", path.rsplit('/').next().unwrap());
    let history = stack.get(&format!("/audit/streams/{stream}")).await.body;
    assert_eq!(types(&history["events"]), ["OrderPlaced", "OrderConfirmed"]);
    assert_eq!(
        (&history["events"][0]["actor"], &history["events"][1]["actor"]),
        (&json!("orders-anna"), &json!("fulfilment"))
    );
    eventually("the search finds it", || async {
        let found = stack.get("/audit/events?actor=orders-anna&type=OrderPlaced").await.body;
        found["events"]
            .as_array()?
            .iter()
            .any(|event| event["stream"] == json!(stream))
            .then_some(())
    })
    .await;
    eventually("the journal has both commits in order", || async {
        let path = "/audit/tail?last=500&limit=500&category=order&wait=5";
        let events = stack.get(path).await.body["events"].as_array()?.clone();
        let of_stream = events.into_iter().filter(|event| event["stream"] == json!(stream));
        let versions: Vec<_> = of_stream.map(|event| event["version"].clone()).collect();
        (versions == [json!(1), json!(2)]).then_some(())
    })
    .await;
    let listed = stack.get(&format!("/audit/streams?prefix={stream}")).await.body;
    assert_eq!(listed["streams"][0]["version"], 2, "{listed}");
    let verified = stack.get(&format!("/audit/streams/{stream}/verify")).await.body;
    assert_eq!((&verified["verified"], &verified["commits"]), (&json!(true), &json!(2)));
}

#[tokio::test]
async fn an_order_of_what_is_not_there_is_rejected() {
    let stack = Stack::of("orders-otto").await;
    let isbn = stack.book(1).await;
    let paths = [stack.place("one", &isbn).await, stack.place("two", &isbn).await];
    let decided = eventually("both are decided", || async {
        let orders = [stack.get(&paths[0]).await.body, stack.get(&paths[1]).await.body];
        let mut statuses =
            orders.map(|order| order["status"].as_str().unwrap_or_default().to_owned());
        statuses.sort();
        statuses
            .iter()
            .all(|status| status == "confirmed" || status == "rejected")
            .then_some(statuses)
    });
    assert_eq!(decided.await, ["confirmed", "rejected"]);
}

#[tokio::test]
async fn a_command_that_nobody_waits_for_is_done_by_the_worker() {
    let stack = Stack::of("orders-ada").await;
    let isbn = stack.book(2).await;
    let accepted = stack.later("/orders", "later", &order(&isbn)).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let address = accepted.location.unwrap();
    let done = eventually("the command is done", || async {
        let command = stack.get(&address).await.body;
        (command["status"] != "pending").then_some(command)
    })
    .await;
    assert_eq!(
        (&done["status"], &done["result"]["events"][0]["type"]),
        (&json!("done"), &json!("OrderPlaced")),
        "{done}"
    );
    let now = stack.command("/orders", "later", &order(&isbn)).await.unwrap();
    assert_eq!((now.status, now.replayed, &now.body), (201, true, &done["result"]));
}
