//! A transaction whose answer is lost, or that DynamoDB cancels for reasons that no engine here
//! gives.

use crate::store::transaction::append_all::{first_parts, part, streams, winners};
use crate::store::transaction::append_all_retries::assert_same;
use crate::store::{Act, Engine, Process, new_commit};
use eventstore::{AppendAllError, AppendedAll, Damage, Head, StoreError};
use serde_json::{Value, json};

cases!(
    a_batch_that_was_tampered_with_is_named,
    a_lost_answer_is_repaired_by_the_sdk_without_duplicates,
    a_lost_answer_is_resolved_after_dynamodb_forgot_it,
    a_server_error_after_the_write_is_repaired_too,
    a_transaction_in_progress_may_succeed,
    a_conflicting_transaction_is_named_and_retried,
    no_two_calls_are_one_transaction_to_dynamodb,
    unknown_reasons_are_permanent_refusals,
    a_command_without_an_answer_may_be_sent_again,
    throttling_among_the_reasons_has_its_own_error,
    an_existing_item_says_more_than_a_conflict,
    a_failed_request_is_a_store_error,
);

fn error(kind: &str) -> String {
    json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "injected at the wire" })
        .to_string()
}

/// The answer of a canceled transaction with these reasons.
fn canceled(reasons: &[Value]) -> String {
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    json!({ "__type": kind, "Message": "injected at the wire", "CancellationReasons": reasons })
        .to_string()
}

pub(in crate::store) fn canceled_by(codes: &[&str]) -> String {
    canceled(
        &codes
            .iter()
            .map(|code| json!({ "Code": code, "Message": "injected at the wire" }))
            .collect::<Vec<_>>(),
    )
}

/// Applies the fault to the first transaction only.
fn first(process: &Process, act: impl Fn() -> Act + Send + Sync + 'static) {
    process.wire.rule(move |seen| {
        let is_first = seen.operation == "TransactWriteItems" && seen.nth == 0;
        std::future::ready(if is_first { act() } else { Act::Pass })
    });
}

async fn answered_with(process: &Process, answer: String) -> Result<AppendedAll, AppendAllError> {
    process.wire.rule(move |_| std::future::ready(Act::Answer(400, answer.clone())));
    process.append_all("c", first_parts(&streams(3))).await
}

async fn mended(engine: &Engine, act: impl Fn() -> Act + Send + Sync + 'static) {
    let process = engine.table().await.process();
    let all = streams(3);
    first(&process, act);
    let written = process.append_all("c", first_parts(&all)).await.unwrap();
    assert!(!written.repeated);
    let [lost, again] = &process.wire.take()[..] else { panic!("two tries") };
    assert_eq!(lost.request["ClientRequestToken"], again.request["ClientRequestToken"]);
    assert!(again.request["ClientRequestToken"].is_string());
    process.wire.no_rule();
    for part in &written.parts {
        let loaded = process.load(part.head.stream()).await;
        assert_eq!((loaded.head, loaded.batches.len()), (part.head.clone(), 1));
    }
}

async fn a_lost_answer_is_repaired_by_the_sdk_without_duplicates(engine: &Engine) {
    mended(engine, || Act::LoseAnswer).await;
}

async fn a_server_error_after_the_write_is_repaired_too(engine: &Engine) {
    mended(engine, || Act::AnswerInstead(500, String::new())).await;
}

/// As after ten minutes, or in another region: the second attempt finds the items of the first one.
async fn a_lost_answer_is_resolved_after_dynamodb_forgot_it(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(2);
    process.wire.rule(|seen| {
        let put = |action: &Value| json!({ "Code": "ConditionalCheckFailed", "Item": action["Put"]["Item"] });
        let actions = seen.body["TransactItems"].as_array().map(|actions| actions.iter().map(put).collect::<Vec<_>>());
        std::future::ready(match (seen.operation.as_str(), seen.nth) {
            ("TransactWriteItems", 0) => Act::LoseAnswer,
            ("TransactWriteItems", _) => Act::Answer(400, canceled(&actions.unwrap())),
            _ => Act::Pass,
        })
    });
    let written = process.append_all("c", first_parts(&all)).await.unwrap();
    assert_eq!(process.wire.operations(), ["TransactWriteItems"; 2], "nothing is read");
    assert!(!written.repeated, "both tries are of this call");
    process.wire.no_rule();
    let again = process.append_all("c", first_parts(&all)).await.unwrap();
    assert!(again.repeated);
    assert_same(&written, &again);
}

async fn a_command_without_an_answer_may_be_sent_again(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(2);
    process.wire.rule(|_| std::future::ready(Act::LoseAnswer));
    for _ in 0..2 {
        let lost = process.append_all("c", first_parts(&all)).await;
        assert!(matches!(lost, Err(AppendAllError::Store(StoreError::Unavailable(_)))), "{lost:?}");
    }
    process.wire.no_rule();
    let again = process.append_all("c", first_parts(&all)).await.unwrap();
    assert!(again.repeated);
    assert_eq!(process.versions(&all).await, [1, 1]);
}

/// The same command with the same heads, but other bytes. With the same token it would be a
/// mismatch.
async fn no_two_calls_are_one_transaction_to_dynamodb(engine: &Engine) {
    let process = engine.table().await.process();
    for _ in 0..3 {
        process.append_all("c", first_parts(&streams(2))).await.unwrap();
    }
    let mut tokens: Vec<String> = process
        .wire
        .take()
        .iter()
        .map(|exchange| exchange.request["ClientRequestToken"].to_string())
        .collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 3);
}

async fn a_conflicting_transaction_is_named_and_retried(engine: &Engine) {
    let process = engine.table().await.process();
    let all = streams(3);
    let busy =
        answered_with(&process, canceled_by(&["None", "TransactionConflict", "ThrottlingError"]))
            .await;
    let Err(AppendAllError::TransactionConflict { streams, usage }) = busy else {
        panic!("{busy:?}")
    };
    assert_eq!((streams, usage.requests), (vec![all[1].clone()], 1));
    assert_eq!(process.wire.operations(), ["TransactWriteItems"], "trying again is the caller's");
    process.wire.no_rule();
    assert!(!process.append_all("c", first_parts(&all)).await.unwrap().repeated);
}

async fn throttling_among_the_reasons_has_its_own_error(engine: &Engine) {
    let process = engine.table().await.process();
    for code in ["ThrottlingError", "ProvisionedThroughputExceeded"] {
        let refused = answered_with(&process, canceled_by(&["None", "None", code])).await;
        let Err(AppendAllError::Store(fault @ StoreError::Throttled(_))) = refused else {
            panic!("{refused:?}")
        };
        assert!(std::error::Error::source(&fault).is_some());
    }
    process.wire.no_rule();
    assert_eq!(process.versions(&streams(3)).await, [0, 0, 0]);
}

async fn unknown_reasons_are_permanent_refusals(engine: &Engine) {
    let process = engine.table().await.process();
    let unknown = [
        canceled_by(&["None", "ValidationError", "None"]),
        canceled_by(&["ItemCollectionSizeLimitExceeded", "None", "None"]),
        canceled_by(&["None", "None", "None"]),
        canceled_by(&[]),
        error("TransactionCanceledException"),
        error("IdempotentParameterMismatchException"),
    ];
    for answer in unknown {
        let refused = answered_with(&process, answer).await;
        assert!(
            matches!(refused, Err(AppendAllError::Store(StoreError::Rejected(_)))),
            "{refused:?}"
        );
    }
}

async fn an_existing_item_says_more_than_a_conflict(engine: &Engine) {
    let table = engine.table().await;
    let (quick, process) = (table.process(), table.process());
    let all = streams(3);
    quick.append(&Head::empty(&all[2]), vec![new_commit("quick", &["x"])]).await;
    process.wire.rule(|_| {
        std::future::ready(Act::Change(Box::new(|answer: &mut Value| {
            answer["CancellationReasons"][0] = json!({ "Code": "TransactionConflict" });
            answer["CancellationReasons"][1] = json!({ "Code": "ProvisionedThroughputExceeded" });
        })))
    });
    let changed = process.append_all("c", first_parts(&all)).await;
    assert_eq!(winners(changed)[0].stream, all[2]);
}

async fn a_transaction_in_progress_may_succeed(engine: &Engine) {
    let process = engine.table().await.process();
    let in_progress = answered_with(&process, error("TransactionInProgressException")).await;
    assert!(
        matches!(in_progress, Err(AppendAllError::Store(StoreError::Unavailable(_)))),
        "{in_progress:?}"
    );
    first(&process, || Act::AnswerInstead(400, error("TransactionInProgressException")));
    let written = process.append_all("c", first_parts(&streams(3))).await.unwrap();
    assert!(!written.repeated, "the SDK retries with the same token");
    assert_eq!(process.versions(&streams(3)).await, [1, 1, 1]);
}

async fn a_failed_request_is_a_store_error(engine: &Engine) {
    let process = engine.table().await.process();
    for kind in
        ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
    {
        let refused = answered_with(&process, error(kind)).await;
        assert!(
            matches!(refused, Err(AppendAllError::Store(StoreError::Throttled(_)))),
            "{refused:?}"
        );
    }
    let refused = answered_with(&process, error("ValidationException")).await;
    assert!(matches!(refused, Err(AppendAllError::Store(StoreError::Rejected(_)))), "{refused:?}");
    let nowhere = engine.no_table().process();
    let refused = nowhere.append_all("c", first_parts(&streams(2))).await;
    let named = matches!(&refused, Err(AppendAllError::Store(StoreError::NoTable { table, .. })) if table == nowhere.store.table());
    assert!(named, "{refused:?}");
}

async fn a_batch_that_was_tampered_with_is_named(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let all = streams(2);
    process.append(&Head::empty(&all[1]), vec![new_commit("a", &["x"])]).await;
    let mut item = table.items(&all[1]).await.remove(0);
    item.remove("format");
    table.put(item).await;
    let refused = process
        .append_all("c", all.iter().map(|stream| part(&Head::empty(stream), "x")).collect())
        .await;
    let Err(AppendAllError::Corrupt(damaged)) = refused else { panic!("{refused:?}") };
    assert_eq!((damaged.stream.as_str(), damaged.version), (all[1].as_str(), 1));
    assert_eq!(damaged.damage, Damage::Attribute("format"));
    assert_eq!(process.load(&all[0]).await.head.version(), 0);
}
