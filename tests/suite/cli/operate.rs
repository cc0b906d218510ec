//! `ledgerfold tables` and `ledgerfold audit`, on a stopped folder and on a running system.

use super::{Ended, ended, receive, run};
use crate::harness::program::{Dev, Program, ledgerfold};
use crate::harness::seed::{Seed, append, clients, indexed, receive_at_once, store};
use crate::harness::waiting::eventually;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

const STREAM: &str = "stock-9780306406157";

impl Program {
    pub(super) async fn operate<const N: usize>(&self, arguments: [&str; N]) -> Ended {
        let mut command = ledgerfold(arguments);
        command.envs(self.exports.iter().cloned());
        ended(command).await
    }

    pub(super) fn endpoint(&self, service: &str) -> String {
        let name = format!("AWS_ENDPOINT_URL_{service}");
        self.exports.iter().find(|(found, _)| *found == name).unwrap().1.clone()
    }

    /// Tampers with the first event.
    async fn tamper(&self) {
        let table = clients(&self.exports).dynamodb;
        let items =
            table.scan().table_name("ledgerfold-events").send().await.unwrap().items.unwrap();
        let first = |item: &HashMap<String, AttributeValue>| {
            item["version"] == AttributeValue::N("1".to_owned())
        };
        let mut item = items.into_iter().find(first).unwrap();
        let written = item["commits"].as_s().unwrap();
        let forged = written.replace("\"quantity\":5", "\"quantity\":50");
        assert_ne!(&forged, written);
        item.insert("commits".to_owned(), AttributeValue::S(forged));
        table.put_item().table_name("ledgerfold-events").set_item(Some(item)).send().await.unwrap();
    }
}

#[tokio::test]
async fn tables_may_be_made_again_where_they_are() {
    let system = Program::start().await;
    let first = system.operate(["tables", "create"]).await.done();
    assert_eq!(
        first.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["KIND", "FOR", "WHERE"]
    );
    let sqs = system.endpoint("SQS");
    for word in ["ledgerfold-events", "ledgerfold-read-models", "projection orders", &sqs] {
        assert!(first.contains(word), "no {word} in {first}");
    }
    assert_eq!(system.operate(["tables", "create"]).await.done(), first);
    let made = system.operate(["tables", "create", "--json"]).await.json();
    assert_eq!(
        (&made["events"], &made["read_models"]),
        (&json!("ledgerfold-events"), &json!("ledgerfold-read-models"))
    );
    assert!(
        made["queues"]
            .as_array()
            .unwrap()
            .iter()
            .all(|queue| queue["url"].as_str().unwrap().starts_with(&sqs))
    );
    let other = system.operate(["tables", "create", "--prefix", "shop-2", "--json"]).await.json();
    assert_eq!(other["events"], "shop-2-events");
    receive(&system.dev, 1).await;
}

#[tokio::test]
async fn a_history_is_shown_for_people_and_for_programs() {
    let system = Program::start().await;
    receive(&system.dev, 12).await;
    let table = system.operate(["audit", "history", STREAM]).await.done();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines.len(), lines[0].split_whitespace().next()), (13, Some("VERSION")));
    for word in ["dev", "StockReceived", "{\"quantity\":5}"] {
        assert!(
            lines[12].starts_with("12 ") && lines[12].contains(word),
            "no {word} in {}",
            lines[12]
        );
    }
    let part =
        system.operate(["audit", "history", STREAM, "--from", "3", "--limit", "4"]).await.done();
    assert_eq!(
        (part.lines().count(), part.lines().last()),
        (6, Some("… up to version 12; continue with --from 7 --to 12"))
    );
    let json = system
        .operate(["audit", "history", STREAM, "--from", "3", "--limit", "4", "--json"])
        .await
        .json();
    let versions: Vec<&Value> =
        json["events"].as_array().unwrap().iter().map(|event| &event["version"]).collect();
    assert_eq!(
        (versions, &json["next_from"]),
        (vec![&json!(3), &json!(4), &json!(5), &json!(6)], &json!(7))
    );
    let answer = reqwest::get(format!("{}/audit/streams/{STREAM}?from=3&limit=4", system.dev.url))
        .await
        .unwrap();
    assert_eq!(json, answer.json::<Value>().await.unwrap(), "the API returns the same");
}

#[tokio::test]
async fn what_is_as_it_was_written_is_verified() {
    let system = Program::start().await;
    receive(&system.dev, 3).await;
    let one = system.operate(["audit", "verify", STREAM]).await.done();
    assert!(one.starts_with(&format!("{STREAM} is intact: 3 commits, head 3 ")), "{one}");
    let one = system.operate(["audit", "verify", STREAM, "--json"]).await.json();
    assert_eq!(
        (&one["verified"], &one["commits"], &one["broken_at"]),
        (&json!(true), &json!(3), &Value::Null)
    );
    let all = system.operate(["audit", "verify", "--all"]).await.done();
    // The stock, and the records of three queries, this one included.
    assert_eq!(all, "All 2 streams are intact: 6 commits.\n");
}

#[tokio::test]
async fn a_break_is_found_and_ends_with_1() {
    let system = Program::start().await;
    receive(&system.dev, 3).await;
    system.tamper().await;
    for arguments in [["audit", "verify", STREAM], ["audit", "verify", "--all"]] {
        let found = system.operate(arguments).await;
        assert_eq!((found.status, &*found.stderr), (1, ""), "{found:?}");
        assert!(found.stdout.contains(&format!("{STREAM} is BROKEN at version ")), "{found:?}");
    }
    let one = system.operate(["audit", "verify", STREAM, "--json"]).await;
    assert_eq!((one.status, &one.json()["verified"]), (1, &json!(false)));
    assert!(
        one.json()["broken_at"]["version"].is_u64()
            && one.json()["broken_at"]["reason"].is_string(),
        "{one:?}"
    );
    let all = system.operate(["audit", "verify", "--all", "--json"]).await;
    assert_eq!(
        (all.status, &all.json()["verified"], &all.json()["streams"]),
        (1, &json!(false), &json!(2))
    );
    assert_eq!(all.json()["broken"].as_array().unwrap().len(), 1);
    assert_eq!(all.json()["broken"][0], one.json());
    let answer =
        reqwest::get(format!("{}/audit/streams/{STREAM}/verify", system.dev.url)).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap()),
        (200, one.json())
    );
}

/// Changes the state in the stock's snapshot.
async fn change_snapshot(system: &Program) {
    let table = clients(&system.exports).dynamodb;
    let (key, sort_key) =
        (AttributeValue::S(STREAM.to_owned()), AttributeValue::N((1_u64 << 53).to_string()));
    let item = table
        .get_item()
        .table_name("ledgerfold-events")
        .key("stream_id", key)
        .key("version", sort_key);
    let mut item = item.send().await.unwrap().item.unwrap();
    let stored = item["snapshot"].as_s().unwrap();
    let changed = stored.replacen("\"on_hand\":50", "\"on_hand\":51", 1);
    assert_ne!(&changed, stored);
    item.insert("snapshot".to_owned(), AttributeValue::S(changed));
    table.put_item().table_name("ledgerfold-events").set_item(Some(item)).send().await.unwrap();
}

#[tokio::test]
async fn a_changed_snapshot_is_found_on_request_only() {
    let system = Program::start().await;
    receive(&system.dev, 11).await;
    let one = ["audit", "verify", STREAM, "--snapshots", "--json"];
    let all = ["audit", "verify", "--all", "--snapshots", "--json"];
    assert_eq!(
        system.operate(one).await.json()["snapshot"],
        json!({"result": "equal", "version": 10})
    );
    let sound = system.operate(all).await;
    assert_eq!((sound.status, &sound.json()["verified"]), (0, &json!(true)));
    assert_eq!(sound.json()["snapshots"], json!({"equal": 1, "ignored": 0, "different": []}));
    change_snapshot(&system).await;
    let reason = "the state is not the fold of the events";
    let found = system.operate(one).await;
    assert_eq!((found.status, &found.json()["verified"]), (1, &json!(true)));
    assert_eq!(
        found.json()["snapshot"],
        json!({"result": "different", "version": 10, "reason": reason})
    );
    let found = system.operate(all).await;
    let different =
        json!([{"stream": STREAM, "result": "different", "version": 10, "reason": reason}]);
    assert_eq!((found.status, &found.json()["snapshots"]["different"]), (1, &different));
    let found = system.operate(["audit", "verify", "--all", "--snapshots"]).await;
    assert!(
        found.stdout.contains(&format!("{STREAM}: the snapshot at version 10 DIFFERS: {reason}\n")),
        "{found:?}"
    );
    assert!(found.stdout.ends_with(
        "0 equal the fold of the events, 1 differ, 0 have another shape and are ignored.\n"
    ));
    assert_eq!(system.operate(["audit", "verify", "--all"]).await.status, 0);
}

/// Tampers by deleting items of the events table.
async fn delete(system: &Program, stream: &str, versions: impl Iterator<Item = u64>) {
    let table = clients(&system.exports).dynamodb;
    for version in versions {
        let delete = table.delete_item().table_name("ledgerfold-events");
        let delete = delete.key("stream_id", AttributeValue::S(stream.to_owned()));
        delete.key("version", AttributeValue::N(version.to_string())).send().await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_end_and_a_stream_that_is_gone_are_found() {
    let system = Program::start().await;
    receive(&system.dev, 3).await;
    let store = store(&system.exports);
    for (stream, commits) in [("note-cut", 3), ("note-gone", 2), ("note-whole", 2)] {
        for number in 0..commits {
            let command = format!("{stream}/{number}");
            let seed = Seed { command, events: vec![("Noted", json!({}))], ..Seed::default() };
            append(&store, stream, &[seed]).await;
        }
        indexed(&system.exports, stream, commits).await;
    }
    eventually("the stock is seen", || async {
        let stock = reqwest::get(format!("{}/stock/9780306406157", system.dev.url)).await.unwrap();
        (stock.json::<Value>().await.unwrap()["version"] == 3).then_some(())
    })
    .await;
    assert_eq!(system.operate(["audit", "verify", "--all"]).await.status, 0);
    delete(&system, STREAM, 2..=3).await;
    delete(&system, "note-cut", 3..=3).await;
    delete(&system, "note-gone", 1..=2).await;
    let all = system.operate(["audit", "verify", "--all"]).await;
    assert_eq!(all.status, 1, "{all:?}");
    for line in [
        format!("{STREAM} is BROKEN at version 2: the end of the stream is gone: "),
        "note-cut is BROKEN at version 3: the end of the stream is gone: the audit index has seen version 3".into(),
        "note-gone is BROKEN at version 1: the end of the stream is gone: the audit index has seen version 2".into(),
        " streams are broken, 0 items are unexpected, and ".into(),
    ] {
        assert!(all.stdout.contains(&line), "no {line:?} in {all:?}");
    }
    // One stream is compared with its read models, without reading the index.
    let one = system.operate(["audit", "verify", STREAM]).await;
    assert!(one.status == 1 && one.stdout.contains("has seen version 3"), "{one:?}");
}

#[tokio::test]
async fn an_item_that_is_none_of_ours_is_named_and_hides_no_stream() {
    let system = Program::start().await;
    receive(&system.dev, 3).await;
    let table = clients(&system.exports).dynamodb;
    for (stream, version) in [("x", "1"), (STREAM, "0"), ("order-1", "1.5")] {
        let put = table.put_item().table_name("ledgerfold-events");
        let put = put.item("stream_id", AttributeValue::S(stream.to_owned()));
        put.item("version", AttributeValue::N(version.to_owned())).send().await.unwrap();
    }
    let output = system.operate(["audit", "verify", "--all"]).await;
    assert_eq!(
        (output.status, output.stdout.matches("UNEXPECTED item: stream ").count()),
        (1, 3),
        "{output:?}"
    );
    // An item before version 1 is in a stream's partition, and so makes that stream corrupt.
    assert!(output.stdout.contains(&format!("{STREAM} is BROKEN at version 0: ")), "{output:?}");
    assert!(
        output.stdout.contains(
            "1 of 2 streams are broken, 3 items are unexpected, and 1 commits are intact."
        ),
        "{output:?}"
    );
    let json = system.operate(["audit", "verify", "--all", "--json"]).await;
    assert_eq!((json.status, &json.json()["verified"]), (1, &json!(false)));
    assert_eq!(json.json()["foreign"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_stopped_folder_is_audited_where_it_lies() {
    let data = TempDir::new().unwrap();
    let folder = data.path().to_str().unwrap();
    let dev = Dev::start(data.path()).await;
    receive(&dev, 3).await;
    assert_eq!(dev.interrupt().await, 0);
    let history = run(["audit", "history", STREAM, "--data", folder, "--json"]).await;
    assert_eq!((history.status, history.json()["events"].as_array().unwrap().len()), (0, 3));
    assert_eq!(run(["audit", "verify", STREAM, "--data", folder]).await.status, 0);
    run(["audit", "history", "order-1", "--data", folder])
        .await
        .failed_saying("there is no stream order-1");
    run(["audit", "verify", "order-1", "--data", folder])
        .await
        .failed_saying("there is no stream order-1");
    let missing = data.path().join("typo");
    let ended = run(["audit", "verify", "--all", "--data", missing.to_str().unwrap()]).await;
    ended.failed_saying("there is no folder ");
    assert!(!missing.exists());
}

#[tokio::test]
async fn what_cannot_be_reached_or_is_not_named_is_told_in_one_line() {
    let system = Program::start().await;
    system
        .operate(["audit", "history", "order-1"])
        .await
        .failed_saying("there is no stream order-1");
    system
        .operate(["audit", "verify", "order-1", "--prefix", "no"])
        .await
        .failed_saying("no running instance found under the prefix \"no\"");
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    for arguments in [
        ["audit", "verify", "order-1"],
        ["audit", "history", "order-1"],
        ["tables", "create", "--json"],
    ] {
        let mut command = ledgerfold(arguments);
        command.args(["--endpoint", &endpoint]);
        ended(command).await.failed_saying("Connection refused");
    }
    let mut command = ledgerfold(["audit", "verify", "--all"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", "/nowhere");
    ended(command).await.failed_saying(
        "no running instance found: start `ledgerfold dev` in this folder, or export the line",
    );
}

#[tokio::test]
async fn a_reader_that_goes_early_is_no_failure() {
    let system = Program::start().await;
    receive_at_once(&system.exports, "9780306406157", 1_000, 1).await;
    let mut command = ledgerfold(["audit", "history", STREAM, "--limit", "1000"]);
    command.envs(system.exports.iter().cloned()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::with_capacity(64, child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).await.unwrap();
    drop(stdout);
    assert!(first.starts_with("VERSION"), "{first}");
    let status = tokio::time::timeout(super::PATIENCE, child.wait())
        .await
        .expect("it does not end")
        .unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_prefix_without_an_instance_is_told_with_those_there() {
    let system = Program::start().await;
    let instances = "no running instance found under the prefix \"elsewhere\": these prefixes exist: ledgerfold";
    for arguments in [
        ["projection", "list", "--prefix", "elsewhere"],
        ["audit", "history", STREAM, "--prefix=elsewhere"],
    ] {
        let output = system.operate(arguments).await;
        output.failed_saying(instances);
        assert!(!output.stderr.contains("tables create"), "{output:?}");
    }
}

#[tokio::test]
async fn the_address_of_the_api_is_no_endpoint() {
    let system = Program::start().await;
    let url = &system.dev.url;
    for command in ["projection", "tables"] {
        let step = if command == "tables" { "create" } else { "list" };
        let output = run([command, step, "--endpoint", url]).await;
        output.failed_saying(&format!("{url} does not serve DynamoDB"));
        output.failed_saying("under \"operate\"");
    }
}
