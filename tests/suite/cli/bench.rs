//! `ledgerfold-bench`: its counts equal the budget, and it removes its tables.

use super::{Dev, Ended, PATIENCE, ended, run_bench};
use crate::harness::program::ledgerfold_bench;
use crate::harness::seed::clients;
use aws_sdk_dynamodb::Client;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

/// Runs it with small numbers and this folder for temporary files.
async fn bench<const N: usize>(folder: &TempDir, more: [&str; N]) -> Ended {
    let mut command = ledgerfold_bench(["--commands", "12", "--clients", "3", "--events", "20"]);
    command.args(more).env("TMPDIR", folder.path());
    ended(command).await
}

/// The same with the data folder of a running `dev`.
async fn bench_beside<const N: usize>(data: &TempDir, folder: &TempDir, more: [&str; N]) -> Ended {
    let mut command = ledgerfold_bench(["--commands", "12", "--clients", "3", "--events", "20"]);
    command.args(more).env("TMPDIR", folder.path()).env("LEDGERFOLD_DATA", data.path());
    ended(command).await
}

pub(super) fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// The tables that a benchmark did not remove.
async fn left(client: &Client) -> Vec<String> {
    let names = client.list_tables().send().await.unwrap().table_names.unwrap();
    names.into_iter().filter(|name| name.contains("bench")).collect()
}

/// A running system, and a client of its engine.
async fn running(data: &TempDir) -> (Dev, Client, String) {
    let mut dev = Dev::start(data.path()).await;
    let exports = dev.exports().await;
    let endpoint =
        exports.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL_DYNAMODB").unwrap().1.clone();
    (dev, clients(&exports).dynamodb, endpoint)
}

/// An operation's commands, requests, write and read units.
#[track_caller]
fn counts(answer: &Value, operation: &str) -> (u64, u64, f64, f64) {
    let all = answer["operations"].as_array().unwrap();
    let found = all.iter().find(|found| found["operation"] == operation);
    let found = found.unwrap_or_else(|| panic!("no {operation} in {answer}"));
    let whole = |name: &str| found[name].as_u64().unwrap_or_else(|| panic!("no {name} in {found}"));
    let number =
        |name: &str| found[name].as_f64().unwrap_or_else(|| panic!("no {name} in {found}"));
    assert!(whole("attempts") >= whole("requests"), "{found}");
    assert!(whole("bytes_sent") > 0 && whole("bytes_received") > 0, "{found}");
    assert!(number("p50_ms") > 0.0 && number("p99_ms") >= number("p50_ms"), "{found}");
    assert!(number("commands_per_s") > 0.0, "{found}");
    assert!(found["cpu_us_per_command"].as_f64().is_none_or(|cpu| cpu > 0.0), "{found}");
    (whole("commands"), whole("requests"), number("write_units"), number("read_units"))
}

#[tokio::test]
async fn the_counts_are_those_of_the_budget() {
    let folder = TempDir::new().unwrap();
    let ended = bench(&folder, ["--json"]).await;
    let answer = ended.json();
    assert_eq!((ended.status, &*ended.stderr, &answer["clients"]), (0, "", &3.into()));
    for (operation, commands, requests, write_units, read_units) in [
        ("create", 12, 12, 12.0, 0.0),
        ("warm", 12, 12, 12.0, 0.0),
        ("cold", 12, 24, 12.0, 6.0),
        ("retry", 12, 12, 0.0, 6.0),
        ("refused", 12, 24, 0.0, 18.0),
    ] {
        assert_eq!(
            counts(&answer, operation),
            (commands, requests, write_units, read_units),
            "{operation}"
        );
    }
    // Half a unit per 4 KB, which hold 6 to 20 events of 200 to 600 bytes.
    for (operation, commands, requests, written, events) in [
        ("many-events", 2, 2, 2.0..=8.0, 0.0),
        ("load-long", 2, 2, 0.0..=0.0, 2.0 * 20.0),
        ("load-longest", 1, 1, 0.0..=0.0, 200.0),
    ] {
        let (given, sent, write_units, read_units) = counts(&answer, operation);
        assert_eq!((given, sent), (commands, requests), "{operation}");
        assert!(written.contains(&write_units), "{operation}: {write_units} write units");
        let (least, most) = (events / 20.0 * 0.5, events / 6.0 * 0.5 + 1.0);
        assert!((least..=most).contains(&read_units), "{operation}: {read_units} read units");
    }
    // The first command finds no snapshot, reads all commits, and writes a snapshot.
    let (given, sent, write_units, _) = counts(&answer, "cold-long");
    assert_eq!((given, sent), (2, 6));
    assert!((3.0..=4.0).contains(&write_units), "{write_units} write units");
    for operation in ["race-16", "race-64"] {
        let (commands, requests, write_units, read_units) = counts(&answer, operation);
        assert!(
            requests >= 2 * commands && write_units >= 12.0 && read_units > 0.0,
            "{operation}: {answer}"
        );
    }
    for operation in ["hot-16", "hot-64"] {
        let (commands, requests, ..) = counts(&answer, operation);
        assert!(requests < commands, "{operation}: those that wait are written together: {answer}");
    }
    assert_eq!(answer["operations"].as_array().unwrap().len(), 13);
    assert!(is_empty(folder.path()));
}

#[tokio::test]
async fn a_person_reads_averages_in_a_table() {
    let folder = TempDir::new().unwrap();
    let table = bench(&folder, []).await.done();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].starts_with("OPERATION ") && lines[1].ends_with("P99 ms"), "{table}");
    let cold: Vec<&str> = lines[4].split_whitespace().collect();
    assert_eq!(lines[4].find("a command, its stream read first"), Some(0), "{table}");
    assert_eq!(cold[6..11], ["12", "2", "2", "1", "0.5"], "{table}");
    assert_eq!(lines.len(), 15, "{table}");
}

#[tokio::test]
async fn a_system_that_is_named_is_left_as_it_was() {
    let data = TempDir::new().unwrap();
    let (dev, client, endpoint) = running(&data).await;
    let before = client.list_tables().send().await.unwrap().table_names;
    let temporary = TempDir::new().unwrap();
    let answer = bench_beside(&data, &temporary, ["--endpoint", &endpoint, "--json"]).await.json();
    assert_eq!(counts(&answer, "create"), (12, 12, 12.0, 0.0));
    assert_eq!(client.list_tables().send().await.unwrap().table_names, before);
    assert_eq!(dev.interrupt().await, 0);

    let answer =
        bench(&temporary, ["--data", data.path().to_str().unwrap(), "--json"]).await.json();
    assert_eq!(counts(&answer, "create"), (12, 12, 12.0, 0.0));
    let (_dev, client, _) = running(&data).await;
    assert_eq!(client.list_tables().send().await.unwrap().table_names, before);
    assert!(is_empty(temporary.path()));
}

/// Starts it with more commands than it can run during the test.
fn endless<const N: usize>(more: [&str; N]) -> Command {
    let mut command = ledgerfold_bench(["--commands", "1000000"]);
    command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Interrupts it, and asserts its message.
pub(super) async fn interrupt(mut child: Child) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap().success());
    let status =
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("it does not end").unwrap();
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).await.unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).await.unwrap();
    let status = status.code().expect("it was killed");
    Ended { status, stdout, stderr }
        .failed_saying("stopped before the end: its tables and files are removed");
}

/// Polls until the condition holds.
pub(super) async fn until(mut so: impl AsyncFnMut() -> bool) {
    let looking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it never is so");
}

#[tokio::test]
async fn ctrl_c_ends_it_and_removes_what_it_made() {
    let (data, temporary) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (_dev, client, endpoint) = running(&data).await;
    let child =
        endless(["--endpoint", &endpoint]).env("LEDGERFOLD_DATA", data.path()).spawn().unwrap();
    until(async || {
        let tables = left(&client).await;
        let Some(table) = tables.first() else { return false };
        client.scan().table_name(table).limit(1).send().await.is_ok_and(|page| page.count > 0)
    })
    .await;
    interrupt(child).await;
    assert_eq!(left(&client).await, Vec::<String>::new());

    let child = endless([]).env("TMPDIR", temporary.path()).spawn().unwrap();
    until(async || !is_empty(temporary.path())).await;
    interrupt(child).await;
    assert!(is_empty(temporary.path()));
}

#[tokio::test]
async fn wrong_use_is_told_before_anything_is_made() {
    for (option, value) in [
        ("--commands", "0"),
        ("--commands", "many"),
        ("--clients", "0"),
        ("--clients", "257"),
        ("--events", "0"),
    ] {
        run_bench([option, value]).await.is_wrong_use(option);
    }
    run_bench(["--aws", "--data", "x"]).await.is_wrong_use("--aws");
    run_bench(["--aws", "--endpoint", "http://127.0.0.1:1"]).await.is_wrong_use("--aws");
    run_bench(["--data", "x", "--endpoint", "http://127.0.0.1:1"]).await.is_wrong_use("--data");
    run_bench(["--endpoint", "nonsense"]).await.is_wrong_use("an address such as http://");
    run_bench(["--data", "/nowhere/at/all"])
        .await
        .failed_saying("there is no folder /nowhere/at/all");
    let mut command = ledgerfold_bench(["--aws"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nowhere");
    ended(command).await.failed_saying("no running instance found");
}
