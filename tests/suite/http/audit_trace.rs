//! The tree of causes.

use super::{Program, eventually};
use crate::harness::seed::{Seed, append, indexed, store};
use serde_json::{Value, json};

/// A commit of a process, with its cause.
fn seed(command: &str, cause: Option<&str>, events: &[&'static str]) -> Seed {
    Seed {
        command: command.to_owned(),
        actor: Some("ann".to_owned()),
        correlation: Some("p/1".to_owned()),
        cause: cause.map(str::to_owned),
        events: events.iter().map(|event_type| (*event_type, json!({}))).collect(),
    }
}

/// The tree without the fields that every command has.
fn outline(commands: &Value) -> Value {
    let event =
        |event: &Value| json!([event["version"], event["type"], outline(&event["commands"])]);
    let command = |command: &Value| {
        let events: Vec<Value> = command["events"].as_array().unwrap().iter().map(event).collect();
        json!({"stream": command["stream"], "by": command["caused_by"], "events": events})
    };
    commands.as_array().unwrap().iter().map(command).collect()
}

/// The trace, once that many commits are in the index.
async fn trace(program: &Program, correlation: &str, commits: usize) -> Value {
    eventually("the process is in the index", || async {
        let trace = program.get(&format!("/audit/trace/{correlation}")).await.body;
        Some(trace).filter(|trace| trace["commits"] == commits)
    })
    .await
}

#[tokio::test]
async fn commands_hang_below_the_events_that_caused_them() {
    let program = Program::start().await;
    let store = store(&program.exports);
    append(&store, "bill-1", &[seed("start", None, &["Began", "Grew"])]).await;
    append(&store, "mail-1", &[seed("write", Some("bill-1:1"), &["Written"])]).await;
    append(&store, "mail-2", &[seed("copy", Some("bill-1:2"), &["Copied"])]).await;
    append(&store, "bill-1", &[seed("close", Some("mail-1:1"), &["Closed"])]).await;
    append(&store, "mail-3", &[seed("stray", Some("elsewhere-1:4"), &["Strayed"])]).await;
    let other =
        Seed { correlation: Some("p/2".to_owned()), ..seed("other", Some("bill-1:1"), &["Other"]) };
    append(&store, "mail-4", &[other]).await;
    let found = trace(&program, "p%2F1", 5).await;
    assert_eq!((&found["correlation_id"], &found["truncated"]), (&json!("p/1"), &json!(false)));
    let closed = json!([{"stream": "bill-1", "by": "mail-1:1", "events": [[3, "Closed", []]]}]);
    let written =
        json!([{"stream": "mail-1", "by": "bill-1:1", "events": [[1, "Written", closed]]}]);
    let copied = json!([{"stream": "mail-2", "by": "bill-1:2", "events": [[1, "Copied", []]]}]);
    let wanted = json!([
        {"stream": "bill-1", "by": null, "events": [[1, "Began", written], [2, "Grew", copied]]},
        {"stream": "mail-3", "by": "elsewhere-1:4", "events": [[1, "Strayed", []]]},
    ]);
    assert_eq!(outline(&found["roots"]), wanted);
    let root = &found["roots"][0];
    assert_eq!(
        (&root["command_id"], &root["actor"], &root["version"]),
        (&json!("start"), &json!("ann"), &json!(1))
    );
    assert_eq!((&root["events"][0]["data"], &root["events"][0]["schema"]), (&json!({}), &json!(1)));
    let other = trace(&program, "p%2F2", 1).await;
    assert_eq!(
        outline(&other["roots"]),
        json!([{"stream": "mail-4", "by": "bill-1:1", "events": [[1, "Other", []]]}])
    );
}

#[tokio::test]
async fn a_long_process_is_shown_up_to_a_thousand_commits() {
    let program = Program::start().await;
    let exports = program.exports.clone();
    let store = store(&exports);
    let seeds: Vec<Seed> =
        (0..1_001).map(|number| seed(&format!("c-{number}"), None, &["Noted"])).collect();
    append(&store, "note-1", &seeds[..1_000]).await;
    indexed(&exports, "note-1", 1_000).await;
    let whole = program.get("/audit/trace/p%2F1").await.body;
    assert_eq!((&whole["commits"], &whole["truncated"]), (&json!(1_000), &json!(false)));
    assert_eq!(whole["roots"].as_array().unwrap().len(), 1_000);
    append(&store, "note-1", &seeds[1_000..]).await;
    indexed(&exports, "note-1", 1_001).await;
    let part = program.get("/audit/trace/p%2F1").await.body;
    assert_eq!((&part["commits"], &part["truncated"]), (&json!(1_000), &json!(true)));
}

#[tokio::test]
async fn an_unknown_correlation_has_no_trace() {
    let program = Program::start().await;
    program.get("/audit/trace/nothing").await.is_problem(404, "not-found");
    program.get("/audit/trace/a%20b").await.breaks("correlation", "visible ASCII");
    program.get("/audit/trace/%FF").await.breaks("path", "UTF-8");
    program.get("/audit/trace/p?stream=note-1").await.breaks("stream", "is unknown");
}
