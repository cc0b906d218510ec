//! Measures how fast read models follow live events, and how fast they are rebuilt.

mod history;
mod live;
mod measurement;
mod meter;
mod rebuild;
mod samples;
mod traffic;

use crate::{TemporaryEngine, failing, interrupted};
use eventstore::{Batch, EventStore};
use history::History;
use ledgerfold::cli::{Failure, output, stop_signal};
use ledgerfold::clients::{Clients, Endpoints};
use measurement::{Measurement, TimesLive, Work};
use meter::{Reading, reset_peak};
use projections::audit_index::AuditIndex;
use projections::journal::Journal;
use projections::{Projection, Projector, ReadModels};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use traffic::TrafficCounter;

const EXAMPLES: &str = "\
Examples:
  ledgerfold-bench projections
  ledgerfold-bench projections --events 200000 --threads 1 --json
  ledgerfold-bench projections --projection orders --events 5000

It starts a temporary engine and removes it at the end, even after Ctrl-C. Half of the events are in
orders of three events, half in long streams of books. Writing them is not measured. Live events are
delivered to the handler as its queue would, one commit per message. Every rebuild has new tables.

REQUESTS and units are counted at the SDK client; the engine reports the units. ENGINE and CLIENT are
the CPU times of the engine's and the projectors' threads (Linux only). BY CPU is TIMES LIVE computed
from their sum, which other load on the machine hardly changes. OF IT SDK is the time that the SDK
needs for a request and its answer; with many concurrent requests it includes some waiting. PEAK is
the memory of the whole process, engine included.";

/// The events table.
const EVENTS: &str = "bench-events";
/// The most messages per delivery of a FIFO queue.
const MAX_MESSAGES: usize = 10;

/// Measure how fast read models follow live events, and how fast they are rebuilt.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Projections {
    /// Events in all.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(12..=10_000_000))]
    events: u32,
    /// Long streams, which share half of the events.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    streams: u32,
    /// How many of the events are also delivered live.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    live: u32,
    /// Workers of a rebuild, one thread each. Each number is one rebuild.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u32).range(1..=16))]
    threads: Vec<u32>,
    /// Measure only this projection; may be repeated.
    #[arg(long = "projection", value_name = "NAME", value_parser = projection)]
    projections: Vec<Projection>,
    /// Print JSON, with sums instead of averages.
    #[arg(long)]
    json: bool,
}

fn projection(name: &str) -> Result<Projection, String> {
    let read_models = read_models();
    let names: Vec<&str> = read_models.iter().map(|projection| projection.name).collect();
    let found = read_models.iter().find(|projection| projection.name == name);
    found.copied().ok_or_else(|| format!("one of {}", names.join(", ")))
}

fn read_models() -> Vec<Projection> {
    bookshop::app().read_models().copied().collect()
}

/// An engine with the written events.
struct Bench<'a> {
    arguments: &'a Projections,
    endpoints: Endpoints,
    history: History,
    sample: Vec<Batch>,
    stop: CancellationToken,
}

/// New, empty tables for one measurement.
#[derive(Clone)]
struct Tables {
    endpoints: Endpoints,
    traffic: TrafficCounter,
    read_models: String,
    audit_index: String,
    journal: String,
}

impl Projections {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (stop_requested, stop) = (stop_signal()?, CancellationToken::new());
        // Stops the threads.
        let guard = stop.clone().drop_guard();
        let engine = TemporaryEngine::start().await?;
        let measured = tokio::select! {
            measured = self.measure(engine.endpoints.clone(), stop) => measured,
            () = stop_requested => Err(interrupted()),
        };
        drop(guard);
        output::progress("");
        engine.stop().await;
        self.print(&measured?)
    }

    async fn measure(
        &self,
        endpoints: Endpoints,
        stop: CancellationToken,
    ) -> Result<Vec<Measurement>, Failure> {
        let store = EventStore::new(Clients::loopback(&endpoints).dynamodb, EVENTS);
        failing(store.create_table().await)?;
        let history = History::of(store, self.events, self.streams)?;
        let sample = history.write(usize::try_from(self.live).unwrap_or(usize::MAX)).await?;
        let bench = Bench { arguments: self, endpoints, history, sample, stop };
        let chosen =
            if self.projections.is_empty() { read_models() } else { self.projections.clone() };
        let mut measurements = Vec::new();
        for projection in chosen {
            measurements.extend(bench.projection(projection).await?);
        }
        Ok(measurements)
    }

    fn print(&self, measurements: &[Measurement]) -> Result<(), Failure> {
        if self.json {
            let measured: Vec<_> = measurements.iter().map(Measurement::as_json).collect();
            return output::json(
                &json!({"events": self.events, "streams": self.streams, "measured": measured}),
            );
        }
        output::line("Average per event:")?;
        let rows: Vec<_> = measurements.iter().map(Measurement::as_row).collect();
        output::rows(measurement::HEADING, &rows)
    }
}

impl Bench<'_> {
    async fn projection(&self, projection: Projection) -> Result<Vec<Measurement>, Failure> {
        let one_by_one = self.live(projection, Work::OneByOne, 1).await?;
        let mut measurements =
            vec![one_by_one.clone(), self.live(projection, Work::Batches, MAX_MESSAGES).await?];
        for workers in &self.arguments.threads {
            measurements.extend(self.rebuild(projection, *workers).await?);
        }
        Ok(measurements
            .into_iter()
            .map(|measurement| measurement.compared_with(&one_by_one))
            .collect())
    }

    async fn live(
        &self,
        projection: Projection,
        work: Work,
        messages: usize,
    ) -> Result<Measurement, Failure> {
        output::progress(&format!("{}: live, {messages} messages per delivery", projection.name));
        let deliveries = live::deliveries(&projection, &self.sample, messages)?;
        let events = deliveries.iter().map(|delivery| delivery.records.len()).sum::<usize>();
        let tables = self.tables(projection, &format!("live-{messages}")).await?;
        // Needed once per projection, so it is not part of an event's cost.
        failing(tables.projector().claim(&projection).await)?;
        let before = tables.begin();
        let end = live::deliver(
            projection,
            deliveries,
            tables.projectors(),
            tables.readings(),
            &self.stop,
        )
        .await?;
        let spent = end.ok_or_else(interrupted)?.since(&before);
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        Ok(Measurement {
            projection: projection.name,
            work,
            threads: 1,
            events,
            spent,
            times_live: TimesLive::default(),
        })
    }

    async fn rebuild(
        &self,
        projection: Projection,
        workers: u32,
    ) -> Result<Vec<Measurement>, Failure> {
        output::progress(&format!("{}: rebuild, {workers} threads", projection.name));
        let tables = self.tables(projection, &format!("rebuild-{workers}")).await?;
        let (before, threads) = (tables.begin(), usize::try_from(workers).unwrap_or(1));
        let phases = rebuild::rebuild(
            projection,
            threads,
            tables.projectors(),
            tables.readings(),
            &self.stop,
        )
        .await?;
        let rebuild::Phases { backfilled, verified } = phases.ok_or_else(interrupted)?;
        let events = self.verified_events(projection, &tables).await?;
        let measurement = |work, spent| Measurement {
            projection: projection.name,
            work,
            threads: workers,
            events,
            spent,
            times_live: TimesLive::default(),
        };
        Ok(vec![
            measurement(Work::Backfill, backfilled.since(&before)),
            measurement(Work::Verification, verified.since(&backfilled)),
            measurement(Work::Rebuild, verified.since(&before)),
        ])
    }

    /// The events that the rebuild applied. It must be complete, with every event that the
    /// projection follows.
    async fn verified_events(
        &self,
        projection: Projection,
        tables: &Tables,
    ) -> Result<u32, Failure> {
        let status = failing(tables.projector().status(&projection).await)?;
        let report = status.report.filter(|report| report.complete);
        let report =
            report.ok_or_else(|| Failure::new("a rebuild is not complete", projection.name))?;
        let events = u32::try_from(report.first_pass.events).unwrap_or(u32::MAX);
        let followed = self.history.events_of(&projection);
        let all = events == followed;
        all.then_some(events).ok_or_else(|| {
            Failure::new("a rebuild missed events", format!("{events} of {followed}"))
        })
    }

    /// Creates new tables.
    async fn tables(&self, projection: Projection, work: &str) -> Result<Tables, Failure> {
        let tables = Tables {
            endpoints: self.endpoints.clone(),
            traffic: TrafficCounter::default(),
            read_models: format!("bench-{}-{work}-read-models", projection.name),
            audit_index: format!("bench-{}-{work}-audit-index", projection.name),
            journal: format!("bench-{}-{work}-journal", projection.name),
        };
        let (read_models, audit_index, journal) = tables.open(&Clients::loopback(&self.endpoints));
        failing(read_models.create_table().await)?;
        failing(audit_index.create_table().await)?;
        failing(journal.create_table().await)?;
        Ok(tables)
    }
}

impl Tables {
    fn open(&self, clients: &Clients) -> (ReadModels, AuditIndex, Journal) {
        let client = &clients.dynamodb;
        (
            ReadModels::new(client.clone(), &self.read_models),
            AuditIndex::new(client.clone(), &self.audit_index),
            Journal::new(client.clone(), &self.journal),
        )
    }

    /// A projector with its own connections and caches, as in a separate process. Its traffic is
    /// counted.
    fn projector(&self) -> Projector {
        let mut clients = Clients::loopback(&self.endpoints);
        clients.dynamodb = self.traffic.intercept(&clients.dynamodb);
        let (read_models, audit_index, journal) = self.open(&clients);
        Projector::new(EventStore::new(clients.dynamodb, EVENTS), read_models, audit_index, journal)
    }

    fn projectors(&self) -> impl Fn() -> Projector + Clone + Send + 'static {
        let tables = self.clone();
        move || tables.projector()
    }

    fn readings(&self) -> impl Fn() -> Reading + Clone + Send + 'static {
        let traffic = self.traffic.clone();
        move || Reading::now(&traffic)
    }

    /// The reading at the beginning of a measurement.
    fn begin(&self) -> Reading {
        reset_peak();
        Reading::now(&self.traffic)
    }
}
