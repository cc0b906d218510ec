//! The output for people.

use super::job_text::{grouped, report_lines, state};
use super::wait::{JobEnd, JobOutcome};
use crate::cli::exit::Failure;
use crate::cli::output;
use eventstore::time_text;
use handlers::{
    DeadLetter, DeadLetters, Lag, ParkedStreams, Redriven, ResumedState, ResumedStream, Resumption,
    View,
};

/// The most characters of a body in a table.
const MAX_BODY_CHARS: usize = 80;

/// All projections, one row each.
pub(super) fn list(views: &[View]) -> Result<(), Failure> {
    let rows: Vec<_> = views.iter().map(row).collect();
    output::rows(["NAME", "ACTIVE", "STANDBY", "JOB", "PARKED", "WAITING", "DEAD", "BEHIND"], &rows)
}

fn row(View { status, lag }: &View) -> [String; 8] {
    let other = status.other.map(|other| format!("{} {}", other.number, other.state.word()));
    let job = status.job.as_ref().map(|job| {
        let paused = if job.paused { ", paused" } else { "" };
        format!("{} {}{paused}", job.kind.word(), job.number)
    });
    [
        status.name.to_owned(),
        if status.read_model { status.active.to_string() } else { "-".to_owned() },
        other.unwrap_or_else(|| "-".to_owned()),
        job.unwrap_or_else(|| "-".to_owned()),
        status.parked.to_string(),
        lag.map_or_else(unknown, |lag| lag.messages.to_string()),
        lag.map_or_else(unknown, |lag| lag.dead_letters.to_string()),
        lag.as_ref().map_or_else(unknown, seconds),
    ]
}

fn unknown() -> String {
    "not known".to_owned()
}

fn seconds(lag: &Lag) -> String {
    lag.seconds.map_or_else(unknown, |seconds| format!("{} s", grouped(seconds)))
}

/// One projection.
pub(super) fn status(View { status, lag }: &View) -> Result<(), Failure> {
    output::line(status.name)?;
    if status.read_model {
        output::line(&format!("  active   generation {}", status.active))?;
    }
    if let Some(stored) = status.foreign_shape() {
        output::line(&format!(
            "  SHAPE    the rows are {stored}, this program writes {}: rebuild",
            status.shape
        ))?;
    }
    if let Some(other) = status.other {
        output::line(&format!("  standby  generation {}, {}", other.number, other.state.word()))?;
    }
    if let Some(job) = &status.job {
        output::line(&format!("  job      {}", state(status, job)))?;
    }
    output::line(&format!("  parked   {} streams", grouped(status.parked)))?;
    let queue = lag.as_ref().map_or_else(unknown, |lag| {
        let Lag { messages, dead_letters, .. } = lag;
        format!("{messages} messages, {dead_letters} dead letters, behind: {}", seconds(lag))
    });
    output::line(&format!("  queue    {queue}"))?;
    if let Some(report) = &status.report {
        output::line("the last job:")?;
        report_lines(status.name, report).iter().try_for_each(|line| output::line(line))?;
    }
    Ok(())
}

/// A job that was started.
pub(super) fn begun(view: &View, job: Option<u64>, is_folder: bool) -> Result<(), Failure> {
    let status = &view.status;
    match &status.job {
        Some(job) => output::line(&state(status, job))?,
        None => match (job, &status.report) {
            (Some(job), Some(report)) if report.job == job => {
                report_lines(status.name, report).iter().try_for_each(|line| output::line(line))?;
            }
            _ => output::line(&format!("{}: no job is running", status.name))?,
        },
    }
    if is_folder && status.job.is_some() { no_worker(status.name) } else { Ok(()) }
}

fn no_worker(name: &str) -> Result<(), Failure> {
    output::line(&format!(
        "no worker is running: start `ledgerfold dev` on the folder, or run `ledgerfold projection resume {name} --wait`"
    ))
}

/// A job that has ended.
pub(super) fn job_end(end: &JobEnd) -> Result<(), Failure> {
    let View { status, .. } = &end.view;
    let name = status.name;
    match end.outcome {
        JobOutcome::Ended => {
            let report = end.report().map(|report| report_lines(name, report)).unwrap_or_default();
            report.iter().try_for_each(|line| output::line(line))?;
            if !status.read_model {
                return Ok(());
            }
            let other = status
                .other
                .map(|other| format!(", generation {} is {}", other.number, other.state.word()));
            output::line(&format!(
                "generation {} is active{}",
                status.active,
                other.unwrap_or_default()
            ))
        }
        JobOutcome::Paused => {
            let job = status.job.as_ref().map(|job| state(status, job)).unwrap_or_default();
            output::line(&format!(
                "{job}\nit is paused: `ledgerfold projection resume {name}` continues it"
            ))
        }
        JobOutcome::Gone => output::line(&format!(
            "the job was cancelled or replaced: see `ledgerfold projection status {name}`"
        )),
    }
}

/// The resumed job and streams.
pub(super) fn resumed(
    resumption: &Resumption,
    name: &str,
    no_worker_runs: bool,
) -> Result<(), Failure> {
    resumption.streams.iter().try_for_each(|stream| output::line(&resumed_stream(stream)))?;
    match resumption.job {
        Some(job) => output::line(&format!("job {job} of {name} continues"))?,
        None if resumption.streams.is_empty() => {
            output::line(&format!("nothing of {name} was parked or paused"))?
        }
        None => {}
    }
    if no_worker_runs && resumption.job.is_some() { no_worker(name) } else { Ok(()) }
}

fn resumed_stream(resumed: &ResumedStream) -> String {
    let ResumedStream { stream, generation, version, state, reason } = resumed;
    let version = version.map(|version| format!(" at version {version}")).unwrap_or_default();
    match state {
        ResumedState::CaughtUp => format!("{stream} has caught up in generation {generation}"),
        ResumedState::Announced => {
            format!("{stream} was sent to its projector, which continues it")
        }
        ResumedState::Parked => {
            let reason = escaped(reason.as_deref().unwrap_or_default());
            format!("{stream} is STILL parked in generation {generation}{version}: {reason}")
        }
    }
}

/// The result of a redrive.
pub(super) fn redriven(redriven: &Redriven) -> Result<(), Failure> {
    for stays in &redriven.stays {
        output::line(&format!(
            "{} of group {:?} stays: {}",
            stays.message_id, stays.group, stays.reason
        ))?;
    }
    let (sent, stay, left) = (grouped(redriven.sent), redriven.stays.len(), grouped(redriven.left));
    output::line(&format!("sent again: {sent}, stay: {stay}, now in the dead-letter queue: {left}"))
}

/// Parked streams.
pub(super) fn parked(page: &ParkedStreams) -> Result<(), Failure> {
    let rows = page.streams.iter().map(|parked| {
        let version = parked.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
        let (stream, generation) = (parked.stream.to_string(), parked.generation.to_string());
        [stream, generation, version, time_text(parked.parked_at), escaped(&parked.error)]
    });
    let rows: Vec<_> = rows.collect();
    output::rows(["STREAM", "GENERATION", "VERSION", "PARKED AT", "ERROR"], &rows)?;
    match &page.next_cursor {
        Some(cursor) => output::line(&format!("… continue with --cursor {cursor}")),
        None => Ok(()),
    }
}

/// A sample of a dead-letter queue.
pub(super) fn dead_letters(sample: &DeadLetters, name: &str) -> Result<(), Failure> {
    let rows: Vec<_> = sample.messages.iter().map(dead_letter).collect();
    output::rows(["MESSAGE", "STREAM", "VERSION", "RECEIVES", "SENT AT", "BODY"], &rows)?;
    let (shown, all) = (rows.len(), grouped(sample.in_queue));
    output::line(&format!("shown: {shown}, in the dead-letter queue: {all}"))?;
    if sample.in_queue == 0 {
        return Ok(());
    }
    output::line(&format!("`ledgerfold projection redrive {name}` sends them again"))
}

fn dead_letter(letter: &DeadLetter) -> [String; 6] {
    let version = letter.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    let stream = letter.stream.as_ref().map_or(&*letter.group, |stream| stream.as_str());
    [
        letter.message_id.clone(),
        escaped(stream),
        version,
        letter.receives.to_string(),
        time_text(letter.sent_at),
        beginning(&letter.body),
    ]
}

/// The first characters of a text, on one line.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(MAX_BODY_CHARS) {
        Some((end, _)) => format!("{}…", escaped(text.get(..end).unwrap_or_default())),
        None => escaped(text),
    }
}

/// The text on one line. Characters that would control the terminal are escaped.
fn escaped(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        match character {
            '"' | '\'' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{beginning, escaped};

    #[test]
    fn a_text_is_one_line_without_control_characters() {
        for (text, line) in [
            ("{\n  \"a\": 1\r}", "{\\n  \"a\": 1\\r}"),
            ("\u{1b}[2J\u{9b}2J\0\u{202e}", "\\u{1b}[2J\\u{9b}2J\\0\\u{202e}"),
            ("<script>ä😀", "<script>ä😀"),
        ] {
            assert_eq!(escaped(text), line);
        }
        assert_eq!(beginning(&"ä".repeat(80)), "ä".repeat(80));
        assert_eq!(beginning(&"ä".repeat(81)), format!("{}…", "ä".repeat(80)));
    }
}
