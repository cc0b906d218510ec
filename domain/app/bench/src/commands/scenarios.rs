//! The scenarios, run one after another on one table.

use super::measurement::{Measurement, Scenario};
use crate::failing;
use eventstore::{
    CommandHandler, CommandMetadata, CommandRequest, CommandResult, Consistency, EventCodec,
    EventStore, ExecuteError, Fingerprint, HandlerOptions, Head, Id, Model, NewCommit,
    SnapshotCodec, StreamId,
};
use ledgerfold::cli::{Failure, output};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Events of one command in the scenario `many-events`.
const MANY: u32 = 100;
/// Writers on one stream in one process, where the stream queue groups their commands.
const GROUPED: [(&str, u32); 2] = [("hot-16", 16), ("hot-64", 64)];
/// Writers on one stream as if each were a process.
const RACING: [(&str, u32); 2] = [("race-16", 16), ("race-64", 64)];
/// The text of an event. It makes the event as large as a usual one.
const TEXT_CHARS: usize = 120;

/// The sizes of the scenarios.
pub(super) struct Scenarios {
    pub(super) store: EventStore,
    pub(super) commands: u32,
    pub(super) clients: u32,
    /// Events in the long stream.
    pub(super) events: u32,
}

/// Whether the process has cached its streams.
#[derive(Clone, Copy)]
enum Process {
    /// It has run for a while.
    Warm,
    /// It has just started.
    Cold,
}

/// The events of the measured streams.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
enum NoteEvent {
    Noted { text: String },
}

const EVENTS: EventCodec<NoteEvent> = EventCodec::new(&[]);
/// The state is the number of events.
const NOTES: Model<u64, NoteEvent> = Model {
    initial: u64::default,
    evolve: |notes, _| notes + 1,
    encode: |event| EVENTS.encode(event),
    decode: |event| EVENTS.decode(event),
    snapshot: Some(SnapshotCodec::json("notes/1")),
};

type Notes = CommandHandler<u64, NoteEvent, &'static str>;

/// What a command decides.
#[derive(Debug, Clone, Copy)]
enum Decision {
    Note(u32),
    Refuse,
}

impl Decision {
    fn decide(self) -> Result<Vec<NoteEvent>, &'static str> {
        match self {
            Self::Note(events) => Ok((0..events).map(|_| note()).collect()),
            Self::Refuse => Err("refused"),
        }
    }
}

impl Scenarios {
    /// Runs all scenarios. Later ones use the streams of earlier ones.
    pub(super) async fn run(&self) -> Result<Vec<Measurement>, Failure> {
        let ids: Arc<Vec<Id>> = Arc::new((0..self.commands).map(|_| new_id()).collect());
        let mut measurements = vec![
            self.create().await?,
            self.warm().await?,
            self.cold("cold", "a command, its stream read first", &ids, false).await?,
            self.cold("retry", "the same command again", &ids, true).await?,
            self.refused().await?,
            self.many_events().await?,
        ];
        let (long, longest) = (self.events, self.events.saturating_mul(10));
        measurements.push(self.load("load-long", long, self.tenth()).await?);
        measurements.push(self.cold_long(long).await?);
        measurements.push(self.load("load-longest", longest, self.tenth().div_ceil(10)).await?);
        for (operation, writers) in GROUPED {
            measurements.push(self.hot(operation, writers, Process::Warm).await?);
        }
        for (operation, writers) in RACING {
            measurements.push(self.hot(operation, writers, Process::Cold).await?);
        }
        Ok(measurements)
    }

    async fn create(&self) -> Result<Measurement, Failure> {
        let notes = self.notes(Process::Cold);
        Measurement::run(
            self.scenario("create", "a command that starts a stream"),
            move |_, number| {
                let notes = notes.clone();
                async move {
                    let request = CommandRequest {
                        creates: true,
                        ..request(&stream("short", number)?, new_id())?
                    };
                    handled(command(&notes, request, Decision::Note(1)).await).map(drop)
                }
            },
        )
        .await
    }

    /// Each client has one stream, which is cached after the first command.
    async fn warm(&self) -> Result<Measurement, Failure> {
        let notes = self.notes(Process::Warm);
        for client in 0..self.clients {
            let request =
                CommandRequest { creates: true, ..request(&stream("warm", client)?, new_id())? };
            handled(command(&notes, request, Decision::Note(1)).await)?;
        }
        Measurement::run(self.scenario("warm", "a command, its stream known"), move |client, _| {
            let notes = notes.clone();
            async move {
                handled(
                    command(
                        &notes,
                        request(&stream("warm", client)?, new_id())?,
                        Decision::Note(1),
                    )
                    .await,
                )
                .map(drop)
            }
        })
        .await
    }

    /// Commands with given ids on the short streams: first try, or retry.
    async fn cold(
        &self,
        operation: &'static str,
        what: &str,
        ids: &Arc<Vec<Id>>,
        replayed: bool,
    ) -> Result<Measurement, Failure> {
        let (notes, ids) = (self.notes(Process::Cold), ids.clone());
        Measurement::run(self.scenario(operation, what), move |_, number| {
            let (notes, id) =
                (notes.clone(), usize::try_from(number).ok().and_then(|at| ids.get(at)).cloned());
            async move {
                let Some(id) = id else {
                    return Err(Failure::new("a command has no id", number.to_string()));
                };
                let request = request(&stream("short", number)?, id)?;
                let handled = handled(command(&notes, request, Decision::Note(1)).await)?;
                let as_expected = handled.replayed == replayed;
                as_expected.then_some(()).ok_or_else(|| {
                    Failure::new("a retry was not recognised", format!("{handled:?}"))
                })
            }
        })
        .await
    }

    async fn refused(&self) -> Result<Measurement, Failure> {
        let notes = self.notes(Process::Cold);
        Measurement::run(self.scenario("refused", "a command that is refused"), move |_, number| {
            let notes = notes.clone();
            async move {
                let request = request(&stream("short", number)?, new_id())?;
                match command(&notes, request, Decision::Refuse).await {
                    Err(ExecuteError::Refused(_)) => Ok(()),
                    other => Err(Failure::new(
                        "a command was not refused",
                        format!("{:?}", handled(other)?),
                    )),
                }
            }
        })
        .await
    }

    async fn many_events(&self) -> Result<Measurement, Failure> {
        let (notes, scenario) = (
            self.notes(Process::Cold),
            self.scenario("many-events", &format!("a command of {MANY} events")),
        );
        Measurement::run(Scenario { commands: self.tenth(), ..scenario }, move |_, number| {
            let notes = notes.clone();
            async move {
                let request = CommandRequest {
                    creates: true,
                    ..request(&stream("many", number)?, new_id())?
                };
                handled(command(&notes, request, Decision::Note(MANY)).await).map(drop)
            }
        })
        .await
    }

    /// Writes a stream, then measures loading it.
    async fn load(
        &self,
        operation: &'static str,
        events: u32,
        commands: u32,
    ) -> Result<Measurement, Failure> {
        let (store, stream) = (self.store.clone(), stream("long", events)?);
        self.write(&stream, events).await?;
        let scenario = self.scenario(operation, &format!("a load of {events} events"));
        Measurement::run(Scenario { commands, clients: 1, ..scenario }, move |_, _| {
            let (store, stream) = (store.clone(), stream.clone());
            async move {
                let version =
                    failing(store.load(&stream, Consistency::Eventual).await)?.head.version();
                let whole = version == u64::from(events);
                whole
                    .then_some(())
                    .ok_or_else(|| Failure::new("a load missed events", version.to_string()))
            }
        })
        .await
    }

    async fn cold_long(&self, events: u32) -> Result<Measurement, Failure> {
        let (notes, stream) = (self.notes(Process::Cold), stream("long", events)?);
        let scenario =
            self.scenario("cold-long", &format!("a command behind {events} events, read first"));
        Measurement::run(
            Scenario { commands: self.tenth(), clients: 1, ..scenario },
            move |_, _| {
                let (notes, stream) = (notes.clone(), stream.clone());
                async move {
                    handled(command(&notes, request(&stream, new_id())?, Decision::Note(1)).await)
                        .map(drop)
                }
            },
        )
        .await
    }

    /// All clients write to one stream. After too many conflicts, a client retries with the same
    /// id.
    async fn hot(
        &self,
        operation: &'static str,
        writers: u32,
        process: Process,
    ) -> Result<Measurement, Failure> {
        let what = match process {
            Process::Warm => format!("a command, {writers} writers on its stream in one process"),
            Process::Cold => format!("a command, {writers} writers on its stream that race"),
        };
        let (notes, stream) =
            (self.notes(process), failing(StreamId::new(format!("hot-{operation}")))?);
        Measurement::run(
            Scenario { clients: writers, ..self.scenario(operation, &what) },
            move |_, _| {
                let (notes, stream) = (notes.clone(), stream.clone());
                async move {
                    let request = request(&stream, new_id())?;
                    loop {
                        match command(&notes, request.clone(), Decision::Note(1)).await {
                            Err(ExecuteError::Contention { .. }) => {}
                            other => return handled(other).map(drop),
                        }
                    }
                }
            },
        )
        .await
    }

    /// Writes a stream with one event per item, as single commands do.
    async fn write(&self, stream: &StreamId, events: u32) -> Result<(), Failure> {
        let mut head = Head::empty(stream);
        for event in 0..events {
            if event % 100 == 0 {
                output::progress(&format!("{event} of {events} events written"));
            }
            let commit = NewCommit {
                metadata: metadata(new_id())?,
                events: vec![failing(EVENTS.encode(&note()))?],
            };
            head = failing(self.store.append(&head, vec![commit]).await)?.head;
        }
        Ok(())
    }

    fn notes(&self, process: Process) -> Notes {
        let options = HandlerOptions::default();
        let cached_streams = match process {
            Process::Warm => options.cached_streams,
            Process::Cold => 0,
        };
        CommandHandler::with_options(
            self.store.clone(),
            NOTES,
            HandlerOptions { cached_streams, ..options },
        )
    }

    fn scenario(&self, operation: &'static str, what: &str) -> Scenario {
        output::progress(what);
        Scenario {
            operation,
            what: what.to_owned(),
            commands: self.commands,
            clients: self.clients,
        }
    }

    fn tenth(&self) -> u32 {
        self.commands.div_ceil(10)
    }
}

async fn command(
    notes: &Notes,
    request: CommandRequest,
    decision: Decision,
) -> Result<CommandResult, ExecuteError<&'static str>> {
    notes.handle(request, move |_| decision.decide()).await
}

fn handled(
    result: Result<CommandResult, ExecuteError<&'static str>>,
) -> Result<CommandResult, Failure> {
    result.map_err(|error| Failure::from_error(&error))
}

fn stream(category: &str, number: u32) -> Result<StreamId, Failure> {
    failing(StreamId::new(format!("{category}-{number}")))
}

fn request(stream: &StreamId, id: Id) -> Result<CommandRequest, Failure> {
    Ok(CommandRequest {
        stream: stream.clone(),
        metadata: metadata(id)?,
        expected_version: None,
        creates: false,
    })
}

fn metadata(id: Id) -> Result<CommandMetadata, Failure> {
    Ok(CommandMetadata {
        fingerprint: Fingerprint::of(&[id.as_str().as_bytes()]),
        command_id: id,
        correlation_id: new_id(),
        causation_id: None,
        actor: failing(Id::new("bench"))?,
        trace_parent: None,
    })
}

fn new_id() -> Id {
    Uuid::now_v7().into()
}

fn note() -> NoteEvent {
    NoteEvent::Noted { text: Uuid::now_v7().to_string().chars().cycle().take(TEXT_CHARS).collect() }
}
