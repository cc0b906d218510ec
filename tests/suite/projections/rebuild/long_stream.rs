//! A stream of thousands of events over several pages: slices, pauses, and workers that die within
//! it.

use super::jobs::{Calls, NO_END, ONE_PAGE, assert_exact, counted, finish, projector, ruled, work};
use crate::harness::events::{Writer, raw, stock_of};
use crate::harness::stack::TestStack;
use crate::harness::wire::{Act, Wire};
use bookshop::stock;
use eventstore::{Segment, StreamId};
use fastrand::Rng;
use projections::rebuild::JobKind;

const COMMITS: usize = 50;
const EVENTS: usize = 100;

/// A book that was received one by one, 5,000 times, each with a text that cannot be compressed
/// much.
async fn long_stream(stack: &TestStack) -> StreamId {
    let (book, mut rng) = (stock_of(1), Rng::with_seed(7));
    let mut writer = Writer::new(&stack.store, &book);
    for _ in 0..COMMITS {
        let events = (0..EVENTS).map(|_| {
            let noise: String = std::iter::repeat_with(|| rng.alphanumeric()).take(800).collect();
            raw("StockReceived", 1, &format!(r#"{{"quantity":1,"noise":"{noise}"}}"#))
        });
        writer.append(events.collect()).await;
    }
    book
}

/// The versions at which the pages of the table begin.
async fn pages(stack: &TestStack) -> Vec<u64> {
    let (mut begins, mut cursor) = (Vec::new(), None);
    loop {
        let page = stack.store.scan(Segment { index: 0, total: 1 }, cursor.as_ref()).await.unwrap();
        begins.extend(page.batches.iter().map(|batch| batch.version()).min());
        cursor = page.next;
        if cursor.is_none() {
            return begins;
        }
    }
}

fn scans(wire: &Wire) -> usize {
    wire.operations().iter().filter(|operation| *operation == "Scan").count()
}

#[tokio::test]
async fn a_long_stream_is_rebuilt_page_by_page_across_a_pause() {
    let stack = TestStack::start().await;
    let of = &stock();
    let book = long_stream(&stack).await;
    let pages = pages(&stack).await;
    assert!(pages.len() >= 3 && pages[1] > 1, "pages begin in the middle of a stream: {pages:?}");
    let operator = projector(&stack);
    let (worker, wire) = ruled(&stack);
    let calls = operator.rebuild(of, 1).await.unwrap();
    let pauser = operator.clone();
    wire.rule(move |seen| {
        let pauser = pauser.clone();
        async move {
            if seen.operation == "Scan" && seen.nth == 1 {
                pauser.pause_job(&stock()).await.unwrap();
            }
            Act::Pass
        }
    });
    assert_eq!(
        work(&worker, of, &calls[0], NO_END).await.unwrap(),
        [],
        "no task is sent while it is paused"
    );
    assert_eq!(scans(&wire), 2, "the page in hand is the last one");
    let job = operator.status(of).await.unwrap().job.unwrap();
    assert!(job.paused && job.segments_done == 0 && job.tally.batches > 0, "{job:?}");
    assert!(
        job.tally.events < 5_000 && job.tally.events + 1 >= pages[2],
        "both pages are kept: {job:?}"
    );
    assert_eq!(work(&worker, of, &calls[0], NO_END).await.unwrap(), []);
    assert_eq!(scans(&wire), 0, "a call that comes late does nothing");

    wire.no_rule();
    let calls = operator.resume_job(of).await.unwrap();
    assert_eq!((calls.len(), calls[0].slice, calls[0].resumed), (1, 1, 1));
    let report = finish(&worker, of, calls).await;
    assert_eq!(
        scans(&wire),
        pages.len() - 2 + pages.len(),
        "the rest of the backfill, and the proof"
    );
    assert!(report.complete, "{report:?}");
    for tally in [&report.first_pass, &report.last_pass] {
        assert_eq!((counted(tally), tally.batches), ((50, 5_000, 1), 50), "{report:?}");
    }
    assert_exact(&stack, of, 2).await;
    assert_eq!(operator.row(of, &book, 5_000).await.unwrap().unwrap().version, 5_000);
}

#[tokio::test]
async fn a_dead_workers_slice_is_done_again_and_counted_once() {
    let stack = TestStack::start().await;
    let of = &stock();
    long_stream(&stack).await;
    let pages = pages(&stack).await.len();
    let operator = projector(&stack);
    let mut calls = Calls::of(operator.rebuild(of, 1).await.unwrap());
    let (mut deaths, mut read) = (0, 0);
    while let Some(call) = calls.next() {
        let (worker, wire) = ruled(&stack);
        // Every second time, it dies after the slice, before it stores the progress.
        let dies = (deaths + read) % 2 == 0;
        wire.rule(move |seen| {
            let progress = seen.body["Item"]["row"]["S"]
                .as_str()
                .is_some_and(|row| row.starts_with("stock/job/"));
            let act = if dies && progress {
                Act::Answer(400, r#"{"__type":"x#ValidationException"}"#.into())
            } else {
                Act::Pass
            };
            std::future::ready(act)
        });
        match work(&worker, of, &call, ONE_PAGE).await {
            Ok(next) => {
                read += 1;
                calls.send(next);
            }
            Err(_) => {
                deaths += 1;
                calls.again(call);
            }
        }
        assert_eq!(scans(&wire), 1, "a slice is a page here");
    }
    assert_eq!((deaths, read), (2 * pages, 2 * pages), "a finished part is not repeated");
    let report = operator.status(of).await.unwrap().report.unwrap();
    assert_eq!((report.kind, report.complete), (JobKind::Rebuild, true));
    assert_eq!(
        (counted(&report.first_pass), counted(&report.last_pass)),
        ((50, 5_000, 1), (50, 5_000, 1))
    );
    assert_exact(&stack, of, 2).await;
}
