//! Commands to orders.

use super::{Program, Response, line, order, order_stream, sent, text};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn the_response_to_an_order_has_every_field() {
    let program = Program::start().await;
    let details = order("c-17", &[line(1, 2, 1999), line(2, 1, 0)]);
    let request = program.post("/orders", &details).header("Idempotency-Key", "k-1");
    let request = request
        .header("X-Correlation-Id", "process-7")
        .header("traceparent", TRACE)
        .header("X-Actor", "ann");
    let before = Utc::now_ms();
    let placed = sent(request).await;
    let path = placed.header("location");
    assert_eq!((placed.status, placed.header("etag")), (201, "\"1\""));
    assert_eq!(placed.header("content-type"), "application/json");
    assert_eq!(
        (placed.header("idempotency-key"), placed.header("x-correlation-id")),
        ("k-1", "process-7")
    );
    assert_eq!(placed.header("traceparent"), TRACE);
    assert!(!placed.headers.contains_key("idempotency-replayed"));
    let recorded_at = text(&placed.body["events"][0]["recorded_at"]).to_owned();
    let event =
        json!({"version": 1, "type": "OrderPlaced", "recorded_at": recorded_at, "data": details});
    let whole = json!({"stream": order_stream(path), "version": 1, "command_id": "k-1",
        "correlation_id": "process-7", "events": [event]});
    assert_eq!(placed.body, whole);
    let recorded_at = DateTime::parse_from_rfc3339(&recorded_at).unwrap().timestamp_millis();
    assert!((before..=Utc::now_ms()).contains(&recorded_at), "{recorded_at}");

    let audited =
        program.get(&format!("/audit/streams/{}", order_stream(path))).await.body["events"][0]
            .clone();
    assert_eq!(
        (&audited["actor"], &audited["correlation_id"]),
        (&json!("ann"), &json!("process-7"))
    );
}

/// The clock of this machine, which the program uses, in milliseconds as it records them.
trait Milliseconds {
    fn now_ms() -> i64;
}

impl Milliseconds for Utc {
    fn now_ms() -> i64 {
        DateTime::<Self>::from(std::time::SystemTime::now()).timestamp_millis()
    }
}

#[tokio::test]
async fn a_command_without_key_gets_one() {
    let program = Program::start().await;
    let [first, second] =
        [0, 1].map(|_| sent(program.post("/orders", &order("c", &[line(1, 1, 5)]))));
    let (first, second) = (first.await, second.await);
    let key = first.header("idempotency-key");
    assert_eq!(uuid::Uuid::parse_str(key).unwrap().get_version_num(), 7);
    assert_eq!(
        (first.header("x-correlation-id"), first.body["command_id"].as_str()),
        (key, Some(key))
    );
    assert_ne!(trace_id(&first), trace_id(&second), "each begins a trace");
    assert_ne!(first.header("location"), second.header("location"));
    let again = program.command("/orders", key, &order("c", &[line(1, 1, 5)])).await;
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &first.body));
}

#[tokio::test]
async fn a_malformed_traceparent_is_ignored_as_the_standard_says() {
    let program = Program::start().await;
    for wrong in ["00-xyz", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "no"] {
        let request = program.post("/stock/9780306406157/receive", &json!({"quantity": 1}));
        let answer = sent(request.header("traceparent", wrong)).await;
        assert_eq!(answer.status, 200, "{wrong}");
        assert!(!wrong.contains(&trace_id(&answer)), "{wrong}");
    }
}

/// The W3C trace id in the response.
#[track_caller]
fn trace_id(answer: &Response) -> String {
    let parts: Vec<&str> = answer.header("traceparent").split('-').collect();
    assert_eq!(
        parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
        [2, 32, 16, 2],
        "{parts:?}"
    );
    parts[1].to_owned()
}

#[tokio::test]
async fn each_step_of_an_order_is_an_event() {
    let program = Program::start().await;
    let steps = [
        ("confirm", json!({}), "OrderConfirmed"),
        ("ship", json!({"tracking_code": "1Z-999"}), "OrderShipped"),
    ];
    follow(&program, "shipped", &steps).await;
    follow(
        &program,
        "rejected",
        &[("reject", json!({"reason": "Verlag schließt 📚"}), "OrderRejected")],
    )
    .await;
    follow(
        &program,
        "cancelled",
        &[("cancel", json!({"reason": "changed my mind"}), "OrderCancelled")],
    )
    .await;
}

/// Places an order and sends the commands. Each records the next event; with another key it is a
/// no-op.
async fn follow(program: &Program, status: &str, steps: &[(&str, Value, &str)]) {
    let path = program.place(status, &order("c", &[line(1, 1, 5)])).await;
    for (version, (command, body, event)) in (2..).zip(steps) {
        let done =
            program.command(&format!("{path}/{command}"), &format!("{command}-1"), body).await;
        assert_eq!(
            (done.status, done.header("etag")),
            (200, &*format!("\"{version}\"")),
            "{done:?}"
        );
        assert_eq!(done.body["stream"], order_stream(&path));
        assert_eq!(
            (&done.body["version"], &done.body["events"][0]["version"]),
            (&json!(version), &json!(version))
        );
        assert_eq!(
            (&done.body["events"][0]["type"], &done.body["events"][0]["data"]),
            (&json!(event), body)
        );
        assert_eq!(done.body["events"].as_array().unwrap().len(), 1);
        let nothing =
            program.command(&format!("{path}/{command}"), &format!("{command}-2"), body).await;
        assert_eq!((nothing.status, &nothing.body["events"]), (200, &json!([])), "{nothing:?}");
        assert_eq!(
            (nothing.header("etag"), &nothing.body["version"]),
            (done.header("etag"), &json!(version))
        );
    }
    let order = program.get(&format!("{path}?at_least={}", steps.len() + 1)).await;
    assert_eq!(order.body["status"], status);
}

#[tokio::test]
async fn a_row_of_an_order_has_every_field() {
    let program = Program::start().await;
    let lines = [line(1, 2, 1999), line(2, 3, 1)];
    let path = program.place("k", &order("c-17", &lines)).await;
    let placed_at = program.get(&format!("{path}?at_least=1")).await.body["placed_at"].clone();
    program.command(&format!("{path}/cancel"), "c", &json!({"reason": "  too  dear "})).await;
    let shown = program.get(&format!("{path}?at_least=2")).await;
    assert_eq!((shown.status, shown.header("etag")), (200, "\"2\""));
    let whole = json!({"order_id": path.replace("/orders/", ""), "version": 2, "status": "cancelled",
        "customer_id": "c-17", "currency": "EUR", "lines": lines, "total_minor": 4001, "reason": "too  dear",
        "tracking_code": null, "placed_at": placed_at, "updated_at": shown.body["updated_at"]});
    assert_eq!(shown.body, whole);
    assert!(text(&shown.body["updated_at"]) >= text(&placed_at));
}

#[tokio::test]
async fn a_shipped_order_shows_its_tracking_code() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    program.command(&format!("{path}/confirm"), "c", &json!({})).await;
    program.command(&format!("{path}/ship"), "s", &json!({"tracking_code": "T1"})).await;
    let shown = program.get(&format!("{path}?at_least=3")).await.body;
    assert_eq!((&shown["tracking_code"], &shown["reason"]), (&json!("T1"), &Value::Null));
}

/// The commands before; the refused one, and its reason.
type Refusal<'a> = (&'a [(&'a str, &'a Value)], &'a str, &'a Value, &'a str);

#[tokio::test]
async fn an_impossible_step_of_an_order_is_refused_with_its_reason() {
    let program = Program::start().await;
    let (confirm, reason) = (json!({}), json!({"reason": "r"}));
    let (ship, other) = (json!({"tracking_code": "T1"}), json!({"tracking_code": "T2"}));
    let cases: [Refusal<'_>; 9] = [
        (&[], "ship", &ship, "the order is placed: only a confirmed order can be shipped"),
        (
            &[("reject", &reason)],
            "confirm",
            &confirm,
            "the order is rejected: only a placed order can be confirmed",
        ),
        (
            &[("cancel", &reason)],
            "confirm",
            &confirm,
            "the order is cancelled: only a placed order can be confirmed",
        ),
        (
            &[("confirm", &confirm)],
            "reject",
            &reason,
            "the order is confirmed: only a placed order can be rejected",
        ),
        (
            &[("cancel", &reason)],
            "reject",
            &reason,
            "the order is cancelled: only a placed order can be rejected",
        ),
        (
            &[("reject", &reason)],
            "cancel",
            &reason,
            "the order is rejected: only a placed or confirmed order can be cancelled",
        ),
        (
            &[("cancel", &reason)],
            "ship",
            &ship,
            "the order is cancelled: only a confirmed order can be shipped",
        ),
        (
            &[("confirm", &confirm), ("ship", &ship)],
            "cancel",
            &reason,
            "the order is shipped: only a placed or confirmed order can be cancelled",
        ),
        (
            &[("confirm", &confirm), ("ship", &ship)],
            "ship",
            &other,
            "the order is already shipped, with tracking code T1",
        ),
    ];
    for (number, (steps, command, body, reason)) in cases.into_iter().enumerate() {
        let path = program
            .place(&format!("order {number}").replace(' ', "-"), &order("c", &[line(1, 1, 5)]))
            .await;
        for (step, body) in steps {
            assert_eq!(program.command(&format!("{path}/{step}"), step, body).await.status, 200);
        }
        let refused = program.command(&format!("{path}/{command}"), "refused", body).await;
        refused.is_refused(reason);
        assert_eq!(program.history(&order_stream(&path)).await.len(), steps.len() + 1, "{reason}");
    }
}

#[tokio::test]
async fn commands_to_an_unknown_order_are_refused() {
    let program = Program::start().await;
    let (id, reason) = (uuid::Uuid::new_v4(), json!({"reason": "r"}));
    for (command, body) in [
        ("confirm", json!({})),
        ("reject", reason.clone()),
        ("cancel", reason),
        ("ship", json!({"tracking_code": "T"})),
    ] {
        program
            .command(&format!("/orders/{id}/{command}"), "k", &body)
            .await
            .is_refused("no such order");
    }
    program.get(&format!("/orders/{id}")).await.is_problem(404, "not-found");
    program.get(&format!("/audit/streams/order-{id}")).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_refused_command_is_decided_again_when_it_is_sent_again() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    let ship = format!("{path}/ship");
    let code = json!({"tracking_code": "T1"});
    program.command(&ship, "s", &code).await.is_problem(422, "refused");
    program.command(&format!("{path}/confirm"), "c", &json!({})).await;
    let shipped = program.command(&ship, "s", &code).await;
    assert_eq!(
        (shipped.status, shipped.headers.contains_key("idempotency-replayed")),
        (200, false)
    );
}
