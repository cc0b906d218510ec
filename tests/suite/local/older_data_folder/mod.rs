//! Data folders of older programs are still read, verified and written to.
//! `of_<day>/` is a backup by the program of that day. `make.sh` made it. It has snapshots,
//! compressed commits, queued commands, a read model that was switched and one that was not, a
//! parked stream, and an order that fulfilment has not handled. A folder is never changed. A
//! program with a new stored shape adds another one.
#![cfg(test)]

use crate::harness::http::{Client, sent};
use crate::harness::program::{Dev, ledgerfold};
use crate::harness::waiting::PATIENCE;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;
use tokio::time::timeout;

const SHIPPED: &str = "f0e36638-b276-5fed-84dc-638d2628838d";
const CANCELLED: &str = "78933ac8-c6b3-51d3-a209-f84e049711b1";
const REJECTED: &str = "adfc37f8-e71c-5064-be8f-6877d81bcb23";
const PARKED: &str = "26f02534-221e-5a62-af8c-32f188c7f4da";
const NOVEL: &str = "9780306406157";

/// A fresh copy of the folder.
fn folder() -> TempDir {
    let kept =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("suite/local/older_data_folder/of_2026_11_30");
    let folder = TempDir::new().unwrap();
    for database in ["dynamodb.db", "sqs.db"] {
        let packed = std::fs::read(kept.join(format!("{database}.zst"))).unwrap();
        std::fs::write(folder.path().join(database), zstd::stream::decode_all(&*packed).unwrap())
            .unwrap();
    }
    std::fs::create_dir(folder.path().join("checkpoints")).unwrap();
    std::fs::copy(kept.join("fan-out.json"), folder.path().join("checkpoints/fan-out.json"))
        .unwrap();
    std::fs::copy(kept.join("ledgerfold.json"), folder.path().join("ledgerfold.json")).unwrap();
    folder
}

/// The program's JSON answer about the folder.
async fn json_of(folder: &TempDir, arguments: &[&str]) -> Value {
    let data = ["--data", folder.path().to_str().unwrap(), "--json"];
    let mut command = ledgerfold(arguments.iter().copied().chain(data));
    let output = timeout(PATIENCE, command.output()).await.expect("it does not end").unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn becomes(client: &Client, order: &str, status: &str) {
    // A new order has no row at first.
    client.until(&format!("/orders/{order}"), |answer| answer.body["status"] == status).await;
}

/// Sends a command as ann with this key. Returns the answer, and whether it is a replay.
async fn send(client: &Client, path: &str, key: &str, body: Value) -> (Value, bool) {
    let answer = sent(client.keyed(path, key, &body).header("X-Actor", "ann")).await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    (answer.body.clone(), answer.is_replay())
}

fn copies(quantity: u32) -> Value {
    let lines = json!([{"isbn": NOVEL, "quantity": quantity, "unit_price_minor": 1999}]);
    json!({"customer_id": "c-1", "currency": "EUR", "lines": lines})
}

#[tokio::test]
async fn every_stream_of_an_older_folder_verifies() {
    let folder = folder();
    let verified = json_of(&folder, &["audit", "verify", "--all"]).await;
    // The nine in the folder, and the record of this reading if its day or actor differs.
    let streams = verified["streams"].as_u64().unwrap();
    assert!(verified["verified"] == true && (9..=10).contains(&streams), "{verified}");
}

#[tokio::test]
async fn recorded_commands_of_an_older_folder_are_replayed() {
    let folder = folder();
    let dev = Dev::start(folder.path()).await;
    let client = Client::of(&dev.url);
    let receive = format!("/stock/{NOVEL}/receive");
    // The first is older than the listed ids of the snapshot. The last was queued.
    for (key, quantity, version) in
        [("delivery-1", 10, 1), ("delivery-120", 10, 120), ("later", 5, 125)]
    {
        let (answer, replayed) = send(&client, &receive, key, json!({"quantity": quantity})).await;
        assert_eq!((&answer["version"], replayed), (&json!(version), true), "{key}: {answer}");
    }
    let (answer, replayed) = send(&client, "/orders", "shipped", copies(2)).await;
    assert_eq!((&answer["stream"], replayed), (&json!(format!("order-{SHIPPED}")), true));
}

#[tokio::test]
async fn an_older_folder_is_written_to() {
    let folder = folder();
    let dev = Dev::start_whole(folder.path()).await;
    let client = Client::of(&dev.url);
    for (order, status) in [(SHIPPED, "shipped"), (CANCELLED, "cancelled"), (REJECTED, "rejected")]
    {
        becomes(&client, order, status).await;
    }
    let (placed, replayed) = send(&client, "/orders", "new", copies(3)).await;
    assert!(!replayed);
    becomes(
        &client,
        placed["stream"].as_str().unwrap().strip_prefix("order-").unwrap(),
        "confirmed",
    )
    .await;
    // The order that fulfilment had not handled.
    let (waiting, replayed) = send(&client, "/orders", "waiting", copies(1)).await;
    assert!(replayed);
    becomes(
        &client,
        waiting["stream"].as_str().unwrap().strip_prefix("order-").unwrap(),
        "confirmed",
    )
    .await;
    // The parked stream is still listed, and `resume` applies it.
    let parked = client.read("/projections/orders/parked").await;
    assert_eq!(parked["streams"][0]["stream"], json!(format!("order-{PARKED}")), "{parked}");
    json_of(&folder, &["projection", "resume", "orders"]).await;
    becomes(&client, PARKED, "cancelled").await;
    // The switched read model still has its older generation. The other one is switched now, and
    // one is rebuilt.
    json_of(&folder, &["projection", "rollback", "stock"]).await;
    json_of(&folder, &["projection", "switch", "bestsellers"]).await;
    json_of(&folder, &["projection", "rebuild", "orders", "--wait"]).await;
    json_of(&folder, &["projection", "switch", "orders"]).await;
    becomes(&client, SHIPPED, "shipped").await;
    assert_eq!(dev.interrupt().await, 0);
    let verified = json_of(&folder, &["audit", "verify", "--all"]).await;
    assert_eq!(verified["verified"], true, "{verified}");
}

#[tokio::test]
async fn the_audit_trail_of_an_older_folder_is_readable() {
    let folder = folder();
    let was =
        json_of(&folder, &["audit", "at", &format!("order-{SHIPPED}"), "--version", "1"]).await;
    assert_eq!(
        (&was["state"]["status"], &was["verified"]),
        (&json!("placed"), &json!(true)),
        "{was}"
    );
    let found =
        json_of(&folder, &["audit", "search", "--actor", "ann", "--type", "OrderCancelled"]).await;
    assert_eq!(found["events"].as_array().unwrap().len(), 2, "{found}");
}
