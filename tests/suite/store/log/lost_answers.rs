//! The write succeeds, but its answer is lost.

use crate::store::{Act, Engine, Process, new_commit, stream};
use eventstore::{AppendError, ExecuteError, Head, StoreError};
use std::time::Duration;

cases!(
    a_lost_answer_is_repaired_by_the_sdk_without_duplicates,
    a_server_error_after_the_write_is_repaired_too,
    a_missing_answer_times_out_without_duplicates,
    an_append_whose_answer_is_lost_has_succeeded,
    a_command_without_an_answer_may_be_sent_again,
    a_command_that_timed_out_may_be_sent_again,
    another_put_after_the_lost_answer_changes_nothing,
);

#[derive(Clone, Copy)]
enum Loss {
    Connection,
    ServerError,
    /// The connection stays, and nothing comes.
    Silence,
}

/// The first `times` puts succeed, and their answers are lost.
fn lose_answers(process: &Process, times: usize, loss: Loss) {
    process.wire.rule(move |seen| {
        let lost = seen.operation == "PutItem" && seen.nth < times;
        std::future::ready(match loss {
            _ if !lost => Act::Pass,
            Loss::Connection => Act::LoseAnswer,
            Loss::ServerError => Act::AnswerInstead(500, String::new()),
            Loss::Silence => Act::Silence,
        })
    });
}

async fn one_put_repeated(engine: &Engine, loss: Loss) {
    let process = engine.table().await.process();
    let stream = stream("s");
    process.open(&stream, "opening").await.unwrap();
    process.wire.take();
    lose_answers(&process, 1, loss);
    let handled = process.count(&stream, "one", 5).await.unwrap();
    assert_eq!(process.wire.operations(), ["Query", "PutItem", "PutItem"]);
    assert_eq!((handled.version, handled.replayed, handled.lost_races), (2, false, 0));
    process.wire.no_rule();
    let loaded = process.load(&stream).await;
    assert_eq!(loaded.head.hash(), handled.commit.unwrap().hash);
    assert_eq!(process.tally(&stream).await.total, 5);
    assert!(process.store.verify(&stream).await.unwrap().verified());
}

async fn a_lost_answer_is_repaired_by_the_sdk_without_duplicates(engine: &Engine) {
    one_put_repeated(engine, Loss::Connection).await;
}

async fn a_server_error_after_the_write_is_repaired_too(engine: &Engine) {
    one_put_repeated(engine, Loss::ServerError).await;
}

async fn an_append_whose_answer_is_lost_has_succeeded(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("s"));
    lose_answers(&process, 1, Loss::Connection);
    let appended =
        process.append(&head, vec![new_commit("a", &["1"]), new_commit("b", &["2"])]).await;
    assert_eq!(process.wire.operations(), ["PutItem", "PutItem"]);
    let next = process.append(&appended.head, vec![new_commit("c", &["3"])]).await;
    assert_eq!(process.load(head.stream()).await.head, next.head);
    assert_eq!(next.head.version(), 3);
}

async fn a_command_without_an_answer_may_be_sent_again(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    lose_answers(&process, usize::MAX, Loss::Connection);
    for _ in 0..2 {
        let lost = process.open(&stream, "opening").await;
        assert!(matches!(lost, Err(ExecuteError::Store(StoreError::Unavailable(_)))), "{lost:?}");
    }
    let lost = process
        .store
        .append(&Head::empty(&crate::store::stream("t")), vec![new_commit("a", &["x"])])
        .await;
    assert!(matches!(lost, Err(AppendError::Store(StoreError::Unavailable(_)))), "{lost:?}");
    process.wire.no_rule();
    let again = process.open(&stream, "opening").await.unwrap();
    assert_eq!((again.replayed, again.version), (true, 1));
    assert_eq!(process.load(&stream).await.head.version(), 1);
}

/// How long a case waits for an answer that never comes.
const WAIT: Duration = Duration::from_secs(1);

async fn a_missing_answer_times_out_without_duplicates(engine: &Engine) {
    let process = engine.table().await.impatient_process(WAIT);
    let stream = stream("s");
    process.open(&stream, "opening").await.unwrap();
    process.wire.take();
    lose_answers(&process, 1, Loss::Silence);
    let handled = process.count(&stream, "one", 5).await.unwrap();
    assert_eq!((handled.version, handled.replayed), (2, false));
    let puts =
        process.wire.operations().into_iter().filter(|operation| operation == "PutItem").count();
    assert!(puts >= 2, "the write was done and then repeated");
    process.wire.no_rule();
    let tally = process.tally(&stream).await;
    assert_eq!((tally.total, tally.events), (5, 2));
}

async fn a_command_that_timed_out_may_be_sent_again(engine: &Engine) {
    let table = engine.table().await;
    let process = table.impatient_process(WAIT);
    let (opened, appended) = (stream("s"), stream("t"));
    lose_answers(&process, usize::MAX, Loss::Silence);
    let commit = || vec![new_commit("a", &["x"])];
    let empty = Head::empty(&appended);
    let (opening, append) =
        futures::join!(process.open(&opened, "opening"), process.store.append(&empty, commit()));
    assert!(matches!(opening, Err(ExecuteError::Store(StoreError::Unavailable(_)))), "{opening:?}");
    assert!(matches!(append, Err(AppendError::Store(StoreError::Unavailable(_)))), "{append:?}");
    assert_eq!(
        process.wire.operations(),
        ["PutItem"; 6],
        "each was tried three times, and done the first time"
    );
    let later = table.process();
    let again = later.open(&opened, "opening").await.unwrap();
    assert_eq!((again.replayed, again.version), (true, 1));
    let again = later.store.append(&Head::empty(&appended), commit()).await;
    let again = again.unwrap();
    assert_eq!(
        (again.repeated, again.head.version()),
        (true, 1),
        "the commit that had no answer is there"
    );
    let there = later.load(&appended).await;
    assert_eq!(
        (again.head, again.batch.hash()),
        (there.head, there.batches[0].hash()),
        "as it was recorded then"
    );
    let reused = eventstore::NewCommit {
        metadata: crate::store::metadata("a", "another"),
        ..commit().remove(0)
    };
    let refused = later.store.append(&Head::empty(&appended), vec![reused]).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })), "{refused:?}");
}

/// The stream grows between the write and its retry, and the retry still finds its own commit.
async fn another_put_after_the_lost_answer_changes_nothing(engine: &Engine) {
    let table = engine.table().await;
    let (process, other) = (table.process(), std::sync::Arc::new(table.process()));
    let stream = stream("s");
    let aim = stream.clone();
    process.wire.rule(move |seen| {
        let (other, aim) = (other.clone(), aim.clone());
        async move {
            match (seen.operation.as_str(), seen.nth) {
                ("PutItem", 0) => Act::LoseAnswer,
                ("PutItem", 1) => {
                    other.count(&aim, "other", 10).await.unwrap();
                    Act::Pass
                }
                _ => Act::Pass,
            }
        }
    });
    let handled = process.count(&stream, "one", 5).await.unwrap();
    assert_eq!((handled.version, handled.replayed), (1, false));
    process.wire.no_rule();
    let tally = process.tally(&stream).await;
    assert_eq!((tally.total, tally.events), (15, 2));
}
