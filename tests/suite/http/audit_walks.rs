//! Paging: the query of each page is recorded, and paging ends nevertheless.

use super::{Program, eventually, isbn, sent, text};
use crate::harness::seed::clients;
use eventstore::Direction;
use handlers::Names;
use projections::audit_index::AuditSearch;
use serde_json::{Value, json};

/// Far more pages than any case needs.
const MOST_PAGES: usize = 60;
const RECEIPTS: usize = 5;

struct Trail {
    program: Program,
    exports: Vec<(String, String)>,
}

impl Trail {
    /// Some receipts, all in the index.
    async fn open() -> Self {
        let program = Program::start().await;
        let exports = program.exports.clone();
        for _ in 0..RECEIPTS {
            sent(program.post(&format!("/stock/{}/receive", isbn(7)), &json!({"quantity": 1})))
                .await;
        }
        let trail = Self { program, exports };
        trail.indexed("StockReceived", RECEIPTS).await;
        trail
    }

    /// Waits until that many events of the type are in the index. It reads the index directly, so
    /// this is not recorded.
    async fn indexed(&self, event_type: &str, events: usize) {
        let projector =
            clients(&self.exports).system(&bookshop::app(), &Names::new("ledgerfold")).projector();
        let search = AuditSearch {
            event_type: Some(event_type.into()),
            ..AuditSearch::all(Direction::Forwards, 1_000)
        };
        eventually("it is in the index", || async {
            (projector.audit_search(&search).await.unwrap().found.len() == events).then_some(())
        })
        .await;
    }

    /// A page, requested once the records of earlier queries are in the index.
    async fn page(&self, asker: &str, query: &str, readings: &mut usize) -> Value {
        self.indexed("AuditTrailRead", *readings).await;
        *readings += 1;
        let page =
            sent(self.program.http.get(self.program.url(query)).header("X-Actor", asker)).await;
        assert_eq!(page.status, 200, "{page:?}");
        page.body
    }
}

fn types(page: &Value) -> Vec<String> {
    page["events"].as_array().unwrap().iter().map(|event| text(&event["type"]).to_owned()).collect()
}

#[tokio::test]
async fn ascending_pages_end_where_the_index_ended_at_the_first() {
    let trail = Trail::open().await;
    let mut readings = 0;
    for (limit, askers) in [(1, &["ann"][..]), (2, &["ann", "bob"]), (3, &["ann"])] {
        let (known, mut cursors, mut found) =
            (readings, vec![Some(String::new()); askers.len()], vec![0; askers.len()]);
        for pages in 0.. {
            assert!(pages < MOST_PAGES, "by {limit} it does not end");
            for ((asker, cursor), found) in askers.iter().zip(&mut cursors).zip(&mut found) {
                let Some(place) = cursor.clone() else { continue };
                let query =
                    format!("/audit/events?order=asc&readings=true&limit={limit}&cursor={place}");
                let page = trail.page(asker, &query, &mut readings).await;
                *found += types(&page).len();
                *cursor = page["next_cursor"].as_str().map(str::to_owned);
            }
            if cursors.iter().all(Option::is_none) {
                break;
            }
        }
        // All that was there at the start, and perhaps the records of the first pages.
        for found in found {
            assert!(
                (RECEIPTS + known..=RECEIPTS + known + 2 * askers.len()).contains(&found),
                "{found} by {limit}"
            );
        }
    }
}

#[tokio::test]
async fn paging_the_records_of_ones_own_queries_ends() {
    let trail = Trail::open().await;
    let mut readings = 0;
    trail.page("ann", "/audit/events", &mut readings).await;
    trail.page("ann", "/audit/events", &mut readings).await;
    let found =
        trail.page("bob", "/audit/events?actor=ann&type=AuditTrailRead", &mut readings).await;
    let stream = text(&found["events"][0]["stream"]).to_owned();
    let (mut cursor, mut versions) = (Some(String::new()), Vec::new());
    while let Some(place) = cursor {
        assert!(versions.len() < MOST_PAGES, "the search does not end");
        let query = format!("/audit/events?stream={stream}&order=asc&limit=1&cursor={place}");
        let page = trail.page("ann", &query, &mut readings).await;
        versions.extend(
            page["events"].as_array().unwrap().iter().filter_map(|event| event["version"].as_u64()),
        );
        cursor = page["next_cursor"].as_str().map(str::to_owned);
    }
    assert_eq!(versions, [1, 2, 3], "the third is that of the first page");
    let (mut next, mut to, mut versions) = (Some(1), String::new(), Vec::new());
    while let Some(from) = next {
        assert!(versions.len() < MOST_PAGES, "the history does not end");
        let page = trail
            .page("ann", &format!("/audit/streams/{stream}?from={from}&limit=1{to}"), &mut readings)
            .await;
        versions.extend(
            page["events"].as_array().unwrap().iter().filter_map(|event| event["version"].as_u64()),
        );
        to = format!("&to={}", page["to"]);
        next = page["next_from"].as_u64();
    }
    assert_eq!(versions, (1..=6).collect::<Vec<_>>());
}

#[tokio::test]
async fn records_of_queries_need_a_parameter_to_be_shown() {
    let trail = Trail::open().await;
    let mut readings = 0;
    for _ in 0..8 {
        trail.page("ann", "/audit/events?limit=8", &mut readings).await;
    }
    let page = trail.page("ann", "/audit/events?limit=8", &mut readings).await;
    assert_eq!(types(&page), ["StockReceived"; RECEIPTS]);
    assert_eq!(types(&trail.page("ann", "/audit/events?actor=ann", &mut readings).await), [""; 0]);
    let asked = trail.page("ann", "/audit/events?limit=8&readings=true", &mut readings).await;
    assert_eq!(types(&asked), ["AuditTrailRead"; 8]);
    let command = text(&asked["events"][7]["command_id"]).to_owned();
    for named in ["type=AuditTrailRead&limit=1".to_owned(), format!("command={command}")] {
        let page = trail.page("ann", &format!("/audit/events?{named}"), &mut readings).await;
        assert_eq!(types(&page), ["AuditTrailRead"], "{named}");
    }
    for (query, lines) in [("", RECEIPTS), ("?readings=true", RECEIPTS + readings)] {
        trail.indexed("AuditTrailRead", readings).await;
        let file = trail.program.http.get(trail.program.url(&format!("/audit/events{query}")));
        let file = file
            .header("Accept", "application/x-ndjson")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        readings += 1;
        // The record of this very query may be in the index before the file begins.
        assert!(
            (lines..=lines + 2).contains(&file.lines().count()),
            "{} lines of {query:?}",
            file.lines().count()
        );
    }
}
