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

pub use command::handle_typed::HandledTyped;
pub use command::handler::{CommandHandler, HandlerOptions};
pub use command::refusal::Refusal;
pub use command::request::{ExecuteError, Handled, Request};
pub use dedup::{CommandIndex, IndexAnswer, IndexLookup, Mark};
pub use error::{Fault, Source};
pub use log::append::{AppendError, Appended, FromTheFuture};
pub use log::existing_streams::Begun;
pub use log::item::{Batch, Damage, Damaged, Item, MAX_BATCH_BYTES, MAX_ITEM_BYTES, TooLarge, is_batch, key_of};
pub use log::read::{Consistency, Direction, Loaded, Page, ReadError};
pub use log::scan::{ScanCursor, ScanPage, Segment, Streams};
pub use log::verify::{Verification, Witness};
pub use metering::usage::Usage;
pub use schema::event_codec::{CodecError, EventCodec, Model, Unreadable, Untranslatable};
pub use schema::upcaster::Upcaster;
pub use snapshot::stored::SnapshotCodec;
pub use store::{Clock, EventStore, Options};
pub use stream::command_metadata::Envelope;
pub use stream::commit::{Commit, Event, MAX_VERSION, NewCommit, NewEvent, time_text};
pub use stream::hash::{Fingerprint, Hash, InvalidHash};
pub use stream::head::Head;
pub use stream::id::{Id, InvalidId, MAX_ID_CHARS};
pub use stream::stream_id::{InvalidStreamId, MAX_STREAM_CHARS, StreamId};
pub use transaction::append_all::{
    AppendAllError, AppendedAll, AppendedPart, MAX_STREAMS, MAX_TRANSACTION_BYTES, Part,
};
pub use transaction::handle_all::{ExecuteAllError, HandledAll, RequestAll, RequestPair};
