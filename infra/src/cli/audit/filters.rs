//! The filters of `search` and `export`.

use super::id;
use crate::cli::named_stream;
use chrono::{DateTime, ParseError, Utc};
use eventstore::{Direction, Id, StreamId, time_text};
use handlers::audit::{Cursor, Filter, Period, Search};

#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// Only events of this stream. The stream itself is read, so the answer is exact. Without it,
    /// the audit index answers, and events that still wait in its queue or are parked are missing.
    #[arg(long, value_parser = named_stream)]
    stream: Option<StreamId>,
    /// Only events of this actor.
    #[arg(long, value_parser = id)]
    actor: Option<Id>,
    /// Only events of this type.
    #[arg(long = "type", value_name = "TYPE", value_parser = id)]
    event_type: Option<Id>,
    /// Only events of the command with this id.
    #[arg(long, value_parser = id)]
    command: Option<Id>,
    /// Only events with this correlation id.
    #[arg(long, value_parser = id)]
    correlation: Option<Id>,
    /// Only events recorded at this time or later, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<DateTime<Utc>>,
    /// Only events recorded before this time, RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<DateTime<Utc>>,
    /// Include recorded audit queries. Without it they are left out, unless --stream, --type or
    /// --command names them.
    #[arg(long)]
    readings: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

impl Order {
    pub(super) fn direction(self) -> Direction {
        match self {
            Self::Asc => Direction::Forwards,
            Self::Desc => Direction::Backwards,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }
}

impl Filters {
    /// The search, or why the arguments contradict each other.
    pub(super) fn search(&self, order: Order, cursor: Option<&Cursor>) -> Result<Search, String> {
        let period = Period::new(self.from, self.to).map_err(|_| "--from must be before --to")?;
        let filter = Filter {
            actor: self.actor.clone(),
            event_type: self.event_type.clone(),
            command: self.command.clone(),
            correlation: self.correlation.clone(),
            period,
            readings: self.readings,
        };
        let search = Search::new(self.stream.clone(), filter, order.direction(), cursor.cloned());
        search.map_err(|foreign| format!("--cursor {foreign}"))
    }

    /// The arguments to record, with the API's names.
    pub(super) fn arguments(&self) -> Vec<(&'static str, Option<String>)> {
        let text = |id: &Option<Id>| id.as_ref().map(Id::to_string);
        vec![
            ("stream", self.stream.as_ref().map(StreamId::to_string)),
            ("actor", text(&self.actor)),
            ("type", text(&self.event_type)),
            ("command", text(&self.command)),
            ("correlation", text(&self.correlation)),
            ("from", self.from.map(time_text)),
            ("to", self.to.map(time_text)),
            ("readings", self.readings.then(|| true.to_string())),
        ]
    }
}

/// Parses a time.
pub(super) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.with_timezone(&Utc));
    time.map_err(|_: ParseError| "a time such as 2026-11-22T10:00:00Z".to_owned())
}
