//! After a clock is set back, recorded commands are still found. Only new ones are checked by time.

use crate::store::{Engine, Process, Table, id_made_at, new_commit, stream};
use chrono::{DateTime, TimeDelta, Utc};
use eventstore::{
    AppendAllError, AppendError, ExecuteAllError, ExecuteError, HandlerOptions, Head, Options,
    Part, StreamId,
};
use std::sync::Arc;
use std::time::SystemTime;

cases!(
    a_recorded_append_is_known_again,
    a_recorded_append_to_several_streams_is_known_again,
    a_recorded_command_is_known_again,
    a_recorded_command_over_several_streams_is_known_again,
    a_new_id_is_refused_and_nothing_is_written,
);

/// A process whose clock is this many minutes ahead.
fn process(table: &Table, minutes: i64, cached_streams: usize) -> Process {
    let clock =
        Arc::new(move || DateTime::<Utc>::from(SystemTime::now()) + TimeDelta::minutes(minutes));
    let memory = HandlerOptions { cached_streams, ..HandlerOptions::default() };
    table.process_that_remembers(Options { clock, ..Options::default() }, memory)
}

/// An id from a clock that is an hour ahead.
fn id() -> String {
    id_made_at(DateTime::<Utc>::from(SystemTime::now()) + TimeDelta::minutes(60)).to_string()
}

async fn a_recorded_command_is_known_again(engine: &Engine) {
    let table = engine.table().await;
    let (opening, counting) = (id(), id());
    let (fast, warm, cold) =
        (process(&table, 60, 0), process(&table, 0, 10), process(&table, 0, 0));
    // This process has the stream cached.
    warm.open(&stream("s"), "first").await.unwrap();
    fast.open(&stream("t"), &opening).await.unwrap();
    fast.count(&stream("s"), &counting, 3).await.unwrap();
    for process in [&warm, &cold] {
        let again = process.count(&stream("s"), &counting, 3).await.unwrap();
        assert_eq!((again.replayed, again.version), (true, 2));
        // A creating command does not read first.
        let again = process.open(&stream("t"), &opening).await.unwrap();
        assert_eq!((again.replayed, again.version), (true, 1));
        let reused = process.count(&stream("s"), &counting, 4).await;
        assert!(matches!(reused, Err(ExecuteError::CommandIdReused(_))), "{reused:?}");
    }
}

async fn a_recorded_append_is_known_again(engine: &Engine) {
    let table = engine.table().await;
    let (fast, right, id) = (process(&table, 60, 0), process(&table, 0, 0), id());
    let first = fast.append(&Head::empty(&stream("s")), vec![new_commit(&id, &["x"])]).await;
    let again = right.append(&Head::empty(&stream("s")), vec![new_commit(&id, &["x"])]).await;
    assert_eq!((again.repeated, again.head.hash()), (true, first.head.hash()));
    // Another commit exists, so the writer has to compare it.
    let other = vec![new_commit(&self::id(), &["x"])];
    let lost = right.store.append(&Head::empty(&stream("s")), other).await;
    assert!(matches!(lost, Err(AppendError::Conflict { .. })), "{lost:?}");
}

async fn a_recorded_append_to_several_streams_is_known_again(engine: &Engine) {
    let table = engine.table().await;
    let (fast, right, id) = (process(&table, 60, 0), process(&table, 0, 0), id());
    let parts = || {
        ["a", "b"]
            .map(|key| Part {
                head: Head::empty(&stream(key)),
                events: vec![crate::store::note("x")],
            })
            .to_vec()
    };
    let first = fast.append_all(&id, parts()).await.unwrap();
    let again = right.append_all(&id, parts()).await.unwrap();
    crate::store::transaction::append_all_retries::assert_same(&first, &again);
    let refused = right
        .append_all(
            &self::id(),
            vec![Part { head: Head::empty(&stream("c")), ..parts().remove(0) }],
        )
        .await;
    assert!(matches!(refused, Err(AppendAllError::ClockSkew(_))), "{refused:?}");
    assert_eq!(right.versions(&[stream("c")]).await, [0]);
}

async fn a_recorded_command_over_several_streams_is_known_again(engine: &Engine) {
    let table = engine.table().await;
    let both: Vec<StreamId> = ["a", "b"].map(stream).to_vec();
    let (fast, warm, cold, id) =
        (process(&table, 60, 0), process(&table, 0, 10), process(&table, 0, 0), id());
    warm.fill(&both, 100).await;
    warm.transfer(&both, "first", 1).await.unwrap();
    fast.transfer(&both, &id, 5).await.unwrap();
    for process in [&warm, &cold] {
        assert!(process.transfer(&both, &id, 5).await.unwrap().replayed);
    }
    let refused = cold.transfer(&both, &self::id(), 5).await;
    let future = matches!(refused, Err(ExecuteAllError::Append(AppendAllError::ClockSkew(_))));
    assert!(future, "{refused:?}");
    assert_eq!(cold.versions(&both).await, [3, 3]);
}

async fn a_new_id_is_refused_and_nothing_is_written(engine: &Engine) {
    let table = engine.table().await;
    let right = process(&table, 0, 10);
    for round in 0..2 {
        let refused = right.open(&stream("s"), &id()).await;
        assert!(matches!(refused, Err(ExecuteError::ClockSkew(_))), "round {round}: {refused:?}");
        let refused = right.count(&stream("t"), &id(), 1).await;
        assert!(matches!(refused, Err(ExecuteError::ClockSkew(_))), "round {round}: {refused:?}");
    }
    assert_eq!(right.versions(&[stream("s"), stream("t")]).await, [0, 0]);
}
