//! Events as lines of a file.

use super::Occurrence;
use eventstore::{Id, time_text};
use std::collections::BTreeMap;

/// The columns of a CSV file.
const COLUMNS: [&str; 10] = [
    "stream",
    "version",
    "type",
    "schema",
    "recorded_at",
    "actor",
    "command_id",
    "correlation_id",
    "causation_id",
    "data",
];

/// The format of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON lines: one event per line, as the API shows it in a search over all streams.
    JsonLines,
    /// CSV (RFC 4180) with a header row; the data are JSON text in the last column.
    ///
    /// A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` (or with a tab or line end)
    /// for a formula. So an apostrophe is put before the text of such a cell, and of one that
    /// begins with an apostrophe itself: to have the text back, take one leading apostrophe away
    /// from every cell that has one.
    Csv,
}

impl Format {
    /// The name by which it is asked for and recorded.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        }
    }

    /// What HTTP calls it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// What an export is about, with its format.
    pub fn named(self, mut about: BTreeMap<String, String>) -> BTreeMap<String, String> {
        about.insert("format".to_owned(), self.as_str().to_owned());
        about
    }

    /// What stands before the first event.
    pub(super) fn heading(self) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => {
                let mut line = COLUMNS.join(",").into_bytes();
                line.push(b'\n');
                line
            }
        }
    }

    /// The events as lines.
    pub(super) fn lines(self, events: &[Occurrence]) -> Result<Vec<u8>, std::io::Error> {
        match self {
            Self::JsonLines => json_lines(events),
            Self::Csv => csv_lines(events),
        }
    }
}

fn json_lines(events: &[Occurrence]) -> Result<Vec<u8>, std::io::Error> {
    let mut lines = Vec::new();
    for event in events {
        // Data are kept to the byte, and may have line ends: within JSON these only stand between
        // tokens.
        let line = serde_json::to_vec(event)?.into_iter();
        lines.extend(line.map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
        lines.push(b'\n');
    }
    Ok(lines)
}

fn csv_lines(events: &[Occurrence]) -> Result<Vec<u8>, std::io::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for event in events {
        writer.write_record(cells(event))?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}

fn cells(Occurrence { stream, commit, event }: &Occurrence) -> [String; 10] {
    let metadata = &commit.metadata;
    let cells = [
        stream.as_str(),
        &event.version.to_string(),
        &event.body.event_type,
        &event.body.schema.to_string(),
        &time_text(commit.recorded_at),
        metadata.actor.as_str(),
        metadata.command_id.as_str(),
        metadata.correlation_id.as_str(),
        metadata.causation_id.as_ref().map_or("", Id::as_str),
        event.body.data.get(),
    ];
    cells.map(guarded)
}

/// The text so that no spreadsheet takes it for a formula.
fn guarded(text: &str) -> String {
    let guard = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\'']);
    if guard { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod specs {
    use super::*;
    use chrono::DateTime;
    use eventstore::{
        CommandMetadata, Commit, Direction, Event, Fingerprint, Hash, NewEvent, StreamId,
    };
    use serde_json::value::RawValue;

    /// An event whose ids and data are these texts.
    fn event(id: &str, data: &str) -> Occurrence {
        let id = Id::new(id).unwrap();
        let metadata = CommandMetadata {
            command_id: id.clone(),
            fingerprint: Fingerprint::of(&[]),
            correlation_id: id.clone(),
            causation_id: None,
            actor: id,
            trace_parent: None,
        };
        let data = RawValue::from_string(data.to_owned()).unwrap();
        let body = NewEvent { event_type: "Noted".to_owned(), schema: 1, data };
        let recorded_at = DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
        let events = vec![Event { version: 1, body }];
        let commit = Commit { version: 1, metadata, recorded_at, events, hash: Hash::of(&[]) };
        Occurrence::of_commit(&StreamId::new("note-1").unwrap(), commit, Direction::Forwards)
            .remove(0)
    }

    /// The cells of a file, without their guards.
    fn read(csv: &[u8]) -> Vec<Vec<String>> {
        let unguarded = |cell: &str| cell.strip_prefix('\'').unwrap_or(cell).to_owned();
        let records = csv::Reader::from_reader(csv).into_records();
        records.map(|record| record.unwrap().iter().map(unguarded).collect()).collect()
    }

    #[test]
    fn every_text_comes_back_from_csv_and_none_begins_as_a_formula() {
        let ids = ["plain", "=1+1", "+1", "-1", "@x", "'quoted", "''", "a,b", "\"q\"", "=\"a,b\""];
        for (id, data) in ids.iter().zip([
            "{}",
            "-5",
            "\"=x\"",
            "[\n1,\n2]",
            "null",
            "-0.5",
            "1",
            "\"a,b\"",
            "\"\\\"\"",
            "{\"a\":\"'\"}",
        ]) {
            let mut file = Format::Csv.heading();
            file.extend(Format::Csv.lines(&[event(id, data)]).unwrap());
            let raw = csv::Reader::from_reader(&*file).into_records().next().unwrap().unwrap();
            assert!(raw.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])), "{raw:?}");
            let row = read(&file).remove(0);
            assert_eq!(
                row,
                ["note-1", "1", "Noted", "1", "2026-09-21T14:13:20.000Z", id, id, id, "", data]
            );
        }
    }

    #[test]
    fn json_lines_are_one_event_each() {
        let lines = Format::JsonLines.lines(&[event("a", "1"), event("b", "{\n\r\n}")]).unwrap();
        let lines: Vec<serde_json::Value> = String::from_utf8(lines)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (lines.len(), &lines[1]["actor"], &lines[1]["stream"]),
            (2, &"b".into(), &"note-1".into())
        );
    }
}
