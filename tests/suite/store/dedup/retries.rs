//! Retries of a command: concurrent, later, much later, and with another fingerprint.

use crate::store::{Engine, Refusal, id_made_at, metadata, new_commit, note, request, stream};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    AppendError, CommandRequest, Consistency, ExecuteError, Head, Id, NewCommit, Options,
};
use futures::future::join_all;
use std::sync::Arc;
use std::time::SystemTime;

cases!(
    a_command_can_be_retried_after_a_hundred_others,
    a_command_from_the_future_is_not_written,
    a_refused_command_may_be_tried_again,
    a_retried_command_is_found_within_a_batch_of_several,
    a_retry_that_loses_to_its_own_commit_is_a_retry,
    an_id_is_known_to_its_own_stream_only,
    an_id_of_the_systems_may_be_ahead_of_the_clock,
    a_no_op_records_nothing,
    sixty_four_at_once_are_one_command,
    the_same_command_in_the_same_millisecond_is_still_a_retry,
    the_same_id_for_another_command_is_refused,
    the_same_id_for_another_command_is_refused_when_racing,
    what_is_recorded_under_an_id_of_the_systems_is_done,
);

async fn sixty_four_at_once_are_one_command(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    table.process().open(&stream, "opening").await.unwrap();
    let processes: Vec<_> = std::iter::repeat_with(|| table.process()).take(4).collect();
    let tries = (0..64).map(|index| processes[index % 4].count(&stream, "one", 5));
    let handled: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    let commit = handled[0].commit.as_ref().unwrap();
    assert!(
        handled
            .iter()
            .all(|other| other.version == 2 && other.commit.as_ref().unwrap().hash == commit.hash)
    );
    assert_eq!(handled.iter().filter(|other| !other.replayed).count(), 1);
    let tally = processes[0].tally(&stream).await;
    assert_eq!((tally.total, tally.events), (5, 2));
}

async fn a_command_can_be_retried_after_a_hundred_others(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let opened = process.open(&stream, "opening").await.unwrap();
    let counted = process.count(&stream, "old", 7).await.unwrap();
    let mut others = 0;
    for until in [1, 100] {
        for number in others..until {
            process.count(&stream, &format!("c{number}"), 1).await.unwrap();
        }
        others = until;
        process.wire.take();
        for (first, again) in [
            (&opened, process.open(&stream, "opening").await.unwrap()),
            (&counted, process.count(&stream, "old", 7).await.unwrap()),
        ] {
            assert!(again.replayed);
            assert_eq!(again.version, first.version);
            assert_eq!(again.commit.unwrap().hash, first.commit.as_ref().unwrap().hash);
        }
        // The list of ids locates the older one. The refused put finds the opening.
        let reads = if until == 1 { 1 } else { 2 };
        assert_eq!(process.wire.operations().len(), 1 + reads);
    }
    assert_eq!(process.tally(&stream).await.total, 107);
}

async fn a_retried_command_is_found_within_a_batch_of_several(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let commits = ["a", "b", "c"].map(|command| NewCommit {
        metadata: metadata(command, "count 1"),
        events: vec![note(command), note(command)],
    });
    process.put_behind(&stream, commits.to_vec()).await;
    for (command, version) in [("a", 2), ("b", 4), ("c", 6)] {
        let again = process.count(&stream, command, 1).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.version, version);
        let creating = CommandRequest { creates: true, ..request(&stream, command, "count 1") };
        let again = process.execute(&creating, 1).await.unwrap();
        assert_eq!((again.replayed, again.version), (true, version));
    }
    assert_eq!(process.load(&stream).await.head.version(), 6);
}

async fn the_same_id_for_another_command_is_refused(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    process.open(&stream, "opening").await.unwrap();
    process.count(&stream, "one", 5).await.unwrap();
    let refused = process.count(&stream, "one", 6).await;
    assert!(
        matches!(&refused, Err(ExecuteError::CommandIdReused(id)) if id.as_str() == "one"),
        "{refused:?}"
    );
    let refused = process.close(&stream, "opening").await;
    assert!(
        matches!(&refused, Err(ExecuteError::CommandIdReused(id)) if id.as_str() == "opening"),
        "{refused:?}"
    );
    assert_eq!(process.load(&stream).await.head.version(), 2);
}

async fn the_same_id_for_another_command_is_refused_when_racing(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let stream = stream("s");
    process.open(&stream, "opening").await.unwrap();
    let tries = (1..=8).map(|number| process.count(&stream, "one", number));
    let answers = join_all(tries).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let reused = |answer: &_| matches!(answer, Err(ExecuteError::CommandIdReused(_)));
    assert_eq!(answers.iter().filter(|answer| reused(*answer)).count(), 7);
    assert_eq!(process.load(&stream).await.head.version(), 2);
}

/// A new release may serialise the command differently, so its fingerprint differs.
async fn what_is_recorded_under_an_id_of_the_systems_is_done(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let id = Id::of_process(uuid::Uuid::now_v7());
    let first = table.process().count(&stream, id.as_str(), 1).await.unwrap();
    for (again, number) in [(table.process(), 2), (table.process(), 1)] {
        let handled = again.count(&stream, id.as_str(), number).await.unwrap();
        assert!(handled.replayed);
        assert_eq!(handled.commit.unwrap().hash, first.commit.as_ref().unwrap().hash);
    }
    let commit = NewCommit { metadata: metadata(id.as_str(), "other"), ..new_commit("x", &["x"]) };
    let appended = table.process().store.append(&Head::empty(&stream), vec![commit]).await.unwrap();
    assert!(appended.repeated);
    assert_eq!(table.process().load(&stream).await.head.version(), 1);
}

/// The time in the id is the cause's, recorded by another machine.
async fn an_id_of_the_systems_may_be_ahead_of_the_clock(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let ahead = id_made_at(DateTime::<Utc>::from(SystemTime::now()) + TimeDelta::hours(1));
    let id = format!("~process:{ahead}");
    let first = table.process().count(&stream, &id, 1).await.unwrap();
    let again = table.process().count(&stream, &id, 1).await.unwrap();
    assert_eq!((first.replayed, again.replayed, again.version), (false, true, 1));
}

async fn an_id_is_known_to_its_own_stream_only(engine: &Engine) {
    let process = engine.table().await.process();
    for key in ["a", "b"] {
        let handled = process.count(&stream(key), "one", 5).await.unwrap();
        assert!(!handled.replayed);
    }
}

async fn a_refused_command_may_be_tried_again(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    process.close(&stream, "closing").await.unwrap();
    process.wire.take();
    for _ in 0..2 {
        let refused = process.count(&stream, "late", 1).await;
        assert!(matches!(refused, Err(ExecuteError::Refused(Refusal::Closed))), "{refused:?}");
    }
    assert!(process.wire.operations().iter().all(|operation| operation == "Query"));
    let again = process.close(&stream, "late").await.unwrap();
    assert_eq!(
        (again.commit.is_none(), again.version),
        (true, 1),
        "the refusal left no trace of its id"
    );
}

async fn a_no_op_records_nothing(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    for version in 0..2 {
        let handled = process.count(&stream, "idle", 0).await.unwrap();
        assert!(handled.commit.is_none());
        assert_eq!((handled.version, handled.replayed), (version, false));
        assert_eq!(process.load(&stream).await.head.version(), version);
        process.count(&stream, "busy", 1).await.unwrap();
    }
}

/// With one attempt, it loses the race to its own commit. That is the answer, without another
/// attempt.
async fn a_retry_that_loses_to_its_own_commit_is_a_retry(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process_with(Options { max_attempts: 1, ..Options::default() });
    let stream = stream("s");
    let first = process.open(&stream, "opening").await.unwrap();
    let again = process.open(&stream, "opening").await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.commit.unwrap().hash, first.commit.unwrap().hash);
    let other = process.open(&stream, "another").await;
    assert!(matches!(other, Err(ExecuteError::Refused(Refusal::OpenAlready))), "{other:?}");
}

async fn a_command_from_the_future_is_not_written(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let skew = Options::default().max_skew;
    let now = DateTime::<Utc>::from(SystemTime::now());
    let ahead = id_made_at(now + skew + TimeDelta::minutes(1));
    let refused = process.count(&stream("s"), ahead.as_str(), 1).await;
    let Err(ExecuteError::ClockSkew(ahead_of_clock)) = refused else { panic!("{refused:?}") };
    assert_eq!(ahead_of_clock.command_id, ahead);
    assert_eq!(
        process.wire.operations(),
        ["Query"; 2],
        "it might have been recorded where the clock is ahead"
    );
    process
        .count(&stream("s"), id_made_at(now + skew - TimeDelta::minutes(1)).as_str(), 1)
        .await
        .unwrap();
    let (head, _) = process.store.head(&stream("s"), Consistency::Strong).await.unwrap();
    let commit = NewCommit { metadata: metadata(ahead.as_str(), "x"), ..new_commit("x", &["x"]) };
    let refused = process.store.append(&head, vec![commit]).await;
    assert!(matches!(refused, Err(AppendError::ClockSkew(_))), "{refused:?}");
}

/// Both write the same bytes. The write nonce shows which put won.
async fn the_same_command_in_the_same_millisecond_is_still_a_retry(engine: &Engine) {
    let table = engine.table().await;
    let now = chrono::DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
    let frozen =
        || table.process_with(Options { clock: Arc::new(move || now), ..Options::default() });
    let (first, second) = (frozen(), frozen());
    let opened = first.open(&stream("s"), "opening").await.unwrap();
    let again = second.open(&stream("s"), "opening").await.unwrap();
    assert_eq!((opened.replayed, again.replayed), (false, true));
    assert_eq!(opened.commit.unwrap().hash, again.commit.unwrap().hash);
}
