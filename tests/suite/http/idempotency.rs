//! A command sent twice is handled once.

use super::{Program, Response, isbn, line, order, order_stream, sent};
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use uuid::{NoContext, Timestamp, Uuid};

#[track_caller]
fn is_replay_of(again: &Response, first: &Response) {
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.header("etag"), first.header("etag"));
    assert_eq!(again.headers.get("location"), first.headers.get("location"));
}

#[tokio::test]
async fn a_retried_order_is_the_same_order_also_later() {
    let program = Program::start().await;
    let details = order("c", &[line(1, 1, 5)]);
    let first = program.command("/orders", "k", &details).await;
    let path = first.header("location").to_owned();
    is_replay_of(&program.command("/orders", "k", &details).await, &first);
    let confirmed = program.command(&format!("{path}/confirm"), "c", &json!({})).await;
    program.command(&format!("{path}/ship"), "s", &json!({"tracking_code": "T"})).await;
    is_replay_of(&program.command("/orders", "k", &details).await, &first);
    is_replay_of(&program.command(&format!("{path}/confirm"), "c", &json!({})).await, &confirmed);
    let types = ["1 OrderPlaced", "2 OrderConfirmed", "3 OrderShipped"];
    assert_eq!(program.history(&order_stream(&path)).await, types);
}

#[tokio::test]
async fn copies_received_twice_under_one_key_count_once() {
    let program = Program::start().await;
    let path = format!("/stock/{}/receive", isbn(7));
    let first = program.command(&path, "k", &json!({"quantity": 5})).await;
    program.command(&path, "l", &json!({"quantity": 5})).await;
    is_replay_of(&program.command(&path, "k", &json!({"quantity": 5})).await, &first);
    assert_eq!(program.get(&format!("/stock/{}?at_least=2", isbn(7))).await.body["on_hand"], 10);
}

#[tokio::test]
async fn a_replay_has_the_correlation_of_the_first_try() {
    let program = Program::start().await;
    let path = format!("/stock/{}/receive", isbn(7));
    let with = |process| {
        let request = program.post(&path, &json!({"quantity": 5})).header("Idempotency-Key", "k");
        sent(request.header("X-Correlation-Id", process))
    };
    let (first, again) = (with("one").await, with("two").await);
    is_replay_of(&again, &first);
    assert_eq!(
        (again.header("x-correlation-id"), &again.body["correlation_id"]),
        ("one", &json!("one"))
    );
}

#[tokio::test]
async fn the_same_body_written_in_another_way_is_a_retry() {
    let program = Program::start().await;
    let first = program.command("/orders", "k", &order("c", &[line(1, 1, 5)])).await;
    let text = format!(
        "\n{{ \"lines\" : [ {{\"unit_price_minor\":5, \"quantity\":1, \"isbn\":\"{}\"}} ], \"currency\":\"EU\\u0052\", \"customer_id\":\"c\" }} ",
        isbn(1)
    );
    let request = program
        .http
        .post(program.url("/orders"))
        .header("Content-Type", "application/json")
        .body(text);
    is_replay_of(&sent(request.header("Idempotency-Key", "k")).await, &first);
}

#[tokio::test]
async fn a_key_belongs_to_one_command_on_its_stream() {
    let program = Program::start().await;
    let details = order("c", &[line(1, 1, 5)]);
    let path = program.place("k", &details).await;
    let other_body = order("c", &[line(1, 2, 5)]);
    program.command("/orders", "k", &other_body).await.is_problem(422, "idempotency-key-reused");
    program
        .command(&format!("{path}/confirm"), "k", &json!({}))
        .await
        .is_problem(422, "idempotency-key-reused");
    let (cancel, reason) = (format!("{path}/cancel"), json!({"reason": "r"}));
    assert_eq!(program.command(&cancel, "c", &reason).await.status, 200);
    program
        .command(&cancel, "c", &json!({"reason": "s"}))
        .await
        .is_problem(422, "idempotency-key-reused");
    program
        .command(&format!("{path}/reject"), "c", &reason)
        .await
        .is_problem(422, "idempotency-key-reused");
    let other_actor =
        program.post(&cancel, &reason).header("Idempotency-Key", "c").header("X-Actor", "eve");
    sent(other_actor).await.is_problem(422, "idempotency-key-reused");
    assert_eq!(program.history(&order_stream(&path)).await, ["1 OrderPlaced", "2 OrderCancelled"]);
}

#[tokio::test]
async fn a_key_may_be_used_again_for_another_stream() {
    let program = Program::start().await;
    for book in [1, 2, 3] {
        let done = program
            .command(&format!("/stock/{}/receive", isbn(book)), "k", &json!({"quantity": 5}))
            .await;
        assert_eq!((done.status, done.headers.contains_key("idempotency-replayed")), (200, false));
    }
}

#[tokio::test]
async fn one_key_of_two_actors_is_two_orders() {
    let program = Program::start().await;
    let mut paths = Vec::new();
    for actor in ["ann", "bob", "dev"] {
        let request =
            program.post("/orders", &order("c", &[line(1, 1, 5)])).header("Idempotency-Key", "k");
        let placed = sent(request.header("X-Actor", actor)).await;
        assert_eq!(
            (placed.status, placed.headers.contains_key("idempotency-replayed")),
            (201, false)
        );
        paths.push(placed.header("location").to_owned());
    }
    assert!(paths[0] != paths[1] && paths[1] != paths[2] && paths[0] != paths[2], "{paths:?}");
    let unnamed = program.command("/orders", "k", &order("c", &[line(1, 1, 5)])).await;
    assert_eq!(
        (unnamed.header("location"), unnamed.header("idempotency-replayed")),
        (&*paths[2], "true")
    );
}

#[tokio::test]
async fn sixty_four_tries_at_once_are_one_order() {
    let program = Program::start().await;
    let details = order("c", &[line(1, 1, 5)]);
    let tries = join_all((0..64).map(|_| program.command("/orders", "k", &details))).await;
    let first =
        tries.iter().filter(|answer| !answer.headers.contains_key("idempotency-replayed")).count();
    assert_eq!(first, 1);
    for answer in &tries {
        assert_eq!((answer.status, &answer.body), (201, &tries[0].body));
    }
    assert_eq!(
        program.history(&order_stream(tries[0].header("location"))).await,
        ["1 OrderPlaced"]
    );
}

#[tokio::test]
async fn sixty_four_commands_to_one_book_at_once_count_once_each() {
    let program = Program::start().await;
    let path = format!("/stock/{}/receive", isbn(7));
    let send = |key: usize| {
        let (program, path) = (&program, &path);
        async move {
            // Under contention the response may be 503. Then retry with the same key.
            super::eventually("the command is taken", || async {
                let answer =
                    program.command(path, &format!("k-{key}"), &json!({"quantity": 1})).await;
                assert!(answer.status == 200 || answer.header("retry-after") == "1", "{answer:?}");
                Some(answer).filter(|answer| answer.status == 200)
            })
            .await
        }
    };
    join_all((0..64).map(|number| send(number % 32))).await;
    let levels = program.get(&format!("/stock/{}?at_least=32", isbn(7))).await.body;
    assert_eq!((&levels["version"], &levels["on_hand"]), (&json!(32), &json!(32)));
}

#[tokio::test]
async fn a_key_is_up_to_128_visible_ascii_characters_given_once() {
    let program = Program::start().await;
    let (path, body) = (format!("/stock/{}/receive", isbn(7)), json!({"quantity": 1}));
    let rule = "must be 1 to 128 visible ASCII characters";
    let long = "k".repeat(129);
    for wrong in
        [&b""[..], long.as_bytes(), b"two words", b"tab\tbed", "schlüssel".as_bytes(), b"\xff"]
    {
        for header in ["Idempotency-Key", "X-Actor", "X-Correlation-Id"] {
            sent(program.post(&path, &body).header(header, wrong)).await.breaks(header, rule);
        }
    }
    for header in ["Idempotency-Key", "X-Actor", "X-Correlation-Id", "If-Match"] {
        let twice = program.post(&path, &body).header(header, "\"0\"").header(header, "\"0\"");
        sent(twice).await.breaks(header, "must be sent at most once");
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
    for right in ["!", "k~", &"k".repeat(128), "{\"a\":1}"] {
        let done = program.command(&path, right, &body).await;
        assert_eq!((done.status, done.header("idempotency-key")), (200, right));
    }
}

/// No caller can occupy the ids that fulfilment will use.
#[tokio::test]
async fn callers_cannot_use_ids_and_names_of_the_system() {
    let program = Program::start().await;
    let (path, body) = (format!("/stock/{}/receive", isbn(7)), json!({"quantity": 1}));
    for key in ["~", "~k", "~process:0190d6a8-5c1e-7cc0-b4d0-3f1f5a3c9a10"] {
        program.command(&path, key, &body).await.breaks("Idempotency-Key", "must not begin with ~");
        let later = program
            .post(&path, &body)
            .header("Idempotency-Key", key)
            .header("Prefer", "respond-async");
        sent(later).await.breaks("Idempotency-Key", "must not begin with ~");
        program
            .command("/orders", key, &order("c", &[line(1, 1, 5)]))
            .await
            .breaks("Idempotency-Key", "must not begin");
    }
    for name in ["fulfilment", "Fulfilment"] {
        let command = program.post(&path, &body).header("X-Actor", name);
        sent(command).await.breaks("X-Actor", "must not be the name of a part of the system");
        let question = program.http.get(program.url("/audit/events")).header("X-Actor", name);
        sent(question).await.breaks("X-Actor", "must not be the name of a part of the system");
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
    assert_eq!(program.command(&path, "k", &body).await.status, 200);
}

/// The fingerprint covers all that was sent: ignored fields and explicit defaults, too.
#[tokio::test]
async fn another_body_under_the_same_key_is_another_command() {
    let program = Program::start().await;
    let path = format!("/stock/{}/receive", isbn(7));
    let first = program.command(&path, "k", &json!({"quantity": 1})).await;
    program
        .command(&path, "k", &json!({"quantity": 2}))
        .await
        .is_problem(422, "idempotency-key-reused");
    is_replay_of(&program.command(&path, "k", &json!({"quantity": 1})).await, &first);
}

/// A UUIDv7 made so many seconds from now.
fn made_in(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let time = now.checked_add_signed(seconds);
    Uuid::new_v7(Timestamp::from_unix(NoContext, time.as_secs(), 0)).to_string()
}

trait CheckedAddSigned {
    fn checked_add_signed(self, seconds: i64) -> Duration;
}

impl CheckedAddSigned for Duration {
    fn checked_add_signed(self, seconds: i64) -> Duration {
        Duration::from_secs(self.as_secs().checked_add_signed(seconds).unwrap())
    }
}

#[tokio::test]
async fn a_key_from_the_future_is_rejected() {
    let program = Program::start().await;
    let (path, body) = (format!("/stock/{}/receive", isbn(7)), json!({"quantity": 1}));
    for seconds in [400, 86_400, 10_000_000_000] {
        let answer = program.command(&path, &made_in(seconds), &body).await;
        answer.breaks("Idempotency-Key", "must not be more than 300 s in the future");
        let order =
            program.command("/orders", &made_in(seconds), &order("c", &[line(1, 1, 5)])).await;
        order.breaks("Idempotency-Key", "must not be more than 300 s in the future");
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
    for seconds in [-1_000_000_000, -400, 0, 200] {
        assert_eq!(program.command(&path, &made_in(seconds), &body).await.status, 200, "{seconds}");
    }
    let _: Value = program.get(&format!("/stock/{}?at_least=4", isbn(7))).await.body;
}
