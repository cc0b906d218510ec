//! Jobs and their reports as text.

use projections::rebuild::{JobKind, JobStatus, Report, Status, Tally};

/// The width of the progress bar.
const BAR: u64 = 20;

/// The progress line: job, percentage, rate and time left.
pub(super) fn progress(status: &Status, job: &JobStatus) -> String {
    let percent = percent(job);
    let full = percent * BAR / 100;
    let bar: String = (0..BAR).map(|place| if place < full { '█' } else { '░' }).collect();
    format!("{}  pass {}  [{bar}] {percent} %  {}", title(status, job), job.pass, amounts(job))
}

/// The progress without the bar.
pub(super) fn state(status: &Status, job: &JobStatus) -> String {
    let paused = if job.paused { ", paused" } else { "" };
    let (title, number, pass, percent) = (title(status, job), job.number, job.pass, percent(job));
    format!("{title} (job {number}{paused}), pass {pass}: {percent} %, {}", amounts(job))
}

fn title(status: &Status, job: &JobStatus) -> String {
    let other = status.other.map(|other| other.number);
    match (job.kind, other) {
        (JobKind::Rebuild, Some(number)) => {
            format!("rebuild {} → generation {number}", status.name)
        }
        (JobKind::Remove, Some(number)) => format!("remove {} generation {number}", status.name),
        (JobKind::Reconcile, _) => format!("reconcile {}", status.name),
        (JobKind::Rebuild | JobKind::Remove, None) => {
            format!("{} {}", job.kind.word(), status.name)
        }
    }
}

/// The share of items if their number is known, or else of segments.
fn percent(job: &JobStatus) -> u64 {
    let (done, all) = match job.items_expected {
        Some(expected) => (job.tally.batches, expected),
        None => (u64::from(job.segments_done), u64::from(job.segments)),
    };
    done.saturating_mul(100).checked_div(all).unwrap_or(0).min(100)
}

fn amounts(job: &JobStatus) -> String {
    if job.kind == JobKind::Remove {
        return format!("{} rows removed", grouped(job.tally.removed));
    }
    let items = match job.items_expected {
        Some(expected) => format!("{} of {} items", grouped(job.tally.batches), grouped(expected)),
        None => format!("{} items", grouped(job.tally.batches)),
    };
    let rate = format!("{:.0}/s", job.items_per_second);
    match job.seconds_left {
        Some(left) => format!("{items}  {rate}  {left} s left"),
        None => format!("{items}  {rate}"),
    }
}

/// The lines of a report.
pub(super) fn report_lines(name: &str, report: &Report) -> Vec<String> {
    let generation =
        report.generation.map(|number| format!(", generation {number}")).unwrap_or_default();
    let verdict = if report.complete { "complete" } else { "INCOMPLETE" };
    let passes = format!("{} in {}", report.passes, duration(report));
    let mut lines = vec![
        format!("{} of {name}{generation}: {verdict}", report.kind.word()),
        format!("  passes   {passes}"),
    ];
    if report.kind == JobKind::Remove {
        lines.push(format!("  removed  {} rows", grouped(report.first_pass.removed)));
        return lines;
    }
    let Tally {
        commits,
        events,
        streams,
        present,
        behind,
        parked,
        damaged,
        ref damages,
        ref ignored,
        ..
    } = report.last_pass;
    let Tally { ahead, other_chain, ref strays, .. } = report.last_pass;
    let [commits, events, streams, present] = [commits, events, streams, present].map(grouped);
    lines
        .push(format!("  read     {commits} commits, {events} events, {streams} streams; {present} streams have rows"));
    lines.push(format!(
        "  behind   {} streams at first, {} at last",
        report.first_pass.behind, behind
    ));
    lines.push(format!("  parked   {} streams", grouped(parked)));
    if damaged > 0 {
        lines.push(format!("  damaged  {} items: {}", grouped(damaged), damages.join("; ")));
    }
    if ahead + other_chain > 0 {
        lines.push(format!(
            "  STRAYS   {} streams ahead, {} on another chain",
            grouped(ahead),
            grouped(other_chain)
        ));
        lines.extend(strays.iter().map(|stray| format!("           {stray}")));
    }
    if !ignored.is_empty() {
        let types: Vec<String> = ignored
            .iter()
            .map(|(event_type, count)| format!("{event_type} {}", grouped(*count)))
            .collect();
        lines.push(format!("  ignored  {}", types.join(", ")));
    }
    if report.last_pass.damaged > 0 {
        lines.push(format!(
            "  DAMAGED  {} items of the event table",
            grouped(report.last_pass.damaged)
        ));
        lines.extend(report.last_pass.damages.iter().map(|damage| format!("           {damage}")));
    }
    lines
}

fn duration(report: &Report) -> String {
    let ms = (report.ended_at - report.started_at).num_milliseconds().max(0);
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

/// A number with a comma every three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use projections::{GenerationState, OtherGeneration};

    fn job(kind: JobKind) -> JobStatus {
        JobStatus {
            number: 1,
            kind,
            pass: 0,
            paused: false,
            started_at: DateTime::UNIX_EPOCH,
            segments: 4,
            segments_done: 1,
            tally: Tally { batches: 12_400, removed: 7, ..Tally::default() },
            items_expected: Some(20_000),
            items_per_second: 3100.4,
            seconds_left: Some(2),
        }
    }

    fn status() -> Status {
        let other = Some(OtherGeneration { number: 2, state: GenerationState::Building });
        Status {
            name: "orders",
            read_model: true,
            active: 1,
            other,
            job: None,
            report: None,
            shape: "orders/1",
            active_shape: None,
            other_shape: None,
            parked: 0,
        }
    }

    #[test]
    fn the_progress_line_has_percentage_rate_and_time_left() {
        let line = progress(&status(), &job(JobKind::Rebuild));
        let bar = format!("[{}{}]", "█".repeat(12), "░".repeat(8));
        let expected = format!(
            "rebuild orders → generation 2  pass 0  {bar} 62 %  12,400 of 20,000 items  3100/s  2 s left"
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn without_a_number_of_items_segments_are_counted() {
        let line = progress(
            &status(),
            &JobStatus { items_expected: None, seconds_left: None, ..job(JobKind::Reconcile) },
        );
        assert!(line.starts_with("reconcile orders  pass 0  [█████░"), "{line}");
        assert!(line.ends_with("25 %  12,400 items  3100/s"), "{line}");
        assert!(progress(&status(), &job(JobKind::Remove)).ends_with("7 rows removed"));
    }

    fn report(last_pass: Tally) -> Report {
        Report {
            job: 1,
            kind: JobKind::Rebuild,
            generation: Some(2),
            complete: last_pass == Tally::default(),
            started_at: DateTime::UNIX_EPOCH,
            ended_at: DateTime::UNIX_EPOCH,
            passes: 2,
            first_pass: Tally::default(),
            last_pass,
        }
    }

    #[test]
    fn a_report_names_streams_that_differ_from_what_is_applied() {
        let named =
            "order-1 at version 3 in generation 1 is ahead of the stream, which is gone".to_owned();
        let tally =
            Tally { ahead: 1_001, other_chain: 2, strays: vec![named.clone()], ..Tally::default() };
        let said = report_lines("orders", &report(tally));
        let place = said
            .iter()
            .position(|line| line == "  STRAYS   1,001 streams ahead, 2 on another chain")
            .unwrap();
        assert_eq!(said[place + 1].trim_start(), named);
        assert!(
            !report_lines("orders", &report(Tally::default()))
                .iter()
                .any(|line| line.contains("STRAYS"))
        );
    }

    #[test]
    fn a_report_says_which_items_are_damaged() {
        let damages = vec![
            "order-1 is damaged at version 2".to_owned(),
            "order-2 is damaged at version 3".to_owned(),
        ];
        let said =
            report_lines("orders", &report(Tally { damaged: 1_002, damages, ..Tally::default() }));
        let damaged = "  damaged  1,002 items: order-1 is damaged at version 2; order-2 is damaged at version 3";
        assert!(said.iter().any(|line| line == damaged), "{said:?}");
        let said = report_lines("orders", &report(Tally::default()));
        assert!(!said.iter().any(|line| line.contains("damaged")), "{said:?}");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
