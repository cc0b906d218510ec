//! A stale cache never makes an answer wrong. (Costs: `metering/budget.rs`.)

use crate::store::{Engine, Refusal, Tally, TallyEvent, count, request, stream};
use eventstore::{CommandRequest, ExecuteError, HandlerOptions, Options};

cases!(
    a_command_on_a_stale_cache_is_put_after_newer_commits,
    a_refusal_on_a_cached_state_is_decided_again,
    an_outdated_expected_version_is_refused,
    the_cache_is_bounded,
    a_command_too_large_on_a_cached_state_is_decided_again,
    a_created_stream_is_cached,
);

async fn a_created_stream_is_cached(engine: &Engine) {
    let process = engine.table().await.warm_process();
    process.open(&stream("s"), "opening").await.unwrap();
    process.count(&stream("s"), "next", 1).await.unwrap();
    assert_eq!(process.wire.operations(), ["PutItem", "PutItem"]);
}

async fn a_command_on_a_stale_cache_is_put_after_newer_commits(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    process.open(&stream, "opening").await.unwrap();
    table.process().count(&stream, "elsewhere", 5).await.unwrap();
    process.wire.take();
    let handled = process.count(&stream, "here", 1).await.unwrap();
    assert_eq!((handled.version, handled.lost_races), (3, 1));
    assert_eq!(
        process.wire.operations(),
        ["PutItem", "PutItem"],
        "the refused put returned the missing commit"
    );
    // The other process handled it, so this is a retry.
    let there = table.process().count(&stream, "there", 2).await.unwrap();
    let again = process.count(&stream, "there", 2).await.unwrap();
    assert_eq!((again.replayed, again.version), (true, there.version));
    assert_eq!(process.tally(&stream).await.total, 8);
}

async fn a_refusal_on_a_cached_state_is_decided_again(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    process.open(&stream, "opening").await.unwrap();
    // On the cached state it is a no-op; on the current one, the tally is closed.
    table.process().close(&stream, "closing").await.unwrap();
    process.wire.take();
    let refused = process.count(&stream, "late", 0).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(Refusal::Closed))), "{refused:?}");
    let reads = process.wire.take();
    assert_eq!((reads.len(), &reads[0].request["ConsistentRead"]), (1, &true.into()));
    // The other way round: the cached state refuses, and the current one accepts.
    let unless_closed = |tally: &Tally| {
        if tally.closed { count(1)(&Tally::default()) } else { Err(Refusal::OpenAlready) }
    };
    let other = crate::store::stream("t");
    process.open(&other, "opening").await.unwrap();
    table.process().close(&other, "closing").await.unwrap();
    let handled =
        process.tallies.handle(request(&other, "after", "after"), unless_closed).await.unwrap();
    assert_eq!(handled.version, 3);
}

async fn an_outdated_expected_version_is_refused(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    process.open(&stream, "opening").await.unwrap();
    table.process().count(&stream, "elsewhere", 5).await.unwrap();
    let expecting =
        |version| CommandRequest { expected_version: Some(version), ..request(&stream, "c", "c") };
    let refused = process.execute(&expecting(1), 1).await;
    assert!(
        matches!(refused, Err(ExecuteError::VersionMismatch { expected: 1, actual: 2 })),
        "{refused:?}"
    );
    table.process().count(&stream, "elsewhere-again", 5).await.unwrap();
    let handled = process.execute(&expecting(3), 1).await.unwrap();
    assert_eq!(handled.version, 4, "right on the current state, though not on the cached one");
}

async fn a_command_too_large_on_a_cached_state_is_decided_again(engine: &Engine) {
    let table = engine.table().await;
    let (stream, process) = (stream("s"), table.warm_process());
    process.open(&stream, "opening").await.unwrap();
    table.process().close(&stream, "closing").await.unwrap();
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(700_000).collect();
    let decide = move |tally: &Tally| {
        let text = if tally.closed { "little".to_owned() } else { noise.clone() };
        Ok(vec![TallyEvent::Noted { text }])
    };
    let handled = process.tallies.handle(request(&stream, "note", "note"), decide).await.unwrap();
    assert_eq!(handled.version, 3);
}

async fn the_cache_is_bounded(engine: &Engine) {
    let table = engine.table().await;
    let memory = HandlerOptions { cached_streams: 2, ..HandlerOptions::default() };
    let process = table.process_that_remembers(Options::default(), memory);
    for key in ["a", "b", "c"] {
        process.open(&stream(key), "opening").await.unwrap();
    }
    process.wire.take();
    for (key, operations) in
        [("c", &["PutItem"][..]), ("b", &["PutItem"]), ("a", &["Query", "PutItem"])]
    {
        process.count(&stream(key), "next", 1).await.unwrap();
        assert_eq!(process.wire.operations(), operations, "{key}");
    }
}
