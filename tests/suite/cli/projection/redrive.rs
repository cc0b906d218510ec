//! Dead letters, and the lag of a projection.

use super::super::receive;
use super::TestStack;
use crate::harness::program::Program;
use crate::harness::seed::append_each;
use crate::harness::waiting::eventually;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const DEAD: &str = "ledgerfold-stock-dead.fifo";
const QUEUE: &str = "ledgerfold-stock.fifo";
const RECEIVED: (&str, u32, &str) = ("StockReceived", 1, r#"{"quantity":5}"#);

#[tokio::test]
async fn dead_letters_are_redriven_and_unreadable_ones_stay() {
    let system = TestStack::start().await;
    append_each(&system.store, "stock-1", &[RECEIVED, RECEIVED, RECEIVED]).await;
    let readable = r#"{"stream":"stock-1","version":2,"last_version":2}"#;
    system.send(DEAD, "stock-1", readable).await;
    system.send(DEAD, "stock-1", "{").await;
    system
        .send(
            DEAD,
            "stock-1",
            r#"{"stream":"stock-1","version":1,"last_version":1,"format":2,"commits":[{}]}"#,
        )
        .await;
    let nowhere = system.send(DEAD, "nowhere", "{").await;
    let unknown = system.send(DEAD, "stock-2", "{").await;

    let redriven = system.operate(["projection", "redrive", "stock", "--json"]).await;
    assert_eq!(
        (redriven.status, &redriven.json()["sent"], &redriven.json()["left"]),
        (1, &json!(3), &json!(2))
    );
    let stays = redriven.json()["stays"].as_array().unwrap().clone();
    let reasons: BTreeMap<&str, &str> = stays
        .iter()
        .map(|stays| (stays["message_id"].as_str().unwrap(), stays["reason"].as_str().unwrap()))
        .collect();
    let expected = BTreeMap::from([
        (&*nowhere, "it cannot be read, and its group is no stream"),
        (&*unknown, "it cannot be read, and the store has no stream stock-2"),
    ]);
    assert_eq!(reasons, expected);

    let address = json!({"stream": "stock-1", "version": 3, "last_version": 3});
    let sent = system.take_all(QUEUE).await;
    let bodies: Vec<Value> =
        sent.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect();
    assert_eq!(bodies, [serde_json::from_str(readable).unwrap(), address.clone(), address]);

    // Letters that had to stay are sent once the reason is gone. A sent letter is not sent twice.
    append_each(&system.store, "stock-2", &[RECEIVED]).await;
    let again = system.operate(["projection", "redrive", "stock"]).await;
    assert_eq!(again.status, 1, "{again:?}");
    let lines: Vec<&str> = again.stdout.lines().collect();
    let stays = format!(
        "{nowhere} of group \"nowhere\" stays: it cannot be read, and its group is no stream"
    );
    assert_eq!(lines, [stays.as_str(), "sent again: 1, stay: 1, now in the dead-letter queue: 1"]);
    let sent: Vec<_> =
        system.take_all(QUEUE).await.into_iter().map(|message| message.body.unwrap()).collect();
    assert_eq!(sent, [r#"{"stream":"stock-2","version":1,"last_version":1}"#]);
    let list = system.operate(["projection", "list", "--json"]).await.json();
    assert_eq!(list["projections"][1]["lag"]["dead_letters"], json!(1));
}

#[tokio::test]
async fn dead_letters_are_shown_in_a_table_and_as_json() {
    let system = TestStack::start().await;
    let none = system.operate(["projection", "dead", "stock"]).await.done();
    assert!(none.ends_with("\nshown: 0, in the dead-letter queue: 0\n"), "{none}");
    let readable = r#"{"stream":"stock-1","version":2,"last_version":2}"#;
    system.send(DEAD, "stock-1", readable).await;
    let garbled = system.send(DEAD, "stock-2", "<script>\n\u{9b}2J").await;
    let shown = system.operate(["projection", "dead", "stock"]).await.done();
    let lines: Vec<&str> = shown.lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(lines[0]), ["MESSAGE", "STREAM", "VERSION", "RECEIVES", "SENT", "AT", "BODY"]);
    let (row, other) = (words(lines[1]), words(lines[2]));
    assert_eq!((&*row[1], &*row[2], &*row[3], &*row[5]), ("stock-1", "2", "1", readable));
    assert_eq!((&*other[0], &*other[1], &*other[2]), (&*garbled, "stock-2", "-"));
    assert_eq!(other[5], "<script>\\n\\u{9b}2J");
    let end = [
        "shown: 2, in the dead-letter queue: 2",
        "`ledgerfold projection redrive stock` sends them again",
    ];
    assert_eq!(lines[3..], end);

    let one = system.operate(["projection", "dead", "stock", "--limit", "1", "--json"]).await;
    let one = one.json();
    assert_eq!((one["messages"].as_array().unwrap().len(), &one["in_queue"]), (1, &json!(2)));
    assert_eq!(one["messages"][0]["receives"], json!(2), "{one}");
    // In flight, as during a redrive.
    system.hide_one(DEAD).await;
    let refused = system.operate(["projection", "dead", "stock"]).await;
    assert_eq!((refused.status, &*refused.stdout), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("a redrive or another look has them"), "{refused:?}");
}

#[tokio::test]
async fn a_letter_that_died_unread_catches_its_stream_up() {
    let system = Program::start().await;
    receive(&system.dev, 1).await;
    system
        .until_status("stock", "it is applied", |status| status["lag"]["messages"] == json!(0))
        .await;
    assert_eq!(system.dev.interrupt().await, 0);
    // The stream gets an event, and its notification becomes a dead letter.
    let system = TestStack::over(system.data).await;
    append_each(&system.store, "stock-9780306406157", &[RECEIVED]).await;
    system.send(DEAD, "stock-9780306406157", "garbled").await;
    let redriven = system.operate(["projection", "redrive", "stock"]).await.done();
    assert_eq!(redriven, "sent again: 1, stay: 0, now in the dead-letter queue: 0\n");
    let sent = system.take_all(QUEUE).await;
    assert_eq!(sent.len(), 1);
    let event =
        serde_json::from_value(json!({"Records": [{"messageId": "m", "body": sent[0].body(),
        "attributes": {"MessageGroupId": "stock-9780306406157"}, "messageAttributes": {}}]}));
    let handler = handlers::ProjectorHandler::new(bookshop::stock(), system.projector());
    assert!(handler.handle(event.unwrap()).await.batch_item_failures.is_empty());
    let stream = "stock-9780306406157".parse().unwrap();
    let row = system.projector().row(&bookshop::stock(), &stream, 0).await.unwrap().unwrap();
    assert_eq!(row.version, 2);
}

#[tokio::test]
async fn lag_is_told_in_messages_and_in_seconds() {
    let system = TestStack::start().await;
    let lag = |status: Value| status["lag"].clone();
    assert_eq!(
        lag(system.status("stock").await),
        json!({"messages": 0, "dead_letters": 0, "seconds": 0})
    );
    for group in ["stock-1", "stock-2"] {
        system.send(QUEUE, group, "{").await;
    }
    system.send(DEAD, "stock-3", "{").await;
    // Nothing was applied yet, so the lag in seconds is not known.
    assert_eq!(
        lag(system.status("stock").await),
        json!({"messages": 2, "dead_letters": 1, "seconds": null})
    );
    let shown = system.operate(["projection", "status", "stock"]).await.done();
    assert!(
        shown.contains("  queue    2 messages, 1 dead letters, behind: not known\n"),
        "{shown}"
    );
    system.take_all(QUEUE).await;
    let data = system.close().await;
    let running = Program::over(data, &["--without-processes"]).await;
    receive(&running.dev, 1).await;
    // Before its message is sent, the queue is empty too.
    let applied = async || (running.get("/stock/9780306406157").await.status == 200).then_some(());
    eventually("it is applied", applied).await;
    running
        .until_status("stock", "its message is deleted", |status| {
            status["lag"]["messages"] == json!(0)
        })
        .await;
    assert_eq!(running.dev.interrupt().await, 0);
    let system = TestStack::over(running.data).await;
    system.send(QUEUE, "stock-1", "{").await;
    assert!(
        lag(system.status("stock").await)["seconds"].as_u64().is_some_and(|seconds| seconds < 600)
    );
}

#[tokio::test]
async fn a_step_is_answered_even_if_the_queues_cannot_be_counted() {
    let system = Program::start().await;
    let sqs = crate::harness::seed::clients(&system.exports).sqs;
    let url = sqs.get_queue_url().queue_name(DEAD).send().await.unwrap().queue_url.unwrap();
    sqs.delete_queue().queue_url(url).send().await.unwrap();
    let begun = system.done_step("/projections/stock/rebuild", json!({})).await;
    assert_eq!((&begun["name"], &begun["lag"]), (&json!("stock"), &Value::Null));
    let asked = system.get("/projections/stock").await.body;
    assert_eq!(
        (&asked["status"], &asked["detail"]),
        (&json!(503), &json!("a queue did not answer; try again"))
    );
}
