//! `ledgerfold backup` and `restore`: complete under load, refused if data would be lost, no
//! partial copies.

use super::{Dev, PATIENCE, client, ended, receive, run};
use crate::harness::depth::full_or;
use crate::harness::program::ledgerfold;
use reqwest::Client;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// The least number of commands that are answered before the backup begins.
const BEFORE: usize = 25;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn order(http: &Client, url: &str, number: usize) -> reqwest::RequestBuilder {
    let lines = json!([{"isbn": "9780306406157", "quantity": 1, "unit_price_minor": 1000}]);
    let body = json!({"customer_id": "c-1", "currency": "EUR", "lines": lines});
    http.post(format!("{url}/orders"))
        .header("Idempotency-Key", format!("order-{number}"))
        .json(&body)
}

/// Places orders until the program ends. Returns the acknowledged ones.
async fn place(url: String, acknowledged: Arc<AtomicUsize>) {
    let http = client();
    loop {
        let number = acknowledged.load(Ordering::SeqCst);
        match order(&http, &url, number).send().await {
            Ok(answer) if answer.status() == 201 => acknowledged.fetch_add(1, Ordering::SeqCst),
            Ok(_) | Err(_) => return,
        };
    }
}

async fn reach(count: &AtomicUsize, at_least: usize) {
    let reached = async {
        while count.load(Ordering::SeqCst) < at_least {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("no orders are placed");
}

/// The statuses of the customer's orders, once there are enough and fulfilment has decided each.
async fn decided_orders(url: &str, at_least: usize) -> Vec<Value> {
    let http = client();
    let look = async {
        loop {
            let answer =
                http.get(format!("{url}/customers/c-1/orders?limit=500")).send().await.unwrap();
            let orders =
                answer.json::<Value>().await.unwrap()["orders"].as_array().unwrap().clone();
            if orders.len() >= at_least && orders.iter().all(|order| order["status"] != "placed") {
                return orders;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE * 2, look).await.expect("the read models do not catch up")
}

/// A stopped folder with a few commits, and a database that takes a while to copy.
async fn stopped_folder(parent: &TempDir, ballast_mb: usize) -> PathBuf {
    let data = parent.path().join("shop");
    let dev = Dev::start(&data).await;
    receive(&dev, 3).await;
    assert_eq!(dev.interrupt().await, 0);
    let database = rusqlite::Connection::open(data.join("dynamodb.db")).unwrap();
    database.execute_batch("CREATE TABLE ballast (x)").unwrap();
    for _ in 0..ballast_mb {
        database.execute("INSERT INTO ballast VALUES (randomblob(1000000))", []).unwrap();
    }
    data
}

#[tokio::test]
async fn a_backup_under_load_loses_nothing_that_was_answered() {
    let parent = TempDir::new().unwrap();
    let [data, copy, restored] = ["shop", "copy", "restored"].map(|name| parent.path().join(name));
    let dev = Dev::start_whole(&data).await;
    receive(&dev, 40).await;
    // More copies than all rounds can order, however slow the machine is.
    let url = format!("{}/stock/9780306406157/receive", dev.url);
    let received = client().post(url).json(&json!({"quantity": 1_000_000})).send().await.unwrap();
    assert_eq!(received.status(), 200);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let placing = tokio::spawn(place(dev.url.clone(), Arc::clone(&acknowledged)));
    for round in 1..=full_or(3, 1) {
        reach(&acknowledged, round * BEFORE).await;
        let answered_before = acknowledged.load(Ordering::SeqCst);
        let copy = copy.with_extension(round.to_string());
        let report = run(["backup", text(&copy), "--data", text(&data), "--json"]).await;
        assert_eq!(
            (report.status, report.json()["verified"].as_bool()),
            (0, Some(true)),
            "{report:?}"
        );
        assert!(
            report.json()["commits"].as_u64().unwrap() >= u64::try_from(answered_before).unwrap(),
            "{report:?}"
        );

        let said = run(["restore", text(&copy), "--data", text(&restored), "--fresh"]).await.done();
        assert!(said.contains("all verified"), "{said}");
        let again = Dev::start_whole(&restored).await;
        let orders = decided_orders(&again.url, answered_before).await;
        assert!(orders.iter().all(|order| order["status"] == "confirmed"), "{orders:?}");
        // Replays have the same answers.
        let repeated = order(&client(), &again.url, 0).send().await.unwrap();
        assert_eq!(repeated.status(), 201);
        assert_eq!(again.interrupt().await, 0);
        run(["audit", "verify", "--all", "--data", text(&restored)]).await.done();
    }
    assert_eq!(dev.interrupt().await, 0);
    placing.await.unwrap();
    let reconciled =
        run(["projection", "reconcile", "orders", "--wait", "--json", "--data", text(&restored)])
            .await;
    assert_eq!(reconciled.json()["report"]["complete"], true, "{reconciled:?}");
}

#[tokio::test]
async fn a_killed_program_s_folder_is_backed_up_too() {
    let parent = TempDir::new().unwrap();
    let [data, copy, restored] = ["shop", "copy", "restored"].map(|name| parent.path().join(name));
    let dev = Dev::start(&data).await;
    receive(&dev, 3).await;
    dev.kill().await;
    run(["backup", text(&copy), "--data", text(&data)]).await.done();
    run(["restore", text(&copy), "--data", text(&restored)]).await.done();
    for folder in [data, restored] {
        let history =
            run(["audit", "history", "stock-9780306406157", "--json", "--data", text(&folder)])
                .await
                .done();
        assert_eq!(history.matches("StockReceived").count(), 3, "{history}");
    }
}

#[tokio::test]
async fn folders_with_something_in_them_are_refused() {
    let parent = TempDir::new().unwrap();
    let data = stopped_folder(&parent, 0).await;
    let [copy, used, nothing] = ["copy", "used", "nothing"].map(|name| parent.path().join(name));
    std::fs::create_dir(&used).unwrap();
    std::fs::write(used.join("notes.txt"), "mine").unwrap();
    run(["backup", text(&used), "--data", text(&data)])
        .await
        .failed_saying("is not empty: choose a new folder");
    run(["backup", text(&copy), "--data", text(&nothing)])
        .await
        .failed_saying("there is no data in");
    run(["restore", text(&nothing), "--data", text(&data)])
        .await
        .failed_saying("there is no data in");
    assert!(!copy.exists() && !nothing.exists());

    std::fs::create_dir(&copy).unwrap();
    run(["backup", text(&copy), "--data", text(&data)]).await.done();
    run(["restore", text(&copy), "--data", text(&used)])
        .await
        .failed_saying("is no data folder of ledgerfold");
    run(["restore", text(&copy), "--data", text(&data)])
        .await
        .failed_saying("replace it with --fresh");
    let dev = Dev::start(&data).await;
    run(["restore", text(&copy), "--data", text(&data), "--fresh"])
        .await
        .failed_saying("is in use by process");
    run(["restore", text(&data), "--data", text(&nothing)]).await.failed_saying("is in use");
    assert_eq!(dev.interrupt().await, 0);
    run(["restore", text(&copy), "--data", text(&data), "--fresh"]).await.done();
    assert_eq!(std::fs::read_to_string(used.join("notes.txt")).unwrap(), "mine");
}

#[tokio::test]
async fn a_damaged_copy_is_not_restored() {
    let parent = TempDir::new().unwrap();
    let data = stopped_folder(&parent, 1).await;
    let [copy, restored] = ["copy", "restored"].map(|name| parent.path().join(name));
    run(["backup", text(&copy), "--data", text(&data)]).await.done();
    let file = copy.join("dynamodb.db");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle..middle + 20_000].fill(0xff);
    std::fs::write(&file, bytes).unwrap();
    let said = run(["restore", text(&copy), "--data", text(&restored)]).await;
    assert_eq!(said.status, 3, "{said:?}");
    assert!(
        !restored.join("dynamodb.db").exists() && !parent.path().join("restored.partial").exists()
    );
}

#[tokio::test]
async fn a_backup_that_is_ended_leaves_nothing_half() {
    let parent = TempDir::new().unwrap();
    let data = stopped_folder(&parent, 60).await;
    let [copy, partial] = ["copy", "copy.partial"].map(|name| parent.path().join(name));
    for signal in ["INT", "TERM", "KILL"] {
        let mut command = ledgerfold(["backup", text(&copy), "--data", text(&data)]);
        let mut backup = command.spawn().unwrap();
        let begun = async {
            while !partial.join("dynamodb.db").exists() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, begun).await.expect("it does not begin");
        let id = backup.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().await.unwrap().success());
        let status = timeout(PATIENCE, backup.wait()).await.expect("it does not end").unwrap();
        assert_ne!(status.code(), Some(0), "{signal}: it was done before it was asked");
        assert!(!copy.exists(), "{signal}");
        assert_eq!(partial.exists(), signal == "KILL", "{signal}");
    }
    run(["backup", text(&copy), "--data", text(&data)]).await.done();
    assert!(copy.join("dynamodb.db").exists() && !partial.exists());
}

#[tokio::test]
async fn an_odd_name_is_the_folder_of_that_name() {
    let parent = TempDir::new().unwrap();
    let names = ["file:shop", "file:shop?mode=memory", "a%20b c", ":memory:", "./with/../slash/"];
    for name in names {
        let mut command = ledgerfold(["tables", "create", "--data", name]);
        command.current_dir(parent.path());
        ended(command).await.done();
        let folder = parent.path().join(name);
        assert!(folder.join("dynamodb.db").exists() && folder.join("sqs.db").exists(), "{name}");
    }
    assert!(!parent.path().join("shop").exists());
}
