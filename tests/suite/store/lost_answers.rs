//! The write is done, but its answer does not come back.

use super::{Act, Engine, Process, new_commit, stream};
use eventstore::{AppendError, ExecuteError, Fault, Head};

cases!(
    a_lost_answer_is_mended_by_the_sdk_and_nothing_is_doubled,
    a_server_error_after_the_write_is_mended_alike,
    an_append_whose_answer_is_lost_has_succeeded,
    the_caller_may_send_again_what_had_no_answer,
    while_the_answer_was_lost_another_put_behind_it,
);

#[derive(Clone, Copy)]
enum Loss {
    Connection,
    ServerError,
}

/// The first `times` puts are done, and their answers lost.
fn lose_answers(process: &Process, times: usize, loss: Loss) {
    process.wire.rule(move |seen| {
        let lost = seen.operation == "PutItem" && seen.nth < times;
        std::future::ready(match loss {
            _ if !lost => Act::Pass,
            Loss::Connection => Act::LoseAnswer,
            Loss::ServerError => Act::AnswerInstead(500, String::new()),
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

async fn a_lost_answer_is_mended_by_the_sdk_and_nothing_is_doubled(engine: &Engine) {
    one_put_repeated(engine, Loss::Connection).await;
}

async fn a_server_error_after_the_write_is_mended_alike(engine: &Engine) {
    one_put_repeated(engine, Loss::ServerError).await;
}

async fn an_append_whose_answer_is_lost_has_succeeded(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("s"));
    lose_answers(&process, 1, Loss::Connection);
    let appended = process.append(&head, vec![new_commit("a", &["1"]), new_commit("b", &["2"])]).await;
    assert_eq!(process.wire.operations(), ["PutItem", "PutItem"]);
    let next = process.append(&appended.head, vec![new_commit("c", &["3"])]).await;
    assert_eq!(process.load(head.stream()).await.head, next.head);
    assert_eq!(next.head.version(), 3);
}

async fn the_caller_may_send_again_what_had_no_answer(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    lose_answers(&process, usize::MAX, Loss::Connection);
    for _ in 0..2 {
        let lost = process.open(&stream, "opening").await;
        assert!(matches!(lost, Err(ExecuteError::Fault(Fault::Unavailable(_)))), "{lost:?}");
    }
    let lost = process.store.append(&Head::empty(&super::stream("t")), vec![new_commit("a", &["x"])]).await;
    assert!(matches!(lost, Err(AppendError::Fault(Fault::Unavailable(_)))), "{lost:?}");
    process.wire.no_rule();
    let again = process.open(&stream, "opening").await.unwrap();
    assert_eq!((again.replayed, again.version), (true, 1));
    assert_eq!(process.load(&stream).await.head.version(), 1);
}

/// Between the write and its repetition the stream goes on: the repetition still meets its own commit.
async fn while_the_answer_was_lost_another_put_behind_it(engine: &Engine) {
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
