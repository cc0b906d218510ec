//! Tables for people, JSON for programs.

use super::failure::{Exit, Failure};
use serde::Serialize;
use std::io::Write;

/// Prints a value as JSON, indented.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new("the answer is no JSON", error))?;
    line(&text)
}

/// Prints rows under a heading, each column as wide as its widest cell.
pub(super) fn rows<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(&aligned(&heading.map(str::to_owned), &widths))?;
    rows.iter().try_for_each(|row| line(&aligned(row, &widths)))
}

fn aligned<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    padded.join("  ").trim_end().to_owned()
}

/// Prints a line on standard output. A reader that has gone (`| head`) is no failure, and no reason to stop serving.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::new("standard output cannot be written", error)),
    }
}

/// Prints a line of progress on standard error, over the one before, where a person looks on.
pub(super) fn progress(text: &str) {
    use std::io::IsTerminal;
    let mut stderr = std::io::stderr().lock();
    if stderr.is_terminal() {
        // Progress that cannot be shown is no reason to stop.
        let _ = write!(stderr, "\r\x1b[K{text}").and_then(|()| stderr.flush());
    }
}

/// Prints a line on standard error: what a person should know, and no program reads.
pub(super) fn note(text: &str) {
    progress("");
    // A reader that has gone is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A yes or no as an exit status.
pub(super) fn answer(positive: bool) -> Exit {
    if positive { Exit::Done } else { Exit::Negative }
}
