//! A small aggregate for the cases of the store: a tally is opened, counted up and closed.

use super::engine::Process;
use chrono::{DateTime, Utc};
use eventstore::{
    CodecError, CommandMetadata, CommandRequest, CommandResult, EventCodec, ExecuteError,
    Fingerprint, Id, Model, NewCommit, NewEvent, SnapshotCodec, StreamId,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The events of a tally.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(super) enum TallyEvent {
    Opened { by: String },
    Counted { number: u64 },
    Noted { text: String },
    Closed { total: u64 },
}

/// The state of a tally.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) open: bool,
    pub(super) closed: bool,
    pub(super) total: u64,
    pub(super) events: u64,
}

/// Why a tally refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the tally is open already")]
    OpenAlready,
    #[error("the tally is closed")]
    Closed,
}

/// The result of a command on a tally.
pub(super) type Answer = Result<CommandResult, ExecuteError<Refusal>>;

/// The codec of the events.
const CODEC: EventCodec<TallyEvent> = EventCodec::new(&[]);

/// The model of a tally.
pub(super) const TALLY: Model<Tally, TallyEvent> = Model {
    initial: Tally::default,
    evolve,
    encode,
    decode,
    snapshot: Some(SnapshotCodec::json("tally/1")),
};

fn evolve(tally: Tally, event: &TallyEvent) -> Tally {
    let tally = Tally { events: tally.events + 1, ..tally };
    match event {
        TallyEvent::Opened { .. } => Tally { open: true, ..tally },
        TallyEvent::Counted { number } => Tally { total: tally.total + number, ..tally },
        TallyEvent::Noted { .. } => tally,
        TallyEvent::Closed { .. } => Tally { closed: true, ..tally },
    }
}

fn encode(event: &TallyEvent) -> Result<NewEvent, CodecError> {
    CODEC.encode(event)
}

fn decode(event: &NewEvent) -> Result<TallyEvent, CodecError> {
    CODEC.decode(event)
}

/// Opens a tally; refused if it is open.
pub(super) fn open(tally: &Tally) -> Result<Vec<TallyEvent>, Refusal> {
    if tally.events > 0 {
        Err(Refusal::OpenAlready)
    } else {
        Ok(vec![TallyEvent::Opened { by: "tester".into() }])
    }
}

/// Adds a number; a no-op for 0, refused after it is closed.
pub(super) fn count(
    number: u64,
) -> impl Fn(&Tally) -> Result<Vec<TallyEvent>, Refusal> + Send + Sync + 'static {
    move |tally| match number {
        _ if tally.closed => Err(Refusal::Closed),
        0 => Ok(vec![]),
        number => Ok(vec![TallyEvent::Counted { number }]),
    }
}

/// Closes a tally; a no-op if it is closed.
pub(super) fn close(tally: &Tally) -> Result<Vec<TallyEvent>, Refusal> {
    if tally.closed { Ok(vec![]) } else { Ok(vec![TallyEvent::Closed { total: tally.total }]) }
}

pub(super) fn stream(key: &str) -> StreamId {
    StreamId::new(format!("tally-{key}")).unwrap()
}

/// Metadata with the fingerprint of `asked`.
pub(super) fn metadata(command: impl Into<String>, asked: &str) -> CommandMetadata {
    CommandMetadata {
        command_id: Id::new(command).unwrap(),
        fingerprint: Fingerprint::of(&[asked.as_bytes()]),
        correlation_id: Id::new("a-correlation").unwrap(),
        causation_id: None,
        actor: Id::new("a-tester").unwrap(),
        trace_parent: None,
    }
}

/// A command for the stream, with the fingerprint of `asked`.
pub(super) fn request(
    stream: &StreamId,
    command: impl Into<String>,
    asked: &str,
) -> CommandRequest {
    let metadata = metadata(command, asked);
    CommandRequest { stream: stream.clone(), metadata, expected_version: None, creates: false }
}

/// A UUIDv7 of this time.
pub(super) fn id_made_at(time: DateTime<Utc>) -> Id {
    let millis = u64::try_from(time.timestamp_millis()).unwrap();
    let mut chance = [0; 10];
    chance.fill_with(|| fastrand::u8(..));
    uuid::Builder::from_unix_timestamp_millis(millis, &chance).into_uuid().into()
}

/// An event with the text as data.
pub(super) fn note(text: &str) -> NewEvent {
    let data = RawValue::from_string(serde_json::json!({ "text": text }).to_string()).unwrap();
    NewEvent { event_type: "Noted".into(), schema: 1, data }
}

/// A commit with a note for each text.
pub(super) fn new_commit(command: &str, texts: &[&str]) -> NewCommit {
    NewCommit {
        metadata: metadata(command, command),
        events: texts.iter().map(|text| note(text)).collect(),
    }
}

impl Process {
    /// Opens the tally: a command that can only start a stream.
    pub(super) async fn open(&self, stream: &StreamId, command: &str) -> Answer {
        let request = CommandRequest { creates: true, ..request(stream, command, "open") };
        self.tallies.handle(request, open).await
    }

    pub(super) async fn count(&self, stream: &StreamId, command: &str, number: u64) -> Answer {
        self.execute(&request(stream, command, &format!("count {number}")), number).await
    }

    pub(super) async fn execute(&self, request: &CommandRequest, number: u64) -> Answer {
        self.tallies.handle(request.clone(), count(number)).await
    }

    pub(super) async fn close(&self, stream: &StreamId, command: &str) -> Answer {
        self.tallies.handle(request(stream, command, "close"), close).await
    }

    /// The tally as all events of the stream make it.
    pub(super) async fn tally(&self, stream: &StreamId) -> Tally {
        let batches = self.load(stream).await.batches;
        let events =
            batches.iter().flat_map(|batch| &batch.commits).flat_map(|commit| &commit.events);
        let events = events.filter(|event| !event.body.is_of_store());
        events.fold(Tally::default(), |tally, event| evolve(tally, &decode(&event.body).unwrap()))
    }
}
