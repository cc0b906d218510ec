//! DynamoDB fails. The error says what the caller can do.

use crate::harness::engine::unreachable;
use crate::store::{Act, Engine, Process, count, new_commit, request, stream};
use eventstore::{
    AppendError, CommandHandler, CommandResult, Consistency, Direction, EventStore, ExecuteError,
    Head, ReadError, Segment, StoreError,
};

cases!(
    a_short_failure_is_retried,
    a_server_error_without_a_body_is_no_answer,
    a_server_that_cannot_be_reached_is_no_answer,
    a_missing_table_is_named,
    a_running_transaction_is_a_temporary_conflict,
    throttling_has_its_own_error,
    a_permanent_refusal_of_dynamodb_has_its_own_error,
);

pub(in crate::store) fn error(kind: &str) -> String {
    serde_json::json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "injected at the wire" })
        .to_string()
}

/// Answers everything with the error.
pub(in crate::store) fn answer_all(process: &Process, status: u16, body: &str) {
    let body = body.to_owned();
    process.wire.rule(move |_| std::future::ready(Act::Answer(status, body.clone())));
}

/// The error of each operation.
pub(in crate::store) async fn faults(store: &EventStore) -> Vec<StoreError> {
    let (stream, segment) = (stream("s"), Segment { index: 0, total: 1 });
    let of_read = |error| match error {
        ReadError::Store(fault) => fault,
        ReadError::Corrupt(damaged) => panic!("{damaged}"),
    };
    let command = request(&stream, "a", "a");
    let executed = match CommandHandler::new(store.clone(), crate::store::TALLY)
        .handle(command, count(1))
        .await
    {
        Err(ExecuteError::Store(fault)) => fault,
        other => panic!("{other:?}"),
    };
    let appended = match store.append(&Head::empty(&stream), vec![new_commit("a", &["x"])]).await {
        Err(AppendError::Store(fault)) => fault,
        other => panic!("{other:?}"),
    };
    vec![
        executed,
        appended,
        of_read(store.load(&stream, Consistency::Eventual).await.unwrap_err()),
        of_read(store.head(&stream, Consistency::Strong).await.unwrap_err()),
        of_read(store.read(&stream, 1, Direction::Forwards, 10).await.unwrap_err()),
        store.scan(segment, None).await.unwrap_err(),
        store.streams(2, |_| ()).await.unwrap_err(),
        store.verify(&stream).await.unwrap_err(),
    ]
}

async fn throttling_has_its_own_error(engine: &Engine) {
    let process = engine.table().await.process();
    for kind in
        ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
    {
        answer_all(&process, 400, &error(kind));
        for fault in faults(&process.store).await {
            assert!(matches!(fault, StoreError::Throttled(_)), "{fault:?}");
            let source = std::error::Error::source(&fault).unwrap();
            assert!(
                !fault.to_string().contains(&source.to_string()),
                "each error says its own part"
            );
        }
    }
    process.wire.no_rule();
    assert_eq!(process.load(&stream("s")).await.head.version(), 0);
}

async fn a_permanent_refusal_of_dynamodb_has_its_own_error(engine: &Engine) {
    let process = engine.table().await.process();
    for kind in ["AccessDeniedException", "ValidationException", "UnrecognizedClientException"] {
        answer_all(&process, 400, &error(kind));
        for fault in faults(&process.store).await {
            assert!(matches!(fault, StoreError::Rejected(_)), "{fault:?}");
        }
    }
}

async fn a_server_error_without_a_body_is_no_answer(engine: &Engine) {
    let process = engine.table().await.process();
    for (status, body) in
        [(500, error("InternalServerError")), (503, String::new()), (502, "<html></html>".into())]
    {
        answer_all(&process, status, &body);
        for fault in faults(&process.store).await {
            assert!(matches!(fault, StoreError::Unavailable(_)), "{status}: {fault:?}");
        }
    }
}

async fn a_server_that_cannot_be_reached_is_no_answer(engine: &Engine) {
    let store = EventStore::new(unreachable().dynamodb, engine.no_table().name);
    for fault in faults(&store).await {
        assert!(matches!(fault, StoreError::Unavailable(_)), "{fault:?}");
    }
}

async fn a_missing_table_is_named(engine: &Engine) {
    let process = engine.no_table().process();
    for fault in faults(&process.store).await {
        assert!(
            matches!(&fault, StoreError::NoTable { table, .. } if table == process.store.table()),
            "{fault:?}"
        );
    }
}

/// The SDK retries: the third attempt succeeds.
async fn a_short_failure_is_retried(engine: &Engine) {
    let process = engine.table().await.process();
    for (kind, status) in [("ThrottlingException", 400), ("InternalServerError", 500)] {
        process.wire.rule(move |seen| {
            std::future::ready(if seen.nth < 2 {
                Act::Answer(status, error(kind))
            } else {
                Act::Pass
            })
        });
        process.wire.take();
        let CommandResult { replayed, lost_races, usage, .. } =
            process.open(&stream(kind), "opening").await.unwrap();
        assert_eq!((replayed, lost_races, usage.requests), (false, 0, 1));
        assert_eq!(process.wire.operations(), ["PutItem"; 3]);
    }
}

/// No engine here gives this answer. It costs one attempt.
async fn a_running_transaction_is_a_temporary_conflict(engine: &Engine) {
    let process = engine.table().await.process();
    process.wire.rule(|seen| {
        let busy = seen.operation == "PutItem" && seen.nth < 1;
        std::future::ready(if busy {
            Act::Answer(400, error("TransactionConflictException"))
        } else {
            Act::Pass
        })
    });
    let handled = process.count(&stream("s"), "a", 3).await.unwrap();
    assert_eq!((handled.replayed, handled.version), (false, 1));
    process.wire.no_rule();
    answer_all(&process, 400, &error("TransactionConflictException"));
    let refused =
        process.store.append(&Head::empty(&stream("t")), vec![new_commit("a", &["x"])]).await;
    assert!(matches!(refused, Err(AppendError::TransactionConflict)), "{refused:?}");
    process.wire.no_rule();
    assert_eq!(process.tally(&stream("s")).await.total, 3);
}
