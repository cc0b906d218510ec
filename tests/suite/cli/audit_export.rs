//! `ledgerfold audit export`: a complete file, or none.

use super::audit::indexed;
use super::{PATIENCE, ended, receive};
use crate::harness::program::{Program, ledgerfold};
use crate::harness::seed::{clients, receive_many};
use crate::harness::waiting::eventually;
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

const ISBN: &str = "9780306406157";
const STREAM: &str = "stock-9780306406157";
const EVENTS: usize = 5_200;

fn export<const N: usize>(system: &Program, arguments: [&str; N]) -> Command {
    let mut command = ledgerfold(["audit", "export"]);
    command.args(arguments).envs(system.exports.iter().cloned());
    command
}

/// The files of a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The permissions of a file.
fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

async fn api_lines(system: &Program) -> String {
    let request = system.request(Method::GET, &format!("/audit/streams/{STREAM}"));
    let answer = request.header("Accept", "application/x-ndjson").send().await.unwrap();
    answer.text().await.unwrap()
}

#[tokio::test]
async fn a_file_and_standard_output_hold_what_the_api_gives() {
    let system = Program::start().await;
    receive_many(&system.exports, ISBN, EVENTS).await;
    let folder = TempDir::new().unwrap();
    let (lines, csv) = (folder.path().join("events.jsonl"), folder.path().join("events.csv"));
    std::fs::write(&lines, "what was here before").unwrap();
    std::fs::set_permissions(&lines, Permissions::from_mode(0o640)).unwrap();
    let printed = ended(export(
        &system,
        ["--stream", STREAM, "--order", "asc", "--output", lines.to_str().unwrap()],
    ))
    .await
    .done();
    assert_eq!(printed, format!("{EVENTS} events in {}\n", lines.display()));
    let written = std::fs::read_to_string(&lines).unwrap();
    assert_eq!((written.lines().count(), &written), (EVENTS, &api_lines(&system).await));
    assert_eq!(
        ended(export(&system, ["--stream", STREAM, "--order", "asc"])).await.done(),
        written
    );
    let arguments = [
        "--stream",
        STREAM,
        "--order",
        "asc",
        "--format",
        "csv",
        "--json",
        "--output",
        csv.to_str().unwrap(),
    ];
    let printed = ended(export(&system, arguments)).await;
    assert_eq!(
        printed.json(),
        json!({"output": csv.to_str().unwrap(), "format": "csv", "events": EVENTS})
    );
    let mut rows = csv::Reader::from_path(&csv).unwrap();
    let versions = rows.records().map(|row| row.unwrap()[1].parse::<usize>().unwrap());
    assert_eq!(versions.collect::<Vec<_>>(), (1..=EVENTS).collect::<Vec<_>>());
    assert_eq!(names(folder.path()), ["events.csv", "events.jsonl"]);
    // The replaced file keeps its permissions, the new one has the default ones.
    let any = folder.path().join("any");
    std::fs::write(&any, "").unwrap();
    assert_eq!([mode(&lines), mode(&csv)], [0o640, mode(&any)]);
}

/// An export over all streams. Recorded queries may still be missing in the index; then it prints a
/// note.
async fn exported(command: Command) -> String {
    let ended = ended(command).await;
    let noted = ended.stderr.is_empty() || ended.stderr.starts_with(NOTE);
    assert!(ended.status == 0 && noted && ended.stderr.lines().count() <= 1, "{ended:?}");
    ended.stdout
}

const NOTE: &str = "the index is not complete: about ";

#[tokio::test]
async fn an_export_from_an_index_that_is_behind_says_so() {
    let system = Program::start().await;
    receive(&system.dev, 1).await;
    // A message that cannot be handled.
    let sqs = clients(&system.exports).sqs;
    let url = sqs
        .get_queue_url()
        .queue_name("ledgerfold-audit-dead.fifo")
        .send()
        .await
        .unwrap()
        .queue_url
        .unwrap();
    let send = sqs.send_message().queue_url(url).message_body("{}").message_group_id("g");
    send.message_deduplication_id("d").send().await.unwrap();
    let folder = TempDir::new().unwrap();
    let to = folder.path().join("events.jsonl");
    let all = ended(export(&system, ["--json", "--output", to.to_str().unwrap()])).await;
    assert!(
        all.status == 0 && all.stderr.starts_with(NOTE) && all.stderr.lines().count() == 1,
        "{all:?}"
    );
    assert!(all.json()["index"]["messages"].as_u64().unwrap() >= 1, "{all:?}");
    assert_eq!(all.json()["index"]["parked"], 0);
    let one =
        ended(export(&system, ["--stream", STREAM, "--json", "--output", to.to_str().unwrap()]))
            .await;
    assert_eq!((&*one.stderr, one.json().get("index")), ("", None), "one stream is read directly");
}

#[tokio::test]
async fn filters_and_limits_choose_what_is_exported() {
    let system = Program::start().await;
    receive(&system.dev, 5).await;
    indexed(&system, "StockReceived", 5).await;
    let text = exported(export(&system, ["--type", "StockReceived", "--limit", "2"])).await;
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let versions: Vec<&Value> = events.iter().map(|event| &event["version"]).collect();
    assert_eq!((versions, &events[0]["stream"]), (vec![&json!(5), &json!(4)], &json!(STREAM)));
    assert_eq!(exported(export(&system, ["--actor", "nobody"])).await, "");
    let empty = exported(export(&system, ["--actor", "nobody", "--format", "csv"])).await;
    assert_eq!(
        empty,
        "stream,version,type,schema,recorded_at,actor,command_id,correlation_id,causation_id,data\n"
    );
}

#[tokio::test]
async fn what_cannot_be_exported_leaves_no_file() {
    let system = Program::start().await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, "kept").unwrap();
    let to = file.to_str().unwrap();
    ended(export(&system, ["--stream", "note-1", "--output", to]))
        .await
        .failed_saying("there is no stream note-1");
    let nowhere = folder.path().join("no/where");
    let ended_at = ended(export(&system, ["--output", nowhere.to_str().unwrap()])).await;
    ended_at.failed_saying("where cannot be written");
    for device in ["/dev/null", folder.path().to_str().unwrap()] {
        ended(export(&system, ["--output", device]))
            .await
            .failed_saying("it exists and is not a file");
    }
    assert_eq!(
        (names(folder.path()), std::fs::read_to_string(&file).unwrap()),
        (vec!["events.jsonl".to_owned()], "kept".into())
    );
}

#[tokio::test]
async fn a_reader_that_goes_early_ends_an_export_without_complaint() {
    let system = Program::start().await;
    receive_many(&system.exports, ISBN, EVENTS).await;
    let mut child = export(&system, ["--stream", STREAM])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::with_capacity(64, child.stdout.take().unwrap());
    let mut first = String::new();
    stdout.read_line(&mut first).await.unwrap();
    drop(stdout);
    assert!(first.starts_with('{'), "{first}");
    assert_eq!(end(child).await, (Some(0), String::new()));
}

/// Its exit status and standard error.
async fn end(mut child: Child) -> (Option<i32>, String) {
    let status =
        tokio::time::timeout(PATIENCE, child.wait()).await.expect("it does not end").unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    (status.code(), said)
}

async fn interrupt(child: &Child) {
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &id]).status().await.unwrap().success());
}

#[tokio::test]
async fn ctrl_c_ends_an_export_to_a_reader_that_does_not_read() {
    let system = Program::start().await;
    receive_many(&system.exports, ISBN, EVENTS).await;
    let mut child = export(&system, ["--stream", STREAM])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The first line shows that it is running. The pipe is too small for the rest.
    let mut stdout = BufReader::with_capacity(64, child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).await.unwrap();
    interrupt(&child).await;
    let (status, said) = end(child).await;
    assert_eq!(status, Some(3), "{said}");
    assert!(said.starts_with("ledgerfold: the export was interrupted after "), "{said}");
    assert!(
        said.ends_with("standard output is incomplete\n") && said.lines().count() == 1,
        "{said}"
    );
    drop(stdout);
}

/// A proxy that stops after a number of bytes of answers.
async fn stalling_proxy(server: &str, most_bytes: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, server) =
        (listener.local_addr().unwrap(), server.strip_prefix("http://").unwrap().to_owned());
    let answered = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(pass_on(
                client,
                TcpStream::connect(server.clone()).await.unwrap(),
                answered.clone(),
                most_bytes,
            ));
        }
    });
    format!("http://{address}")
}

async fn pass_on(
    client: TcpStream,
    server: TcpStream,
    answered: Arc<AtomicUsize>,
    most_bytes: usize,
) {
    let ((mut asked, mut printed), (mut answers, mut asks)) =
        (client.into_split(), server.into_split());
    let asking = tokio::spawn(async move { tokio::io::copy(&mut asked, &mut asks).await });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(bytes @ 1..) = answers.read(&mut buffer).await {
        if answered.fetch_add(bytes, Ordering::Relaxed) > most_bytes {
            std::future::pending::<()>().await;
        }
        if printed.write_all(&buffer[..bytes]).await.is_err() {
            break;
        }
    }
    asking.abort();
}

#[tokio::test]
async fn ctrl_c_leaves_no_unfinished_file_and_what_was_there() {
    let system = Program::start().await;
    receive_many(&system.exports, ISBN, EVENTS).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("events.jsonl");
    std::fs::write(&file, "kept").unwrap();
    let mut command = export(&system, ["--stream", STREAM, "--output", file.to_str().unwrap()]);
    command.env(
        "AWS_ENDPOINT_URL_DYNAMODB",
        stalling_proxy(&system.endpoint("DYNAMODB"), 60_000).await,
    );
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the unfinished file is there", || async {
        names(folder.path()).iter().any(|name| name.ends_with(".unfinished")).then_some(())
    })
    .await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    interrupt(&child).await;
    let (status, said) = end(child).await;
    assert_eq!(status, Some(3), "{said}");
    assert!(
        said.contains("interrupted") && said.contains("events.jsonl was not written"),
        "{said}"
    );
    assert_eq!(
        (names(folder.path()), std::fs::read_to_string(&file).unwrap()),
        (vec!["events.jsonl".to_owned()], "kept".into())
    );
}
