//! Printing: tables for people, JSON for programs, progress on standard error.

use super::exit::{Exit, Failure};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

/// Columns are wrapped only if a cell has a space or is longer than this. Ids and times are not.
const LONGEST_WORD: usize = 64;
/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(200);

/// Prints a value as indented JSON.
///
/// # Errors
/// When standard output cannot be written.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new("the answer cannot be written as JSON", error))?;
    line(&text)
}

/// Prints a value as JSON on one line.
///
/// # Errors
/// When standard output cannot be written.
pub fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new("the answer cannot be written as JSON", error))?;
    line(&text)
}

/// Prints rows under a heading. A terminal's width wraps columns of text; elsewhere each row is
/// one line.
///
/// # Errors
/// When standard output cannot be written.
pub fn rows<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let width = Term::stdout().size_checked().map(|(_, columns)| columns);
    line(&layout(heading, rows, width))
}

/// The table as text, wrapped to the width of the terminal, if there is one.
fn layout<const N: usize>(heading: [&str; N], rows: &[[String; N]], width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(heading).add_rows(rows);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        let is_word = |cell: &String| cell.len() <= LONGEST_WORD && !cell.contains(' ');
        if rows.iter().filter_map(|row| row.get(index)).all(is_word) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// Prints a line on standard output. A closed pipe (`| head`) is not an error: `dev` goes on
/// serving.
///
/// # Errors
/// When standard output cannot be written.
pub fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => {
            written.map_err(|error| Failure::new("standard output cannot be written", error))
        }
    }
}

/// The progress line on standard error, in a terminal only.
static PROGRESS: LazyLock<ProgressBar> = LazyLock::new(|| {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    let bar = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
});

/// Replaces the progress line. An empty text removes it.
pub fn progress(text: &str) {
    if text.is_empty() {
        PROGRESS.disable_steady_tick();
        PROGRESS.finish_and_clear();
        return;
    }
    if PROGRESS.is_finished() {
        PROGRESS.reset();
        PROGRESS.enable_steady_tick(TICK);
    }
    PROGRESS.set_message(text.to_owned());
}

/// Prints a note for people on standard error.
pub(super) fn note(text: &str) {
    // A closed pipe is not an error here either.
    let _ =
        PROGRESS.suspend(|| writeln!(std::io::stderr().lock(), "{}", super::wording::named(text)));
}

/// The exit status of a yes or no.
pub(super) fn yes_or_no(positive: bool) -> Exit {
    if positive { Exit::Done } else { Exit::Negative }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "order-01935b3c-9f6e-7c43-8000-0123456789ab";

    fn table(width: Option<u16>) -> String {
        let row = [
            ID.to_owned(),
            "it was ordered twice by a customer who could not wait".to_owned(),
            "1".to_owned(),
        ];
        layout(["STREAM", "WHY", "COUNT"], &[row], width)
    }

    #[test]
    fn a_row_is_one_line_where_no_terminal_is() {
        let lines = table(None);
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert_eq!(
            lines.lines().last(),
            Some(&*format!("{ID}  it was ordered twice by a customer who could not wait  1"))
        );
    }

    #[test]
    fn a_narrow_terminal_wraps_text_between_words_and_no_id() {
        let lines = table(Some(70));
        assert!(lines.contains(ID), "{lines}");
        assert!(lines.lines().count() > 2 && lines.lines().all(|line| line.len() <= 70), "{lines}");
        let words = lines.split_whitespace().filter(|word| ["ordered", "customer"].contains(word));
        assert_eq!(words.count(), 2, "{lines}");
    }
}
