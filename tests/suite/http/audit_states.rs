//! A stream in the past, and the difference between two versions or times.

use super::{Program, isbn, line, order, order_stream};
use crate::harness::events::refuse;
use crate::harness::seed::{Seed, append, clients};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{Clock, Consistency, EventStore, Options};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The time of the n-th commit: they are a second apart.
fn time(second: i64) -> String {
    let time =
        "2020-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(second);
    eventstore::time_text(time)
}

/// An order that was placed, confirmed and shipped. Its second commit has two events.
async fn shipped(program: &Program) -> &'static str {
    let now = Arc::new(AtomicI64::new(0));
    let clock: Clock = {
        let now = now.clone();
        Arc::new(move || time(now.load(Ordering::Relaxed)).parse().unwrap())
    };
    let client = clients(&program.exports).dynamodb;
    let store = EventStore::with_options(
        client,
        "ledgerfold-events",
        Options { clock, ..Options::default() },
    );
    let placed = order("c", &[line(1, 2, 5), line(2, 1, 7)]);
    for (second, events) in [
        (0, vec![("OrderPlaced", placed)]),
        (1, vec![("OrderConfirmed", json!({})), ("OrderShipped", json!({"tracking_code": "T"}))]),
        (2, vec![("OrderCancelled", json!({"reason": "lost"}))]),
    ] {
        now.store(second, Ordering::Relaxed);
        append(
            &store,
            STREAM,
            &[Seed { command: format!("c-{second}"), events, ..Seed::default() }],
        )
        .await;
    }
    STREAM
}

const STREAM: &str = "order-6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";

fn row(status: &str, second: i64, more: &Value) -> Value {
    let mut row = order("c", &[line(1, 2, 5), line(2, 1, 7)]);
    let fields = json!({"status": status, "reason": null, "tracking_code": null,
        "placed_at": "2020-01-01T00:00:00Z", "updated_at": time(second).replace(".000", "")});
    for fields in [&fields, more] {
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    }
    row
}

#[tokio::test]
async fn the_state_at_each_version_and_time_equals_the_row_then() {
    let program = Program::start().await;
    let stream = shipped(&program).await;
    let tracked = json!({"tracking_code": "T"});
    let rows = [
        (1, 0, row("placed", 0, &json!({}))),
        (2, 1, row("confirmed", 1, &json!({}))),
        (3, 1, row("shipped", 1, &tracked)),
        (4, 2, row("cancelled", 2, &json!({"tracking_code": "T", "reason": "lost"}))),
    ];
    for (version, second, state) in &rows {
        let at = program.get(&format!("/audit/streams/{stream}/at?version={version}")).await;
        let hash = at.body["hash"].clone();
        assert_eq!(hash.as_str().unwrap().len(), 64);
        let wanted = json!({"stream": stream, "version": version, "recorded_at": time(*second), "read_model": "orders",
            "state": state, "verified": true, "hash": hash});
        assert_eq!((at.status, at.body), (200, wanted));
    }
    let head = program.get(&format!("/audit/streams/{stream}")).await.body["head"]["hash"].clone();
    for (when, version) in [
        ("2020-01-01T00:00:00Z", 1),
        ("2020-01-01T00:00:00.999Z", 1),
        ("2020-01-01T01:00:01%2B01:00", 3),
        ("2020-01-01T00:00:02Z", 4),
        ("2999-01-01T00:00:00Z", 4),
    ] {
        let at = program.get(&format!("/audit/streams/{stream}/at?time={when}")).await.body;
        let same = program.get(&format!("/audit/streams/{stream}/at?version={version}")).await.body;
        assert_eq!((&at, at["hash"] == head), (&same, version == 4), "{when}");
    }
}

#[tokio::test]
async fn the_newest_state_equals_the_row() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 2, 5)])).await;
    program.command(&format!("{path}/cancel"), "c", &json!({"reason": "r"})).await;
    let read = program.get(&format!("{path}?at_least=2")).await.body;
    let version = read["version"].as_u64().unwrap();
    let state = program
        .get(&format!("/audit/streams/{}/at?version={version}", order_stream(&path)))
        .await
        .body["state"]
        .clone();
    for field in ["status", "customer_id", "currency", "lines", "reason", "tracking_code"] {
        assert_eq!(state[field], read[field], "{field}");
    }
    program.command(&format!("/stock/{}/receive", isbn(7)), "k", &json!({"quantity": 5})).await;
    let stock = program.get(&format!("/audit/streams/stock-{}/at?version=1", isbn(7))).await.body;
    assert_eq!(
        (&stock["read_model"], &stock["state"]),
        (&json!("stock"), &json!({"on_hand": 5, "reserved": 0}))
    );
}

#[tokio::test]
async fn a_difference_has_the_changed_fields_and_their_events() {
    let program = Program::start().await;
    let stream = shipped(&program).await;
    let change = |path: &str, before: Value, after: Value| json!({"path": path, "before": before, "after": after});
    let updated = |from: i64, to: i64| {
        let text = |second| json!(time(second).replace(".000", ""));
        change("updated_at", text(from), text(to))
    };
    let to_shipped = vec![
        change("status", json!("placed"), json!("shipped")),
        change("tracking_code", json!(null), json!("T")),
        updated(0, 1),
    ];
    let to_cancelled = vec![
        change("reason", json!(null), json!("lost")),
        change("status", json!("shipped"), json!("cancelled")),
        updated(1, 2),
    ];
    let within = vec![
        change("status", json!("confirmed"), json!("shipped")),
        change("tracking_code", json!(null), json!("T")),
    ];
    let events = program.get(&format!("/audit/streams/{stream}")).await.body["events"].clone();
    for (query, from, to, changes) in [
        ("from=1&to=3", 1, 3, &to_shipped),
        ("from=3", 3, 4, &to_cancelled),
        ("from=2&to=3", 2, 3, &within),
        ("from_time=2020-01-01T00:00:00Z&to_time=2020-01-01T00:00:01.5Z", 1, 3, &to_shipped),
        ("from_time=2020-01-01T00:00:01Z", 3, 4, &to_cancelled),
    ] {
        let found = program.get(&format!("/audit/streams/{stream}/diff?{query}")).await;
        assert_eq!((found.status, &found.body["changes"]), (200, &json!(changes)), "{query}");
        let between: Vec<Value> = events.as_array().unwrap()[from..to].to_vec();
        assert_eq!(
            (&found.body["events"], &found.body["events_left_out"]),
            (&json!(between), &json!(0))
        );
        assert_eq!(
            (&found.body["from"]["version"], &found.body["to"]["version"]),
            (&json!(from), &json!(to))
        );
        let at = program.get(&format!("/audit/streams/{stream}/at?version={to}")).await.body;
        let end = json!({"version": to, "recorded_at": at["recorded_at"], "hash": at["hash"]});
        assert_eq!((&found.body["to"], &found.body["verified"]), (&end, &json!(true)));
    }
    for query in [
        "from=0&to=1",
        "to=1",
        "to_time=2020-01-01T00:00:00Z",
        "from_time=1990-01-01T00:00:00Z&to_time=2020-01-01T00:00:00.5Z",
    ] {
        let whole = program.get(&format!("/audit/streams/{stream}/diff?{query}")).await.body;
        let nothing = json!({"version": 0, "recorded_at": null, "hash": null});
        assert_eq!((&whole["from"], &whole["to"]["version"]), (&nothing, &json!(1)), "{query}");
        let changes = whole["changes"].as_array().unwrap();
        assert!(changes.contains(&change("lines[0].quantity", json!(null), json!(2))), "{whole}");
        assert!(changes.contains(&change("lines[1].isbn", json!(null), json!(isbn(2)))), "{whole}");
        // Customer, currency, two lines of three fields, status, and two times.
        assert_eq!(changes.len(), 2 + 2 * 3 + 1 + 2, "{whole}");
    }
    let nothing = program.get(&format!("/audit/streams/{stream}/diff?from=4")).await.body;
    assert_eq!((&nothing["changes"], &nothing["events"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn a_recorded_refusal_changes_no_state() {
    let program = Program::start().await;
    let store = crate::harness::seed::store(&program.exports);
    let path = program.place("k", &order("c", &[line(1, 2, 5)])).await;
    let stream = order_stream(&path).parse().unwrap();
    let (head, _) = store.head(&stream, Consistency::Strong).await.unwrap();
    let version = refuse(&store, &stream).await.version;
    assert!(version > head.version());
    let before = program
        .get(&format!("/audit/streams/{stream}/at?version={}", version - 1))
        .await
        .body["state"]
        .clone();
    let at = program.get(&format!("/audit/streams/{stream}/at?version={version}")).await.body;
    assert_eq!(
        (&at["state"], &at["verified"], &at["version"]),
        (&before, &json!(true), &json!(version))
    );
    let diff = format!("/audit/streams/{stream}/diff?from={}&to={version}", version - 1);
    let diff = program.get(&diff).await.body;
    assert_eq!((&diff["changes"], &diff["to"]["version"]), (&json!([]), &json!(version)));
    let refusal = &diff["events"][0];
    assert_eq!(refusal["type"], "$Refused", "{refusal}");
    assert_eq!(
        refusal["data"],
        json!({"code": "impossible", "reason": "it cannot be"}),
        "{refusal}"
    );
    assert_eq!(
        program.get(&format!("/audit/streams/{stream}/verify")).await.body["verified"],
        true
    );
}

#[tokio::test]
async fn a_stream_of_refusals_alone_has_no_state_yet() {
    let program = Program::start().await;
    let store = crate::harness::seed::store(&program.exports);
    let stream = format!("stock-{}", isbn(7));
    assert_eq!(refuse(&store, &stream.parse().unwrap()).await.version, 1);
    let document = program.get("/openapi.json").await.body;
    let at = program.get(&format!("/audit/streams/{stream}/at?version=1")).await;
    super::description::fits(&document, "get /audit/streams/{stream}/at", &at);
    assert_eq!(
        (at.status, &at.body["state"], &at.body["verified"]),
        (200, &json!(null), &json!(true)),
        "{at:?}"
    );
    let diff = program.get(&format!("/audit/streams/{stream}/diff")).await;
    super::description::fits(&document, "get /audit/streams/{stream}/diff", &diff);
    program.get(&format!("/stock/{}", isbn(7))).await.is_problem(404, "not-found");
    let received =
        program.command(&format!("/stock/{}/receive", isbn(7)), "k", &json!({"quantity": 2})).await;
    assert_eq!((received.status, &received.body["version"]), (200, &json!(2)), "{received:?}");
    assert_eq!(program.get(&format!("/stock/{}?at_least=2", isbn(7))).await.body["on_hand"], 2);
}

#[tokio::test]
async fn a_state_after_an_unknown_type_is_not_shown() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let path = program.place("k", &order("c", &[line(1, 2, 5)])).await;
    let stream = order_stream(&path);
    let seed = Seed {
        command: "w".to_owned(),
        events: vec![("OrderGiftWrapped", json!({}))],
        ..Seed::default()
    };
    append(&crate::harness::seed::store(&exports), &stream, &[seed]).await;
    assert_eq!(
        program.get(&format!("/audit/streams/{stream}/at?version=1")).await.body["version"],
        1
    );
    assert_eq!(
        program.get(&format!("/audit/streams/{stream}/diff?to=1")).await.body["to"]["version"],
        1
    );
    for question in ["at?version=2", "diff?from=1", "diff"] {
        program
            .get(&format!("/audit/streams/{stream}/{question}"))
            .await
            .is_problem(500, "internal-error");
    }
}

#[tokio::test]
async fn invalid_queries_of_the_past_are_problems() {
    let program = Program::start().await;
    let stream = shipped(&program).await;
    let at = format!("/audit/streams/{stream}/at");
    let diff = format!("/audit/streams/{stream}/diff");
    for (query, fields, rule) in [
        (at.clone(), ["version", "time"], "one of the two is required"),
        (
            format!("{at}?version=1&time=2020-01-01T00:00:00Z"),
            ["version", "time"],
            "only one of the two",
        ),
        (format!("{diff}?from=2&to=2"), ["from", "to"], "from must be before to"),
        (format!("{diff}?from=3&to=2"), ["from", "to"], "from must be before to"),
        (
            format!("{diff}?from=1&from_time=2020-01-01T00:00:00Z"),
            ["from", "from_time"],
            "only one of the two",
        ),
        (
            format!("{diff}?from=1&to_time=2020-01-01T00:00:00Z"),
            ["from", "to_time"],
            "both ends must be versions",
        ),
        (
            format!("{diff}?from_time=2020-01-01T00:00:00Z&to_time=2020-01-01T00:00:00Z"),
            ["from_time", "to_time"],
            "from must be before to",
        ),
    ] {
        let answer = program.get(&query).await;
        answer.breaks(fields[0], rule);
        assert_eq!(answer.body["errors"][1]["field"], fields[1]);
    }
    for (query, field, rule) in [
        (format!("{at}?version=0"), "version", "whole number from 1"),
        (format!("{at}?time=yesterday"), "time", "must be a time"),
        (format!("{at}?at=1"), "at", "is unknown"),
        (format!("{diff}?to=0"), "to", "whole number from 1"),
        (format!("{diff}?from=-1"), "from", "whole number from 0"),
        ("/audit/streams/x/at?version=1".to_owned(), "stream", "a stream"),
        ("/audit/streams/x/diff".to_owned(), "stream", "a stream"),
    ] {
        program.get(&query).await.breaks(field, rule);
    }
    for query in
        [format!("{at}?version=5"), format!("{diff}?from=1&to=5"), format!("{diff}?from=5")]
    {
        let answer = program.get(&query).await;
        answer.is_problem(412, "version-mismatch");
        assert_eq!(answer.body["version"], 4);
    }
    for query in [
        format!("{at}?time=2019-12-31T23:59:59.999Z"),
        format!("{diff}?to_time=2019-12-31T23:59:59.999Z"),
        "/audit/streams/order-1/at?version=1".to_owned(),
        "/audit/streams/order-1/diff".to_owned(),
    ] {
        program.get(&query).await.is_problem(404, "not-found");
    }
    for call in ["at?version=1", "diff"] {
        let answer = program.get(&format!("/audit/streams/note-1/{call}")).await;
        answer.is_problem(404, "not-found");
        assert!(super::text(&answer.body["detail"]).contains("no read model"), "{answer:?}");
    }
}
