//! Commands over several streams of one kind, or over a pair of streams of two.

use super::addressed_stream::AddressedStreams;
use super::command_loop::{Decision, MultiStreamCommand};
use super::parts::{AppendAllError, AppendedPart};
use super::transact_items::check_streams;
use crate::command::stream_cache::StreamCache;
use crate::command::stream_loader::StreamLoadError;
use crate::metering::meter;
use crate::{CodecError, CommandHandler, CommandMetadata, StreamId, Unreadable, Usage};
use futures::future::try_join;

/// The second kind of streams of a command that addresses streams of one kind.
const NO_SECOND: Option<&StreamCache<(), (), ()>> = None;

/// A command for several streams, but for what it decides.
#[derive(Debug, Clone)]
pub struct MultiStreamRequest {
    /// The streams that it addresses, each once, at most [`MAX_STREAMS`](crate::MAX_STREAMS).
    pub streams: Vec<StreamId>,
    /// Who, why, and its id.
    pub metadata: CommandMetadata,
    /// The versions at which the caller knows the streams, in their order; a stream without one may be at any version.
    pub expected_versions: Vec<Option<u64>>,
}

impl MultiStreamRequest {
    /// A command to streams, at whatever versions they are.
    pub fn new(streams: Vec<StreamId>, metadata: CommandMetadata) -> Self {
        Self { streams, metadata, expected_versions: Vec::new() }
    }
}

/// A command for a pair of streams of two kinds, but for what it decides.
#[derive(Debug, Clone)]
pub struct PairRequest {
    /// The stream of the first kind, and that of the second.
    pub streams: [StreamId; 2],
    /// Who, why, and its id.
    pub metadata: CommandMetadata,
    /// The versions at which the caller knows the streams, in their order; a stream without one may be at any version.
    pub expected_versions: [Option<u64>; 2],
}

impl PairRequest {
    /// A command to two streams, at whatever versions they are.
    pub fn new(streams: [StreamId; 2], metadata: CommandMetadata) -> Self {
        Self { streams, metadata, expected_versions: [None, None] }
    }
}

/// A command over several streams that was handled.
#[derive(Debug, Clone)]
pub struct MultiStreamResult {
    /// What was recorded for it, in the order of the streams; nothing when there was nothing to do.
    pub parts: Vec<AppendedPart>,
    /// Whether it had been handled before, and this is the recorded result.
    pub replayed: bool,
    /// How often quicker commands for the streams made it decide again.
    pub lost_races: u32,
    /// What it cost.
    pub usage: Usage,
}

/// Why a command over several streams was not handled.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteAllError<R> {
    /// The model refused it: an answer, not a failure. Final, for all states were true at one moment.
    #[error("refused: {0}")]
    Refused(R),
    /// A stream is not at the version that the caller expects. Final, as a refusal is.
    #[error("stream {stream} is at version {actual}, not at {expected}")]
    VersionMismatch {
        /// The stream.
        stream: StreamId,
        /// What the caller expects.
        expected: u64,
        /// Where the stream is.
        actual: u64,
    },
    /// The decision has lists of events for more or fewer streams than the command addresses.
    #[error("the decision is for {decided} streams, the command for {addressed}")]
    Misshapen {
        /// How many lists of events there are.
        decided: usize,
        /// How many streams.
        addressed: usize,
    },
    /// The handlers of the two streams are not on one table.
    #[error("the two streams are in two tables, {first:?} and {second:?}")]
    TwoTables {
        /// The table of the first stream.
        first: String,
        /// That of the second.
        second: String,
    },
    /// Quicker commands won every time: try again later.
    #[error("{attempts} attempts lost to other commands on the streams")]
    Contention {
        /// How often it was tried.
        attempts: u32,
    },
    /// An event of one of the streams cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// An event that was decided cannot be stored.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It was not written, for one of the reasons that the store has; never a conflict of any kind.
    #[error(transparent)]
    Append(#[from] AppendAllError),
}

impl<S: Clone, E, R> CommandHandler<S, E, R> {
    /// Handles a command over several streams once, however often it is sent: all that it decides is written, or nothing.
    ///
    /// `decide` is given the states of the streams, in their order, and answers with a list of events for each, or with no
    /// list at all when there is nothing to do. A stream without events is not written to, but must not have gone on: what
    /// was decided holds for all states **at one moment**. So do a refusal and "nothing to do", which a transaction of
    /// checks alone confirms. Streams are read and cached as [`CommandHandler::handle`] does.
    ///
    /// # A command is handled once
    /// In each stream the command's id is compared with every commit up to the head that is known, as `handle` does. So a
    /// recorded commit of this command is found, or stands behind its stream's head. There the append, which puts or checks
    /// something behind **every** head, is refused by it or by what stands before it. Finding it in one stream is finding it
    /// in all ([`EventStore::append_all`](crate::EventStore::append_all)). No read has to be consistent for that.
    ///
    /// # Errors
    /// [`ExecuteAllError`]; nothing is written, but that after any [`StoreError`](crate::StoreError) it may have been (an earlier
    /// try of the SDK): send it again with the same id.
    pub async fn handle_all(
        &self,
        request: &MultiStreamRequest,
        decide: impl Fn(&[&S]) -> Result<Vec<Vec<E>>, R>,
    ) -> Result<MultiStreamResult, ExecuteAllError<R>> {
        check_streams(request.streams.iter())?;
        let decide = |states: &[&S], _: &[&()]| Ok(Decision { first: decide(states)?, second: Vec::new() });
        let handle = async {
            let loaded = AddressedStreams::new(&self.cache, &request.streams).await?;
            let command =
                MultiStreamCommand::new(&self.cache.loader.store, request, loaded, AddressedStreams::default());
            command.run(&self.cache, NO_SECOND, decide).await
        };
        let (handled, usage) = meter::measure(handle).await;
        Ok(MultiStreamResult { usage, ..handled? })
    }

    /// Handles a command over a pair of streams, one of this handler's kind and one of the other's: all that it decides is
    /// written, or nothing.
    ///
    /// `decide` is given the two states, and answers with the events for each stream; none for a stream leaves it alone, and
    /// none for both is nothing to do. What [`handle_all`](Self::handle_all) promises holds here, too: the command is handled
    /// once, and what is decided, a refusal as well, is true of both states at one moment.
    ///
    /// Both handlers must be on one table. The options of this handler's store count.
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
        let request =
            MultiStreamRequest { streams: streams.into(), metadata, expected_versions: expected_versions.into() };
        check_streams(request.streams.iter())?;
        let decide = |first: &[&S], second: &[&T]| {
            let ([first], [second]) = (first, second) else { return Ok(Decision::empty()) };
            let (first, second) = decide(first, second)?;
            Ok(Decision { first: vec![first], second: vec![second] })
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
