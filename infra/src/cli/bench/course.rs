//! The operations that are measured, one behind the other, on one table.

use super::stopwatch::{Heat, Taken};
use crate::cli::failure::Failure;
use crate::cli::table;
use eventstore::{
    CodecError, Consistency, Envelope, EventStore, ExecuteError, Handled, Hash, Head, Id, Model, NewCommit, NewEvent,
    Request, StreamId, decode_tagged, encode_tagged,
};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::sync::Arc;
use tokio::sync::Mutex;
use uuid::Uuid;

/// The events of a command that has many.
const MANY: u32 = 100;
/// How many write to a hot stream.
const WRITERS: [(&str, u32); 2] = [("hot-16", 16), ("hot-64", 64)];
/// An event's text has so many characters: the event as large as one of the bookshop's.
const TEXT_CHARS: usize = 120;

/// What is measured, and how much of it.
pub(super) struct Course {
    pub(super) store: EventStore,
    pub(super) commands: u32,
    pub(super) clients: u32,
    /// Events of the long stream.
    pub(super) events: u32,
}

/// The only event of the streams here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
enum Told {
    Noted { text: String },
}

/// The state of a stream here is how many events it has.
const NOTES: Model<u64, Told> = Model { initial: u64::default, evolve: |notes, _| notes + 1, encode, decode };

fn encode(told: &Told) -> Result<NewEvent, CodecError> {
    encode_tagged(told, 1)
}

fn decode(event: &NewEvent) -> Result<Told, CodecError> {
    decode_tagged(event, 1)
}

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
        for (operation, writers) in WRITERS {
            all.push(self.hot(operation, writers).await?);
        }
        Ok(all)
    }

    async fn create(&self) -> Result<Taken, Failure> {
        let store = self.store.clone();
        Taken::by(self.heat("create", "a command that starts a stream"), move |_, number| {
            let store = store.clone();
            async move {
                let request = Request { creates: true, ..request(&stream("short", number)?, new_id())? };
                handled(command(&store, &request, Decision::Note(1)).await).map(drop)
            }
        })
        .await
    }

    /// Each client writes to a stream of its own, whose end it knows.
    async fn warm(&self) -> Result<Taken, Failure> {
        let heads = (0..self.clients).map(|client| Ok(Arc::new(Mutex::new(Head::empty(&stream("warm", client)?)))));
        let heads = heads.collect::<Result<Vec<_>, Failure>>()?;
        let store = self.store.clone();
        Taken::by(self.heat("warm", "a command, its stream known"), move |client, _| {
            let (store, head) = (store.clone(), usize::try_from(client).ok().and_then(|at| heads.get(at)).cloned());
            async move {
                let Some(head) = head else { return Err(Failure::new("a client has no stream", client.to_string())) };
                let mut head = head.lock().await;
                let commit = NewCommit { envelope: envelope(new_id())?, events: vec![failing(encode(&note()))?] };
                *head = failing(store.append(&head, vec![commit]).await)?.head;
                Ok(())
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
        let (store, ids) = (self.store.clone(), ids.clone());
        Taken::by(self.heat(operation, what), move |_, number| {
            let (store, id) = (store.clone(), usize::try_from(number).ok().and_then(|at| ids.get(at)).cloned());
            async move {
                let Some(id) = id else { return Err(Failure::new("a command has no id", number.to_string())) };
                let request = request(&stream("short", number)?, id)?;
                let handled = handled(command(&store, &request, Decision::Note(1)).await)?;
                let as_expected = handled.replayed == replayed;
                as_expected.then_some(()).ok_or_else(|| Failure::new("a retry was mistaken", format!("{handled:?}")))
            }
        })
        .await
    }

    async fn refused(&self) -> Result<Taken, Failure> {
        let store = self.store.clone();
        Taken::by(self.heat("refused", "a command that is refused"), move |_, number| {
            let store = store.clone();
            async move {
                let request = request(&stream("short", number)?, new_id())?;
                match command(&store, &request, Decision::Refuse).await {
                    Err(ExecuteError::Refused(_)) => Ok(()),
                    other => Err(Failure::new("what is to be refused was not", format!("{:?}", handled(other)?))),
                }
            }
        })
        .await
    }

    async fn many_events(&self) -> Result<Taken, Failure> {
        let (store, heat) = (self.store.clone(), self.heat("many-events", &format!("a command of {MANY} events")));
        Taken::by(Heat { commands: self.tenth(), ..heat }, move |_, number| {
            let store = store.clone();
            async move {
                let request = Request { creates: true, ..request(&stream("many", number)?, new_id())? };
                handled(command(&store, &request, Decision::Note(MANY)).await).map(drop)
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
        let (store, stream) = (self.store.clone(), stream("long", events)?);
        let heat = self.heat("cold-long", &format!("a command behind {events} events, read first"));
        Taken::by(Heat { commands: self.tenth(), clients: 1, ..heat }, move |_, _| {
            let (store, stream) = (store.clone(), stream.clone());
            async move { handled(command(&store, &request(&stream, new_id())?, Decision::Note(1)).await).map(drop) }
        })
        .await
    }

    /// All write to one stream. Who loses too often begins again, with the same id.
    async fn hot(&self, operation: &'static str, writers: u32) -> Result<Taken, Failure> {
        let (store, stream) = (self.store.clone(), stream("hot", writers)?);
        let heat = self.heat(operation, &format!("a command, {writers} writers on its stream"));
        Taken::by(Heat { clients: writers, ..heat }, move |_, _| {
            let (store, stream) = (store.clone(), stream.clone());
            async move {
                let request = request(&stream, new_id())?;
                loop {
                    match command(&store, &request, Decision::Note(1)).await {
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
            let commit = NewCommit { envelope: envelope(new_id())?, events: vec![failing(encode(&note()))?] };
            head = failing(self.store.append(&head, vec![commit]).await)?.head;
        }
        Ok(())
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
    store: &EventStore,
    request: &Request,
    decision: Decision,
) -> Result<Handled, ExecuteError<&'static str>> {
    store.execute(request, &NOTES, |_| decision.made()).await
}

fn handled(ended: Result<Handled, ExecuteError<&'static str>>) -> Result<Handled, Failure> {
    ended.map_err(|error| Failure::from_error(&error))
}

fn failing<T, E: Error + Send + Sync + 'static>(ended: Result<T, E>) -> Result<T, Failure> {
    ended.map_err(|error| Failure::from_error(&error))
}

fn stream(category: &str, number: u32) -> Result<StreamId, Failure> {
    failing(StreamId::new(format!("{category}-{number}")))
}

fn request(stream: &StreamId, id: Id) -> Result<Request, Failure> {
    Ok(Request { stream: stream.clone(), envelope: envelope(id)?, expected_version: None, creates: false })
}

fn envelope(id: Id) -> Result<Envelope, Failure> {
    Ok(Envelope {
        fingerprint: Hash::of(&[id.as_str().as_bytes()]),
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
