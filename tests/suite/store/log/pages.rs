//! Reading a stream in pages, forwards and backwards, from any version.

use crate::store::{Act, Engine, Process, new_commit, stream};
use eventstore::{CorruptStream, Damage, Direction, Head, ReadError, StreamId, StreamPage};
use std::sync::Arc;

cases!(
    a_hole_at_the_edge_of_a_page_is_damage,
    a_missing_first_batch_is_damage_in_every_direction,
    a_stream_that_grows_during_a_read_is_no_damage,
    a_hole_within_a_page_is_damage,
    a_limit_of_0_is_a_limit_of_1,
    a_page_ends_after_1_megabyte,
    a_page_has_as_many_events_as_asked_for_and_its_commits_whole,
    a_read_can_begin_in_the_middle_of_a_batch_and_of_a_commit,
    an_empty_stream_is_an_empty_last_page,
    an_item_at_the_end_of_a_page_is_not_read_twice,
    beyond_the_end_there_is_nothing,
    items_near_the_largest_are_read_one_by_one_across_pages,
    pages_put_together_are_the_stream,
);

/// Ten events in seven commits in four batches: 1 | 2-3, 4 | 5-7 | 8, 9, 10.
async fn ten_events(process: &Process, stream: &StreamId) {
    let commit =
        |version: u64, events: usize| new_commit(&format!("c{version}"), &vec!["x"; events]);
    let batches = [
        vec![commit(1, 1)],
        vec![commit(2, 2), commit(4, 1)],
        vec![commit(5, 3)],
        vec![commit(8, 1), commit(9, 1), commit(10, 1)],
    ];
    let mut head = Head::empty(stream);
    for batch in batches {
        head = process.append(&head, batch).await.head;
    }
}

/// The commits' first versions, and the start of the next page.
fn place(page: &StreamPage) -> (Vec<u64>, Option<u64>) {
    (page.commits.iter().map(|commit| commit.version).collect(), page.next)
}

async fn read(
    process: &Process,
    from: u64,
    direction: Direction,
    limit: u32,
) -> (Vec<u64>, Option<u64>) {
    place(&process.store.read(&stream("s"), from, direction, limit).await.unwrap())
}

async fn an_empty_stream_is_an_empty_last_page(engine: &Engine) {
    let process = engine.table().await.process();
    for direction in [Direction::Forwards, Direction::Backwards] {
        for from in [0, 1, 5, u64::MAX] {
            assert_eq!(
                read(&process, from, direction, 10).await,
                (vec![], None),
                "{direction:?} from {from}"
            );
        }
    }
}

async fn a_page_has_as_many_events_as_asked_for_and_its_commits_whole(engine: &Engine) {
    let process = engine.table().await.process();
    ten_events(&process, &stream("s")).await;
    let forwards = [
        (1, 1, vec![1], Some(2)),
        (1, 2, vec![1, 2], Some(4)),
        (1, 3, vec![1, 2], Some(4)),
        (1, 4, vec![1, 2, 4], Some(5)),
        (5, 1, vec![5], Some(8)),
        (0, 2, vec![1, 2], Some(4)),
        (1, 10, vec![1, 2, 4, 5, 8, 9, 10], None),
        (1, u32::MAX, vec![1, 2, 4, 5, 8, 9, 10], None),
    ];
    for (from, limit, commits, next) in forwards {
        assert_eq!(
            read(&process, from, Direction::Forwards, limit).await,
            (commits, next),
            "{limit} from {from}"
        );
    }
    let backwards = [
        (10, 1, vec![10], Some(9)),
        (u64::MAX, 2, vec![10, 9], Some(8)),
        (10, 4, vec![10, 9, 8, 5], Some(4)),
        (4, 2, vec![4, 2], Some(1)),
        (1, 1, vec![1], None),
        (10, 100, vec![10, 9, 8, 5, 4, 2, 1], None),
    ];
    for (from, limit, commits, next) in backwards {
        assert_eq!(
            read(&process, from, Direction::Backwards, limit).await,
            (commits, next),
            "{limit} back from {from}"
        );
    }
}

async fn a_read_can_begin_in_the_middle_of_a_batch_and_of_a_commit(engine: &Engine) {
    let process = engine.table().await.process();
    ten_events(&process, &stream("s")).await;
    let forwards = [(3, vec![2, 4]), (4, vec![4, 5]), (6, vec![5]), (7, vec![5]), (9, vec![9, 10])];
    for (from, commits) in forwards {
        assert_eq!(
            read(&process, from, Direction::Forwards, 2 + u32::from(from == 3)).await.0,
            commits,
            "from {from}"
        );
    }
    let backwards = [(3, vec![2]), (6, vec![5]), (9, vec![9, 8]), (8, vec![8, 5])];
    for (from, commits) in backwards {
        assert_eq!(
            read(&process, from, Direction::Backwards, 2).await.0,
            commits,
            "back from {from}"
        );
    }
}

async fn beyond_the_end_there_is_nothing(engine: &Engine) {
    let process = engine.table().await.process();
    ten_events(&process, &stream("s")).await;
    for from in [11, 12, u64::MAX] {
        assert_eq!(read(&process, from, Direction::Forwards, 5).await, (vec![], None));
    }
    assert_eq!(read(&process, 10, Direction::Forwards, 5).await, (vec![10], None));
}

async fn a_limit_of_0_is_a_limit_of_1(engine: &Engine) {
    let process = engine.table().await.process();
    ten_events(&process, &stream("s")).await;
    assert_eq!(read(&process, 5, Direction::Forwards, 0).await, (vec![5], Some(8)));
    assert_eq!(read(&process, 4, Direction::Backwards, 0).await, (vec![4], Some(3)));
}

/// Reads all pages and returns the first version of each commit.
async fn walk(process: &Process, direction: Direction, limit: u32) -> Vec<u64> {
    let mut commits = Vec::new();
    let mut next = Some(if direction == Direction::Forwards { 1 } else { u64::MAX });
    while let Some(from) = next {
        let (page, then) = read(process, from, direction, limit).await;
        assert!(!page.is_empty() || then.is_none(), "a page without a commit is the last");
        commits.extend(page);
        next = then;
    }
    commits
}

async fn pages_put_together_are_the_stream(engine: &Engine) {
    let process = engine.table().await.process();
    ten_events(&process, &stream("s")).await;
    let mut commits = [1, 2, 4, 5, 8, 9, 10];
    for limit in 1..=11 {
        assert_eq!(
            walk(&process, Direction::Forwards, limit).await,
            commits,
            "{limit} events a page"
        );
    }
    commits.reverse();
    for limit in 1..=11 {
        assert_eq!(
            walk(&process, Direction::Backwards, limit).await,
            commits,
            "{limit} events a page"
        );
    }
}

async fn a_page_ends_after_1_megabyte(engine: &Engine) {
    let process = engine.table().await.process();
    let mut head = Head::empty(&stream("s"));
    let mut chance = fastrand::Rng::with_seed(1);
    for index in 0..8 {
        let noise: String =
            std::iter::repeat_with(|| chance.alphanumeric()).take(400_000).collect();
        head = process.append(&head, vec![new_commit(&format!("c{index}"), &[&noise])]).await.head;
    }
    let (first, next) = read(&process, 1, Direction::Forwards, 1_000).await;
    assert!((2..=5).contains(&first.len()), "{} commits of 300 KB in a page", first.len());
    assert_eq!(next, first.last().map(|version| version + 1));
    assert_eq!(walk(&process, Direction::Forwards, 1_000).await, (1..=8).collect::<Vec<_>>());
    assert_eq!(
        walk(&process, Direction::Backwards, 1_000).await,
        (1..=8).rev().collect::<Vec<_>>()
    );
}

/// The limit equals the number of items left, so DynamoDB does not know that nothing follows.
async fn an_item_at_the_end_of_a_page_is_not_read_twice(engine: &Engine) {
    let process = engine.table().await.process();
    let mut head = Head::empty(&stream("s"));
    for version in 1..=12 {
        head = process.append(&head, vec![new_commit(&format!("c{version}"), &["x"])]).await.head;
    }
    for limit in [1, 2, 3, 4, 6, 12] {
        assert_eq!(
            walk(&process, Direction::Forwards, limit).await,
            (1..=12).collect::<Vec<_>>(),
            "{limit} a page"
        );
        assert_eq!(
            walk(&process, Direction::Backwards, limit).await,
            (1..=12).rev().collect::<Vec<_>>()
        );
    }
}

/// Two items of 390 KB are less than 1 MB and three are more. A page ends between two items.
async fn items_near_the_largest_are_read_one_by_one_across_pages(engine: &Engine) {
    let process = engine.table().await.process();
    let mut head = Head::empty(&stream("s"));
    let mut chance = fastrand::Rng::with_seed(390);
    for index in 0..5 {
        let noise: String =
            std::iter::repeat_with(|| chance.alphanumeric()).take(520_000).collect();
        head = process.append(&head, vec![new_commit(&format!("c{index}"), &[&noise])]).await.head;
    }
    let sizes = process.wire.take();
    let sizes = sizes
        .iter()
        .map(|put| put.request["Item"]["commits_zstd"]["B"].as_str().unwrap().len() * 3 / 4);
    assert!(sizes.into_iter().all(|size| (385_000..400_000).contains(&size)));
    let loaded = process.load(&stream("s")).await;
    assert!(process.wire.operations().len() >= 2, "2 MB do not fit into a page");
    assert_eq!(loaded.head, head);
    for limit in [1, 1_000] {
        assert_eq!(walk(&process, Direction::Forwards, limit).await, [1, 2, 3, 4, 5]);
        assert_eq!(walk(&process, Direction::Backwards, limit).await, [5, 4, 3, 2, 1]);
    }
    assert!(process.store.verify(&stream("s")).await.unwrap().verified());
}

fn hole(version: u64, found: u64) -> CorruptStream {
    CorruptStream { stream: "tally-s".into(), version, damage: Damage::Hole { found } }
}

async fn a_hole_within_a_page_is_damage(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    ten_events(&process, &stream("s")).await;
    table.delete(&stream("s"), 5).await;
    for (direction, from) in [(Direction::Forwards, 1), (Direction::Backwards, 10)] {
        let page = process.store.read(&stream("s"), from, direction, 10).await;
        let Err(ReadError::Corrupt(damaged)) = page else { panic!("{page:?}") };
        assert_eq!(damaged, hole(5, 8));
    }
}

/// Following `next` must not skip the gap.
async fn a_hole_at_the_edge_of_a_page_is_damage(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    ten_events(&process, &stream("s")).await;
    table.delete(&stream("s"), 5).await;
    assert_eq!(read(&process, 4, Direction::Forwards, 1).await, (vec![4], Some(5)));
    for from in 5..=7 {
        let page = process.store.read(&stream("s"), from, Direction::Forwards, 4).await;
        let Err(ReadError::Corrupt(damaged)) = page else { panic!("{page:?}") };
        assert_eq!(damaged, hole(from, 8));
    }
    assert_eq!(read(&process, 8, Direction::Backwards, 1).await, (vec![8], Some(7)));
    for (from, limit) in [(7, 4), (6, 1), (5, 100)] {
        let page = process.store.read(&stream("s"), from, Direction::Backwards, limit).await;
        let Err(ReadError::Corrupt(damaged)) = page else { panic!("{page:?}") };
        assert_eq!(damaged, hole(5, 8));
    }
}

async fn a_missing_first_batch_is_damage_in_every_direction(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    ten_events(&process, &stream("s")).await;
    table.delete(&stream("s"), 1).await;
    // The last reads end exactly at the first remaining batch, or before it.
    for (from, limit) in [(10, 100), (10, 9), (4, 3), (1, 1)] {
        let mut next = Some(from);
        let damaged = loop {
            match process.store.read(&stream("s"), next.unwrap(), Direction::Backwards, limit).await
            {
                Ok(page) => next = page.next,
                Err(ReadError::Corrupt(damaged)) => break damaged,
                Err(error) => panic!("{error:?}"),
            }
        };
        assert_eq!(damaged, hole(1, 2), "back from {from}, {limit} events a page");
    }
    let page = process.store.read(&stream("s"), 1, Direction::Forwards, 3).await;
    let Err(ReadError::Corrupt(damaged)) = page else { panic!("{page:?}") };
    assert_eq!(damaged, hole(1, 2));
}

/// A backward read from beyond the end makes two requests. The stream may grow past that version
/// between them.
async fn a_stream_that_grows_during_a_read_is_no_damage(engine: &Engine) {
    let table = engine.table().await;
    let (process, other) = (table.process(), Arc::new(table.process()));
    ten_events(&process, &stream("s")).await;
    process.wire.take();
    process.wire.rule(move |seen| {
        let other = Arc::clone(&other);
        async move {
            if seen.operation == "Query" && seen.nth == 1 {
                other.put_behind(&stream("s"), vec![new_commit("c11", &["x"; 3])]).await;
                other.put_behind(&stream("s"), vec![new_commit("c14", &["x"])]).await;
            }
            Act::Pass
        }
    });
    assert_eq!(read(&process, 12, Direction::Backwards, 3).await, (vec![10, 9, 8], Some(7)));
    assert_eq!(process.wire.operations(), ["Query", "Query", "Query"]);
}
