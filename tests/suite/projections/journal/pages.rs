//! Reading from a position, waiting for more, and listing streams.

use super::{append, items, process, stored, stream, write};
use crate::harness::stack::TestStack;
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{Item, StreamId};
use projections::journal::{JournalError, StreamsPage};
use std::time::Duration;

#[tokio::test]
async fn a_page_begins_after_any_position() {
    let stack = TestStack::start().await;
    let a = stream("a");
    let all = write(&stack, &a, 230).await;
    append(&process(&stack), &all).await;
    let journal = stack.system().journal();
    for (after, limit, first, last) in [
        (0, 1, 1, 1),
        (0, 100, 1, 100),
        (99, 3, 100, 102),
        (100, 1_000, 101, 230),
        (229, 9, 230, 230),
    ] {
        let page = journal.page(1, after, limit).await.unwrap();
        let positions: Vec<u64> = page.entries.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, (first..=last).collect::<Vec<_>>(), "{limit} after {after}");
        assert_eq!((page.next, page.end), (last, 230));
        assert!(page.entries.iter().all(|(position, entry)| entry.version == *position));
    }
    let page = journal.page(1, 230, 10).await.unwrap();
    assert_eq!((page.entries.len(), page.next, page.end), (0, 230, 230));
    let entry = journal.entry(1, 150).await.unwrap().unwrap();
    assert_eq!((entry.version, entry.previous), (150, Some(149)));
    assert_eq!(journal.entry(1, 231).await.unwrap(), None);
    for beyond in [231, 100_000, 100_001, u64::MAX - 1] {
        let error = journal.page(1, beyond, 10).await.unwrap_err();
        assert!(matches!(error, JournalError::BeyondEnd { end: 230 }), "{beyond}: {error}");
    }
    let empty = journal.page(2, 0, 10).await.unwrap();
    assert_eq!((empty.entries.len(), empty.next, empty.end), (0, 0, 0));
}

/// Puts a batch of 100 positions that end there past the library.
async fn put_batch(stack: &TestStack, template: &Item, last: u64) {
    let (first, mut item) = (last - 99, template.clone());
    let entries: Vec<_> = (0..100)
        .map(|number| (format!("old-{number}"), last, last, "A".repeat(43), None::<u64>))
        .collect();
    let partition = format!("1/journal/{}", (first - 1) / 100_000);
    item.insert("partition".to_owned(), AttributeValue::S(partition));
    item.insert("place".to_owned(), AttributeValue::S(format!("{first:018}")));
    item.insert("entries".to_owned(), AttributeValue::S(serde_json::to_string(&entries).unwrap()));
    let request = stack.clients().dynamodb.put_item().table_name(stack.names.journal());
    request.set_item(Some(item)).send().await.unwrap();
}

#[tokio::test]
async fn a_range_ends_with_a_batch() {
    for full_ranges in [0_u64, 1, 2, 5] {
        let stack = TestStack::start().await;
        let a = stream("a");
        let all = write(&stack, &a, 150).await;
        append(&process(&stack), &all[..1]).await;
        let items = items(&stack).await;
        let template = items.iter().find(|item| item.contains_key("entries")).unwrap();
        let end = full_ranges * 100_000 + 99_950;
        for last in (1..=full_ranges).map(|range| range * 100_000).chain([end]) {
            put_batch(&stack, template, last).await;
        }
        append(&process(&stack), &all[1..]).await;
        let added: Vec<u64> =
            stored(&stack, 1).await.into_keys().filter(|position| *position > end).collect();
        assert_eq!(added, (end + 1..=end + 149).collect::<Vec<_>>());
        let journal = stack.system().journal();
        assert_eq!(journal.end(1).await.unwrap(), end + 149);
        let mut after = end;
        let mut versions = Vec::new();
        while after < end + 149 {
            let page = journal.page(1, after, 1_000).await.unwrap();
            versions.extend(page.entries.iter().map(|(_, entry)| entry.version));
            assert!(page.next > after);
            after = page.next;
        }
        assert_eq!(versions, (2..=150).collect::<Vec<_>>(), "{full_ranges} full ranges");
        let beyond = journal.page(1, end + 150, 10).await.unwrap_err();
        assert!(matches!(beyond, JournalError::BeyondEnd { .. }));
    }
}

#[tokio::test]
async fn a_reader_that_waits_gets_the_next_commit() {
    let stack = TestStack::start().await;
    let a = stream("a");
    let all = write(&stack, &a, 3).await;
    let system = stack.system();
    append(&system.projector(), &all[..1]).await;
    let journal = system.journal();
    journal.wait(1, 1, Duration::ZERO).await.unwrap();
    journal.wait(1, 0, Duration::from_secs(600)).await.unwrap();
    // By a writer of this process, and by one of another.
    for (after, writer) in [(1, system.projector()), (2, process(&stack))] {
        let batch = &all[usize::try_from(after).unwrap()..][..1];
        let waiting = journal.wait(1, after, Duration::from_secs(600));
        let (waited, ()) = tokio::join!(waiting, append(&writer, batch));
        waited.unwrap();
        assert_eq!(journal.page(1, after, 10).await.unwrap().next, after + 1);
    }
}

#[tokio::test]
async fn streams_are_listed_by_name_and_in_pages() {
    let stack = TestStack::start().await;
    let writer = process(&stack);
    let mut names = Vec::new();
    for number in 0..40 {
        let name = stream(&format!("{}{number}", if number % 2 == 0 { "even~" } else { "odd" }));
        append(&writer, &write(&stack, &name, 1 + number % 3).await).await;
        names.push((name, 1 + number % 3));
    }
    append(&writer, &write(&stack, &StreamId::new("notes-1").unwrap(), 1).await).await;
    names.sort();
    let journal = stack.system().journal();
    for (prefix, limit) in [("", 1), ("", 7), ("", 100), ("even", 3), ("odd1", 100), ("zzz", 5)] {
        let expected: Vec<_> =
            names.iter().filter(|(name, _)| name.key().starts_with(prefix)).cloned().collect();
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let StreamsPage { streams, more } =
                journal.streams(1, "note", prefix, after.as_ref(), limit).await.unwrap();
            assert!(streams.len() <= limit);
            after = streams.last().map(|last| last.stream.clone());
            let page = streams.into_iter();
            found.extend(page.map(|found| (found.stream, usize::try_from(found.version).unwrap())));
            if !more {
                break;
            }
        }
        assert_eq!(found, expected, "{prefix} by {limit}");
    }
    // The cursor of another prefix leads nowhere, and backwards neither.
    let after = stream("zzz");
    let page = journal.streams(1, "note", "even", Some(&after), 5).await.unwrap();
    assert_eq!(page, StreamsPage { streams: Vec::new(), more: false });
    let after = stream("aaa");
    let page = journal.streams(1, "note", "odd", Some(&after), 1).await.unwrap();
    assert_eq!(page.streams[0].stream, stream("odd1"));
}
