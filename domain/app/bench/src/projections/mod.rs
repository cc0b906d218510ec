//! `ledgerfold bench projections`: how fast read models follow live events, and how fast they are rebuilt.

mod history;
mod live;
mod rebuild;
mod taken;
mod threads;
mod wire;

use super::own_engine;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{app, dev, output};
use crate::clients::{Clients, Endpoints};
use eventstore::{Batch, EventStore};
use history::History;
use projections::audit_index::AuditIndex;
use projections::{Projection, Projector, ReadModels};
use serde_json::json;
use taken::{Taken, TimesLive, Work};
use threads::{Reading, forget_peak};
use tokio_util::sync::CancellationToken;
use wire::Wire;

const EXAMPLES: &str = "\
Examples:
  ledgerfold bench projections
  ledgerfold bench projections --events 200000 --threads 1 --json
  ledgerfold bench projections --projection READ_MODEL --events 5000

It starts an engine for the run and removes it at the end, also after Ctrl-C. Half of the events are of short
streams, half of long ones, as the app's samples say; what is written before is not measured. Live events are handed to the handler as its
queue would, one commit a message; every rebuild has new tables.

Requests and units are those of the wire, units as the engine reports them. ENGINE and CLIENT are what the engine's threads and
those that project have computed, where the system tells it (Linux): together they have the processors of this machine. BY CPU
compares their sums: it says what remains of TIMES LIVE when the machine is busy with other things. OF IT SDK
is the clock between the beginning of a request and its departure, and between its answer and its end; with many requests under
way at once it has a little of the others in it. PEAK is that of the whole process, engine included, during the work.";

/// The events table's name; the others have a number as well.
const EVENTS: &str = "bench-events";
/// The messages of a delivery, as SQS gives them at most to a FIFO queue.
const DELIVERY: usize = 10;

/// Measure how fast read models follow live events, and how fast they are rebuilt.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Projections {
    /// Events of the history.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(12..=10_000_000))]
    events: u32,
    /// Long streams that share the other half of the events.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    streams: u32,
    /// The first so many events are also delivered live.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    live: u32,
    /// Workers of a rebuild, each on a thread of its own: one rebuild for each number.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u32).range(1..=16))]
    threads: Vec<u32>,
    /// Only these projections, instead of all.
    #[arg(long = "projection", value_name = "NAME", value_parser = projection)]
    projections: Vec<Projection>,
    /// Answer in JSON, for programs: sums where the table has averages.
    #[arg(long)]
    json: bool,
}

fn projection(name: &str) -> Result<Projection, String> {
    let names = || app().read_models().map(|projection| projection.name).collect::<Vec<_>>().join(", ");
    let known = app().read_models().find(|projection| projection.name == name);
    known.copied().ok_or_else(|| format!("one of {}", names()))
}

/// The engine with its history.
struct Bench<'a> {
    arguments: &'a Projections,
    endpoints: Endpoints,
    history: History,
    sample: Vec<Batch>,
    stop: CancellationToken,
}

/// New tables for one measurement: the read models', and the audit index's.
#[derive(Clone)]
struct Tables {
    endpoints: Endpoints,
    wire: Wire,
    read_models: String,
    audit_index: String,
}

impl Projections {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let (ended, stop) = (dev::ended()?, CancellationToken::new());
        // Threads stop with what waits for them.
        let guard = stop.clone().drop_guard();
        let (engine, key, folder) = own_engine().await?;
        let endpoints = Endpoints::of_one(engine.endpoint(), key);
        let measured = tokio::select! {
            measured = self.measure(endpoints, stop) => measured,
            () = ended => Err(Failure::new("stopped before the end", "what it had made is removed")),
        };
        drop(guard);
        output::progress("");
        engine.stop().await;
        drop(folder);
        self.show(&measured?)?;
        Ok(Exit::Done)
    }

    async fn measure(&self, endpoints: Endpoints, stop: CancellationToken) -> Result<Vec<Taken>, Failure> {
        let store = EventStore::new(Clients::loopback(&endpoints).dynamodb, EVENTS);
        store.create_table().await.map_err(|fault| Failure::from_error(&fault))?;
        let samples = app()
            .samples()
            .ok_or_else(|| Failure::new("this app has no histories to measure with", "App::sampled registers some"))?;
        let history = History::of(store, samples, self.events, self.streams)?;
        let sample = history.write(usize::try_from(self.live).unwrap_or(usize::MAX)).await?;
        let bench = Bench { arguments: self, endpoints, history, sample, stop };
        let mut all = Vec::new();
        let all_there_are = || app().read_models().copied().collect();
        let chosen: Vec<Projection> =
            if self.projections.is_empty() { all_there_are() } else { self.projections.clone() };
        for projection in chosen {
            all.extend(bench.projection(projection).await?);
        }
        Ok(all)
    }

    fn show(&self, measured: &[Taken]) -> Result<(), Failure> {
        if self.json {
            let measured: Vec<_> = measured.iter().map(Taken::as_json).collect();
            return output::json(&json!({"events": self.events, "streams": self.streams, "measured": measured}));
        }
        output::line("One event costs, on average:")?;
        let rows: Vec<_> = measured.iter().map(Taken::as_row).collect();
        output::rows(taken::HEADING, &rows)
    }
}

impl Bench<'_> {
    async fn projection(&self, projection: Projection) -> Result<Vec<Taken>, Failure> {
        let one_by_one = self.live(projection, Work::OneByOne, 1).await?;
        let mut all = vec![one_by_one.clone(), self.live(projection, Work::Batches, DELIVERY).await?];
        for workers in &self.arguments.threads {
            all.extend(self.rebuild(projection, *workers).await?);
        }
        Ok(all.into_iter().map(|taken| taken.beside(&one_by_one)).collect())
    }

    async fn live(&self, projection: Projection, work: Work, at_once: usize) -> Result<Taken, Failure> {
        output::progress(&format!("{}: live, {at_once} a delivery", projection.name));
        let deliveries = live::deliveries(&projection, &self.sample, at_once)?;
        let events = deliveries.iter().map(|delivery| delivery.records.len()).sum::<usize>();
        let tables = self.tables(projection, &format!("live-{at_once}")).await?;
        // Once in a projection's life, and no part of what an event costs.
        tables.projector().claim(&projection).await.map_err(|error| Failure::from_error(&error))?;
        let before = tables.begin();
        let end = live::deliver(projection, deliveries, tables.projectors(), tables.readings(), &self.stop).await?;
        let spent = end.ok_or_else(stopped)?.since(&before);
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        Ok(Taken { projection: projection.name, work, threads: 1, events, spent, times_live: TimesLive::default() })
    }

    async fn rebuild(&self, projection: Projection, workers: u32) -> Result<Vec<Taken>, Failure> {
        output::progress(&format!("{}: rebuild, {workers} threads", projection.name));
        let tables = self.tables(projection, &format!("rebuild-{workers}")).await?;
        let (before, threads) = (tables.begin(), usize::try_from(workers).unwrap_or(1));
        let laps = rebuild::rebuild(projection, threads, tables.projectors(), tables.readings(), &self.stop).await?;
        let rebuild::Laps { filled, proven } = laps.ok_or_else(stopped)?;
        let events = self.proven(projection, &tables).await?;
        let taken = |work, spent| Taken {
            projection: projection.name,
            work,
            threads: workers,
            events,
            spent,
            times_live: TimesLive::default(),
        };
        Ok(vec![
            taken(Work::Backfill, filled.since(&before)),
            taken(Work::Proof, proven.since(&filled)),
            taken(Work::Rebuild, proven.since(&before)),
        ])
    }

    /// How many events the rebuild has met: all that the projection follows, and nothing was missing in the end.
    async fn proven(&self, projection: Projection, tables: &Tables) -> Result<u32, Failure> {
        let status = tables.projector().status(&projection).await.map_err(|error| Failure::from_error(&error))?;
        let report = status.report.filter(|report| report.complete);
        let report = report.ok_or_else(|| Failure::new("a rebuild is not complete", projection.name))?;
        let events = u32::try_from(report.first_pass.events).unwrap_or(u32::MAX);
        let followed = self.history.events_of(&projection);
        let all = events == followed;
        all.then_some(events).ok_or_else(|| Failure::new("a rebuild missed events", format!("{events} of {followed}")))
    }

    /// Tables that nothing has been written to.
    async fn tables(&self, projection: Projection, work: &str) -> Result<Tables, Failure> {
        let tables = Tables {
            endpoints: self.endpoints.clone(),
            wire: Wire::default(),
            read_models: format!("bench-{}-{work}-read-models", projection.name),
            audit_index: format!("bench-{}-{work}-audit-index", projection.name),
        };
        let (read_models, audit_index) = tables.open(&Clients::loopback(&self.endpoints));
        read_models.create_table().await.map_err(|error| Failure::from_error(&error))?;
        audit_index.create_table().await.map_err(|error| Failure::from_error(&error))?;
        Ok(tables)
    }
}

impl Tables {
    fn open(&self, clients: &Clients) -> (ReadModels, AuditIndex) {
        let client = &clients.dynamodb;
        (ReadModels::new(client.clone(), &self.read_models), AuditIndex::new(client.clone(), &self.audit_index))
    }

    /// A projector as a process of its own has it: with connections and memories of its own, over the wire that counts.
    fn projector(&self) -> Projector {
        let mut clients = Clients::loopback(&self.endpoints);
        clients.dynamodb = self.wire.client(&clients.dynamodb);
        let (read_models, audit_index) = self.open(&clients);
        Projector::new(EventStore::new(clients.dynamodb, EVENTS), read_models, audit_index)
    }

    fn projectors(&self) -> impl Fn() -> Projector + Clone + Send + 'static {
        let tables = self.clone();
        move || tables.projector()
    }

    fn readings(&self) -> impl Fn() -> Reading + Clone + Send + 'static {
        let wire = self.wire.clone();
        move || Reading::now(&wire)
    }

    /// From here on it is measured.
    fn begin(&self) -> Reading {
        forget_peak();
        Reading::now(&self.wire)
    }
}

/// Only who is told to stop comes to no end.
fn stopped() -> Failure {
    Failure::new("stopped before the end", "what it had made is removed")
}
