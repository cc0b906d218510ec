//! The order of steps, and refusals.

use super::super::run;
use super::TestStack;
use crate::harness::program::Program;
use crate::harness::seed::append_each;
use serde_json::json;

const CALLS: &str = "ledgerfold-rebuild.fifo";
const RECEIVED: (&str, u32, &str) = ("StockReceived", 1, r#"{"quantity":5}"#);

#[tokio::test]
async fn a_step_that_makes_no_sense_is_refused_and_changes_nothing() {
    let system = TestStack::start().await;
    let before = system.status("stock").await;
    for (step, reason) in [
        ("pause", "nothing is under way"),
        ("cancel", "nothing is under way"),
        ("switch", "there is no generation but the active one: rebuild first"),
        ("rollback", "there is no previous generation to roll back to"),
        ("drop", "there is no generation but the active one: rebuild first"),
    ] {
        system.operate(["projection", step, "stock"]).await.was_refused(reason);
    }
    let active = "generation 1 is the active one: readers see it";
    system.operate(["projection", "drop", "stock", "--generation", "1"]).await.was_refused(active);
    let process = "fulfilment is a process, not a read model: its effects are not repeated";
    system.operate(["projection", "rebuild", "fulfilment"]).await.was_refused(process);
    assert_eq!((system.status("stock").await, system.waiting(CALLS).await), (before, 0));

    system.operate(["projection", "rebuild", "stock"]).await.done();
    let before = system.status("stock").await;
    let busy = "a rebuild is under way: wait for its end, or cancel it";
    for step in ["rebuild", "reconcile", "drop"] {
        system.operate(["projection", step, "stock"]).await.was_refused(busy);
    }
    let building =
        "generation 2 is building: it can be switched to when every stream is complete in it";
    system.operate(["projection", "switch", "stock"]).await.was_refused(building);
    system
        .operate(["projection", "switch", "stock", "--accept-incomplete"])
        .await
        .was_refused(building);
    let tallied = system.status("stock").await;
    assert_eq!(
        (&tallied["other"], &tallied["job"]["number"]),
        (&before["other"], &before["job"]["number"])
    );
}

#[tokio::test]
async fn a_job_can_be_paused_resumed_and_cancelled_before_it_runs() {
    let system = TestStack::start().await;
    append_each(&system.store, "stock-1", &[RECEIVED]).await;
    let begun = system
        .operate(["projection", "rebuild", "stock", "--segments", "3", "--json"])
        .await
        .json();
    let job = &begun["job"];
    assert_eq!(
        (&job["kind"], &job["segments"], &job["paused"]),
        (&json!("rebuild"), &json!(3), &json!(false))
    );
    assert_eq!(begun["other"], json!({"number": 2, "state": "building"}));
    assert_eq!(system.take_all(CALLS).await.len(), 3);
    let paused = system.operate(["projection", "pause", "stock"]).await.done();
    assert!(
        paused.contains("rebuild stock → generation 2 (job 1, paused), pass 0: 0 %"),
        "{paused}"
    );
    system.operate(["projection", "pause", "stock"]).await.was_refused("nothing is under way");
    let resumed = system.operate(["projection", "resume", "stock"]).await.done();
    assert_eq!((&*resumed, system.waiting(CALLS).await), ("job 1 of stock continues\n", 3));
    assert_eq!(system.status("stock").await["job"]["paused"], json!(false));
    let cancelled = system.operate(["projection", "cancel", "stock"]).await.done();
    assert!(
        cancelled.starts_with("remove stock generation 2 (job 2), pass 0: 0 %, 0 rows removed"),
        "{cancelled}"
    );
    let removing = "a removal is under way: wait for its end, or cancel it";
    system.operate(["projection", "cancel", "stock"]).await.was_refused(removing);
    let list = system.operate(["projection", "list"]).await.done();
    let row = list.lines().find(|line| line.starts_with("stock ")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["stock", "1", "2", "removing", "removal", "2", "0", "0", "0", "0", "s"]);
}

#[tokio::test]
async fn a_generation_lives_from_its_rebuild_to_its_removal() {
    let system = Program::start().await;
    super::super::receive(&system.dev, 3).await;
    let built = system.operate(["projection", "rebuild", "stock", "--wait"]).await.done();
    assert!(
        built.starts_with("rebuild of stock, generation 2: complete\n  passes   2 in "),
        "{built}"
    );
    assert!(
        built.contains("  read     3 commits, 3 events, 1 streams; 1 streams have rows\n"),
        "{built}"
    );
    assert!(built.ends_with("generation 1 is active, generation 2 is complete\n"), "{built}");
    let kept = "generation 2 is complete: drop it first";
    system.operate(["projection", "rebuild", "stock"]).await.was_refused(kept);
    let other = "there is no generation 7";
    system.operate(["projection", "drop", "stock", "--generation", "7"]).await.was_refused(other);

    let switched = system.operate(["projection", "switch", "stock", "--wait", "--json"]).await;
    assert_eq!((switched.status, &switched.json()["active"]), (0, &json!(2)));
    assert_eq!(switched.json()["other"], json!({"number": 1, "state": "previous"}));
    assert_eq!(switched.json()["report"]["kind"], json!("reconcile"));
    assert_eq!(
        system.get("/stock/9780306406157").await.body["on_hand"],
        json!(15),
        "readers see the new one"
    );
    let nothing_new = "generation 1 is previous: there is nothing new to switch to";
    system.operate(["projection", "switch", "stock"]).await.was_refused(nothing_new);

    let back = system.operate(["projection", "rollback", "stock", "--wait"]).await.done();
    assert!(back.ends_with("generation 1 is active, generation 2 is complete\n"), "{back}");
    system
        .operate(["projection", "rollback", "stock"])
        .await
        .was_refused("there is no previous generation to roll back to");
    let dropped =
        system.operate(["projection", "drop", "stock", "--generation", "2", "--wait"]).await.done();
    assert!(dropped.starts_with("removal of stock, generation 2: complete\n"), "{dropped}");
    assert!(dropped.ends_with("  removed  1 rows\ngeneration 1 is active\n"), "{dropped}");
    let again = system.operate(["projection", "rebuild", "stock", "--wait", "--json"]).await.json();
    assert_eq!(
        again["other"],
        json!({"number": 3, "state": "complete"}),
        "no number is used twice"
    );
    let list = system.operate(["projection", "list", "--json"]).await.json();
    let names: Vec<_> =
        list["projections"].as_array().unwrap().iter().map(|view| view["name"].clone()).collect();
    assert_eq!(names, ["orders", "stock", "bestsellers", "audit", "journal", "fulfilment"]);
    assert_eq!(
        list["projections"][1],
        system.get("/projections/stock").await.body,
        "the API shows the same"
    );
}

#[tokio::test]
async fn of_two_rebuilds_at_once_one_is_refused() {
    let system = Program::start().await;
    let rebuild = || system.operate(["projection", "rebuild", "orders"]);
    let (one, other) = tokio::join!(rebuild(), rebuild());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [0, 1], "{one:?} {other:?}");
    let ended =
        system.until_status("orders", "the rebuild ends", |status| status["job"].is_null()).await;
    assert_eq!((&ended["report"]["job"], &ended["other"]["number"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn a_system_that_is_not_there_is_a_failure() {
    let system = TestStack::start().await;
    let mut missing =
        crate::harness::program::ledgerfold(["projection", "list", "--prefix", "elsewhere"]);
    missing.envs(system.exports());
    super::ended(missing)
        .await
        .failed_saying("no running instance found under the prefix \"elsewhere\": these prefixes exist: ledgerfold");
    let typo = system.close().await.path().join("typo");
    run(["projection", "list", "--data", typo.to_str().unwrap()])
        .await
        .failed_saying("there is no folder ");
}
