//! Streams longer than any page, and streams at the largest version.

use crate::store::{Engine, Process, Table, new_commit, request, stream};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{
    Batch, Consistency, Direction, Head, MAX_VERSION, NewCommit, StreamId, StreamPage,
};

cases!(
    a_stream_of_100_000_events_is_read_verified_and_appended,
    every_page_of_100_000_events_begins_where_requested,
    the_end_of_a_full_stream_can_be_read,
    versions_beyond_4_billion_are_read_and_appended,
);

const BATCHES: u64 = 50;
const COMMITS_A_BATCH: u64 = 20;
const EVENTS_A_COMMIT: u64 = 100;
const EVENTS_A_BATCH: u64 = COMMITS_A_BATCH * EVENTS_A_COMMIT;
const EVENTS: u64 = BATCHES * EVENTS_A_BATCH;

/// A commit of notes that hardly compress. Its id is `c` and the version of its first event.
fn commit(first: u64, chance: &mut fastrand::Rng) -> NewCommit {
    let mut text = || format!("{:032x}{:032x}", chance.u128(..), chance.u128(..));
    let texts: Vec<String> = (0..EVENTS_A_COMMIT).map(|_| text()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    new_commit(&format!("c{first}"), &texts)
}

/// A stream of 100,000 events in 1,000 commits in 50 items of more than 3 MB together.
async fn long_stream(table: &Table) -> Head {
    let process = table.process();
    let mut chance = fastrand::Rng::with_seed(100_000);
    let mut head = Head::empty(&stream("long"));
    for _ in 0..BATCHES {
        let first = head.version() + 1;
        let firsts = (0..COMMITS_A_BATCH).map(|index| first + index * EVENTS_A_COMMIT);
        head = process
            .append(&head, firsts.map(|first| commit(first, &mut chance)).collect())
            .await
            .head;
    }
    assert_eq!(head.version(), EVENTS);
    head
}

fn versions(batches: &[Batch]) -> impl Iterator<Item = u64> {
    let commits = batches.iter().flat_map(|batch| &batch.commits);
    commits.flat_map(|commit| &commit.events).map(|event| event.version)
}

async fn a_stream_of_100_000_events_is_read_verified_and_appended(engine: &Engine) {
    let table = engine.table().await;
    let end = long_stream(&table).await;
    let process = table.process();
    let loaded = process.load(end.stream()).await;
    assert!(process.wire.operations().len() >= 3, "it takes several pages");
    assert_eq!(loaded.head, end);
    assert!(versions(&loaded.batches).eq(1..=EVENTS));
    let walk = process.store.verify(end.stream()).await.unwrap();
    assert!(walk.verified());
    assert_eq!(
        (walk.commits, walk.version(), walk.hash()),
        (BATCHES * COMMITS_A_BATCH, end.version(), end.hash())
    );
    let (head, usage) = process.store.head(end.stream(), Consistency::Strong).await.unwrap();
    assert_eq!((&head, usage.requests), (&end, 1), "the end is found without the way there");
    let handled = table.process().count(end.stream(), "onwards", 1).await.unwrap();
    assert_eq!((handled.version, handled.replayed), (EVENTS + 1, false));
    for first in [1, 50_001, EVENTS - 99] {
        let again = table
            .process()
            .execute(&request(end.stream(), format!("c{first}"), &format!("c{first}")), 1)
            .await;
        let again = again.unwrap();
        assert_eq!(
            (again.replayed, again.version),
            (true, first + 99),
            "a command is known however long ago it was"
        );
    }
}

/// The first version of the commit with this version.
fn commit_of(version: u64) -> u64 {
    (version - 1) / EVENTS_A_COMMIT * EVENTS_A_COMMIT + 1
}

fn firsts(page: &StreamPage) -> Vec<u64> {
    page.commits.iter().map(|commit| commit.version).collect()
}

async fn page(
    process: &Process,
    stream: &StreamId,
    from: u64,
    direction: Direction,
    limit: u32,
) -> StreamPage {
    process.store.read(stream, from, direction, limit).await.unwrap()
}

async fn every_page_of_100_000_events_begins_where_requested(engine: &Engine) {
    let table = engine.table().await;
    let end = long_stream(&table).await;
    let (process, long) = (table.process(), end.stream());
    let edges = [1, 100, 101, 1_999, 2_000, 2_001, 49_999, 50_000, 50_001, EVENTS - 1, EVENTS];
    for from in edges {
        let first = commit_of(from);
        let forwards = page(&process, long, from, Direction::Forwards, 1).await;
        let next = Some(first + EVENTS_A_COMMIT).filter(|next| *next <= EVENTS);
        assert_eq!(firsts(&forwards), [first], "one event from {from}");
        assert!(next.is_none() || forwards.next == next, "from {from} on to {:?}", forwards.next);
        let backwards = page(&process, long, from, Direction::Backwards, 1).await;
        let next = Some(first - 1).filter(|next| *next > 0);
        assert_eq!(
            (firsts(&backwards), backwards.next),
            (vec![first], next),
            "one event back from {from}"
        );
    }
    assert_eq!(
        firsts(&page(&process, long, EVENTS + 1, Direction::Forwards, 10).await),
        [0_u64; 0]
    );
    let (mut met, mut next, mut pages) = (Vec::new(), Some(1), 0);
    while let Some(from) = next {
        let page = page(&process, long, from, Direction::Forwards, u32::MAX).await;
        met.extend(firsts(&page));
        (next, pages) = (page.next, pages + 1);
    }
    assert!(pages >= 3, "3 MB in {pages} pages");
    assert!(met.into_iter().eq((1..=EVENTS).step_by(100)), "each commit once and in order");
}

/// A stream whose only item was moved by hand, because no test can write that far.
async fn moved_to(table: &Table, version: u64) -> StreamId {
    let (process, stream) = (table.process(), stream(&format!("at-{version}")));
    process.append(&Head::empty(&stream), vec![new_commit("a", &["x"])]).await;
    let mut item = table.items(&stream).await.remove(0);
    table.delete(&stream, 1).await;
    item.insert("version".into(), AttributeValue::N(version.to_string()));
    table.put(item).await;
    stream
}

async fn the_end_of_a_full_stream_can_be_read(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let full = moved_to(&table, MAX_VERSION).await;
    let (head, _) = process.store.head(&full, Consistency::Strong).await.unwrap();
    assert_eq!(head.version(), MAX_VERSION);
    for consistency in [Consistency::Strong, Consistency::Eventual] {
        let behind = process.store.load_after(&head, consistency).await.unwrap();
        assert_eq!(
            (behind.batches.len(), &behind.head),
            (0, &head),
            "nothing follows the last version"
        );
    }
    for from in [MAX_VERSION, u64::MAX] {
        let last = page(&process, &full, from, Direction::Forwards, 10).await;
        assert_eq!((firsts(&last), last.next), (vec![MAX_VERSION], None), "from {from}");
        // A page of one item. The items before it are missing, which is corruption.
        let last = page(&process, &full, from, Direction::Backwards, 1).await;
        assert_eq!(
            (firsts(&last), last.next),
            (vec![MAX_VERSION], Some(MAX_VERSION - 1)),
            "back from {from}"
        );
    }
}

/// Where versions of 32 bits would overflow, signed or unsigned.
async fn versions_beyond_4_billion_are_read_and_appended(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    for version in [i32::MAX.unsigned_abs().into(), u32::MAX.into()] {
        let far = moved_to(&table, version).await;
        let behind = process.put_behind(&far, vec![new_commit("b", &["y", "z"])]).await;
        assert_eq!((behind.batch.version(), behind.head.version()), (version + 1, version + 2));
        let forwards = page(&process, &far, version, Direction::Forwards, 10).await;
        assert_eq!((firsts(&forwards), forwards.next), (vec![version, version + 1], None));
        let backwards = page(&process, &far, version + 2, Direction::Backwards, 2).await;
        assert_eq!((firsts(&backwards), backwards.next), (vec![version + 1], Some(version)));
        let (head, _) = process.store.head(&far, Consistency::Strong).await.unwrap();
        assert_eq!(head, behind.head);
    }
}
