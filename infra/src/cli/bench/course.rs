//! The operations that are measured, one behind the other, on one table.

use super::stopwatch::{Heat, Taken};
use crate::cli::failure::Failure;
use crate::cli::table;
use eventstore::{
    CommandHandler, CommandMetadata, CommandRequest, CommandResult, Consistency, EventCodec, EventStore, ExecuteError,
    Fingerprint, HandlerOptions, Head, Id, Model, NewCommit, SnapshotCodec, StreamId,
};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::sync::Arc;
use uuid::Uuid;

/// The events of a command that has many.
const MANY: u32 = 100;
/// How many write to a hot stream: in one process, where they queue up, and as if each were a process of its own.
const TOGETHER: [(&str, u32); 2] = [("hot-16", 16), ("hot-64", 64)];
const RACING: [(&str, u32); 2] = [("race-16", 16), ("race-64", 64)];
/// An event's text has so many characters: the event is about as large as events usually are.
const TEXT_CHARS: usize = 120;

/// What is measured, and how much of it.
pub(super) struct Course {
    pub(super) store: EventStore,
    pub(super) commands: u32,
    pub(super) clients: u32,
    /// Events of the long stream.
    pub(super) events: u32,
}

/// What a process remembers of streams.
#[derive(Clone, Copy)]
enum Process {
    /// As much as it can: it goes on and on.
    Warm,
    /// Nothing: it has just started.
    Cold,
}

/// The only event of the streams here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
enum Told {
    Noted { text: String },
}

/// The state of a stream here is how many events it has.
const EVENTS: EventCodec<Told> = EventCodec::new(&[]);
const NOTES: Model<u64, Told> = Model {
    initial: u64::default,
    evolve: |notes, _| notes + 1,
    encode: |told| EVENTS.encode(told),
    decode: |event| EVENTS.decode(event),
    snapshot: Some(SnapshotCodec::json("notes/1")),
};

/// Handles the commands of a process.
type Notes = CommandHandler<u64, Told, &'static str>;

/// What a command decides.
#[derive(Debug, Clone, Copy)]
enum Decision {
    Note(u32),
    Refuse,
}

impl Decision {
    fn made(self) -> Result<Vec<Told>, &'static str> {
        match self {
            Self::Note(events) => Ok((0..events).map(|_| note()).collect()),
            Self::Refuse => Err("refused"),
        }
    }
}

impl Course {
    /// Measures everything. The order matters: later operations work on the streams of earlier ones.
    pub(super) async fn run(&self) -> Result<Vec<Taken>, Failure> {
        let ids: Arc<Vec<Id>> = Arc::new((0..self.commands).map(|_| new_id()).collect());
        let mut all = vec![
            self.create().await?,
            self.warm().await?,
            self.cold("cold", "a command, its stream read first", &ids, false).await?,
            self.cold("retry", "the same command again", &ids, true).await?,
            self.refused().await?,
            self.many_events().await?,
        ];
        let (long, longest) = (self.events, self.events.saturating_mul(10));
        all.push(self.load("load-long", long, self.tenth()).await?);
        all.push(self.cold_long(long).await?);
        all.push(self.load("load-longest", longest, self.tenth().div_ceil(10)).await?);
        for (operation, writers) in TOGETHER {
            all.push(self.hot(operation, writers, Process::Warm).await?);
        }
        for (operation, writers) in RACING {
            all.push(self.hot(operation, writers, Process::Cold).await?);
        }
        Ok(all)
    }

    async fn create(&self) -> Result<Taken, Failure> {
        let notes = self.notes(Process::Cold);
        Taken::by(self.heat("create", "a command that starts a stream"), move |_, number| {
            let notes = notes.clone();
            async move {
                let request = CommandRequest { creates: true, ..request(&stream("short", number)?, new_id())? };
                handled(command(&notes, request, Decision::Note(1)).await).map(drop)
            }
        })
        .await
    }

    /// Each client writes to a stream of its own, which the process knows after the first command.
    async fn warm(&self) -> Result<Taken, Failure> {
        let notes = self.notes(Process::Warm);
        for client in 0..self.clients {
            let request = CommandRequest { creates: true, ..request(&stream("warm", client)?, new_id())? };
            handled(command(&notes, request, Decision::Note(1)).await)?;
        }
        Taken::by(self.heat("warm", "a command, its stream known"), move |client, _| {
            let notes = notes.clone();
            async move {
                handled(command(&notes, request(&stream("warm", client)?, new_id())?, Decision::Note(1)).await)
                    .map(drop)
            }
        })
        .await
    }

    /// Commands with given ids on the short streams: new, or known to be there.
    async fn cold(
        &self,
        operation: &'static str,
        what: &str,
        ids: &Arc<Vec<Id>>,
        replayed: bool,
    ) -> Result<Taken, Failure> {
        let (notes, ids) = (self.notes(Process::Cold), ids.clone());
        Taken::by(self.heat(operation, what), move |_, number| {
            let (notes, id) = (notes.clone(), usize::try_from(number).ok().and_then(|at| ids.get(at)).cloned());
            async move {
                let Some(id) = id else { return Err(Failure::new("a command has no id", number.to_string())) };
                let request = request(&stream("short", number)?, id)?;
                let handled = handled(command(&notes, request, Decision::Note(1)).await)?;
                let as_expected = handled.replayed == replayed;
                as_expected.then_some(()).ok_or_else(|| Failure::new("a retry was mistaken", format!("{handled:?}")))
            }
        })
        .await
    }

    async fn refused(&self) -> Result<Taken, Failure> {
        let notes = self.notes(Process::Cold);
        Taken::by(self.heat("refused", "a command that is refused"), move |_, number| {
            let notes = notes.clone();
            async move {
                let request = request(&stream("short", number)?, new_id())?;
                match command(&notes, request, Decision::Refuse).await {
                    Err(ExecuteError::Refused(_)) => Ok(()),
                    other => Err(Failure::new("what is to be refused was not", format!("{:?}", handled(other)?))),
                }
            }
        })
        .await
    }

    async fn many_events(&self) -> Result<Taken, Failure> {
        let (notes, heat) =
            (self.notes(Process::Cold), self.heat("many-events", &format!("a command of {MANY} events")));
        Taken::by(Heat { commands: self.tenth(), ..heat }, move |_, number| {
            let notes = notes.clone();
            async move {
                let request = CommandRequest { creates: true, ..request(&stream("many", number)?, new_id())? };
                handled(command(&notes, request, Decision::Note(MANY)).await).map(drop)
            }
        })
        .await
    }

    /// Loads a stream of so many events, which is written first.
    async fn load(&self, operation: &'static str, events: u32, commands: u32) -> Result<Taken, Failure> {
        let (store, stream) = (self.store.clone(), stream("long", events)?);
        self.write(&stream, events).await?;
        let heat = self.heat(operation, &format!("a load of {events} events"));
        Taken::by(Heat { commands, clients: 1, ..heat }, move |_, _| {
            let (store, stream) = (store.clone(), stream.clone());
            async move {
                let version = failing(store.load(&stream, Consistency::Eventual).await)?.head.version();
                let whole = version == u64::from(events);
                whole.then_some(()).ok_or_else(|| Failure::new("a load missed events", version.to_string()))
            }
        })
        .await
    }

    async fn cold_long(&self, events: u32) -> Result<Taken, Failure> {
        let (notes, stream) = (self.notes(Process::Cold), stream("long", events)?);
        let heat = self.heat("cold-long", &format!("a command behind {events} events, read first"));
        Taken::by(Heat { commands: self.tenth(), clients: 1, ..heat }, move |_, _| {
            let (notes, stream) = (notes.clone(), stream.clone());
            async move { handled(command(&notes, request(&stream, new_id())?, Decision::Note(1)).await).map(drop) }
        })
        .await
    }

    /// All write to one stream. Who loses too often begins again, with the same id.
    async fn hot(&self, operation: &'static str, writers: u32, process: Process) -> Result<Taken, Failure> {
        let what = match process {
            Process::Warm => format!("a command, {writers} writers on its stream in one process"),
            Process::Cold => format!("a command, {writers} writers on its stream that race"),
        };
        let (notes, stream) = (self.notes(process), failing(StreamId::new(format!("hot-{operation}")))?);
        Taken::by(Heat { clients: writers, ..self.heat(operation, &what) }, move |_, _| {
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
        })
        .await
    }

    /// Writes a stream of so many events, each in an item of its own, as single commands leave them.
    async fn write(&self, stream: &StreamId, events: u32) -> Result<(), Failure> {
        let mut head = Head::empty(stream);
        for event in 0..events {
            if event % 100 == 0 {
                table::progress(&format!("{event} of {events} events written, to be read then"));
            }
            let commit = NewCommit { metadata: metadata(new_id())?, events: vec![failing(EVENTS.encode(&note()))?] };
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
        CommandHandler::with_options(self.store.clone(), NOTES, HandlerOptions { cached_streams, ..options })
    }

    fn heat(&self, operation: &'static str, what: &str) -> Heat {
        table::progress(what);
        Heat { operation, what: what.to_owned(), commands: self.commands, clients: self.clients }
    }

    fn tenth(&self) -> u32 {
        self.commands.div_ceil(10)
    }
}

/// The one place where a command is handled.
async fn command(
    notes: &Notes,
    request: CommandRequest,
    decision: Decision,
) -> Result<CommandResult, ExecuteError<&'static str>> {
    notes.handle(request, move |_| decision.made()).await
}

fn handled(ended: Result<CommandResult, ExecuteError<&'static str>>) -> Result<CommandResult, Failure> {
    ended.map_err(|error| Failure::from_error(&error))
}

fn failing<T, E: Error + Send + Sync + 'static>(ended: Result<T, E>) -> Result<T, Failure> {
    ended.map_err(|error| Failure::from_error(&error))
}

fn stream(category: &str, number: u32) -> Result<StreamId, Failure> {
    failing(StreamId::new(format!("{category}-{number}")))
}

fn request(stream: &StreamId, id: Id) -> Result<CommandRequest, Failure> {
    Ok(CommandRequest { stream: stream.clone(), metadata: metadata(id)?, expected_version: None, creates: false })
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

fn note() -> Told {
    Told::Noted { text: Uuid::now_v7().to_string().chars().cycle().take(TEXT_CHARS).collect() }
}
