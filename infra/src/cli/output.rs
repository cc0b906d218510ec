//! Tables for people, JSON for programs.

use super::failure::{Exit, Failure};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::Write;
use std::sync::LazyLock;
use std::time::Duration;

/// A column is wrapped only if one of its cells has a blank or is longer than this: ids and times stay in one line.
const LONGEST_WORD: usize = 64;
/// How often the line of progress is drawn again, so that it is seen to be alive.
const TICK: Duration = Duration::from_millis(200);

/// Prints a value as JSON, indented.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new("the answer is no JSON", error))?;
    line(&text)
}

/// Prints rows under a heading. In a terminal, columns of text are wrapped to its width; elsewhere each row is one line.
pub fn rows<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let width = Term::stdout().size_checked().map(|(_, columns)| columns);
    line(&layout(heading, rows, width))
}

/// The table as text, wrapped to a terminal's width where there is one.
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

/// Prints a line on standard output. A reader that has gone (`| head`) is no failure, and no reason to stop serving.
pub fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::new("standard output cannot be written", error)),
    }
}

/// The line of progress on standard error. It is shown only in a terminal.
static PROGRESS: LazyLock<ProgressBar> = LazyLock::new(|| {
    let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
    let bar = ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
});

/// Shows how far long work is, over what was shown before. An empty text ends it.
pub(super) fn progress(text: &str) {
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

/// Prints a line on standard error: what a person should know, and no program reads.
pub(super) fn note(text: &str) {
    // A reader that has gone is no reason to stop.
    let _ = PROGRESS.suspend(|| writeln!(std::io::stderr().lock(), "{}", super::wording::named(text)));
}

/// A yes or no as an exit status.
pub(super) fn answer(positive: bool) -> Exit {
    if positive { Exit::Done } else { Exit::Negative }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "order-01935b3c-9f6e-7c43-8000-0123456789ab";

    fn table(width: Option<u16>) -> String {
        let row = [ID.to_owned(), "it was ordered twice by a customer who could not wait".to_owned(), "1".to_owned()];
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
