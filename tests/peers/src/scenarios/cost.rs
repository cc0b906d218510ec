//! The cost of a command, counted at the wire.

use super::{Cell, Process, Sizes, check, chosen, finish, float, grow, new_stream};
use crate::Failure;
use crate::notebook::Command;
use crate::report::Table;
use crate::rows::Row;
use crate::stats::number;
use crate::wire::{Task, Traffic};
use serde::Serialize;
use std::collections::BTreeMap;

const ROWS: [Row; 6] =
    [Row::Ledgerfold, Row::LedgerfoldCold, Row::DynamoEs, Row::Esa, Row::EsaSnap, Row::Floor];
const SHORT_STREAM: u64 = 10;
/// Commands per short stream: enough that the average includes snapshots.
const COMMANDS_A_SHORT_STREAM: usize = 10;

/// The cases of the cost tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Case {
    NewStream,
    Creating,
    ShortStream,
    ThreeEvents,
    LongStream,
    Retry,
}

const CASES: [Case; 6] = [
    Case::NewStream,
    Case::Creating,
    Case::ShortStream,
    Case::ThreeEvents,
    Case::LongStream,
    Case::Retry,
];

/// The average cost of a command, by case and row.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    case: Case,
    row: Row,
    commands: usize,
    requests: f64,
    /// The requests of the most common command.
    operations: String,
    write_units: f64,
    read_units: f64,
    request_bytes: f64,
    answer_bytes: f64,
    /// A note on the result, if it is unusual.
    outcome: &'static str,
}

/// Counts every case in every row.
pub(crate) async fn run(sizes: &Sizes, rows: &[Row]) -> Result<Vec<Line>, Failure> {
    let rows = chosen(rows, &ROWS);
    super::rounds("cost", 1, &rows, |_, row| lines(sizes, row)).await
}

async fn lines(sizes: &Sizes, row: Row) -> Result<Vec<Line>, Failure> {
    let cell = Cell::open(row).await?;
    let measured = cell.process(Task::Count).await?;
    // A warm handler has cached the streams that it filled. A cold one would fill them slowly.
    let filling = if row == row.filled_by() {
        None
    } else {
        Some(cell.process_as(row.filled_by(), Task::DropTokens, 1).await?)
    };
    let filling = filling.as_ref().unwrap_or(&measured);
    let mut lines = Vec::new();
    for case in CASES {
        if case != Case::Creating || row.begins_unread() {
            lines.push(line(case, row, sizes, &measured, filling).await?);
        }
    }
    cell.close().await?;
    Ok(lines)
}

async fn line(
    case: Case,
    row: Row,
    sizes: &Sizes,
    measured: &Process,
    filling: &Process,
) -> Result<Line, Failure> {
    let mut total = Traffic::default();
    let mut shapes: BTreeMap<String, usize> = BTreeMap::new();
    let mut stream = new_stream();
    let mut notes = 0;
    for number in 0..sizes.cost_commands {
        if number % case.commands_a_stream(sizes) == 0 {
            (stream, notes) = (new_stream(), case.events_before(sizes));
            grow(&filling.store, &stream, notes).await?;
        }
        let command = case.command();
        if case == Case::Retry {
            finish(&measured.store, 0, &stream, &command).await?;
            notes += 1;
        }
        measured.wire.take();
        finish(&measured.store, 0, &stream, &command).await?;
        let traffic = measured.wire.take();
        *shapes.entry(traffic.operations.join(", ")).or_default() += 1;
        total += traffic;
        if case != Case::Retry || !row.knows_commands() {
            notes += u64::try_from(command.notes.len())?;
        }
        if (number + 1) % case.commands_a_stream(sizes) == 0 || number + 1 == sizes.cost_commands {
            check(&measured.store, &stream, notes).await?;
        }
    }
    Ok(Line::of(case, row, sizes.cost_commands, &total, shapes))
}

impl Line {
    fn of(
        case: Case,
        row: Row,
        commands: usize,
        total: &Traffic,
        shapes: BTreeMap<String, usize>,
    ) -> Self {
        let count = float(commands);
        let commonest = shapes.into_iter().max_by_key(|(_, commands)| *commands);
        let outcome = match (case, row.knows_commands()) {
            (Case::Retry, true) => "the recorded result",
            (Case::Retry, false) => "**done twice**",
            (Case::ThreeEvents, _) if matches!(row, Row::Esa | Row::EsaSnap) => "**not atomic**",
            _ => "",
        };
        Self {
            case,
            row,
            commands,
            requests: f64::from(total.requests) / count,
            operations: commonest.map(|(operations, _)| operations).unwrap_or_default(),
            write_units: (total.units.written + total.units.refused) / count,
            read_units: total.units.read / count,
            request_bytes: float(total.request_bytes) / count,
            answer_bytes: float(total.answer_bytes) / count,
            outcome,
        }
    }
}

impl Case {
    fn command(self) -> Command {
        match self {
            Self::Creating => Command::creating(),
            Self::ThreeEvents => Command::new(3),
            Self::NewStream | Self::ShortStream | Self::LongStream | Self::Retry => Command::new(1),
        }
    }

    fn commands_a_stream(self, sizes: &Sizes) -> usize {
        match self {
            Self::NewStream | Self::Creating | Self::Retry => 1,
            Self::ShortStream | Self::ThreeEvents => COMMANDS_A_SHORT_STREAM,
            Self::LongStream => sizes.cost_commands,
        }
    }

    /// The length of the stream before the first command.
    fn events_before(self, sizes: &Sizes) -> u64 {
        match self {
            Self::NewStream | Self::Creating => 0,
            Self::ShortStream | Self::ThreeEvents | Self::Retry => SHORT_STREAM,
            Self::LongStream => sizes.long_stream,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::NewStream => "1 event, new stream",
            Self::Creating => "1 event, new stream, by a command that can only create",
            Self::ShortStream => "1 event, stream of 10 to 19",
            Self::ThreeEvents => "3 events, stream of 10 to 37",
            Self::LongStream => "1 event, stream of 1,000 to 1,049",
            Self::Retry => "the same command again, stream of 10",
        }
    }
}

/// The table, by case.
pub(crate) fn table(lines: &[Line]) -> Table {
    let mut table = Table {
        title: "1. Cost of one command, counted at the wire".to_owned(),
        head: vec![
            "case",
            "row",
            "requests",
            "operations",
            "WCU",
            "RCU",
            "request bytes",
            "answer bytes",
            "outcome",
        ],
        lines: Vec::new(),
        notes: vec![
            "averages over the commands of a case, with the snapshots that ledgerfold and esa-snap write now and \
             then; bytes are those of the bodies, each request has some 750 of head besides",
            "`ledgerfold` keeps its handler from the commands before, `ledgerfold, cold` reads every time; its items carry \
             the command's whole envelope and the chain hash, those of the other rows the event alone",
            "in \"can only create\" nothing is read first; dynamo-es has no such way",
            "`esa` writes one event at a time: a command of three events is three transactions",
            "the peers and `floor` know no command ids: sent twice is done twice",
            "dynamo-es counts in event-store mode: the state that its snapshot modes load is wrong",
        ],
    };
    for case in CASES {
        let of_case = lines.iter().filter(|line| line.case == case).enumerate();
        table.lines.extend(of_case.map(|(index, line)| {
            let case = if index == 0 { case.name() } else { "" };
            let figures =
                [line.write_units, line.read_units, line.request_bytes, line.answer_bytes]
                    .map(number);
            let start = [
                case.to_owned(),
                line.row.name().to_owned(),
                number(line.requests),
                line.operations.clone(),
            ];
            start.into_iter().chain(figures).chain([line.outcome.to_owned()]).collect()
        }));
    }
    table
}
