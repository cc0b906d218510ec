//! All commits from a position on; the streams; verification page by page.

use super::{Program, eventually, isbn, text};
use crate::harness::seed::clients;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

async fn program() -> Program {
    Program::start().await
}

/// Receives copies of a book, each time by another command.
async fn receive(program: &Program, book: u32, copies: u32) {
    let (path, key) = (format!("/stock/{}/receive", isbn(book)), format!("{book}-{copies}"));
    program.done(&path, &key, &json!({"quantity": copies + 1})).await;
}

/// Waits until the journal has so many commits of the stream.
async fn journaled(program: &Program, stream: &str, version: u64) {
    eventually("the journal has it", || async {
        let page = program.read(&format!("/audit/streams?prefix={stream}")).await;
        let streams = page["streams"].as_array()?;
        let found = streams.iter().find(|found| found["stream"] == stream)?;
        (found["version"].as_u64()? >= version).then_some(())
    })
    .await;
}

/// Follows from the beginning to the end, page by page.
async fn all(program: &Program, query: &str) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let page = program.read(&format!("/audit/tail?after={after}&{query}")).await;
        events.extend(page["events"].as_array().unwrap().iter().cloned());
        text(&page["next"]).clone_into(&mut after);
        if page["next"] == page["end"] {
            return events;
        }
    }
}

fn names(events: &[Value]) -> BTreeSet<&str> {
    events.iter().map(|event| text(&event["stream"])).collect()
}

#[tokio::test]
async fn a_reader_that_follows_gets_each_commit_once() {
    let program = program().await;
    for number in 0..12 {
        receive(&program, number % 4, number).await;
    }
    for number in 0..4 {
        journaled(&program, &format!("stock-{}", isbn(number)), 3).await;
    }
    let whole = all(&program, "limit=500").await;
    assert_eq!(whole.len(), 12);
    for limit in [1, 5] {
        assert_eq!(all(&program, &format!("limit={limit}")).await, whole);
    }
    let mut positions: Vec<u64> =
        whole.iter().map(|event| event["position"].as_u64().unwrap()).collect();
    positions.dedup();
    assert!(positions.is_sorted() && positions.len() == 12);
    // Each event is as a search shows it.
    let stream = text(&whole[5]["stream"]);
    let version = whole[5]["version"].as_u64().unwrap();
    let path = format!("/audit/streams/{stream}?from={version}&limit=1");
    let mut event = program.read(&path).await["events"][0].clone();
    event["stream"] = stream.into();
    event["position"] = whole[5]["position"].clone();
    assert_eq!(event, whole[5]);
    let last = program.read("/audit/tail?last=500").await;
    assert_eq!(last["events"].as_array().unwrap(), &whole);
}

#[tokio::test]
async fn filters_leave_out_what_does_not_fit() {
    let program = program().await;
    receive(&program, 1, 5).await;
    let order = json!({"customer_id": "c", "currency": "EUR", "lines": [
        {"isbn": isbn(1), "quantity": 1, "unit_price_minor": 100}]});
    let placed = program.place("a-key", &order).await;
    program.done(&format!("{placed}/cancel"), "cancel", &json!({"reason": "late"})).await;
    let order = format!("order-{}", placed.rsplit('/').next().unwrap());
    journaled(&program, &order, 2).await;
    let of = async |query: &str| all(&program, query).await;
    assert_eq!(names(&of("category=order").await), BTreeSet::from([&*order]));
    let types = |events: Vec<Value>| -> BTreeSet<String> {
        events.iter().map(|event| text(&event["type"]).to_owned()).collect()
    };
    let set = |types: &[&str]| types.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(
        types(of("type=OrderPlaced,StockReceived").await),
        set(&["OrderPlaced", "StockReceived"])
    );
    assert_eq!(types(of("category=order&not_type=OrderCancelled").await), set(&["OrderPlaced"]));
    assert_eq!(of("category=order,stock").await.len(), 3);
    assert_eq!(of("actor=dev").await.len(), 3);
    assert_eq!(of("actor=ann").await, Vec::<Value>::new());
    assert!(of("").await.iter().all(|event| event["type"] != "AuditTrailRead"));
    assert!(types(of("readings=true").await).contains("AuditTrailRead"));
    assert_eq!(types(of("category=access").await), set(&["AuditTrailRead"]));
    assert_eq!(of("category=nothing").await, Vec::<Value>::new());
}

#[tokio::test]
async fn following_is_recorded_once_an_hour() {
    let program = program().await;
    let read = async || {
        let events = all(&program, "category=access").await;
        events.iter().filter(|event| event["data"]["call"] == "tail").count()
    };
    let recorded = eventually("the reading is journaled", || async {
        Some(read().await).filter(|recorded| *recorded > 0)
    })
    .await;
    for _ in 0..5 {
        // The hour may end meanwhile.
        assert!(read().await <= recorded + 1);
    }
    assert!(recorded <= 2, "{recorded}");
}

#[tokio::test]
async fn a_response_waits_for_the_next_commit() {
    let program = program().await;
    program.receive(&isbn(1), 1).await;
    journaled(&program, &format!("stock-{}", isbn(1)), 1).await;
    let end = program.read("/audit/tail?last=1").await["end"].clone();
    // Records of queries end the waiting, too.
    let waiting = async {
        let mut after = text(&end).to_owned();
        loop {
            let page =
                program.read(&format!("/audit/tail?after={after}&category=stock&wait=20")).await;
            if page["events"].as_array().is_some_and(|events| !events.is_empty()) {
                return page;
            }
            text(&page["next"]).clone_into(&mut after);
        }
    };
    let (page, ()) = tokio::join!(waiting, receive(&program, 1, 7));
    assert_eq!(page["events"][0]["data"]["quantity"], 8);
    let asked = Instant::now();
    let page = program.read(&format!("/audit/tail?after={}&wait=1", text(&page["end"]))).await;
    assert!(asked.elapsed() < Duration::from_secs(20), "{page}");
}

#[tokio::test]
async fn an_invalid_position_or_filter_is_named() {
    let program = program().await;
    program.receive(&isbn(1), 1).await;
    journaled(&program, &format!("stock-{}", isbn(1)), 1).await;
    for (query, field, rule) in [
        ("after=1", "after", "must be 0, or a position that an earlier answer gave"),
        ("after=-1", "after", "must be 0, or a position"),
        ("after=1.99999", "after", "is beyond the end of the journal"),
        ("after=2.1", "after", "is of another journal: it was rebuilt"),
        ("last=0", "last", "must be a whole number from 1 to 500"),
        ("limit=501", "limit", "must be a whole number from 1 to 500"),
        ("wait=21", "wait", "must be a whole number from 0 to 20"),
        ("category=Order", "category", ""),
        ("category=order,", "category", ""),
        ("type=a%20b", "type", "visible ASCII"),
        ("readings=yes", "readings", "must be true or false"),
        ("colour=red", "colour", "is unknown"),
    ] {
        program.get(&format!("/audit/tail?{query}")).await.breaks(field, rule);
    }
    let both = program.get("/audit/tail?after=0&last=1").await;
    both.breaks("after", "only one of them");
    for (query, field, rule) in [
        ("prefix=order", "prefix", "must be a category and '-'"),
        ("prefix=Order-1", "prefix", ""),
        ("category=or%20der", "category", ""),
        ("cursor=abc", "cursor", "must be the next_cursor of an earlier"),
        ("category=order&prefix=stock-1", "category", "the prefix is of another category"),
        ("limit=0", "limit", "must be a whole number from 1 to 500"),
    ] {
        for path in ["/audit/streams", "/audit/verify"] {
            program.get(&format!("{path}?{query}")).await.breaks(field, rule);
        }
    }
}

#[tokio::test]
async fn streams_are_listed_and_verified_page_by_page() {
    let program = program().await;
    for number in 0..9 {
        program.receive(&isbn(number), 1).await;
    }
    for number in 0..9 {
        journaled(&program, &format!("stock-{}", isbn(number)), 1).await;
    }
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            program.read(&format!("/audit/streams?category=stock&limit=4&cursor={cursor}")).await;
        let streams = page["streams"].as_array().unwrap();
        found.extend(streams.iter().map(|found| text(&found["stream"]).to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    let mut expected: Vec<String> =
        (0..9).map(|number| format!("stock-{}", isbn(number))).collect();
    expected.sort();
    assert_eq!(found, expected);
    let of_another = program.get(&format!("/audit/streams?category=order&cursor={cursor}")).await;
    of_another.breaks("cursor", "must be the next_cursor of an earlier");

    // One changes, one loses its end, one is gone.
    let events = clients(&program.exports).dynamodb;
    let remove = async |stream: &str| {
        let delete = events.delete_item().table_name("ledgerfold-events");
        let delete = delete.key("stream_id", AttributeValue::S(stream.to_owned()));
        delete.key("version", AttributeValue::N("1".to_owned())).send().await.unwrap();
    };
    remove(&expected[4]).await;
    let (mut streams, mut broken, mut cursor) = (0, Vec::new(), String::new());
    loop {
        let page =
            program.read(&format!("/audit/verify?prefix=stock-&limit=2&cursor={cursor}")).await;
        streams += page["streams"].as_u64().unwrap();
        broken.extend(page["broken"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    assert_eq!((streams, broken.len()), (9, 1), "{broken:?}");
    assert_eq!(broken[0]["stream"], expected[4]);
    let tail = program.read("/audit/tail?category=stock&limit=500").await;
    assert_eq!(tail["damaged"][0]["stream"], expected[4]);
    assert_eq!(tail["events"].as_array().unwrap().len(), 8);
}
