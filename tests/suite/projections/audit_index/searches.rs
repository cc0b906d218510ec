//! Every kind of search, compared with a plain filter over all commits.

use super::ledger::{AUDIT, Entered, Ledger, all_pages, commit, expected, id, stream};
use crate::harness::depth::full_or;
use crate::harness::faults::FaultInjector;
use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{Direction, NewCommit, StreamId};
use fastrand::Rng;
use projections::TableError;
use projections::TimeLimit;
use projections::audit_index::{AuditCursor, AuditIndex, AuditSearch, IndexEntry, MAX_REQUESTS};

const BOTH: [Direction; 2] = [Direction::Forwards, Direction::Backwards];
const TYPES: [&str; 4] = ["Noted", "Changed", "Closed", "Noted2"];

/// A random commit. Command ids repeat in other streams and, as after an import, in the same one.
fn any_commit(rng: &mut Rng) -> NewCommit {
    let types: Vec<&str> =
        (0..rng.usize(1..5)).map(|_| *rng.choice(TYPES).as_ref().unwrap()).collect();
    let mut commit =
        commit(&format!("command-{}", rng.u8(..30)), &format!("actor-{}", rng.u8(..5)), &types);
    commit.metadata.correlation_id = id(format!("correlation-{}", rng.u8(..6)));
    commit.metadata.causation_id = rng.bool().then(|| id("cause"));
    commit
}

/// Commits of many streams over several days, often several at the same time.
async fn any_history(ledger: &Ledger, rng: &mut Rng, commits: usize) -> Vec<Entered> {
    let streams: Vec<StreamId> =
        ["1", "1#", "10", "a", "b", "b#0000000000000001"].map(stream).into();
    let mut all = Vec::new();
    while all.len() < commits {
        let together = (0..rng.usize(1..4)).map(|_| any_commit(rng)).collect();
        all.extend(ledger.append(rng.choice(&streams).unwrap(), together).await);
        ledger.pass(match rng.u8(..10) {
            0 => TimeDelta::hours(rng.i64(5..30)),
            1..=4 => TimeDelta::zero(),
            _ => TimeDelta::milliseconds(rng.i64(1..2000)),
        });
    }
    all
}

/// A ledger with a history that is indexed in one generation.
async fn indexed(rng: &mut Rng, commits: usize) -> (Ledger, AuditIndex, Vec<IndexEntry>) {
    let ledger = Ledger::start().await;
    let history = any_history(&ledger, rng, commits).await;
    let index = ledger.index();
    ledger.enter(&index, 3, &history).await;
    let all = expected(&history);
    (ledger, index, all)
}

/// The plain filter.
fn filter(all: &[IndexEntry], search: &AuditSearch) -> Vec<IndexEntry> {
    let fits = |found: &&IndexEntry| {
        search.actor.as_ref().is_none_or(|actor| found.actor == *actor)
            && search
                .event_type
                .as_ref()
                .is_none_or(|name| found.event_types.iter().any(|other| other == name))
            && search.command.as_ref().is_none_or(|command| found.command_id == *command)
            && search
                .correlation
                .as_ref()
                .is_none_or(|correlation| found.correlation_id == *correlation)
            && search.from.is_none_or(|from| found.recorded_at >= from)
            && search.to.is_none_or(|to| found.recorded_at < to)
    };
    let mut found: Vec<IndexEntry> = all.iter().filter(fits).cloned().collect();
    if search.direction == Direction::Backwards {
        found.reverse();
    }
    found
}

/// A random search; usually it has results.
fn any_search(rng: &mut Rng, all: &[IndexEntry]) -> AuditSearch {
    let one = rng.choice(all).unwrap().clone();
    let mut time = |near: DateTime<Utc>| match rng.u8(..6) {
        0 => Some(near),
        1 => Some(near + TimeDelta::microseconds(1)),
        2 => Some(near - TimeDelta::hours(rng.i64(0..40))),
        3 => Some(near + TimeDelta::hours(rng.i64(0..40))),
        _ => None,
    };
    let (from, to) = (time(one.recorded_at), time(one.recorded_at));
    let mut maybe = || rng.u8(..3) == 0;
    AuditSearch {
        actor: maybe().then(|| one.actor.clone()),
        event_type: maybe().then(|| one.event_types[0].clone()),
        command: maybe().then(|| one.command_id.clone()),
        correlation: maybe().then(|| one.correlation_id.clone()),
        from,
        to,
        direction: if rng.bool() { Direction::Forwards } else { Direction::Backwards },
        limit: rng.usize(1..all.len() + 2),
        after: None,
        until: None,
        without: None,
    }
}

#[tokio::test]
async fn any_search_finds_exactly_what_a_plain_filter_finds() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let (_ledger, index, all) = indexed(&mut rng, 120).await;
    let mut hits = 0;
    for _ in 0..full_or(150, 30) {
        let search = any_search(&mut rng, &all);
        let expected = filter(&all, &search);
        hits += usize::from(!expected.is_empty());
        assert_eq!(all_pages(&index, 3, &search).await, expected, "seed {seed}, {search:?}");
    }
    assert!(hits > full_or(30, 5), "only {hits} searches had anything to find: seed {seed}");
}

#[tokio::test]
async fn every_limit_pages_through_every_kind_of_search() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let (_ledger, index, all) = indexed(&mut rng, 18).await;
    let one = all[all.len() / 2].clone();
    for direction in BOTH {
        let everything = AuditSearch::all(direction, 1);
        let kinds = [
            everything.clone(),
            AuditSearch { actor: Some(one.actor.clone()), ..everything.clone() },
            AuditSearch { event_type: Some(one.event_types[0].clone()), ..everything.clone() },
            AuditSearch { command: Some(one.command_id.clone()), ..everything.clone() },
            AuditSearch { correlation: Some(one.correlation_id.clone()), ..everything.clone() },
            AuditSearch { from: Some(one.recorded_at), ..everything.clone() },
            AuditSearch { to: Some(one.recorded_at), ..everything },
        ];
        for kind in kinds {
            let expected = filter(&all, &kind);
            for limit in (1..=expected.len() + 1).step_by(full_or(1, 8)) {
                let search = AuditSearch { limit, ..kind.clone() };
                assert_eq!(
                    all_pages(&index, 3, &search).await,
                    expected,
                    "seed {seed}, {search:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_search_ends_at_its_last_place_and_leaves_a_category_out() {
    let mut rng = Rng::new();
    let (ledger, index, all) = indexed(&mut rng, 40).await;
    let read = StreamId::new("access-1").unwrap();
    ledger.pass(TimeDelta::seconds(1));
    let readings = ledger.append(&read, vec![commit("reading", "actor-1", &["Noted"])]).await;
    ledger.enter(&index, 3, &readings).await;
    let everything = AuditSearch::all(Direction::Forwards, 7);
    let newest = index.newest(3, &everything).await.unwrap();
    ledger.pass(TimeDelta::seconds(1));
    let later = ledger.write(&stream("later"), 2).await;
    ledger.enter(&index, 3, &later).await;
    for direction in BOTH {
        let search = AuditSearch { direction, until: Some(newest.clone()), ..everything.clone() };
        let without = AuditSearch { without: Some("access"), ..search.clone() };
        let mut known = [all.clone(), expected(&readings)].concat();
        assert_eq!(all_pages(&index, 3, &search).await, filter(&known, &search));
        known.pop();
        assert_eq!(all_pages(&index, 3, &without).await, filter(&known, &without));
    }
    let (found, of_one) = (all[5].clone(), |search: &AuditSearch| {
        filter(&all, search)
            .last()
            .map(|found| AuditCursor::of(found.recorded_at, &found.stream, found.version))
    });
    for search in [
        AuditSearch { command: Some(found.command_id.clone()), ..everything.clone() },
        AuditSearch { correlation: Some(found.correlation_id.clone()), ..everything.clone() },
    ] {
        assert_eq!(Some(index.newest(3, &search).await.unwrap()), of_one(&search), "{search:?}");
    }
    assert_eq!(
        index.newest(4, &everything).await.unwrap(),
        AuditCursor::beginning(),
        "an empty generation"
    );
}

#[tokio::test]
async fn a_page_continues_in_another_generation() {
    let mut rng = Rng::new();
    let (ledger, index, all) = indexed(&mut rng, 40).await;
    let page = index.search(3, &AuditSearch::all(Direction::Backwards, 15)).await.unwrap();
    let copy = ledger.index();
    for found in &all {
        let read =
            ledger.store.read(&found.stream, found.version, Direction::Forwards, 1).await.unwrap();
        copy.index(&ledger.store, 4, &found.stream, &read.commits, TimeLimit::NONE).await.unwrap();
    }
    let rest = AuditSearch { after: page.next, ..AuditSearch::all(Direction::Backwards, 1000) };
    let rest = copy.search(4, &rest).await.unwrap();
    let mut whole = [page.found, rest.found].concat();
    whole.reverse();
    assert_eq!((whole, rest.next), (all, None));
    let none = copy.search(5, &AuditSearch::all(Direction::Forwards, 10)).await.unwrap();
    assert!(none.found.is_empty() && none.next.is_none());
}

#[tokio::test]
async fn nothing_lies_between_ends_that_are_the_wrong_way_round() {
    let (_ledger, index, all) = indexed(&mut Rng::new(), 10).await;
    let (from, to) = (Some(all[9].recorded_at + TimeDelta::seconds(1)), Some(all[0].recorded_at));
    for direction in BOTH {
        for after in [
            None,
            Some("zzz".to_owned().try_into().unwrap()),
            Some("!".to_owned().try_into().unwrap()),
        ] {
            let everything = AuditSearch::all(direction, 10);
            let kinds = [
                everything.clone(),
                AuditSearch { command: Some(all[0].command_id.clone()), ..everything.clone() },
                AuditSearch { correlation: Some(all[0].correlation_id.clone()), ..everything },
            ];
            for kind in kinds {
                let page = index
                    .search(3, &AuditSearch { from, to, after: after.clone(), ..kind })
                    .await
                    .unwrap();
                assert!(page.found.is_empty() && page.next.is_none());
            }
        }
    }
}

/// All pages of a search over the wire: the results, and the number of pages.
async fn pages_within_bounds(
    index: &AuditIndex,
    wire: &FaultInjector,
    search: &AuditSearch,
) -> (Vec<IndexEntry>, usize) {
    let (mut search, mut found) = (search.clone(), Vec::new());
    for pages in 1..10 {
        let page = index.search(1, &search).await.unwrap();
        let requests = wire.take().len();
        assert!((1..=MAX_REQUESTS).contains(&requests), "{requests} requests");
        found.extend(page.found);
        search.after = page.next;
        if search.after.is_none() {
            return (found, pages);
        }
    }
    panic!("the pages do not end: {search:?}");
}

#[tokio::test]
async fn a_search_beyond_its_budget_continues_on_the_next_page() {
    let ledger = Ledger::start().await;
    let mut history = Vec::new();
    for number in 0..70 {
        let types = if number % 44 == 0 { ["Rare"] } else { ["Noted"] };
        history.extend(
            ledger
                .append(&stream("s"), vec![commit(&format!("c-{number}"), "tester", &types)])
                .await,
        );
        ledger.pass(TimeDelta::days(1));
    }
    ledger.enter(&ledger.index(), 1, &history).await;
    let wire = FaultInjector::default();
    let (_, index) = ledger.process(&wire);
    for direction in BOTH {
        let everything = AuditSearch::all(direction, 10);
        let rare = AuditSearch { event_type: Some("Rare".into()), ..everything.clone() };
        let nobody = AuditSearch { actor: Some(id("nobody")), ..everything };
        for (search, pages) in [(rare, 4), (nobody, 2)] {
            let expected = (filter(&expected(&history), &search), pages);
            assert_eq!(pages_within_bounds(&index, &wire, &search).await, expected, "{search:?}");
        }
    }
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_named() {
    let ledger = Ledger::start().await;
    let history = ledger.write(&stream("s"), 1).await;
    let index = ledger.index();
    ledger.enter(&index, 1, &history).await;
    let mut items = ledger.items().await;
    items.retain(|item| item.contains_key("actor"));
    let mut item = items.remove(0);
    item.insert("actor".into(), AttributeValue::S("two words".into()));
    ledger.client.put_item().table_name(AUDIT).set_item(Some(item)).send().await.unwrap();
    for command in [None, Some(history[0].1.metadata.command_id.clone())] {
        let search = AuditSearch { command, ..AuditSearch::all(Direction::Forwards, 10) };
        let error = index.search(1, &search).await.unwrap_err();
        let TableError::Unreadable(row) = error else { panic!("{error:?}") };
        assert_eq!(row.key, "1/note-s/0 2026-11-22T10:00:00.130Z#note-s#0000000000000001");
    }
}
