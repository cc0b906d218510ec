//! `If-Match` on commands, `at_least` on reads.

use super::{Program, Response, isbn, line, order, order_stream, sent};
use crate::harness::depth::full_or;
use serde_json::json;

async fn receive_if_match(program: &Program, key: &str, version: &str) -> Response {
    let request = program.post(&format!("/stock/{}/receive", isbn(7)), &json!({"quantity": 1}));
    sent(request.header("Idempotency-Key", key).header("If-Match", version)).await
}

#[tokio::test]
async fn a_command_at_the_expected_version_is_done_and_another_is_not() {
    let program = Program::start().await;
    assert_eq!(receive_if_match(&program, "k-1", "\"0\"").await.status, 200);
    assert_eq!(receive_if_match(&program, "k-2", "\"1\"").await.status, 200);
    for wrong in ["\"0\"", "\"1\"", "\"3\"", "\"18446744073709551615\""] {
        let mismatch = receive_if_match(&program, "k-3", wrong).await;
        mismatch.is_problem(412, "version-mismatch");
        assert_eq!(mismatch.body["version"], 2);
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await.len(), 2);
    assert_eq!(receive_if_match(&program, "k-3", "\"2\"").await.header("etag"), "\"3\"");
}

#[tokio::test]
async fn a_retry_with_its_old_if_match_is_answered_as_the_first_time() {
    let program = Program::start().await;
    let first = receive_if_match(&program, "k-1", "\"0\"").await;
    receive_if_match(&program, "k-2", "\"1\"").await;
    let again = receive_if_match(&program, "k-1", "\"0\"").await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(again.header("idempotency-replayed"), "true");
}

#[tokio::test]
async fn an_order_can_be_expected_to_be_new_or_at_its_version() {
    let program = Program::start().await;
    let place = |version: &'static str| {
        let request =
            program.post("/orders", &order("c", &[line(1, 1, 5)])).header("Idempotency-Key", "k");
        sent(request.header("If-Match", version))
    };
    let mismatch = place("\"1\"").await;
    mismatch.is_problem(412, "version-mismatch");
    assert_eq!(mismatch.body["version"], 0);
    let placed = place("\"0\"").await;
    assert_eq!(placed.status, 201);
    let path = placed.header("location");
    let confirm = program.post(&format!("{path}/confirm"), &json!({})).header("If-Match", "\"2\"");
    let mismatch = sent(confirm).await;
    mismatch.is_problem(412, "version-mismatch");
    assert_eq!(
        (&mismatch.body["version"], program.history(&order_stream(path)).await.len()),
        (&json!(1), 1)
    );
}

#[tokio::test]
async fn an_if_match_is_one_version_in_quotes() {
    let program = Program::start().await;
    for wrong in [
        "",
        "0",
        "\"\"",
        "*",
        "W/\"0\"",
        "\"0",
        "\"-1\"",
        "\"+1\"",
        "\"0\", \"1\"",
        "\"a\"",
        "\"1.0\"",
        "\"18446744073709551616\"",
    ] {
        receive_if_match(&program, "k", wrong)
            .await
            .breaks("If-Match", "must be a version in quotes");
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
}

#[tokio::test]
async fn a_read_right_after_its_command_includes_it() {
    let program = Program::start().await;
    for (book, version) in
        (0..full_or(10, 2)).flat_map(|book| (1..=20).map(move |version| (book, version)))
    {
        let path = format!("/stock/{}", isbn(book));
        let done = sent(program.post(&format!("{path}/receive"), &json!({"quantity": 2}))).await;
        assert_eq!(done.body["version"], version);
        let levels = program.get(&format!("{path}?at_least={version}")).await;
        assert_eq!((levels.status, &levels.body["version"]), (200, &json!(version)), "{levels:?}");
        assert_eq!(levels.body["on_hand"], 2 * version);
    }
}

#[tokio::test]
async fn a_future_version_cannot_be_read() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    assert_eq!(program.get(&format!("{path}?at_least=1")).await.status, 200);
    assert_eq!(program.get(&format!("{path}?at_least=1")).await.header("etag"), "\"1\"");
    for (path, head) in [(path, 1), (format!("/stock/{}", isbn(7)), 0)] {
        for at_least in ["2", "1000000"] {
            let beyond = program.get(&format!("{path}?at_least={at_least}")).await;
            beyond.is_problem(412, "version-mismatch");
            assert_eq!(beyond.body["version"], head);
        }
        for wrong in ["-1", "abc", "1.5", "1e3", "18446744073709551616", "%201", "0x1"] {
            let answer = program.get(&format!("{path}?at_least={wrong}")).await;
            answer.breaks("at_least", "must be a whole number from 0 to");
        }
    }
}
