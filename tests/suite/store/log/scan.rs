//! Reading the whole table in segments.

use crate::store::{Engine, Process, Table, new_commit, stream};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{Head, Item, MAX_VERSION, ScanCursor, Segment, StreamId};
use futures::{StreamExt, TryStreamExt};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

cases!(
    a_page_may_end_at_a_cache_item,
    an_empty_table_is_an_empty_last_page,
    every_batch_is_read_once_in_any_number_of_segments,
    the_cursor_can_be_handed_to_another_worker,
);

/// How often each batch was read.
type Met = BTreeMap<(StreamId, u64), usize>;

/// Reads a segment page by page. Each cursor is serialised, and each page is read by a new process.
async fn read_segment(table: &Table, segment: Segment, met: &mut Met) -> usize {
    let (mut cursor, mut pages): (Option<ScanCursor>, usize) = (None, 0);
    loop {
        let page = table.process().store.scan(segment, cursor.as_ref()).await.unwrap();
        pages += 1;
        for batch in page.batches {
            *met.entry((batch.stream.clone(), batch.version())).or_default() += 1;
        }
        let Some(next) = page.next else { return pages };
        let kept = serde_json::to_string(&next).unwrap();
        cursor = Some(serde_json::from_str(&kept).unwrap());
    }
}

async fn read_all(table: &Table, total: u32) -> (Met, usize) {
    let (mut met, mut pages) = (Met::new(), 0);
    for index in 0..total {
        pages += read_segment(table, Segment { index, total }, &mut met).await;
    }
    (met, pages)
}

async fn begin(process: &Process, stream: StreamId) -> (StreamId, u64) {
    let appended = process.append(&Head::empty(&stream), vec![new_commit("a", &["x"])]).await;
    (stream, appended.batch.version())
}

fn named(mut item: Item, stream: &StreamId) -> Item {
    item.insert("stream_id".into(), AttributeValue::S(stream.to_string()));
    item
}

/// `count` streams of one small batch, and one of three batches, one with two commits. The small
/// ones are copies of one batch, because a scan does not check chains.
async fn streams(table: &Table, count: usize) -> BTreeSet<(StreamId, u64)> {
    let process = table.process();
    let mut written = BTreeSet::from([begin(&process, stream("0")).await]);
    let original = table.items(&stream("0")).await.remove(0);
    let copies: Vec<StreamId> = (1..count).map(|index| stream(&format!("{index}"))).collect();
    for names in copies.chunks(25) {
        table.put_all(names.iter().map(|name| named(original.clone(), name)).collect()).await;
    }
    written.extend(copies.into_iter().map(|name| (name, 1)));
    let longer = stream("longer");
    let mut head = Head::empty(&longer);
    for commits in [vec!["a"], vec!["b", "c"], vec!["d"]] {
        let commits = commits.into_iter().map(|command| new_commit(command, &["x", "y"])).collect();
        let appended = process.append(&head, commits).await;
        written.insert((longer.clone(), appended.batch.version()));
        head = appended.head;
    }
    written
}

async fn every_batch_is_read_once_in_any_number_of_segments(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let written = streams(&table, 5_000).await;
    for total in [1, 4, 16] {
        let (met, _) = read_all(&table, total).await;
        assert!(
            met.values().all(|times| *times == 1),
            "a batch was read twice in {total} segments"
        );
        assert!(met.keys().eq(written.iter()), "{} of {} batches read", met.len(), written.len());
        let counts = Mutex::new(Vec::new());
        let names = process
            .store
            .streams(total, |seen| counts.lock().unwrap().push(seen))
            .await
            .unwrap()
            .names;
        assert!(names.iter().eq(written.iter().map(|(name, _)| name).collect::<BTreeSet<_>>()));
        let counts = counts.into_inner().unwrap();
        assert_eq!(counts.iter().max(), Some(&written.len()), "reported at each page");
        assert!(counts.len() >= usize::try_from(total).unwrap());
    }
}

async fn the_cursor_can_be_handed_to_another_worker(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let noise = |seed: u64| {
        let mut chance = fastrand::Rng::with_seed(seed);
        std::iter::repeat_with(|| chance.alphanumeric()).take(300_000).collect::<String>()
    };
    for index in 0..8 {
        let head = Head::empty(&stream(&format!("{index}")));
        process.append(&head, vec![new_commit("a", &[&noise(index)])]).await;
    }
    let (met, pages) = read_all(&table, 1).await;
    assert!(pages >= 2, "1.8 MB in {pages} pages");
    assert_eq!((met.len(), met.values().max()), (8, Some(&1)));
}

async fn an_empty_table_is_an_empty_last_page(engine: &Engine) {
    let table = engine.table().await;
    assert_eq!(read_all(&table, 4).await, (Met::new(), 4));
    assert!(table.process().store.streams(3, |_| ()).await.unwrap().names.is_empty());
    assert!(table.process().store.streams(0, |_| ()).await.unwrap().names.is_empty());
}

/// Sort keys above the largest version are no events. A scan skips them, also at the end of a page.
async fn a_page_may_end_at_a_cache_item(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let mut written = BTreeSet::new();
    for index in 0..10 {
        let stream = stream(&format!("{index}"));
        // Two for each stream, so that a page ends with one of them, with or without the item that
        // exceeds the limit.
        for above in 1..=2 {
            let cache = [
                ("stream_id", AttributeValue::S(stream.to_string())),
                ("version", AttributeValue::N((MAX_VERSION + above).to_string())),
                ("state", AttributeValue::S("s".repeat(200_000))),
            ];
            table.put(cache.map(|(name, value)| (name.to_owned(), value)).into()).await;
        }
        written.insert(begin(&process, stream).await);
    }
    let (met, pages) = read_all(&table, 1).await;
    assert!(pages >= 3, "4 MB in {pages} pages");
    assert!(met.keys().eq(written.iter()));
    let names = process.store.streams(2, |_| ()).await.unwrap().names;
    assert_eq!(names.len(), 10);
    let walks = futures::stream::iter(&names).then(|name| process.store.verify(name));
    let walks: Vec<_> = walks.try_collect().await.unwrap();
    assert!(walks.iter().all(|walk| walk.verified() && walk.commits == 1));
}
