//! `ledgerfold audit tail` and `streams`.

use super::receive;
use crate::harness::program::{Program, ledgerfold};
use crate::harness::waiting::{ends, eventually};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};

const STREAM: &str = "stock-9780306406157";

async fn journaled(system: &Program, version: u64) {
    eventually("the journal has it", || async {
        let page = system.read(&format!("/audit/streams?prefix={STREAM}")).await;
        (page["streams"][0]["version"].as_u64()? >= version).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_tail_prints_a_table_or_json_and_where_it_goes_on() {
    let system = Program::start().await;
    receive(&system.dev, 5).await;
    journaled(&system, 5).await;
    let table =
        system.operate(["audit", "tail", "--category", "stock", "--limit", "500"]).await.done();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("POSITION  RECORDED AT"), "{table}");
    assert_eq!(lines.len(), 7, "{table}");
    assert!(lines[6].starts_with("the end; continue with --after 1."), "{table}");
    let after = lines[6].rsplit(' ').next().unwrap();
    let json = system.operate(["audit", "tail", "--after", after, "--json"]).await.json();
    assert_eq!(json["damaged"], json!([]));
    let first = system.operate(["audit", "tail", "--limit", "1", "--json"]).await.json();
    let from_api = system.read("/audit/tail?limit=1").await;
    assert_eq!((&first["events"], &first["next"]), (&from_api["events"], &from_api["next"]));
    let listed =
        system.operate(["audit", "streams", "--begins-with", "stock-978", "--json"]).await.json();
    assert_eq!(listed["streams"][0]["stream"], STREAM);
    let table = system.operate(["audit", "streams", "--category", "stock"]).await.done();
    assert!(table.lines().nth(1).unwrap().starts_with(STREAM), "{table}");
    let ended = system.operate(["audit", "tail", "--after", "1.99999"]).await;
    ended.failed_saying("position 1.99999 is beyond the end of the journal, which is 1.");
    let ended = system.operate(["audit", "tail", "--after", "7"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
    let ended = system.operate(["audit", "streams", "--begins-with", "stock"]).await;
    assert_eq!(ended.status, 2, "{ended:?}");
}

#[tokio::test]
async fn a_program_that_follows_survives_its_own_restarts() {
    let system = Program::start().await;
    let mut after = "0".to_owned();
    let mut versions: Vec<u64> = Vec::new();
    for restart in 1..=3_u64 {
        receive(&system.dev, 4).await;
        let mut command = ledgerfold([
            "audit",
            "tail",
            "--follow",
            "--json",
            "--category",
            "stock",
            "--after",
            &after,
        ]);
        command.envs(system.exports.iter().cloned()).stdout(Stdio::piped());
        let mut following = command.spawn().unwrap();
        let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
        while versions.last() != Some(&(restart * 4)) {
            let line = ends("a line", lines.next_line()).await.unwrap().unwrap();
            let page: Value = serde_json::from_str(&line).unwrap();
            let events = page["events"].as_array().unwrap();
            versions.extend(events.iter().map(|event| event["version"].as_u64().unwrap()));
            after = page["next"].as_str().unwrap().to_owned();
        }
        let id = following.id().unwrap().to_string();
        std::process::Command::new("kill").args(["-INT", &id]).status().unwrap();
        let ended = ends("the program", following.wait()).await.unwrap();
        assert_eq!(ended.code(), Some(0), "Ctrl-C ends it cleanly");
    }
    assert_eq!(versions, (1..=12).collect::<Vec<_>>());
}
