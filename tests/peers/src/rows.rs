//! The stores that are compared, each used as its own documentation says.

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
    /// Ledgerfold, one command handler kept.
    Ledgerfold,
    /// Ledgerfold, nothing kept between commands.
    LedgerfoldCold,
    /// Ledgerfold, a command handler for each writer, so that they race as processes do.
    LedgerfoldRacing,
    /// cqrs-es with dynamo-es, event-store mode.
    DynamoEs,
    /// event-store-adapter-rs without snapshots.
    Esa,
    /// event-store-adapter-rs with a snapshot on every 50th event.
    EsaSnap,
    /// By hand on the SDK: the least that a store can do without keeping anything.
    Floor,
    /// The same once more: how far two rows can be apart by chance.
    FloorAgain,
}

/// A row's store on its tables, as one process has it.
pub(crate) enum Store {
    Ledgerfold(LedgerfoldRow),
    DynamoEs(Box<DynamoEsRow>),
    Esa(EsaRow),
    Floor(FloorRow),
}

/// How one attempt at a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Whether it was done; else another command was quicker, and it is to be tried again.
    pub(crate) done: bool,
    /// Lost races, those that the store mended by itself included.
    pub(crate) conflicts: u32,
}

/// What reading a stream gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Read {
    /// Events that came over the wire.
    pub(crate) events: u64,
    /// The state: how many notes it counts.
    pub(crate) notes: u64,
}

impl Attempt {
    const DONE: Self = Self { done: true, conflicts: 0 };
    const LOST: Self = Self { done: false, conflicts: 1 };
}

impl Row {
    /// As the tables name it.
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

    /// The row as which its streams are filled: a cold handler would read each stream again and again.
    pub(crate) fn filled_by(self) -> Self {
        if self == Self::LedgerfoldCold { Self::Ledgerfold } else { self }
    }

    /// Whether a command sent twice is known as one.
    pub(crate) fn knows_commands(self) -> bool {
        matches!(self, Self::Ledgerfold | Self::LedgerfoldCold | Self::LedgerfoldRacing)
    }

    /// Whether it has a way to begin a stream without reading it first.
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
    /// Makes the row's tables, all without a stream.
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

    /// The store as a process has it that has just started. `writers` are those that race, where they are to.
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
    pub(crate) async fn attempt(&self, writer: usize, stream: &str, command: &Command) -> Result<Attempt, Failure> {
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

    /// Writes so many events of one note each into a new stream, without commands.
    pub(crate) async fn fill(&self, stream: &str, events: u64) -> Result<(), Failure> {
        match self {
            Self::Ledgerfold(row) => row.fill(stream, events).await,
            Self::DynamoEs(row) => row.fill(stream, events).await,
            Self::Esa(row) => row.fill(stream, events).await,
            Self::Floor(row) => row.fill(stream, events).await,
        }
    }
}
