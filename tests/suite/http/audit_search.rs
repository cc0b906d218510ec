//! Search over all streams, by actor, type, correlation and time.

use super::{Program, eventually, isbn, sent, text};
use crate::harness::depth::full_or;
use crate::harness::seed::{Seed, append, clients, indexed};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{Clock, EventStore, Options};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// All commits here are older than the queries.
const END: &str = "2020-01-09T00:00:00Z";

/// No search finds more events than this.
const MOST_EVENTS: usize = 500;

/// A time in the first days of 2020.
fn time(ms: i64) -> DateTime<Utc> {
    "2020-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::milliseconds(ms)
}

/// A history of many streams, actors, types, correlations and days. Several commits have the same
/// time.
struct Past {
    program: Program,
    /// Every event as the API shows it, oldest first.
    events: Vec<Value>,
}

impl Past {
    async fn open() -> Self {
        let program = Program::start().await;
        let exports = program.exports.clone();
        let now = Arc::new(AtomicI64::new(0));
        let clock: Clock = {
            let now = now.clone();
            Arc::new(move || time(now.load(Ordering::Relaxed)))
        };
        let client = clients(&exports).dynamodb;
        let store = EventStore::with_options(
            client,
            "ledgerfold-events",
            Options { clock, ..Options::default() },
        );
        let mut random = fastrand::Rng::with_seed(7);
        for batch in 0..16 {
            // Often no time passes, sometimes a day.
            now.fetch_add(
                [0, 0, 0, 1, 1_000, 86_400_000 / 2][random.usize(..6)],
                Ordering::Relaxed,
            );
            let stream = format!("note-{}", random.u32(..4));
            let seeds: Vec<Seed> =
                (0..random.usize(1..4)).map(|place| seed(&mut random, batch, place)).collect();
            append(&store, &stream, &seeds).await;
        }
        let mut events = Vec::new();
        for stream in (0..4).map(|number| format!("note-{number}")) {
            let history = program.get(&format!("/audit/streams/{stream}?limit=500")).await.body;
            events.extend(history["events"].as_array().unwrap().iter().cloned().map(
                |mut event| {
                    event["stream"] = stream.clone().into();
                    event
                },
            ));
        }
        // The total order of commits: by time, stream and version.
        let place = |event: &Value| {
            (
                text(&event["recorded_at"]).to_owned(),
                text(&event["stream"]).to_owned(),
                event["version"].as_u64(),
            )
        };
        events.sort_by_key(place);
        let past = Self { program, events };
        let all = past.events.len();
        eventually("everything is in the index", || async {
            (past.search(&format!("to={END}"), 500).await.len() == all).then_some(())
        })
        .await;
        past
    }

    /// All events of a search, page by page.
    async fn search(&self, query: &str, limit: usize) -> Vec<Value> {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self
                .program
                .get(&format!("/audit/events?{query}&limit={limit}&cursor={cursor}"))
                .await;
            assert_eq!(page.status, 200, "{page:?}");
            let events = page.body["events"].as_array().unwrap();
            assert!(events.len() <= limit);
            found.extend(events.iter().cloned());
            assert!(
                found.len() <= self.events.len().max(MOST_EVENTS),
                "{query} by {limit} does not end"
            );
            match page.body["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return found,
            }
        }
    }

    /// Compares a search, in both orders and in pages of every kind, with a plain filter.
    async fn check(&self, query: &str, fits: impl Fn(&Value) -> bool) {
        let mut wanted: Vec<Value> =
            self.events.iter().filter(|event| fits(event)).cloned().collect();
        for order in ["asc", "desc"] {
            for limit in full_or(vec![1, 5, 500], vec![5, 500]) {
                let found = self.search(&format!("to={END}&order={order}{query}"), limit).await;
                assert_eq!(found, wanted, "{query} {order} by {limit}");
            }
            wanted.reverse();
        }
    }
}

fn seed(random: &mut fastrand::Rng, batch: usize, place: usize) -> Seed {
    let event = |random: &mut fastrand::Rng| {
        (["Noted", "Struck", "Copied"][random.usize(..3)], json!({"n": random.u8(..)}))
    };
    Seed {
        command: format!("command-{batch}-{place}"),
        actor: Some(["ann", "bob", "eve"][random.usize(..3)].to_owned()),
        correlation: Some(format!("process-{}", random.u8(..5))),
        cause: None,
        events: (0..random.usize(1..4)).map(|_| event(random)).collect(),
    }
}

#[tokio::test]
async fn every_search_equals_a_filter_over_all_events() {
    let past = Past::open().await;
    let times: BTreeSet<&str> =
        past.events.iter().map(|event| text(&event["recorded_at"])).collect();
    assert!(times.len() > 3 && past.events.len() > 40, "{} events", past.events.len());
    let is = |name: &'static str, value: &'static str| move |event: &Value| event[name] == value;
    past.check("", |_| true).await;
    past.check("&actor=ann", is("actor", "ann")).await;
    past.check("&type=Struck", is("type", "Struck")).await;
    past.check("&command=command-3-0", is("command_id", "command-3-0")).await;
    past.check("&correlation=process-2", is("correlation_id", "process-2")).await;
    let both = |event: &Value| event["actor"] == "bob" && event["type"] == "Noted";
    past.check("&actor=bob&type=Noted", both).await;
    past.check("&correlation=process-1&type=Copied", |event| {
        event["correlation_id"] == "process-1" && event["type"] == "Copied"
    })
    .await;
    for from in times.iter().skip(2).take(1) {
        past.check(&format!("&from={from}&actor=eve"), |event| {
            text(&event["recorded_at"]) >= *from && event["actor"] == "eve"
        })
        .await;
    }
}

#[tokio::test]
async fn a_search_ends_before_its_second_time_and_begins_at_its_first() {
    let past = Past::open().await;
    let times: Vec<&str> = past.events.iter().map(|event| text(&event["recorded_at"])).collect();
    let (from, to) = (times[times.len() / 4], times[times.len() * 3 / 4]);
    assert!(from < to);
    let wanted: Vec<&Value> = past
        .events
        .iter()
        .filter(|event| (from..to).contains(&text(&event["recorded_at"])))
        .collect();
    let found = past.search(&format!("from={from}&to={to}&order=asc"), 9).await;
    assert_eq!(found.iter().collect::<Vec<_>>(), wanted);
    assert!(wanted.len() > 5, "{from} {to}");
}

#[tokio::test]
async fn new_events_are_found_newest_first() {
    let program = Program::start().await;
    for key in ["one", "two"] {
        let request = program.post(&format!("/stock/{}/receive", isbn(7)), &json!({"quantity": 1}));
        sent(request.header("Idempotency-Key", key).header("X-Actor", "ann")).await;
    }
    let found = eventually("both are found", || async {
        let page = program.get("/audit/events?actor=ann").await.body;
        Some(page).filter(|page| page["events"].as_array().unwrap().len() == 2)
    });
    let found = found.await;
    assert_eq!(found["next_cursor"], Value::Null);
    let commands: Vec<&str> = found["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| text(&event["command_id"]))
        .collect();
    assert_eq!(commands, ["two", "one"]);
    let mut first = found["events"][1].clone();
    let stream = first.as_object_mut().unwrap().remove("stream").unwrap();
    let history = program.get(&format!("/audit/streams/{}", text(&stream))).await.body;
    assert_eq!(first, history["events"][0], "every event is shown whole, as its stream has it");
}

#[tokio::test]
async fn a_missing_or_corrupt_commit_hides_no_other() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let stream = format!("stock-{}", isbn(7));
    for _ in 0..6 {
        let receive = program.post(&format!("/stock/{}/receive", isbn(7)), &json!({"quantity": 1}));
        sent(receive.header("X-Actor", "ann").header("X-Correlation-Id", "p")).await;
    }
    eventually("all are found", || async {
        let page = program.get("/audit/events?actor=ann").await.body;
        (page["events"].as_array()?.len() == 6).then_some(())
    })
    .await;
    let table = clients(&exports).dynamodb;
    let version = |version: u64| AttributeValue::N(version.to_string());
    for gone in [2, 6] {
        let delete = table.delete_item().table_name("ledgerfold-events");
        let delete = delete
            .key("stream_id", AttributeValue::S(stream.clone()))
            .key("version", version(gone));
        delete.send().await.unwrap();
    }
    let put = table.put_item().table_name("ledgerfold-events").item("version", version(4));
    put.item("stream_id", AttributeValue::S(stream.clone())).send().await.unwrap();
    for limit in [1, 2, 500] {
        let (mut shown, mut damaged, mut cursor) = (Vec::new(), Vec::new(), String::new());
        loop {
            let query =
                format!("actor=ann&type=StockReceived&order=asc&limit={limit}&cursor={cursor}");
            let page = program.get(&format!("/audit/events?{query}")).await.body;
            shown.extend(
                page["events"].as_array().unwrap().iter().map(|event| event["version"].clone()),
            );
            damaged.extend(page["damaged"].as_array().unwrap().iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => break,
            }
        }
        assert_eq!(shown, [1, 3, 5], "by {limit}");
        let named: Vec<_> =
            damaged.iter().map(|commit| (&commit["stream"], &commit["version"])).collect();
        let stream = json!(stream);
        assert_eq!(
            named,
            [(&stream, &json!(2)), (&stream, &json!(4)), (&stream, &json!(6))],
            "by {limit}"
        );
        assert!(text(&damaged[0]["reason"]).contains("there no more"), "{damaged:?}");
        assert!(text(&damaged[1]["reason"]).contains("missing"), "{damaged:?}");
    }
    let trace = program.get("/audit/trace/p").await.body;
    assert_eq!((&trace["commits"], trace["damaged"].as_array().unwrap().len()), (&json!(3), 3));
}

/// Changes a word in the commits of an item. Returns the original item.
async fn change_at(
    table: &Client,
    stream: &str,
    version: u64,
    from: &str,
    to: &str,
) -> HashMap<String, AttributeValue> {
    let key = [
        ("stream_id".to_owned(), AttributeValue::S(stream.to_owned())),
        ("version".to_owned(), AttributeValue::N(version.to_string())),
    ];
    let get = table
        .get_item()
        .table_name("ledgerfold-events")
        .set_key(Some(key.into()))
        .consistent_read(true);
    let item = get.send().await.unwrap().item.unwrap();
    let mut changed = item.clone();
    let json = item["commits"].as_s().unwrap();
    assert!(json.contains(from), "no {from} in {json}");
    changed.insert("commits".to_owned(), AttributeValue::S(json.replace(from, to)));
    put(table, changed).await;
    item
}

async fn put(table: &Client, item: HashMap<String, AttributeValue>) {
    table.put_item().table_name("ledgerfold-events").set_item(Some(item)).send().await.unwrap();
}

#[tokio::test]
async fn a_changed_commit_is_reported_by_every_search_for_it() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let seed = Seed {
        command: "the-command".to_owned(),
        actor: Some("the-actor".to_owned()),
        correlation: Some("the-process".to_owned()),
        cause: Some("the-cause".to_owned()),
        events: vec![("TheType", json!({}))],
    };
    append(&crate::harness::seed::store(&exports), "note-1", &[seed]).await;
    indexed(&exports, "note-1", 1).await;
    let table = clients(&exports).dynamodb;
    let queries = [
        "actor=the-actor",
        "type=TheType",
        "command=the-command",
        "correlation=the-process",
        "from=2000-01-01T00:00:00Z",
    ];
    for (word, name) in [
        ("the-actor", "actor"),
        ("TheType", "event types"),
        ("the-command", "command id"),
        ("the-process", "correlation id"),
        ("the-cause", "causation id"),
    ] {
        let before = change_at(&table, "note-1", 1, word, "something-else").await;
        for query in queries {
            let page = program.get(&format!("/audit/events?{query}")).await.body;
            let reason =
                format!("the commit is not the one that the audit index knows: another {name}");
            let named = json!([{"stream": "note-1", "version": 1, "reason": reason}]);
            assert_eq!(
                (&page["events"], &page["damaged"]),
                (&json!([]), &named),
                "{word} by {query}"
            );
            let file = program
                .http
                .get(program.url(&format!("/audit/events?{query}")))
                .header("Accept", "text/csv");
            sent(file).await.is_problem(500, "internal-error");
        }
        let trace = program.get("/audit/trace/the-process").await.body;
        assert_eq!(
            (&trace["commits"], &trace["damaged"][0]["stream"]),
            (&json!(0), &json!("note-1"))
        );
        put(&table, before).await;
        assert_eq!(program.get("/audit/events?actor=the-actor").await.body["damaged"], json!([]));
    }
}

#[tokio::test]
async fn changed_data_is_shown_nowhere() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let store = crate::harness::seed::store(&exports);
    for number in 0..4 {
        let events = vec![("Noted", json!({"text": format!("note {number}")}))];
        append(
            &store,
            "note-1",
            &[Seed { command: format!("c-{number}"), events, ..Seed::default() }],
        )
        .await;
    }
    indexed(&exports, "note-1", 4).await;
    let table = clients(&exports).dynamodb;
    for changed in [1, 3, 4] {
        let before = change_at(
            &table,
            "note-1",
            changed,
            &format!("note {}", changed - 1),
            "something else",
        )
        .await;
        for (query, limit) in [("asc", 1), ("asc", 500), ("desc", 1), ("desc", 500)] {
            let (mut shown, mut damaged, mut cursor) = (Vec::new(), Vec::new(), String::new());
            loop {
                let query = format!("type=Noted&order={query}&limit={limit}&cursor={cursor}");
                let page = program.get(&format!("/audit/events?{query}")).await.body;
                shown.extend(
                    page["events"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|event| event["version"].as_u64().unwrap()),
                );
                damaged.extend(
                    page["damaged"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|commit| commit["version"].clone()),
                );
                match page["next_cursor"].as_str() {
                    Some(next) => next.clone_into(&mut cursor),
                    None => break,
                }
            }
            shown.sort_unstable();
            let sound: Vec<u64> = (1..=4).filter(|version| *version != changed).collect();
            assert_eq!(
                (shown, damaged),
                (sound, vec![json!(changed)]),
                "{changed} {query} by {limit}"
            );
        }
        for path in [
            "/audit/streams/note-1".to_owned(),
            format!("/audit/streams/note-1?from={changed}&limit=1"),
            "/audit/events?stream=note-1".to_owned(),
            "/audit/events?stream=note-1&order=asc&actor=nobody".to_owned(),
        ] {
            program.get(&path).await.is_problem(500, "internal-error");
        }
        put(&table, before).await;
    }
    for path in ["/audit/streams/note-1?from=2&limit=1", "/audit/events?stream=note-1&limit=1"] {
        assert_eq!(program.get(path).await.body["events"].as_array().unwrap().len(), 1, "{path}");
    }
}

#[tokio::test]
async fn bad_filters_are_reported_by_field_and_rule() {
    let program = Program::start().await;
    let cursor = "next_cursor";
    let visible = "must be 1 to 128 visible ASCII characters";
    let cases = [
        ("actor=a%20b".to_owned(), "actor", visible),
        ("type=%C3%A9".into(), "type", visible),
        (format!("command={}", "x".repeat(129)), "command", visible),
        ("correlation=%00".into(), "correlation", visible),
        ("stream=x".into(), "stream", "a stream name"),
        ("order=up".into(), "order", "asc or desc"),
        ("from=2026-11-22".into(), "from", "must be a time"),
        ("to=now".into(), "to", "must be a time"),
        ("limit=501".into(), "limit", "from 1 to 500"),
        ("readings=yes".into(), "readings", "must be true or false"),
        ("cursor=x".into(), "cursor", cursor),
        // {"version":1} continues in one stream, {"after":"2026"} in all.
        ("cursor=eyJ2ZXJzaW9uIjoxfQ".into(), "cursor", cursor),
        ("stream=note-1&cursor=eyJhZnRlciI6IjIwMjYifQ".into(), "cursor", cursor),
    ];
    for (query, field, rule) in cases {
        program.get(&format!("/audit/events?{query}")).await.breaks(field, rule);
    }
    for (from, to) in [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00%2B01:00"),
    ] {
        for stream in ["", "&stream=note-1"] {
            let answer = program.get(&format!("/audit/events?from={from}&to={to}{stream}")).await;
            answer.breaks("from", "from must be before to");
            assert_eq!(
                answer.body["errors"][1],
                json!({"field": "to", "rule": "from must be before to"})
            );
        }
    }
    assert_eq!(program.get("/audit/events?cursor=eyJhZnRlciI6IjIwMjYifQ").await.status, 200);
}
