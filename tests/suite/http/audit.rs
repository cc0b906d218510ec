//! Who did what, when and why, and whether it is still as written.

use super::{Program, isbn, line, order, order_stream, sent, text};
use crate::harness::seed::{Seed, append, receive_at_once, store};
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

#[tokio::test]
async fn a_history_has_actor_type_time_and_correlation() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    let stream = order_stream(&path);
    let cancel = program
        .post(&format!("{path}/cancel"), &json!({"reason": "r"}))
        .header("Idempotency-Key", "c");
    sent(cancel.header("X-Actor", "eve").header("X-Correlation-Id", "p-7")).await;
    let history = program.get(&format!("/audit/streams/{stream}")).await;
    assert_eq!(history.status, 200);
    let [placed, cancelled] = history.body["events"].as_array().unwrap().as_slice() else {
        panic!("{history:?}")
    };
    let event = |version, kind, actor, command, correlation, data| {
        json!({"version": version, "type": kind, "schema": 1, "actor": actor, "command_id": command,
            "correlation_id": correlation, "causation_id": null, "data": data})
    };
    for (found, wanted) in [
        (placed, event(1, "OrderPlaced", "dev", "k", "k", order("c", &[line(1, 1, 5)]))),
        (cancelled, event(2, "OrderCancelled", "eve", "c", "p-7", json!({"reason": "r"}))),
    ] {
        let mut found = found.clone();
        let time = found.as_object_mut().unwrap().remove("recorded_at").unwrap();
        assert!(
            text(&time).ends_with('Z') && text(&time).len() == "2026-11-22T10:00:00.123Z".len(),
            "{time}"
        );
        assert_eq!(found, wanted);
    }
    let head = history.body["head"].clone();
    assert_eq!((&head["version"], text(&head["hash"]).len()), (&json!(2), 64));
    let frame = json!({"stream": stream, "head": head, "next_from": null, "to": 2, "events": history.body["events"]});
    assert_eq!(history.body, frame);
    let verified = program.get(&format!("/audit/streams/{stream}/verify")).await.body;
    let whole =
        json!({"stream": stream, "verified": true, "commits": 2, "head": head, "broken_at": null});
    assert_eq!(verified, whole);
}

#[tokio::test]
async fn a_long_history_is_paged_from_any_version() {
    let program = Program::start().await;
    let stream = format!("stock-{}", isbn(7));
    // Commits have several events or one, so pages begin and end within a commit.
    receive_at_once(&program.exports, &isbn(7), 230, 1).await;
    for _ in 0..20 {
        sent(program.post(&format!("/stock/{}/receive", isbn(7)), &json!({"quantity": 1}))).await;
    }
    let pages = |from: u64, limit: &'static str| {
        let (program, stream) = (&program, &stream);
        async move {
            let (mut sizes, mut versions, mut next) = (Vec::new(), Vec::new(), Some(from));
            while let Some(from) = next {
                let page =
                    program.get(&format!("/audit/streams/{stream}?from={from}{limit}")).await.body;
                assert_eq!(page["head"]["version"], 250);
                let events = page["events"].as_array().unwrap();
                sizes.push(events.len());
                versions.extend(events.iter().map(|event| event["version"].as_u64().unwrap()));
                next = page["next_from"].as_u64();
            }
            (sizes, versions)
        }
    };
    assert_eq!(pages(1, "").await, (vec![100, 100, 50], (1..=250).collect()));
    assert_eq!(pages(1, "&limit=125").await, (vec![125, 125], (1..=250).collect()));
    assert_eq!(pages(77, "&limit=500").await, (vec![174], (77..=250).collect()));
    assert_eq!(pages(250, "&limit=1").await, (vec![1], vec![250]));
    assert_eq!(pages(251, "").await, (vec![0], vec![]));
    assert_eq!(program.get(&format!("/audit/streams/{stream}/verify")).await.body["commits"], 43);
}

#[tokio::test]
async fn a_page_of_large_events_ends_after_four_megabytes() {
    let program = Program::start().await;
    let store = store(&program.exports);
    // About 200 KB each, of digits that hardly compress.
    let mut random = fastrand::Rng::with_seed(7);
    for number in 0..30 {
        let text: String = (0..200_000).map(|_| random.digit(10)).collect();
        let events = vec![("Noted", json!({ "text": text }))];
        append(
            &store,
            "note-1",
            &[Seed { command: format!("c-{number}"), events, ..Seed::default() }],
        )
        .await;
    }
    super::eventually("all are in the index", || async {
        let newest = program.get("/audit/events?type=Noted&limit=1").await.body;
        (newest["events"][0]["version"] == 30).then_some(())
    })
    .await;
    let sizes = async |path: &str, next: &str, parameter: &str| {
        let (mut sizes, mut versions, mut go_on) = (Vec::new(), Vec::new(), String::new());
        loop {
            let page = program.get(&format!("{path}{go_on}")).await.body;
            let events = page["events"].as_array().unwrap();
            sizes.push(events.len());
            versions.extend(events.iter().map(|event| event["version"].as_u64().unwrap()));
            let next = &page[next];
            if next.is_null() {
                break;
            }
            go_on =
                format!("&{parameter}={}", next.as_str().map_or(next.to_string(), str::to_owned));
        }
        assert_eq!(versions, (1..=30).collect::<Vec<u64>>(), "{path}");
        sizes
    };
    let pages = [21, 9];
    assert_eq!(sizes("/audit/streams/note-1?limit=500", "next_from", "from").await, pages);
    assert_eq!(
        sizes("/audit/events?stream=note-1&limit=500&order=asc", "next_cursor", "cursor").await,
        pages
    );
    assert_eq!(
        sizes("/audit/events?type=Noted&limit=500&order=asc", "next_cursor", "cursor").await,
        pages
    );
}

#[tokio::test]
async fn a_search_finds_by_each_filter_in_either_order() {
    let program = Program::start().await;
    let (book, mut times) = (isbn(7), Vec::new());
    let id = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";
    let commands = [
        ("receive", json!({"quantity": 9}), "ann", "k-1", "p"),
        ("reserve", json!({"order_id": id, "quantity": 2}), "bob", "k-2", "p"),
        ("receive", json!({"quantity": 1}), "bob", "k-3", "q"),
        ("release", json!({"order_id": id, "quantity": 2}), "ann", "k-4", "q"),
    ];
    for (command, body, actor, key, process) in commands {
        let request =
            program.post(&format!("/stock/{book}/{command}"), &body).header("Idempotency-Key", key);
        let done = sent(request.header("X-Actor", actor).header("X-Correlation-Id", process)).await;
        times.push(text(&done.body["events"][0]["recorded_at"]).to_owned());
        let last = times[times.len() - 1].clone();
        // The next event must have a later millisecond.
        super::eventually("time passes", || async {
            Some(()).filter(|()| {
                chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now())
                    .format("%Y-%m-%dT%H:%M:%S%.3fZ")
                    .to_string()
                    > last
            })
        })
        .await;
    }
    let cases = [
        (String::new(), vec![4, 3, 2, 1]),
        ("&order=desc".into(), vec![4, 3, 2, 1]),
        ("&order=asc".into(), vec![1, 2, 3, 4]),
        ("&actor=bob".into(), vec![3, 2]),
        ("&actor=nobody".into(), vec![]),
        ("&type=StockReceived&order=asc".into(), vec![1, 3]),
        ("&command=k-2".into(), vec![2]),
        ("&correlation=q".into(), vec![4, 3]),
        ("&actor=ann&correlation=q".into(), vec![4]),
        (format!("&from={}", times[1]), vec![4, 3, 2]),
        (format!("&to={}", times[1]), vec![1]),
        (format!("&from={}&to={}", times[1], times[3]), vec![3, 2]),
        ("&from=2999-01-01T00:00:00%2B02:00".into(), vec![]),
        ("&from=2999-01-01T00:00:00+02:00".into(), vec![]),
    ];
    for (filter, wanted) in cases {
        for limit in [1, 2, 500] {
            let found =
                search(&program, &format!("stream=stock-{book}{filter}&limit={limit}")).await;
            assert_eq!(
                found.iter().map(|event| event["version"].clone()).collect::<Vec<_>>(),
                wanted,
                "{filter}"
            );
            assert!(found.iter().all(|event| event["stream"] == format!("stock-{book}")));
        }
    }
    program.get("/audit/events?stream=stock-nothing").await.is_problem(404, "not-found");
}

/// All events of a search, page by page.
async fn search(program: &Program, query: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = program.get(&format!("/audit/events?{query}&cursor={cursor}")).await;
        assert_eq!(page.status, 200, "{page:?}");
        found.extend(page.body["events"].as_array().unwrap().iter().cloned());
        match page.body["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return found,
        }
    }
}

#[tokio::test]
async fn a_missing_end_that_a_read_model_saw_is_found() {
    let program = Program::start().await;
    let path = format!("/stock/{}", isbn(7));
    for _ in 0..3 {
        sent(program.post(&format!("{path}/receive"), &json!({"quantity": 1}))).await;
    }
    super::eventually("the read model has seen all", || async {
        (program.get(&path).await.body["version"] == 3).then_some(())
    })
    .await;
    let stream = format!("stock-{}", isbn(7));
    let verify = format!("/audit/streams/{stream}/verify");
    assert_eq!(program.get(&verify).await.body["verified"], true);
    let table = crate::harness::seed::clients(&program.exports).dynamodb;
    // First the newest commit is removed, then all others.
    for (gone, left) in [(3..=3, 2), (1..=2, 0)] {
        for version in gone {
            let key = [
                ("stream_id".to_owned(), AttributeValue::S(stream.clone())),
                ("version".to_owned(), AttributeValue::N(version.to_string())),
            ];
            let delete =
                table.delete_item().table_name("ledgerfold-events").set_key(Some(key.into()));
            delete.send().await.unwrap();
        }
        let answer = program.get(&verify).await;
        assert_eq!((answer.status, &answer.body["verified"]), (200, &json!(false)), "{answer:?}");
        assert_eq!(
            (&answer.body["commits"], &answer.body["broken_at"]["version"]),
            (&json!(left), &json!(left + 1))
        );
        let reason = text(&answer.body["broken_at"]["reason"]);
        assert!(
            reason.contains("the end of the stream is gone: projection ")
                && reason.ends_with("version 3"),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn an_unknown_stream_has_no_history() {
    let program = Program::start().await;
    for path in
        ["/audit/streams/order-1", "/audit/streams/order-1/verify", "/audit/streams/order-a%2Fb"]
    {
        program.get(path).await.is_problem(404, "not-found");
    }
}

#[tokio::test]
async fn an_order_is_known_by_its_id_in_either_case() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    let id = path.trim_start_matches("/orders/").to_uppercase();
    let stream = order_stream(&path);
    assert_ne!(format!("order-{id}"), stream);
    let upper = format!("/audit/streams/order-{id}");
    for call in [
        format!("/orders/{id}?at_least=1"),
        upper.clone(),
        format!("{upper}/verify"),
        format!("{upper}/at?version=1"),
        format!("{upper}/diff?to=1"),
        format!("/audit/events?stream=order-{id}"),
    ] {
        // Fulfilment may append, and the audit index may catch up, between two answers.
        super::eventually(&format!("{call} answers as in lower case"), || async {
            let answer = program.get(&call).await;
            let lower = program.get(&call.replace(&id, &id.to_lowercase())).await;
            assert_eq!((answer.status, lower.status), (200, 200), "{call}");
            (answer.body == lower.body).then_some(())
        })
        .await;
    }
    // The index may lag behind the stream.
    let readings = super::eventually("the readings are found", || async {
        let page = program.get("/audit/events?type=AuditTrailRead&actor=dev&limit=500").await.body;
        Some(page["events"].as_array().unwrap().clone()).filter(|events| !events.is_empty())
    });
    for reading in readings.await {
        assert_eq!(reading["data"]["about"]["stream"], stream, "{reading}");
    }
    let resumed =
        program.post("/projections/orders/resume", &json!({"stream": format!("order-{id}")}));
    let resumed = sent(resumed).await;
    assert_eq!(resumed.status, 200, "{resumed:?}");
}
