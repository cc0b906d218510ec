//! Rules of the architecture, checked on manifests and sources.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates that each crate may depend on, except in tests.
const MAY_USE: [(&str, &[&str]); 9] = [
    ("ledgerfold-domain", &[]),
    ("ledgerfold-eventstore", &[]),
    ("loopback-dynamodb", &[]),
    ("loopback-sqs", &[]),
    ("ledgerfold-projections", &["ledgerfold-eventstore"]),
    ("ledgerfold-handlers", &["ledgerfold-eventstore", "ledgerfold-projections"]),
    (
        "ledgerfold",
        &[
            "ledgerfold-eventstore",
            "ledgerfold-projections",
            "ledgerfold-handlers",
            "loopback-dynamodb",
            "loopback-sqs",
        ],
    ),
    (
        "ledgerfold-bookshop",
        &[
            "ledgerfold-domain",
            "ledgerfold-eventstore",
            "ledgerfold-projections",
            "ledgerfold-handlers",
            "ledgerfold",
        ],
    ),
    (
        "ledgerfold-bench",
        &[
            "ledgerfold-domain",
            "ledgerfold-bookshop",
            "ledgerfold-eventstore",
            "ledgerfold-projections",
            "ledgerfold-handlers",
            "ledgerfold",
        ],
    ),
];

/// The rooms of `projections`, lowest first: each may use only those before it.
const PROJECTIONS_ROOMS: [&str; 9] = [
    "stream_read",
    "tables",
    "definition",
    "audit_index",
    "journal",
    "generations",
    "engine",
    "reactor",
    "rebuild",
];

/// Names that say nothing about the content.
const EMPTY_NAMES: [&str; 10] =
    ["common", "core", "util", "utils", "types", "manager", "service", "helper", "helpers", "misc"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metadata() -> Value {
    serde_json::from_str(&cargo(&[
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--locked",
        "--offline",
    ]))
    .unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// The direct dependencies of a package.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().unwrap().iter();
    all.filter(|dependency| dependency["kind"].is_null())
        .map(|dependency| text(dependency, "name"))
        .collect()
}

#[test]
fn crates_look_one_way() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let ours: BTreeSet<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in MAY_USE {
        let package = packages
            .iter()
            .find(|package| text(package, "name") == name)
            .unwrap_or_else(|| panic!("no {name}"));
        for used in dependencies(package).intersection(&ours) {
            assert!(allowed.contains(used), "{name} must not use {used}");
        }
    }
}

#[test]
fn the_rooms_of_projections_look_one_way() {
    let source = root().join("projections/src");
    let rank = |room: &str| PROJECTIONS_ROOMS.iter().position(|known| *known == room);
    for (path, text) in sources("projections/src") {
        let room = path.strip_prefix(&source).unwrap().iter().next().unwrap().to_str().unwrap();
        let Some(own) = rank(room.trim_end_matches(".rs")) else { continue };
        for used in text.lines().filter_map(|line| line.trim().strip_prefix("use crate::")) {
            let used = used.split("::").next().unwrap();
            assert!(rank(used).is_some_and(|used| used <= own), "{} uses {used}", path.display());
        }
    }
}

/// All crates that a crate links when it is built alone. A workspace build would add features of
/// others.
fn linked(name: &str) -> BTreeSet<String> {
    let tree = cargo(&[
        "tree",
        "--package",
        name,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--locked",
        "--offline",
    ]);
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_event_store_links_neither_a_web_server_nor_lambda() {
    let linked = linked("ledgerfold-eventstore");
    assert!(linked.contains("aws-sdk-dynamodb"));
    for foreign in
        ["axum", "lambda_runtime", "aws_lambda_events", "rusqlite", "clap", "aws-sdk-sqs"]
    {
        assert!(!linked.contains(foreign), "{foreign}");
    }
}

#[test]
fn the_domain_links_nothing_that_could_reach_outside() {
    let linked = linked("ledgerfold-domain");
    assert!(linked.contains("serde"));
    for reaching in
        ["tokio", "hyper", "aws-sdk-dynamodb", "rand", "getrandom", "fastrand", "reqwest", "mio"]
    {
        assert!(!linked.contains(reaching), "{reaching}");
    }
}

/// Every source file below a folder, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut found, mut open) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(!found.is_empty());
    found
}

fn nowhere(folder: &str, words: &[&str]) {
    for (path, text) in sources(folder) {
        for word in words {
            assert!(!text.contains(word), "{} has {word:?}", path.display());
        }
    }
}

#[test]
fn the_domain_has_no_io_no_async_no_clock_and_no_chance() {
    nowhere(
        "domain/src",
        &[
            "std::fs",
            "std::net",
            "std::io",
            "std::env",
            "async fn",
            "SystemTime",
            "Instant::",
            "new_v4",
            "now_v7",
        ],
    );
}

/// A team replaces `domain/`. The rest is the machine, which names no app.
#[test]
fn the_machine_knows_nothing_of_the_bookshop() {
    for folder in [
        "eventstore/src",
        "projections/src",
        "handlers/src",
        "infra/src",
        "infra/dynamodb/src",
        "infra/sqs/src",
    ] {
        for (path, text) in sources(folder) {
            let text = text.to_lowercase();
            for word in ["domain::", "isbn", "bestseller", "fulfilment", "bookshop"] {
                assert!(!text.contains(word), "{} has {word:?}", path.display());
            }
        }
    }
}

#[test]
fn how_the_bookshop_stores_its_events_is_said_once() {
    let all = ["domain/src", "domain/app/src", "projections/src"].map(sources).concat();
    let say = all.iter().filter(|(_, text)| text.contains("EventCodec::new"));
    let files: Vec<&Path> = say.map(|(path, _)| path.strip_prefix(root()).unwrap()).collect();
    assert_eq!(files, [Path::new("domain/app/src/events.rs")]);
}

#[test]
fn the_engines_know_nothing_of_ledgerfold() {
    for folder in ["infra/dynamodb/src", "infra/sqs/src"] {
        nowhere(folder, &["ledgerfold", "Ledgerfold", "eventstore", "projection"]);
    }
}

#[test]
fn aws_event_types_stop_at_the_handlers() {
    for folder in ["domain/src", "eventstore/src", "projections/src"] {
        nowhere(folder, &["aws_lambda_events"]);
    }
}

/// `http` and `aws` are the top rooms of the handlers: what they serve does not know them.
#[test]
fn no_room_below_the_api_knows_it() {
    for room in [
        "access",
        "app",
        "audit",
        "command_queue",
        "delivery",
        "operations",
        "problem",
        "process",
        "telemetry",
    ] {
        nowhere(&format!("handlers/src/{room}"), &["crate::http"]);
    }
}

#[test]
fn every_name_says_what_is_inside() {
    for folder in ["domain", "eventstore", "projections", "handlers", "infra", "tests"] {
        for (path, _) in sources(folder) {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let parent = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
            assert!(
                !EMPTY_NAMES.contains(&stem) && !EMPTY_NAMES.contains(&parent),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn no_test_is_left_out_and_nothing_is_left_to_do() {
    // In two halves, so that this file is not found.
    let words = [
        ["#[ign", "ore"].concat(),
        ["TO", "DO"].concat(),
        ["FIX", "ME"].concat(),
        ["unimplement", "ed!"].concat(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for folder in ["domain", "eventstore", "projections", "handlers", "infra", "tests"] {
        nowhere(folder, &words);
    }
}

/// A test follows its file in the same row.
#[test]
fn every_test_named_in_the_table_of_peers_cases_exists() {
    let document = std::fs::read_to_string(root().join("tests/peers-cases.md")).unwrap();
    let mut named = 0;
    for row in document.lines().filter(|line| line.starts_with('|')) {
        let mut file: Option<(&str, String)> = None;
        for word in row.split('`').skip(1).step_by(2) {
            if word.ends_with(".rs") {
                file = Some((word, text_of_suite(word)));
            } else if word.starts_with(|c: char| c.is_ascii_lowercase())
                && word.matches('_').count() > 2
            {
                let (path, text) =
                    file.as_ref().unwrap_or_else(|| panic!("{word} stands behind no file"));
                assert!(text.contains(&format!("fn {word}(")), "{path} has no test {word}");
                named += 1;
            }
        }
        let verdict = row.split('|').nth(2).unwrap_or_default().trim();
        let known = ["passes", "differs on purpose", "not applicable", "here", "---"];
        assert!(known.iter().any(|known| verdict.starts_with(known)), "no verdict: {row}");
        let elsewhere =
            ["the same", "as above", "the rows of"].iter().any(|words| verdict.contains(words));
        assert!(
            !verdict.starts_with("passes") || file.is_some() || elsewhere,
            "names no test: {row}"
        );
    }
    assert!(named > 80, "{named} tests are named");
}

/// A file of the store's suite, of another suite, or of a crate.
fn text_of_suite(path: &str) -> String {
    let places =
        ["tests/suite/store", "tests/suite", ""].map(|folder| root().join(folder).join(path));
    let found = places
        .iter()
        .find(|place| place.exists())
        .unwrap_or_else(|| panic!("there is no file {path}"));
    std::fs::read_to_string(found).unwrap()
}
