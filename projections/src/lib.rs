//! Read models: pure folds over events, and the projector that applies each event exactly once.
//!
//! A [`Projection`] is a value: its name, its streams, its folds. The [`Projector`] applies events
//! to rows, despite duplicates, reordering, loss and concurrent projectors. It parks a stream whose
//! event cannot be applied. [`rebuild`] rebuilds a read model online. A process acts on events
//! and writes no rows: [`Projector::react`] delivers them. [`ReadModels`] is the table.
//!
//! Each room uses only rooms above it in this list; a test holds it.
//!
//! | room | what is in it |
//! |---|---|
//! | `stream_read` | bounded reads of a stream |
//! | `tables` | the table of read models, its rows and their positions |
//! | `definition` | projections, consumers, the context of a fold |
//! | [`audit_index`] | the index of all commits |
//! | [`journal`] | one sequence of all commits |
//! | `generations` | which generation is read, which ones are written, the current job |
//! | `engine` | the projector, gaps, parked streams, heartbeats |
//! | `reactor` | events for processes, and the state of process instances |
//! | [`rebuild`] | rebuild, reconcile, switch, rollback, removal |

pub mod audit_index;
mod definition;
mod engine;
mod generations;
pub mod journal;
mod reactor;
pub mod rebuild;
mod stream_read;
mod tables;

pub use audit_index::short_hash::{InvalidShortHash, ShortHash};
pub use definition::consumer::{Consumer, Follows};
pub use definition::projection::{
    Change, Fold, FoldError, Kind, Knows, Merge, MultiStreamDelta, Projection, RecordedEvent,
    UnknownType,
};
pub use engine::freshness::FreshError;
pub use engine::heartbeat::Heartbeat;
pub use engine::notification::Notification;
pub use engine::parking::{Parked, ParkedPage, Resumed};
pub use engine::project_error::ProjectError;
pub use engine::projector::{Failed, Projector};
pub use engine::witnesses::Witnesses;
pub use generations::{GenerationState, Generations, OtherGeneration, OtherShape};
pub use reactor::process_state::{ProcessState, ReadAhead};
pub use reactor::{ReactError, Stopped};
pub use stream_read::TimeLimit;
pub use tables::position::Divergence;
pub use tables::read_models::{ListCursor, ListPage, ReadModels};
pub use tables::removal::{RemoveCursor, RemovedSlice};
pub use tables::row::{Listing, Row, RowData, UnreadableRow};
pub use tables::table::TableError;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
