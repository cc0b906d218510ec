//! `ledgerfold dev`: where it cannot run, and what it stores.

use super::{Dev, client, ended, receive, run};
use crate::harness::http::Client;
use crate::harness::program::ledgerfold;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Starts it where it must fail.
async fn dev_in(folder: &Path) -> super::Ended {
    run(["dev", "--port", "0", "--data", folder.to_str().unwrap()]).await
}

#[tokio::test]
async fn a_taken_port_is_told_with_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = TempDir::new().unwrap();
    let ended = run(["dev", "--port", &port, "--data", data.path().to_str().unwrap()]).await;
    ended.failed_saying(&format!(
        "port {port} of 127.0.0.1 is not available; choose another one with --port"
    ));
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "no file is created");
}

#[tokio::test]
async fn a_folder_in_use_is_told_with_its_owner() {
    let data = TempDir::new().unwrap();
    let dev = Dev::start(data.path()).await;
    let owner = format!("is in use by process {}: stop it first", dev.id());
    dev_in(data.path()).await.failed_saying(&owner);
    let folder = data.path().to_str().unwrap();
    run(["dev", "--port", "0", "--fresh", "--data", folder]).await.failed_saying(&owner);
    run(["audit", "verify", "--all", "--data", folder]).await.done();
    receive(&dev, 1).await;
}

#[tokio::test]
async fn a_folder_that_is_none_of_ours_is_left_alone() {
    let scratch = TempDir::new().unwrap();
    let file = scratch.path().join("notes.txt");
    fs::write(&file, "mine").unwrap();
    dev_in(&file).await.failed_saying("is not a folder");
    dev_in(&file.join("below")).await.failed_saying("is not a folder");
    dev_in(scratch.path()).await.failed_saying("holds files but is no data folder of ledgerfold");
    let fresh =
        run(["dev", "--port", "0", "--fresh", "--data", scratch.path().to_str().unwrap()]).await;
    fresh.failed_saying("holds files but is no data folder of ledgerfold");
    assert_eq!(
        (
            fs::read_to_string(&file).unwrap().as_str(),
            fs::read_dir(scratch.path()).unwrap().count()
        ),
        ("mine", 1)
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told() {
    dev_in(Path::new("/proc/ledgerfold")).await.failed_saying("/proc/ledgerfold cannot be");
}

#[tokio::test]
async fn a_damaged_database_is_told_and_left_as_it_is() {
    for name in ["dynamodb.db", "sqs.db"] {
        let data = TempDir::new().unwrap();
        Dev::start(data.path()).await.interrupt().await;
        let file = data.path().join(name);
        fs::write(&file, "this was a database once").unwrap();
        dev_in(data.path()).await.failed_saying(&format!("{name} is damaged"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "this was a database once");
    }
}

/// The copies on hand at a version of the book's stock.
async fn on_hand(dev: &Dev, version: u64) -> Option<u64> {
    let path = format!("/stock/9780306406157?at_least={version}");
    Client::of(&dev.url).get(&path).await.body["on_hand"].as_u64()
}

#[tokio::test]
async fn a_restart_keeps_everything_until_it_is_told_to_begin_afresh() {
    let data = TempDir::new().unwrap();
    let dev = Dev::start(data.path()).await;
    receive(&dev, 2).await;
    assert_eq!(dev.interrupt().await, 0);
    let dev = Dev::start(data.path()).await;
    assert_eq!(on_hand(&dev, 2).await, Some(10));
    receive(&dev, 1).await;
    assert_eq!(dev.interrupt().await, 0);
    // Other files stay, even with --fresh.
    fs::write(data.path().join("notes.txt"), "mine").unwrap();
    let folder = data.path().to_str().unwrap();
    let history = run(["audit", "verify", "--all", "--data", folder, "--json"]).await;
    // The stock, and the record of this query.
    assert_eq!((&history.json()["streams"], &history.json()["commits"]), (&2.into(), &4.into()));
    let mut fresh = ledgerfold(["dev", "--port", "0", "--fresh", "--data", folder]);
    let dev = Dev::start_command(&mut fresh).await;
    assert_eq!(on_hand(&dev, 1).await, None);
    receive(&dev, 1).await;
    assert_eq!(on_hand(&dev, 1).await, Some(5));
    assert_eq!(dev.interrupt().await, 0);
    assert!(data.path().join("notes.txt").exists());
}

#[tokio::test]
async fn the_first_command_can_be_pasted_as_it_is_printed() {
    let data = TempDir::new().unwrap();
    let mut dev = Dev::start(data.path()).await;
    assert_eq!(dev.printed("data").await.split("; ").next(), data.path().to_str());
    let pasted = dev.printed("try").await;
    for replayed in [false, true] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &pasted]);
        let answer = ended(shell).await;
        assert_eq!(answer.status, 0, "{answer:?}");
        assert!(
            answer.stdout.starts_with("HTTP/1.1 201 Created")
                && answer.stdout.contains("\"OrderPlaced\""),
            "{answer:?}"
        );
        assert_eq!(answer.stdout.contains("idempotency-replayed: true"), replayed, "{answer:?}");
    }
    let description = client().get(dev.printed("API").await).send().await.unwrap();
    assert_eq!(description.status(), 200);
}
