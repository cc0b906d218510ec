//! An event store on one DynamoDB table.
//!
//! A command becomes one commit: one conditional put behind the [`Head`] that its writer has seen, bearing the command's id,
//! so that a retry meets its own commit and gets its own result. Every commit's hash covers the one before, so that what was
//! written can be proved. Nothing here knows what the events mean: a [`Model`] of four plain functions does.
//!
//! | to | use |
//! |---|---|
//! | handle a command once, for ever | [`CommandHandler::handle`] |
//! | handle one over several streams, all or nothing | [`EventStore::execute_all`] |
//! | write without a model | [`EventStore::append`], [`EventStore::append_all`] |
//! | read a stream | [`EventStore::load`], [`EventStore::read`], [`EventStore::head`] |
//! | read everything | [`EventStore::scan`], [`EventStore::streams`] |
//! | prove it | [`EventStore::verify`] |
//! | know what it cost | the `usage` of every answer, [`Usage::of`], tracing events of target `eventstore` |
//! | store events, and read those of older programs | [`EventCodec`], [`Upcaster`] |

mod append;
mod append_all;
mod batch;
mod codec;
mod commit;
mod execute_all;
mod fault;
mod filter;
mod handler;
mod hash;
mod head;
mod id;
mod known;
mod line;
mod load;
mod meter;
mod plan;
mod recent;
mod report;
mod request;
mod round;
mod scan;
mod search;
mod snapshot;
mod store;
mod stream;
mod transaction;
mod upcast;
mod usage;
mod verify;

pub use append::{AppendError, Appended, FromTheFuture};
pub use append_all::{AppendAllError, AppendedAll, AppendedPart, MAX_STREAMS, MAX_TRANSACTION_BYTES, Part};
pub use batch::{Batch, Damage, Damaged, Item, MAX_BATCH_BYTES, MAX_ITEM_BYTES, TooLarge, is_batch};
pub use codec::{CodecError, EventCodec, Model, Untranslatable};
pub use commit::{Commit, Envelope, Event, MAX_VERSION, NewCommit, NewEvent, time_text};
pub use execute_all::{ExecuteAllError, HandledAll, RequestAll};
pub use fault::{Fault, Source};
pub use handler::{CommandHandler, HandlerOptions};
pub use hash::{Hash, InvalidHash};
pub use head::Head;
pub use id::{Id, InvalidId, MAX_ID_CHARS};
pub use load::{Consistency, Direction, Loaded, Page, ReadError};
pub use request::{ExecuteError, Handled, Request};
pub use scan::{ScanCursor, ScanPage, Segment, Streams};
pub use snapshot::SnapshotCodec;
pub use store::{Clock, EventStore, Options};
pub use stream::{InvalidStreamId, MAX_STREAM_CHARS, StreamId};
pub use upcast::Upcaster;
pub use usage::Usage;
pub use verify::Verification;
