//! Commands over several streams of one model, or over a pair of streams of two.

use super::addressed_stream::AddressedStreams;
use super::command_loop::{MultiStreamCommand, StreamDecision};
use super::parts::{AppendAllError, AppendedPart};
use super::transact_items::check_streams;
use crate::command::stream_cache::StreamCache;
use crate::command::stream_loader::StreamLoadError;
use crate::metering::meter;
use crate::{CodecError, CommandHandler, CommandMetadata, StreamId, Unreadable, Usage};
use futures::future::try_join;

/// There is no second model.
const NO_SECOND: Option<&StreamCache<(), (), ()>> = None;

/// A command for several streams, without its decision.
#[derive(Debug, Clone)]
pub struct MultiStreamRequest {
    /// The addressed streams, each once, at most [`MAX_STREAMS`](crate::MAX_STREAMS).
    pub streams: Vec<StreamId>,
    /// Who sent it, why, and under which id.
    pub metadata: CommandMetadata,
    /// The expected versions, in the order of the streams; none allows any version.
    pub expected_versions: Vec<Option<u64>>,
}

impl MultiStreamRequest {
    /// A command to streams at any version.
    pub fn new(streams: Vec<StreamId>, metadata: CommandMetadata) -> Self {
        Self { streams, metadata, expected_versions: Vec::new() }
    }
}

/// A command for a pair of streams of two models, without its decision.
#[derive(Debug, Clone)]
pub struct PairRequest {
    /// The stream of the first model, and that of the second.
    pub streams: [StreamId; 2],
    /// Who sent it, why, and under which id.
    pub metadata: CommandMetadata,
    /// The expected versions, in the order of the streams; none allows any version.
    pub expected_versions: [Option<u64>; 2],
}

impl PairRequest {
    /// A command to two streams at any version.
    pub fn new(streams: [StreamId; 2], metadata: CommandMetadata) -> Self {
        Self { streams, metadata, expected_versions: [None, None] }
    }
}

/// The result of a command over several streams.
#[derive(Debug, Clone)]
pub struct MultiStreamResult {
    /// The recorded commits, in the order of the streams; none for a no-op.
    pub parts: Vec<AppendedPart>,
    /// Whether an earlier try was recorded, and this is its result.
    pub replayed: bool,
    /// How often it lost a race and was decided again.
    pub lost_races: u32,
    /// What it cost.
    pub usage: Usage,
}

/// Why a command over several streams was not handled.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteAllError<R> {
    /// The model rejected it. Final, because all states were current at one moment.
    #[error("refused: {0}")]
    Refused(R),
    /// A stream is not at the expected version. Final, as a refusal is.
    #[error("stream {stream} is at version {actual}, not at {expected}")]
    VersionMismatch {
        /// The stream.
        stream: StreamId,
        /// The expected version.
        expected: u64,
        /// The version of the stream.
        actual: u64,
    },
    /// The decision has lists for more or fewer streams than the command addresses.
    #[error("the decision is for {decided} streams, the command for {addressed}")]
    Misshapen {
        /// The number of lists.
        decided: usize,
        /// The number of streams.
        addressed: usize,
    },
    /// The handlers of the two streams use two tables.
    #[error("the two streams are in two tables, {first:?} and {second:?}")]
    TwoTables {
        /// The table of the first stream.
        first: String,
        /// That of the second.
        second: String,
    },
    /// Other commands won every race: retry later.
    #[error("{attempts} attempts lost to other commands on the streams")]
    Contention {
        /// The number of attempts.
        attempts: u32,
    },
    /// An event of one of the streams cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// A decided event cannot be encoded.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The append failed; never with a conflict.
    #[error(transparent)]
    Append(#[from] AppendAllError),
}

impl<S: Clone, E, R> CommandHandler<S, E, R> {
    /// Handles a command over several streams once, however often it is sent: all of its events are
    /// written, or none.
    ///
    /// `decide` gets the states of the streams, in order, and returns a list of events for each, or
    /// no list at all for a no-op. A stream without events is not written to, but must not change
    /// meanwhile: the decision is true of all states **at one moment**. So is a refusal or a no-op,
    /// which a transaction of checks confirms. Streams are read and cached as by
    /// [`CommandHandler::handle`].
    ///
    /// # A command is handled once
    /// In each stream the command's id is compared with every commit up to the known head, as by
    /// `handle`. So a recorded commit of this command is found, or it is after a known head. The
    /// append puts or checks an item after **every** head, so that commit or one before it refuses
    /// it. Finding it in one stream proves it in all
    /// ([`EventStore::append_all`](crate::EventStore::append_all)). No read has to be consistent
    /// for that.
    ///
    /// # Errors
    /// [`ExecuteAllError`]. Nothing is written, except that after a
    /// [`StoreError`](crate::StoreError) an earlier attempt of the SDK may have succeeded: retry
    /// with the same id.
    pub async fn handle_all(
        &self,
        request: &MultiStreamRequest,
        decide: impl Fn(&[&S]) -> Result<Vec<Vec<E>>, R>,
    ) -> Result<MultiStreamResult, ExecuteAllError<R>> {
        check_streams(request.streams.iter())?;
        let decide = |states: &[&S], _: &[&()]| {
            Ok(StreamDecision { first: decide(states)?, second: Vec::new() })
        };
        let handle = async {
            let loaded = AddressedStreams::new(&self.cache, &request.streams).await?;
            let command = MultiStreamCommand::new(
                &self.cache.loader.store,
                request,
                loaded,
                AddressedStreams::default(),
            );
            command.run(&self.cache, NO_SECOND, decide).await
        };
        let (handled, usage) = meter::measure(handle).await;
        Ok(MultiStreamResult { usage, ..handled? })
    }

    /// Handles a command over a pair of streams, one of this handler's model and one of the
    /// other's: all of its events are written, or none.
    ///
    /// `decide` gets the two states and returns the events for each stream. A stream without events
    /// is only checked; no events for both are a no-op. The promises of
    /// [`handle_all`](Self::handle_all) hold: the command is handled once, and its decision or
    /// refusal is true of both states at one moment.
    ///
    /// Both handlers must use one table. The options of this handler's store apply.
    ///
    /// # Errors
    /// [`ExecuteAllError`], as for [`handle_all`](Self::handle_all).
    pub async fn handle_pair<T: Clone, F, Q, X>(
        &self,
        other: &CommandHandler<T, F, Q>,
        request: &PairRequest,
        decide: impl Fn(&S, &T) -> Result<(Vec<E>, Vec<F>), X>,
    ) -> Result<MultiStreamResult, ExecuteAllError<X>> {
        let store = &self.cache.loader.store;
        let [first, second] = [store.table(), other.cache.loader.store.table()].map(str::to_owned);
        if first != second {
            return Err(ExecuteAllError::TwoTables { first, second });
        }
        let PairRequest { streams, metadata, expected_versions } = request.clone();
        let [first, second] = &request.streams;
        let request = MultiStreamRequest {
            streams: streams.into(),
            metadata,
            expected_versions: expected_versions.into(),
        };
        check_streams(request.streams.iter())?;
        let decide = |first: &[&S], second: &[&T]| {
            let ([first], [second]) = (first, second) else { return Ok(StreamDecision::empty()) };
            let (first, second) = decide(first, second)?;
            Ok(StreamDecision { first: vec![first], second: vec![second] })
        };
        let handle = async {
            let first = AddressedStreams::new(&self.cache, std::slice::from_ref(first));
            let second = AddressedStreams::new(&other.cache, std::slice::from_ref(second));
            let (first, second) = try_join(first, second).await?;
            let command = MultiStreamCommand::new(store, &request, first, second);
            command.run(&self.cache, Some(&other.cache), decide).await
        };
        let (handled, usage) = meter::measure(handle).await;
        Ok(MultiStreamResult { usage, ..handled? })
    }
}

impl<R> From<StreamLoadError> for ExecuteAllError<R> {
    fn from(error: StreamLoadError) -> Self {
        match error {
            StreamLoadError::Read(error) => Self::Append(error.into()),
            StreamLoadError::Unreadable(error) => Self::Unreadable(error),
        }
    }
}
