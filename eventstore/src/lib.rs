#![doc = include_str!("../README.md")]

mod command;
mod dedup;
mod error;
mod log;
mod metering;
mod schema;
mod snapshot;
mod store;
mod stream;
mod transaction;

pub use command::handle_typed::TypedCommandResult;
pub use command::handler::CommandHandler;
pub use command::model::Model;
pub use command::options::HandlerOptions;
pub use command::refusal::RecordedRefusal;
pub use command::request::{CommandRequest, CommandResult, ExecuteError};
pub use command::stream_loader::StreamLoadError;
pub use dedup::{CommandIndex, IndexAnswer, IndexLookup, Mark};
pub use error::{ErrorSource, StoreError};
pub use log::append::{AppendError, Appended, ClockSkew};
pub use log::existing_streams::ExistingStreams;
pub use log::item::{Item, MAX_BATCH_BYTES, MAX_ITEM_BYTES, TooLarge, is_batch, key_of};
pub use log::page::StreamPage;
pub use log::read::{Consistency, Direction, LoadedStream, ReadError};
pub use log::scan::{ScanCursor, ScanPage, Segment, Streams};
pub use log::verify::{Verification, Witness};
pub use metering::usage::Usage;
pub use schema::codec_error::{CodecError, Unreadable, Untranslatable};
pub use schema::event_codec::EventCodec;
pub use schema::upcaster::Upcaster;
pub use snapshot::codec::SnapshotCodec;
pub use snapshot::verify::{SnapshotDifference, SnapshotVerification};
pub use store::{Clock, EventStore, Options};
pub use stream::batch::Batch;
pub use stream::command_metadata::CommandMetadata;
pub use stream::commit::{Commit, Event, MAX_VERSION, NewCommit, NewEvent, time_text};
pub use stream::corrupt_stream::{CorruptStream, Damage};
pub use stream::hash::{Fingerprint, Hash, InvalidHash};
pub use stream::head::Head;
pub use stream::id::{Id, InvalidId, MAX_ID_CHARS};
pub use stream::stream_id::{InvalidStreamId, MAX_STREAM_CHARS, StreamId};
pub use transaction::handle_all::{
    ExecuteAllError, MultiStreamRequest, MultiStreamResult, PairRequest,
};
pub use transaction::parts::{
    AppendAllError, AppendedAll, AppendedPart, MAX_STREAMS, MAX_TRANSACTION_BYTES, Part,
};
