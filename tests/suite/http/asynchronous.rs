//! Asynchronous commands: `Prefer: respond-async`, and their status at `/commands/{command_id}`.

use super::description::fits;
use super::{Program, Response, eventually, isbn, line, order, order_stream, sent, text};
use futures::future::join_all;
use serde_json::{Value, json};

impl Program {
    /// Sends an asynchronous command with a key.
    async fn later(&self, path: &str, key: &str, body: &Value) -> Response {
        sent(self.post(path, body).header("Idempotency-Key", key).header("Prefer", "respond-async"))
            .await
    }

    /// The status of a command, once it is not pending.
    async fn outcome(&self, location: &str) -> Response {
        eventually("the command is answered", || async {
            let answer = self.get(location).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let waits = answer.body["status"] == "pending";
            assert_eq!(answer.headers.get("retry-after").is_some(), waits, "{answer:?}");
            assert!(
                !waits || (answer.body["result"].is_null() && answer.body["problem"].is_null()),
                "{answer:?}"
            );
            Some(answer).filter(|_| !waits)
        })
        .await
    }

    /// Sends an asynchronous command, and waits for its result.
    async fn answered(&self, path: &str, key: &str, body: &Value) -> Response {
        let taken = self.later(path, key, body).await;
        assert_eq!(taken.status, 202, "{taken:?}");
        self.outcome(taken.header("location")).await
    }
}

/// A problem document without the ids of its occurrence.
fn kind_of(problem: &Value) -> Value {
    let mut problem = problem.clone();
    problem.as_object_mut().unwrap().remove("instance").unwrap();
    problem
}

#[track_caller]
fn is_refused_as(answer: &Response, told_at_once: &Response) {
    assert_eq!((&answer.body["status"], &answer.body["result"]), (&json!("refused"), &Value::Null));
    assert_eq!(kind_of(&answer.body["problem"]), kind_of(&told_at_once.body));
}

#[tokio::test]
async fn an_async_order_has_the_result_of_a_sync_one() {
    let program = Program::start().await;
    let details = order("c", &[line(1, 1, 5)]);
    let request = program
        .post("/orders", &details)
        .header("Idempotency-Key", "k")
        .header("X-Correlation-Id", "p");
    let taken = sent(request.header("Prefer", "respond-async")).await;
    assert_eq!((taken.status, taken.header("location")), (202, "/commands/k"));
    assert_eq!(taken.header("preference-applied"), "respond-async");
    assert_eq!((taken.header("idempotency-key"), taken.header("x-correlation-id")), ("k", "p"));
    let answer = program.outcome("/commands/k").await;
    assert_eq!((&answer.body["command_id"], &answer.body["status"]), (&json!("k"), &json!("done")));
    assert!(answer.body["problem"].is_null());
    let at_once = program.command("/orders", "k", &details).await;
    assert_eq!((at_once.status, at_once.header("idempotency-replayed")), (201, "true"));
    assert_eq!(answer.body["result"], at_once.body);
    assert_eq!(
        taken.body["stream"], at_once.body["stream"],
        "the sender knows the order before it is placed"
    );
    assert_eq!(answer.body["result"]["correlation_id"], "p");
    assert_eq!(program.history(text(&taken.body["stream"])).await, ["1 OrderPlaced"]);
}

#[tokio::test]
async fn every_command_can_be_asynchronous() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 2, 5)])).await;
    let other = program.place("l", &order("c", &[line(1, 2, 5)])).await;
    let id = path.rsplit('/').next().unwrap();
    let (stock, reservation) =
        (format!("/stock/{}", isbn(1)), json!({"order_id": id, "quantity": 2}));
    for (path, body, expected) in [
        (format!("{stock}/receive"), json!({"quantity": 5}), "StockReceived"),
        (format!("{stock}/reserve"), reservation.clone(), "StockReserved"),
        (format!("{stock}/commit"), reservation.clone(), "StockCommitted"),
        (format!("{path}/confirm"), json!({}), "OrderConfirmed"),
        (format!("{path}/ship"), json!({"tracking_code": "T"}), "OrderShipped"),
        (format!("{other}/reject"), json!({"reason": "r"}), "OrderRejected"),
    ] {
        let answer = program.answered(&path, expected, &body).await;
        assert_eq!(answer.body["status"], "done", "{answer:?}");
        assert_eq!(answer.body["result"]["events"][0]["type"], expected);
    }
}

#[tokio::test]
async fn an_async_refusal_has_the_problem_of_a_sync_one() {
    let program = Program::start().await;
    let book = format!("/stock/{}", isbn(1));
    let too_many = json!({"order_id": "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", "quantity": 2});
    let refused = program.answered(&format!("{book}/reserve"), "r", &too_many).await;
    is_refused_as(&refused, &program.command(&format!("{book}/reserve"), "r", &too_many).await);
    assert!(text(&refused.body["problem"]["type"]).ends_with("/refused"));

    let receive = |key: &str, quantity: u32| {
        let request = program.post(&format!("{book}/receive"), &json!({"quantity": quantity}));
        request.header("Idempotency-Key", key).header("If-Match", "\"7\"")
    };
    let taken = sent(receive("v", 1).header("Prefer", "respond-async")).await;
    is_refused_as(&program.outcome(taken.header("location")).await, &sent(receive("v", 1)).await);

    program.command(&format!("{book}/receive"), "u", &json!({"quantity": 1})).await;
    let reused = program.answered(&format!("{book}/receive"), "u", &json!({"quantity": 2})).await;
    is_refused_as(
        &reused,
        &program.command(&format!("{book}/receive"), "u", &json!({"quantity": 2})).await,
    );

    let future = "7fffffff-ffff-7cc0-b4d0-3f1f5a3c9a10";
    let refused =
        program.answered(&format!("{book}/receive"), future, &json!({"quantity": 1})).await;
    is_refused_as(
        &refused,
        &program.command(&format!("{book}/receive"), future, &json!({"quantity": 1})).await,
    );
    assert_eq!(program.history(&format!("stock-{}", isbn(1))).await, ["1 StockReceived"]);
}

#[tokio::test]
async fn an_invalid_async_command_is_rejected_at_once() {
    let program = Program::start().await;
    program
        .later("/orders", "k", &json!({"customer_id": "c"}))
        .await
        .breaks("currency", "is required");
    assert_eq!(program.get("/commands/k").await.status, 404);
    for key in [".", "..", "a/b", "a?b", "a#b", "100%"] {
        let answer = program
            .later(&format!("/stock/{}/receive", isbn(1)), key, &json!({"quantity": 1}))
            .await;
        answer.breaks("Idempotency-Key", "must not be . or ..");
    }
}

#[tokio::test]
async fn an_async_command_sent_twice_is_handled_once() {
    let program = Program::start().await;
    let (path, body) = (format!("/stock/{}/receive", isbn(1)), json!({"quantity": 5}));
    for taken in join_all((0..16).map(|_| program.later(&path, "k", &body))).await {
        assert_eq!((taken.status, taken.header("location")), (202, "/commands/k"));
    }
    let first = program.outcome("/commands/k").await;
    assert_eq!(program.answered(&path, "k", &body).await.body, first.body);
    // The last command is handled last, after all copies.
    program.answered(&path, "l", &body).await;
    assert_eq!(
        program.history(&format!("stock-{}", isbn(1))).await,
        ["1 StockReceived", "2 StockReceived"]
    );
}

#[tokio::test]
async fn a_key_names_one_command_of_its_sender() {
    let program = Program::start().await;
    let (path, body) = (format!("/stock/{}/receive", isbn(1)), json!({"quantity": 5}));
    let first = program.answered(&path, "k", &body).await;
    let other_book = format!("/stock/{}/receive", isbn(2));
    for (path, body) in [(&path, json!({"quantity": 6})), (&other_book, body.clone())] {
        let reused = program.later(path, "k", &body).await;
        reused.is_problem(422, "idempotency-key-reused");
        assert!(text(&reused.body["detail"]).contains(&format!("stock-{}", isbn(1))), "{reused:?}");
    }
    assert_eq!(program.get("/commands/k").await.body, first.body);
    // Synchronous commands are deduplicated per stream, as ever.
    assert_eq!(program.command(&other_book, "k", &body).await.status, 200);
}

#[tokio::test]
async fn only_its_sender_can_read_a_commands_status() {
    let program = Program::start().await;
    let (path, body) = (format!("/stock/{}/receive", isbn(1)), json!({"quantity": 5}));
    program.answered(&path, "k", &body).await;
    let of = |actor: &'static str| {
        sent(program.http.get(program.url("/commands/k")).header("X-Actor", actor))
    };
    of("eve").await.is_problem(404, "not-found");
    assert_eq!(of("dev").await.body["status"], "done");
    program.get("/commands/l").await.is_problem(404, "not-found");
    program
        .get("/commands/two%20words")
        .await
        .breaks("command_id", "must be 1 to 128 visible ASCII characters");
    program.get("/commands/k?wait=1").await.breaks("wait", "is unknown");
    // The same key of another sender is another command, which the stream rejects.
    let request =
        program.post(&path, &body).header("Idempotency-Key", "k").header("X-Actor", "eve");
    assert_eq!(sent(request.header("Prefer", "respond-async")).await.status, 202);
    let refused = eventually("it is answered", || async {
        Some(of("eve").await).filter(|answer| answer.body["status"] != "pending")
    });
    assert!(text(&refused.await.body["problem"]["type"]).ends_with("/idempotency-key-reused"));
    assert_eq!(of("dev").await.body["status"], "done");
}

#[tokio::test]
async fn sync_and_async_tries_may_share_a_key() {
    let program = Program::start().await;
    let (path, body) = (format!("/stock/{}/receive", isbn(1)), json!({"quantity": 5}));
    let later = program.answered(&path, "a", &body).await;
    let at_once = program.command(&path, "a", &body).await;
    assert_eq!(
        (at_once.header("idempotency-replayed"), &at_once.body),
        ("true", &later.body["result"])
    );
    let at_once = program.command(&path, "b", &body).await;
    assert_eq!(program.answered(&path, "b", &body).await.body["result"], at_once.body);
    let (taken, at_once) =
        tokio::join!(program.later(&path, "c", &body), program.command(&path, "c", &body));
    assert_eq!(program.outcome(taken.header("location")).await.body["result"], at_once.body);
    assert_eq!(program.history(&format!("stock-{}", isbn(1))).await.len(), 3);
}

#[tokio::test]
async fn a_refused_command_that_is_sent_again_is_decided_again() {
    let program = Program::start().await;
    let book = format!("/stock/{}", isbn(1));
    let reserve = json!({"order_id": "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e", "quantity": 2});
    assert_eq!(
        program.answered(&format!("{book}/reserve"), "r", &reserve).await.body["status"],
        "refused"
    );
    program.command(&format!("{book}/receive"), "s", &json!({"quantity": 2})).await;
    assert_eq!(program.get("/commands/r").await.body["status"], "refused", "it stays refused");
    let done = program.answered(&format!("{book}/reserve"), "r", &reserve).await;
    assert_eq!(
        (&done.body["status"], &done.body["result"]["version"]),
        (&json!("done"), &json!(2))
    );
}

#[tokio::test]
async fn a_command_that_finds_nothing_to_do_is_done_without_events() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    program.command(&format!("{path}/confirm"), "a", &json!({})).await;
    let again = program.answered(&format!("{path}/confirm"), "b", &json!({})).await;
    let at_once = program.command(&format!("{path}/confirm"), "b", &json!({})).await;
    assert_eq!(
        (&again.body["result"], &again.body["result"]["events"]),
        (&at_once.body, &json!([]))
    );
}

#[tokio::test]
async fn a_hundred_commands_of_one_stream_keep_their_order() {
    let program = Program::start().await;
    let path = format!("/stock/{}/receive", isbn(1));
    for number in 1..=100 {
        let taken =
            program.later(&path, &format!("k-{number}"), &json!({"quantity": number})).await;
        assert_eq!(taken.status, 202, "{taken:?}");
    }
    for number in 1..=100 {
        let answer = program.outcome(&format!("/commands/k-{number}")).await;
        assert_eq!(answer.body["result"]["version"], number, "{answer:?}");
        assert_eq!(answer.body["result"]["events"][0]["data"]["quantity"], number);
    }
}

#[tokio::test]
async fn the_queue_carries_every_text_of_a_command() {
    let program = Program::start().await;
    let reasons =
        ["\u{fffe}", "\u{ffff} \u{10ffff} \u{fdd0}", "\\ufffe \"quoted\" \\", "日本語 🦀"];
    for (number, reason) in reasons.iter().enumerate() {
        let path = program.place(&format!("k-{number}"), &order("c", &[line(1, 1, 5)])).await;
        let answer = program
            .answered(&format!("{path}/reject"), &format!("r-{number}"), &json!({"reason": reason}))
            .await;
        assert_eq!(answer.body["result"]["events"][0]["data"]["reason"], *reason, "{answer:?}");
    }
}

#[tokio::test]
async fn the_location_of_every_key_is_found() {
    let program = Program::start().await;
    let path = format!("/stock/{}/receive", isbn(1));
    for key in ["{\"a\":1}", "!~@", &"k".repeat(128)] {
        let answer = program.answered(&path, key, &json!({"quantity": 1})).await;
        assert_eq!(
            (&answer.body["command_id"], &answer.body["status"]),
            (&json!(key), &json!("done"))
        );
    }
}

#[tokio::test]
async fn actor_and_correlation_are_in_the_commit() {
    let program = Program::start().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = program.post(&format!("/stock/{}/receive", isbn(1)), &json!({"quantity": 1}));
    let request = request
        .header("Idempotency-Key", "k")
        .header("X-Correlation-Id", "p")
        .header("X-Actor", "ann");
    let taken = sent(request.header("traceparent", trace).header("Prefer", "respond-async")).await;
    assert_eq!((taken.status, taken.header("traceparent")), (202, trace));
    let stream = format!("/audit/streams/stock-{}", isbn(1));
    let event = eventually("it is recorded", || async {
        Some(program.get(&stream).await).filter(|answer| answer.status == 200)
    })
    .await;
    let event = &event.body["events"][0];
    assert_eq!(
        (&event["actor"], &event["command_id"], &event["correlation_id"]),
        (&json!("ann"), &json!("k"), &json!("p"))
    );
}

#[tokio::test]
async fn other_preferences_change_nothing() {
    let program = Program::start().await;
    for (number, preference) in
        ["wait=10", "return=minimal", "respond-async=later", "", "x=\"respond-async\""]
            .iter()
            .enumerate()
    {
        let request = program
            .post("/orders", &order("c", &[line(1, 1, 5)]))
            .header("Idempotency-Key", format!("k-{number}"));
        let placed = sent(request.header("Prefer", *preference)).await;
        assert_eq!(
            (placed.status, placed.headers.get("preference-applied")),
            (201, None),
            "{preference}"
        );
    }
    let request =
        program.post("/orders", &order("c", &[line(1, 1, 5)])).header("Idempotency-Key", "l");
    assert_eq!(sent(request.header("Prefer", "wait=10, Respond-Async; x=y")).await.status, 202);
}

#[tokio::test]
async fn every_answer_is_described() {
    let program = Program::start().await;
    let document = program.get("/openapi.json").await.body;
    let taken = program.later("/orders", "k", &order("c", &[line(1, 1, 5)])).await;
    fits(&document, "post /orders", &taken);
    let done = program.outcome("/commands/k").await;
    fits(&document, "get /commands/{command_id}", &done);
    let path = format!("/orders/{}", text(&taken.body["stream"]).strip_prefix("order-").unwrap());
    assert_eq!(order_stream(&path), text(&taken.body["stream"]));
    let taken = program.later(&format!("{path}/ship"), "s", &json!({"tracking_code": "T"})).await;
    fits(&document, "post /orders/{id}/ship", &taken);
    let refused = program.outcome("/commands/s").await;
    assert_eq!(refused.body["status"], "refused");
    fits(&document, "get /commands/{command_id}", &refused);
    let paths = document["paths"].as_object().unwrap().values();
    let takes_prefer = |call: &&Value| {
        let parameters = call["parameters"].as_array();
        parameters.is_some_and(|parameters| {
            parameters.iter().any(|parameter| parameter["name"] == "Prefer")
        })
    };
    let commands: Vec<&Value> = paths.map(|path| &path["post"]).filter(takes_prefer).collect();
    assert_eq!(commands.len(), 9);
    assert!(commands.iter().all(|command| command["responses"]["202"].is_object()));
}
