//! `ledgerfold audit search`, `trace`, `at` and `diff`, and the recorded actor.

use super::{Ended, ended, receive, run};
use crate::harness::http::Client;
use crate::harness::program::{Dev, Program, ledgerfold};
use crate::harness::seed::{Seed, append, clients, store};
use crate::harness::waiting::eventually;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use tempfile::TempDir;

const STREAM: &str = "stock-9780306406157";

/// Waits until the index has this number of events of a type.
pub(super) async fn indexed(system: &Program, event_type: &str, events: usize) {
    eventually("everything is in the index", || async {
        let page = system.read(&format!("/audit/events?type={event_type}&limit=500")).await;
        (page["events"].as_array()?.len() == events).then_some(())
    })
    .await;
}

fn rows(table: &str) -> Vec<Vec<&str>> {
    table.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[tokio::test]
async fn a_search_over_all_streams_prints_a_table_or_json() {
    let system = Program::start().await;
    receive(&system.dev, 5).await;
    indexed(&system, "StockReceived", 5).await;
    let arguments =
        ["audit", "search", "--actor", "dev", "--type", "StockReceived", "--limit", "2"];
    let table = system.operate(arguments).await.done();
    let rows = rows(&table);
    assert_eq!(
        rows[0],
        ["STREAM", "VERSION", "RECORDED", "AT", "ACTOR", "COMMAND", "EVENT", "DATA"]
    );
    assert_eq!((rows.len(), rows[1][..2].to_vec(), rows[2][1]), (4, vec![STREAM, "5"], "4"));
    let cursor = *rows[3].last().unwrap();
    assert_eq!(rows[3][..4], ["…", "continue", "with", "--cursor"]);
    let mut command = ledgerfold(arguments);
    command.envs(system.exports.iter().cloned()).args(["--json", "--cursor", cursor]);
    let json = ended(command).await.json();
    let path = format!("/audit/events?actor=dev&type=StockReceived&limit=2&cursor={cursor}");
    assert_eq!(json, system.read(&path).await);
    assert_eq!(versions(&json), [3, 2]);
    let oldest =
        ["audit", "search", "--stream", STREAM, "--order", "asc", "--limit", "3", "--json"];
    assert_eq!(versions(&system.operate(oldest).await.json()), [1, 2, 3]);
    let none = ["audit", "search", "--to", "2020-01-01T00:00:00Z", "--json"];
    assert_eq!(
        system.operate(none).await.json(),
        json!({"events": [], "damaged": [], "next_cursor": null})
    );
}

fn versions(page: &Value) -> Vec<u64> {
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["version"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_commit_that_is_gone_is_named_and_is_a_negative_answer() {
    let system = Program::start().await;
    receive(&system.dev, 3).await;
    indexed(&system, "StockReceived", 3).await;
    let delete = clients(&system.exports).dynamodb.delete_item().table_name("ledgerfold-events");
    let delete = delete.key("stream_id", AttributeValue::S(STREAM.to_owned()));
    delete.key("version", AttributeValue::N("2".to_owned())).send().await.unwrap();
    let found = system.operate(["audit", "search", "--type", "StockReceived"]).await;
    let named = format!("DAMAGED {STREAM} at version 2: the commit is there no more");
    assert_eq!(
        (found.status, found.stdout.lines().count(), found.stdout.lines().last()),
        (1, 4, Some(&*named))
    );
    let found = system.operate(["audit", "search", "--type", "StockReceived", "--json"]).await;
    assert_eq!(
        (found.status, versions(&found.json()), &found.json()["damaged"][0]["version"]),
        (1, vec![3, 1], &json!(2))
    );
    let broken = system.operate(["audit", "export", "--type", "StockReceived"]).await;
    assert_eq!(broken.status, 3);
    assert!(
        broken.stderr.contains(&format!("stream {STREAM} is damaged at version 2")),
        "{broken:?}"
    );
}

#[tokio::test]
async fn a_trace_is_drawn_as_a_tree() {
    let system = Program::start().await;
    let store = store(&system.exports);
    let seed = |command: &str, cause: Option<&str>, types: &[&'static str]| Seed {
        command: command.to_owned(),
        actor: Some("ann".to_owned()),
        correlation: Some("p".to_owned()),
        cause: cause.map(str::to_owned),
        events: types.iter().map(|event_type| (*event_type, json!({"a": 1}))).collect(),
    };
    append(&store, "bill-1", &[seed("start", None, &["Began", "Grew"])]).await;
    append(&store, "mail-1", &[seed("write", Some("bill-1:1"), &["Written"])]).await;
    append(&store, "mail-2", &[seed("copy", Some("bill-1:1"), &["Copied"])]).await;
    append(&store, "mail-3", &[seed("stray", Some("x-1:4"), &["Strayed"])]).await;
    indexed(&system, "Strayed", 1).await;
    eventually("all are in the index", || async {
        (system.read("/audit/trace/p").await["commits"] == 4).then_some(())
    })
    .await;
    let drawn = system.operate(["audit", "trace", "p"]).await.done();
    let trace = system.read("/audit/trace/p").await;
    let time = |path: &str| {
        trace.pointer(path).unwrap_or_else(|| panic!("no {path}")).as_str().unwrap().to_owned()
    };
    let wanted = format!(
        "\
correlation p: 4 commands
bill-1: command start by ann, {}
├─ 1 Began {{\"a\":1}}
│  ├─ mail-1: command write by ann, {}
│  │  └─ 1 Written {{\"a\":1}}
│  └─ mail-2: command copy by ann, {}
│     └─ 1 Copied {{\"a\":1}}
└─ 2 Grew {{\"a\":1}}
mail-3: command stray by ann, {}, caused by x-1:4
└─ 1 Strayed {{\"a\":1}}
",
        time("/roots/0/recorded_at"),
        time("/roots/0/events/0/commands/0/recorded_at"),
        time("/roots/0/events/0/commands/1/recorded_at"),
        time("/roots/1/recorded_at"),
    );
    assert_eq!(drawn, wanted);
    assert_eq!(system.operate(["audit", "trace", "--stream", "mail-2"]).await.done(), drawn);
    assert_eq!(system.operate(["audit", "trace", "p", "--json"]).await.json(), trace);
    system
        .operate(["audit", "trace", "q"])
        .await
        .failed_saying("nothing is recorded with correlation id q");
    system
        .operate(["audit", "trace", "--stream", "bill-2"])
        .await
        .failed_saying("there is no stream bill-2");
}

#[tokio::test]
async fn a_stream_is_shown_as_it_was_and_what_changed() {
    let data = TempDir::new().unwrap();
    let folder = data.path().to_str().unwrap();
    let dev = Dev::start(data.path()).await;
    receive(&dev, 3).await;
    let client = Client::of(&dev.url);
    let at = client.read(&format!("/audit/streams/{STREAM}/at?version=2")).await;
    let diff = client.read(&format!("/audit/streams/{STREAM}/diff?from=1&to=3")).await;
    assert_eq!(dev.interrupt().await, 0);
    // The same on the folder of a stopped `dev`.
    let shown = run(["audit", "at", STREAM, "--version", "2", "--data", folder]).await.done();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with(&format!("{STREAM} at version 2, recorded at 20")), "{shown}");
    assert!(lines[0].ends_with("as in stock:") && shown.contains("\"on_hand\": 10"), "{shown}");
    assert!(lines[lines.len() - 1].ends_with(at["hash"].as_str().unwrap()), "{shown}");
    assert_eq!(
        run(["audit", "at", STREAM, "--version", "2", "--data", folder, "--json"]).await.json(),
        at
    );
    let time = at["recorded_at"].as_str().unwrap();
    let by_time =
        run(["audit", "at", STREAM, "--time", time, "--data", folder, "--json"]).await.json();
    assert!(by_time["version"].as_u64().unwrap() >= 2, "{by_time}");
    let shown =
        run(["audit", "diff", STREAM, "--from", "1", "--to", "3", "--data", folder]).await.done();
    let rows = rows(&shown);
    assert_eq!(
        (&rows[1], &rows[2], &rows[3]),
        (&vec!["FIELD", "BEFORE", "AFTER"], &vec!["on_hand", "5", "15"], &vec![])
    );
    assert_eq!((rows.len(), rows[5][0], rows[6][0]), (7, "2", "3"));
    let json = ["audit", "diff", STREAM, "--from", "1", "--to", "3", "--data", folder, "--json"];
    assert_eq!(run(json).await.json(), diff);
    let whole = run(["audit", "diff", STREAM, "--data", folder]).await.done();
    assert!(
        whole.lines().next().unwrap().contains("from the empty stream to version 3"),
        "{whole}"
    );
    run(["audit", "at", STREAM, "--version", "4", "--data", folder])
        .await
        .failed_saying("is at version 3, not yet at 4");
    run(["audit", "at", "note-1", "--version", "1", "--data", folder])
        .await
        .failed_saying("no read model follows");
    let early = ["audit", "at", STREAM, "--time", "2020-01-01T00:00:00Z", "--data", folder];
    run(early).await.failed_saying("later than 2020-01-01T00:00:00.000Z");
}

/// The recorded queries: actor, call and parameters.
async fn readings(system: &Program, events: usize) -> Vec<(String, String, Value)> {
    let found = eventually("the readings are in the index", || async {
        let mut command =
            ledgerfold(["audit", "search", "--type", "AuditTrailRead", "--order", "asc", "--json"]);
        command
            .args(["--to", "2999-01-01T00:00:00Z", "--as", "observer"])
            .envs(system.exports.iter().cloned());
        let page = ended(command).await.json();
        let events_found: Vec<Value> = page["events"].as_array()?.clone();
        let others: Vec<Value> =
            events_found.into_iter().filter(|event| event["actor"] != "observer").collect();
        (others.len() == events).then_some(others)
    });
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let reading = |event: Value| {
        (text(&event["actor"]), text(&event["data"]["call"]), event["data"]["about"].clone())
    };
    found.await.into_iter().map(reading).collect()
}

#[tokio::test]
async fn whoever_asks_is_recorded() {
    let system = Program::start().await;
    receive(&system.dev, 1).await;
    let as_user = async |user: Option<&str>, actor: Option<&str>, arguments: &[&str]| -> Ended {
        let mut command = ledgerfold(arguments.iter().copied());
        command.envs(system.exports.iter().cloned()).env_remove("USER");
        command
            .envs(user.map(|user| ("USER", user)))
            .envs(actor.map(|actor| ("LEDGERFOLD_ACTOR", actor)));
        ended(command).await
    };
    as_user(Some("kim"), None, &["audit", "history", STREAM]).await.done();
    as_user(Some("two words"), None, &["audit", "verify", "--all"]).await.done();
    as_user(Some("kim"), Some("env"), &["audit", "at", STREAM, "--version", "1"]).await.done();
    as_user(Some("kim"), Some("env"), &["audit", "diff", STREAM, "--as", "flag"]).await.done();
    as_user(None, None, &["audit", "search", "--actor", "bob", "--as", "flag"]).await.done();
    assert_eq!(
        as_user(None, None, &["audit", "export", "--actor", "bob", "--format", "csv"]).await.status,
        0
    );
    as_user(None, None, &["audit", "trace", "--stream", STREAM]).await;
    // Wrong use is not recorded.
    as_user(None, None, &["audit", "history", STREAM, "--as", "two words"])
        .await
        .is_wrong_use("visible ASCII");
    as_user(None, None, &["audit", "history", STREAM, "--as", "fulfilment"])
        .await
        .is_wrong_use("a part of the system");
    as_user(None, Some("fulfilment"), &["audit", "history", STREAM])
        .await
        .is_wrong_use("a part of the system");
    as_user(None, None, &["audit", "search", "--cursor", "x"])
        .await
        .is_wrong_use("must be one that an earlier answer");
    let reading =
        |actor: &str, call: &str, about: Value| (actor.to_owned(), call.to_owned(), about);
    let wanted = [
        reading("operator:kim", "history", json!({"stream": STREAM, "from": "1", "limit": "100"})),
        reading("operator:unknown", "verify", json!({"all": "true"})),
        reading("env", "at", json!({"stream": STREAM, "version": "1"})),
        reading("flag", "diff", json!({"stream": STREAM})),
        reading("flag", "search", json!({"actor": "bob", "order": "desc", "limit": "100"})),
        reading(
            "operator:unknown",
            "export",
            json!({"actor": "bob", "order": "desc", "format": "csv"}),
        ),
        reading("operator:unknown", "trace", json!({"stream": STREAM})),
    ];
    assert_eq!(readings(&system, wanted.len()).await, wanted);
}

#[tokio::test]
async fn options_that_do_not_fit_together_are_wrong_use() {
    let early = "2026-11-22T10:00:00Z";
    for arguments in [
        ["audit", "search", "--from", early, "--to", early],
        ["audit", "export", "--from", early, "--to", early],
    ] {
        run(arguments).await.is_wrong_use("--from must be before --to");
    }
    run(["audit", "search", "--from", "today"])
        .await
        .is_wrong_use("a time such as 2026-11-22T10:00:00Z");
    run(["audit", "search", "--order", "up"]).await.is_wrong_use("asc");
    run(["audit", "search", "--limit", "501"]).await.is_wrong_use("--limit");
    run(["audit", "search", "--actor", "a b"]).await.is_wrong_use("visible ASCII");
    // {"version":1}: a cursor in one stream.
    run(["audit", "search", "--cursor", "eyJ2ZXJzaW9uIjoxfQ"])
        .await
        .is_wrong_use("must be one that an earlier answer");
    run(["audit", "trace"]).await.is_wrong_use("<CORRELATION>");
    run(["audit", "trace", "p", "--stream", "note-1"]).await.is_wrong_use("--stream");
    run(["audit", "at", "note-1"]).await.is_wrong_use("--version");
    run(["audit", "at", "note-1", "--version", "0"]).await.is_wrong_use("--version");
    run(["audit", "at", "note-1", "--version", "1", "--time", early]).await.is_wrong_use("--time");
    run(["audit", "diff", "note-1", "--from", "2", "--to", "2"])
        .await
        .is_wrong_use("from must be before to");
    run(["audit", "diff", "note-1", "--from", "2", "--to-time", early])
        .await
        .is_wrong_use("--to-time");
    run(["audit", "export", "--limit", "0"]).await.is_wrong_use("--limit");
    run(["audit", "export", "--format", "xls"]).await.is_wrong_use("jsonl");
}
