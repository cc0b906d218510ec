//! The compared stores, each used as its documentation says.

mod dynamo_es;
mod esa;
mod floor;
mod ledgerfold_row;
mod tables;

use crate::Failure;
use crate::notebook::Command;
use aws_sdk_dynamodb::Client;
use clap::ValueEnum;
use dynamo_es::DynamoEsRow;
use esa::EsaRow;
use floor::FloorRow;
use ledgerfold_row::LedgerfoldRow;
use serde::{Serialize, Serializer};

/// A line of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// Ledgerfold with one command handler.
    Ledgerfold,
    /// Ledgerfold without a cache between commands.
    LedgerfoldCold,
    /// Ledgerfold with one command handler per writer, which conflict like processes.
    LedgerfoldRacing,
    /// cqrs-es with dynamo-es, event-store mode.
    DynamoEs,
    /// event-store-adapter-rs without snapshots.
    Esa,
    /// event-store-adapter-rs with a snapshot on every 50th event.
    EsaSnap,
    /// Written by hand on the SDK: the minimum of a store without a cache.
    Floor,
    /// The same again, to show random differences.
    FloorAgain,
}

/// A row's store on its tables, for one process.
pub(crate) enum Store {
    Ledgerfold(LedgerfoldRow),
    DynamoEs(Box<DynamoEsRow>),
    Esa(EsaRow),
    Floor(FloorRow),
}

/// The result of one attempt of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Whether it succeeded; otherwise it conflicted and must be retried.
    pub(crate) done: bool,
    /// Conflicts, including those that the store resolved.
    pub(crate) conflicts: u32,
}

/// The result of reading a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// Events in the answers.
    pub(crate) events: u64,
    /// The state: the number of notes.
    pub(crate) notes: u64,
}

impl Attempt {
    const DONE: Self = Self { done: true, conflicts: 0 };
    const LOST: Self = Self { done: false, conflicts: 1 };
}

impl Row {
    /// Its name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ledgerfold => "ledgerfold",
            Self::LedgerfoldCold => "ledgerfold, cold",
            Self::LedgerfoldRacing => "ledgerfold, racing",
            Self::DynamoEs => "dynamo-es",
            Self::Esa => "esa",
            Self::EsaSnap => "esa-snap",
            Self::Floor => "floor",
            Self::FloorAgain => "floor'",
        }
    }

    /// The row that fills its streams. A cold handler would read each stream for each command.
    pub(crate) fn filled_by(self) -> Self {
        if self == Self::LedgerfoldCold { Self::Ledgerfold } else { self }
    }

    /// Whether the store deduplicates commands.
    pub(crate) fn knows_commands(self) -> bool {
        matches!(self, Self::Ledgerfold | Self::LedgerfoldCold | Self::LedgerfoldRacing)
    }

    /// Whether it can begin a stream without reading it.
    pub(crate) fn begins_unread(self) -> bool {
        self != Self::DynamoEs
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Store {
    /// Creates the row's tables, without streams.
    pub(crate) async fn create_tables(row: Row, client: &Client) -> Result<(), Failure> {
        match row {
            Row::Ledgerfold | Row::LedgerfoldCold | Row::LedgerfoldRacing => {
                ledgerfold_row::create_tables(client).await
            }
            Row::DynamoEs => dynamo_es::create_tables(client).await,
            Row::Esa | Row::EsaSnap => esa::create_tables(client).await,
            Row::Floor | Row::FloorAgain => floor::create_tables(client).await,
        }
    }

    /// The store of a new process, with the number of conflicting writers.
    pub(crate) async fn open(row: Row, client: Client, writers: usize) -> Result<Self, Failure> {
        let store = match row {
            Row::Ledgerfold => Self::Ledgerfold(LedgerfoldRow::warm(client)),
            Row::LedgerfoldCold => Self::Ledgerfold(LedgerfoldRow::cold(client)),
            Row::LedgerfoldRacing => Self::Ledgerfold(LedgerfoldRow::racing(client, writers)),
            Row::DynamoEs => Self::DynamoEs(Box::new(DynamoEsRow::open(client))),
            Row::Esa => Self::Esa(EsaRow::open(client, false).await?),
            Row::EsaSnap => Self::Esa(EsaRow::open(client, true).await?),
            Row::Floor | Row::FloorAgain => Self::Floor(FloorRow::open(client)),
        };
        Ok(store)
    }

    /// Tries a command once: load, fold, decide, append.
    pub(crate) async fn attempt(
        &self,
        writer: usize,
        stream: &str,
        command: &Command,
    ) -> Result<Attempt, Failure> {
        match self {
            Self::Ledgerfold(row) => row.attempt(writer, stream, command).await,
            Self::DynamoEs(row) => row.attempt(stream, command).await,
            Self::Esa(row) => row.attempt(stream, command).await,
            Self::Floor(row) => row.attempt(stream, command).await,
        }
    }

    /// Reads a stream and folds it.
    pub(crate) async fn read(&self, stream: &str) -> Result<Read, Failure> {
        match self {
            Self::Ledgerfold(row) => row.read(stream).await,
            Self::DynamoEs(row) => row.read(stream).await,
            Self::Esa(row) => row.read(stream).await,
            Self::Floor(row) => row.read(stream).await,
        }
    }

    /// Writes a new stream of events with one note each, without commands.
    pub(crate) async fn fill(&self, stream: &str, events: u64) -> Result<(), Failure> {
        match self {
            Self::Ledgerfold(row) => row.fill(stream, events).await,
            Self::DynamoEs(row) => row.fill(stream, events).await,
            Self::Esa(row) => row.fill(stream, events).await,
            Self::Floor(row) => row.fill(stream, events).await,
        }
    }
}
