//! Commands that expect a version of the stream.

use crate::store::{Act, Engine, Process, request, stream};
use eventstore::{CommandRequest, ExecuteError, StreamId};

cases!(
    a_retry_with_an_old_expected_version_is_still_a_retry,
    a_matching_version_is_written,
    a_wrong_version_is_refused_and_nothing_is_written,
    of_two_that_expect_the_same_version_one_wins,
);

fn expecting(stream: &StreamId, command: &str, version: u64) -> CommandRequest {
    CommandRequest { expected_version: Some(version), ..request(stream, command, "count") }
}

async fn at_version_2(process: &Process) -> StreamId {
    let stream = stream("s");
    process.open(&stream, "opening").await.unwrap();
    process.count(&stream, "first", 1).await.unwrap();
    stream
}

async fn a_matching_version_is_written(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    for version in 0..3 {
        let request = expecting(&stream, &format!("c{version}"), version);
        assert_eq!(process.execute(&request, 1).await.unwrap().version, version + 1);
    }
    let creating =
        CommandRequest { creates: true, ..expecting(&crate::store::stream("t"), "creating", 0) };
    assert_eq!(process.execute(&creating, 1).await.unwrap().version, 1);
}

async fn a_wrong_version_is_refused_and_nothing_is_written(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = at_version_2(&process).await;
    process.wire.take();
    for wrong in [0, 1, 3, u64::MAX] {
        let refused = process.execute(&expecting(&stream, "wrong", wrong), 1).await;
        let Err(ExecuteError::VersionMismatch { expected, actual }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((expected, actual), (wrong, 2));
    }
    assert!(process.wire.operations().iter().all(|operation| operation == "Query"));
    let creating = CommandRequest { creates: true, ..expecting(&stream, "wrong", 0) };
    let refused = process.execute(&creating, 1).await;
    assert!(
        matches!(refused, Err(ExecuteError::VersionMismatch { expected: 0, actual: 2 })),
        "{refused:?}"
    );
    assert_eq!(process.load(&stream).await.head.version(), 2);
}

async fn a_retry_with_an_old_expected_version_is_still_a_retry(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = at_version_2(&process).await;
    let first = process.execute(&expecting(&stream, "third", 2), 1).await.unwrap();
    process.count(&stream, "fourth", 1).await.unwrap();
    let again = process.execute(&expecting(&stream, "third", 2), 1).await.unwrap();
    assert_eq!((again.replayed, again.version), (true, 3));
    assert_eq!(again.commit.unwrap().hash, first.commit.unwrap().hash);
}

/// The second command reads version 2, but the first one's put arrives before its own.
async fn of_two_that_expect_the_same_version_one_wins(engine: &Engine) {
    let table = engine.table().await;
    let (slow, stream) = (table.process(), at_version_2(&table.process()).await);
    let quick = std::sync::Arc::new(table.process());
    let aim = stream.clone();
    slow.wire.rule(move |seen| {
        let (quick, aim) = (quick.clone(), aim.clone());
        async move {
            if seen.operation == "PutItem" {
                quick.execute(&expecting(&aim, "quick", 2), 1).await.unwrap();
            }
            Act::Pass
        }
    });
    let refused = slow.execute(&expecting(&stream, "slow", 2), 1).await;
    assert!(
        matches!(refused, Err(ExecuteError::VersionMismatch { expected: 2, actual: 3 })),
        "{refused:?}"
    );
    assert_eq!(
        slow.wire.operations(),
        ["Query", "PutItem", "Query"],
        "it is final on a consistent read only"
    );
}
