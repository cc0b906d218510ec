//! Workers, waiting for jobs, and kills.

use super::super::{receive, run};
use super::TestStack;
use crate::harness::program::{Program, ledgerfold};
use crate::harness::seed::append_each;
use crate::harness::waiting::becomes;
use serde_json::json;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::process::{Child, Command};

const CALLS: &str = "ledgerfold-rebuild.fifo";
const RECEIVED: (&str, u32, &str) = ("StockReceived", 1, r#"{"quantity":5}"#);

/// A folder with the stock of several books, whose notifications were not sent yet.
async fn with_books(books: usize) -> TempDir {
    let system = TestStack::start().await;
    for book in 0..books {
        append_each(&system.store, &format!("stock-{book}"), &[RECEIVED, RECEIVED]).await;
    }
    system.close().await
}

#[tokio::test]
async fn on_a_stopped_folder_it_is_worked_on_while_somebody_waits() {
    let data = with_books(5).await;
    let folder = data.path().to_str().unwrap();
    let built =
        run(["projection", "rebuild", "stock", "--segments", "8", "--wait", "--data", folder])
            .await
            .done();
    assert!(built.starts_with("rebuild of stock, generation 2: complete\n"), "{built}");
    assert!(
        built.contains("  read     10 commits, 10 events, 5 streams; 5 streams have rows\n"),
        "{built}"
    );
    let reconciled =
        run(["projection", "reconcile", "stock", "--wait", "--data", folder, "--json"]).await;
    let report = &reconciled.json()["report"];
    // No notification was sent, so the active generation has no rows until this pass.
    assert_eq!(
        (reconciled.status, &report["first_pass"]["behind"], &report["complete"]),
        (0, &json!(5), &json!(true))
    );
    assert_eq!(run(["projection", "switch", "stock", "--wait", "--data", folder]).await.status, 0);
    let removed = run(["projection", "drop", "stock", "--wait", "--data", folder]).await.done();
    assert!(removed.contains("  removed  5 rows\n"), "{removed}");
}

#[tokio::test]
async fn without_wait_the_next_dev_runs_a_folders_job() {
    let data = with_books(5).await;
    let folder = data.path().to_str().unwrap();
    let begun = run(["projection", "rebuild", "stock", "--data", folder]).await.done();
    assert!(begun.starts_with("rebuild stock → generation 2 (job 1), pass 0: 0 %"), "{begun}");
    assert!(
        begun.contains("no worker is running: start `ledgerfold dev` on the folder"),
        "{begun}"
    );
    let still = run(["projection", "status", "stock", "--data", folder, "--json"]).await.json();
    assert_eq!(
        (&still["job"]["number"], &still["job"]["tally"]["commits"]),
        (&json!(1), &json!(0))
    );
    let system = Program::over(data, &["--without-processes"]).await;
    let ended =
        system.until_status("stock", "the rebuild ends", |status| status["job"].is_null()).await;
    assert_eq!(
        (&ended["report"]["complete"], &ended["report"]["first_pass"]["streams"]),
        (&json!(true), &json!(5))
    );
}

#[tokio::test]
async fn the_next_dev_continues_a_lost_job_unless_it_is_paused() {
    let data = with_books(3).await;
    let system = TestStack::over(data).await;
    for projection in ["stock", "orders"] {
        system.operate(["projection", "rebuild", projection]).await.done();
    }
    system.operate(["projection", "pause", "orders"]).await.done();
    assert_eq!(system.take_all(CALLS).await.len(), 8);
    let data = system.close().await;
    let system = Program::over(data, &["--without-processes"]).await;
    let ended =
        system.until_status("stock", "the rebuild ends", |status| status["job"].is_null()).await;
    assert_eq!(ended["report"]["complete"], json!(true));
    assert_eq!(system.get("/projections/orders").await.body["job"]["paused"], json!(true));
    let resumed = system.operate(["projection", "resume", "orders", "--wait"]).await.done();
    assert!(
        resumed
            .starts_with("job 1 of orders continues\nrebuild of orders, generation 2: complete\n"),
        "{resumed}"
    );
}

#[tokio::test]
async fn resume_continues_a_job_whose_messages_are_lost() {
    let data = with_books(3).await;
    let folder = data.path().to_str().unwrap();
    run(["projection", "rebuild", "stock", "--data", folder]).await.done();
    let system = TestStack::over(data).await;
    assert_eq!(system.take_all(CALLS).await.len(), 4);
    let data = system.close().await;
    let resume = [
        "projection",
        "resume",
        "stock",
        "--wait",
        "--json",
        "--data",
        data.path().to_str().unwrap(),
    ];
    let resumed = run(resume).await;
    assert_eq!((resumed.status, &resumed.json()["job"]), (0, &json!(1)), "{resumed:?}");
    assert_eq!(resumed.json()["projection"]["report"]["complete"], json!(true));
}

/// A command that waits for a job without workers, once the job exists.
async fn waiting(system: &TestStack) -> Child {
    let mut command = ledgerfold(["projection", "rebuild", "stock", "--wait"]);
    command.envs(system.exports()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    becomes(
        "the job begins",
        async || system.status("stock").await,
        |status| !status["job"].is_null(),
    )
    .await;
    child
}

/// Its exit status, and both outputs.
async fn ended(child: Child) -> (i32, String, String) {
    let output = tokio::time::timeout(super::PATIENCE, child.wait_with_output())
        .await
        .expect("it waits on")
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().expect("it was killed"), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn ctrl_c_ends_the_waiting_and_not_the_job() {
    let system = TestStack::start().await;
    for signal in ["INT", "TERM"] {
        let child = waiting(&system).await;
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().await.unwrap().success());
        let (status, said, failure) = ended(child).await;
        assert_eq!((status, &*said), (3, ""), "{failure}");
        let told = "ledgerfold: stopped waiting: the job continues: `ledgerfold projection status stock` shows";
        assert!(failure.starts_with(told), "{failure}");
        assert_eq!(system.status("stock").await["job"]["paused"], json!(false));
        system.operate(["projection", "pause", "stock"]).await.done();
        let work = system.operations();
        work.cancel(&bookshop::stock()).await.unwrap();
        work_off(&system).await;
    }
}

/// Works on all jobs.
pub(super) async fn work_off(system: &TestStack) {
    let handler = handlers::RebuildHandler::new(system.operations());
    while system.waiting(CALLS).await > 0 {
        let bodies = system.take_all(CALLS).await.into_iter().map(|message| message.body.unwrap());
        let records: Vec<_> = bodies
            .map(|body| json!({"messageId": "m", "body": body, "attributes": {}, "messageAttributes": {}}))
            .collect();
        let event = serde_json::from_value(json!({ "Records": records })).unwrap();
        assert!(handler.handle(event).await.batch_item_failures.is_empty());
    }
}

#[tokio::test]
async fn who_waits_is_told_when_others_pause_the_job_or_give_it_up() {
    let system = TestStack::start().await;
    let child = waiting(&system).await;
    system.operate(["projection", "pause", "stock"]).await.done();
    let (status, said, failure) = ended(child).await;
    assert_eq!((status, &*failure), (1, ""), "{said}");
    assert!(
        said.contains("it is paused: `ledgerfold projection resume stock` continues it"),
        "{said}"
    );
    let mut resume = ledgerfold(["projection", "resume", "stock", "--wait"]);
    resume.envs(system.exports()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = resume.spawn().unwrap();
    becomes(
        "it is resumed",
        async || system.status("stock").await,
        |status| status["job"]["paused"] != json!(true),
    )
    .await;
    system.operate(["projection", "cancel", "stock"]).await.done();
    let (status, said, failure) = ended(child).await;
    assert_eq!((status, &*failure), (1, ""), "{said}");
    assert!(said.contains("the job was cancelled or replaced"), "{said}");
}

#[tokio::test]
async fn after_a_kill_during_a_rebuild_the_next_dev_completes_it() {
    let data = with_books(40).await;
    let system = Program::over(data, &["--without-processes"]).await;
    receive(&system.dev, 2).await;
    let begun = system.done_step("/projections/stock/rebuild", json!({"segments": 64})).await;
    assert_eq!(begun["job"]["segments"], json!(64));
    system
        .until_status("stock", "some segments are done", |status| {
            status["job"]["segments_done"].as_u64() > Some(2)
        })
        .await;
    system.dev.kill().await;
    let folder = system.data.path().to_str().unwrap();
    let half = run(["projection", "status", "stock", "--json", "--data", folder]).await.json();
    assert_eq!(half["job"]["number"], json!(1), "it was killed in the middle: {half}");
    let system = Program::over(system.data, &["--without-processes"]).await;
    let ended =
        system.until_status("stock", "the rebuild ends", |status| status["job"].is_null()).await;
    let report = &ended["report"];
    assert_eq!(
        (&report["job"], &report["complete"], &ended["other"]["state"]),
        (&json!(1), &json!(true), &json!("complete"))
    );
    assert_eq!(
        (&report["last_pass"]["streams"], &report["last_pass"]["present"]),
        (&json!(41), &json!(41))
    );
}
