//! Queued commands: `domain/golden-commands/` has one of each shape that was ever sent.

use bookshop::{ORDER, STOCK};
use domain::order::OrderCommand;
use domain::stock::StockCommand;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The files, by category and name.
fn kept() -> BTreeMap<String, String> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("domain/golden-commands");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = |path: std::path::PathBuf| {
        (
            path.file_stem().unwrap().to_str().unwrap().to_owned(),
            std::fs::read_to_string(path).unwrap(),
        )
    };
    files.map(file).collect()
}

/// What the current program writes for a golden file.
fn written<C: Serialize + DeserializeOwned>(category: &str, text: &str) -> String {
    let kept: BTreeMap<String, C> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(kept.keys().collect::<Vec<_>>(), [category]);
    serde_json::to_string(&kept).unwrap() + "\n"
}

/// A queued command may be older than the program that handles it.
#[test]
fn each_command_is_read_and_written_as_it_was_first_sent() {
    for (name, text) in kept() {
        let written = match name.split_once('.').unwrap() {
            ("order", _) => written::<OrderCommand>("order", &text),
            (category, _) => written::<StockCommand>(category, &text),
        };
        assert_eq!(written, text, "{name}");
    }
}

#[test]
fn each_current_command_has_a_golden_file() {
    let name = |example: &&str| {
        serde_json::from_str::<Value>(example).unwrap()["type"].as_str().unwrap().to_owned()
    };
    let of = |category: &str, examples: &[&str]| -> Vec<String> {
        examples.iter().map(|example| format!("{category}.{}", name(example))).collect()
    };
    let today: BTreeSet<String> =
        [of("order", ORDER.examples), of("stock", STOCK.examples)].concat().into_iter().collect();
    let kept: BTreeSet<String> = kept().into_keys().collect();
    assert_eq!(today.difference(&kept).collect::<Vec<_>>(), [""; 0], "add a file for each");
}
