//! Golden files: a stored event, `{"type": …, "schema": …, "data": …}` on one line.

use eventstore::{Hash, NewEvent};
use std::collections::BTreeMap;
use std::path::Path;

/// The golden files and the lock of all stored shapes.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    /// The golden files' text, by name.
    pub(super) files: BTreeMap<String, String>,
    /// The digest of each shape's files.
    pub(super) lock: BTreeMap<String, String>,
}

impl Kept {
    /// Reads a folder of golden files and their lock.
    pub(super) fn read(folder: &Path) -> Self {
        let mut kept = Self::default();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            if name == "shapes.lock" {
                kept.lock = lock(&text);
            } else {
                kept.files.insert(name.to_owned(), text);
            }
        }
        kept
    }

    /// The shapes that have files, each with the digest of them.
    pub(super) fn digests(&self) -> BTreeMap<String, String> {
        let mut parts: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
        for (name, text) in &self.files {
            parts.entry(shape_of(name)).or_default().extend([name.as_bytes(), text.as_bytes()]);
        }
        parts.into_iter().map(|(shape, parts)| (shape, Hash::of(&parts).to_string())).collect()
    }
}

/// One line for each shape. Lines that begin with `#` are comments.
fn lock(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut lock = BTreeMap::new();
    for line in lines {
        let (shape, digest) =
            line.split_once(' ').unwrap_or_else(|| panic!("shapes.lock: {line:?}"));
        assert_eq!(
            lock.insert(shape.to_owned(), digest.to_owned()),
            None,
            "shapes.lock has {shape} twice"
        );
    }
    lock
}

/// The shape of the file `OrderPlaced.v1.json` or `OrderPlaced.v1.gift.json`: `OrderPlaced.v1`.
fn shape_of(name: &str) -> String {
    name.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
}

/// The name of an event's shape.
pub(super) fn shape(event_type: &str, schema: u32) -> String {
    format!("{event_type}.v{schema}")
}

/// An event in a golden file.
pub(super) fn text_of(event: &NewEvent) -> String {
    serde_json::to_string(event).unwrap() + "\n"
}

/// The event of a golden file, if the file's name is right.
pub(super) fn event_of(name: &str, text: &str) -> Result<NewEvent, String> {
    let event: NewEvent = serde_json::from_str(text)
        .map_err(|error| format!("{name} is no stored event: {error}"))?;
    if text_of(&event) != text {
        return Err(format!(
            "{name} is not to the byte as the store writes it: {}",
            text_of(&event)
        ));
    }
    let named = shape(&event.event_type, event.schema);
    if !name.ends_with(".json") || shape_of(name) != named {
        return Err(format!(
            "{name} holds {named}: call it {named}.json, or {named}.<what is special>.json"
        ));
    }
    Ok(event)
}
