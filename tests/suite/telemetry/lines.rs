//! The log of the running program, and invalid settings.

use super::reporting;
use crate::harness::http::Client;
use crate::harness::program::Dev;
use crate::harness::waiting::{PATIENCE, eventually};
use serde_json::json;
use std::process::Stdio;
use tempfile::TempDir;

#[tokio::test]
async fn all_log_lines_of_a_command_have_its_trace() {
    let (data, log) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let file = log.path().join("log");
    let mut command = reporting(
        ["dev", "--port", "0", "--without-processes", "--data", data.path().to_str().unwrap()],
        "",
    );
    command.env("RUST_LOG", "handlers=info").env("NO_COLOR", "1");
    let dev =
        Dev::start_command(command.stderr(Stdio::from(std::fs::File::create(&file).unwrap())))
            .await;
    let receive = ("/stock/9780306406157/receive", json!({"quantity": 5}));
    let answer = Client::of(&dev.url).command(receive.0, "receive-1", &receive.1).await;
    let trace = answer.header("traceparent").split('-').nth(1).unwrap().to_owned();
    let lines = || -> Vec<String> {
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines().filter(|line| line.contains(&trace)).map(str::to_owned).collect()
    };
    let of = |what: &[&str]| {
        lines().into_iter().find(|line| what.iter().all(|part| line.contains(part)))
    };
    let wanted: [&[&str]; 5] = [
        &[
            "request answered",
            "command_id=receive-1",
            "version=1",
            "requests=2",
            "write_units=1",
            "replayed=false",
        ],
        &[
            "request answered",
            "POST",
            "/stock/{isbn}/receive",
            "status=200",
            "duration_ms=",
            "requests=2",
            "actor=dev",
        ],
        &["commit notified", "command_id=receive-1", "stream=stock-9780306406157", "outcome=done"],
        &[
            "message handled",
            "consumer=stock",
            "command_id=receive-1",
            "duration_ms=",
            "lag_ms=",
            "receives=1",
        ],
        &["message handled", "consumer=audit", "outcome=done", "component=projector"],
    ];
    for what in wanted {
        eventually(&format!("{what:?}"), async || of(what)).await;
    }
    let of_the_request: Vec<_> =
        lines().into_iter().filter(|line| line.contains("component=command-api")).collect();
    assert_eq!(of_the_request.len(), 1, "{of_the_request:#?}");
    assert!(
        of_the_request[0].contains(" INFO handlers::http::trace_layer: request answered "),
        "{of_the_request:#?}"
    );
    for line in lines() {
        let names: Vec<&str> =
            line.split(' ').filter_map(|part| Some(part.split_once('=')?.0)).collect();
        let once: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(once.len(), names.len(), "a field is there twice: {line}");
    }
}

#[tokio::test]
async fn an_invalid_dsn_or_rate_is_reported_at_start() {
    for (dsn, rate, expected) in [
        (
            "key@nowhere",
            "0",
            "SENTRY_DSN: must be a DSN of Sentry, such as https://KEY@HOST/PROJECT",
        ),
        ("https://key@host", "0", "SENTRY_DSN: must be a DSN of Sentry"),
        ("", "1.5", "SENTRY_TRACES_SAMPLE_RATE must be a number from 0 to 1, not \"1.5\""),
        ("", "often", "SENTRY_TRACES_SAMPLE_RATE must be a number from 0 to 1, not \"often\""),
    ] {
        let mut command = reporting(["dev", "--port", "0"], dsn);
        command.env("SENTRY_TRACES_SAMPLE_RATE", rate);
        let output = tokio::time::timeout(PATIENCE, command.output())
            .await
            .expect("it does not end")
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.lines().count()), (Some(3), 1), "{said}");
        assert!(said.starts_with("ledgerfold: ") && said.contains(expected), "{said}");
        assert!(!said.contains("key@"), "{said}");
    }
}
