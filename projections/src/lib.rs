//! Read models: pure folds over events, and the projector that applies each event exactly once.
//!
//! A [`Projection`] is a value: its name, its streams, its folds. The [`Projector`] applies events
//! to rows, despite duplicates, reordering, loss and concurrent projectors. It parks a stream whose
//! event cannot be applied. [`rebuild`] rebuilds a read model online. A process acts on events
//! instead of writing rows: [`Projector::follow`] delivers them. [`ReadModels`] is the table.
//!
//! | room | what is in it |
//! |---|---|
//! | `definition` | projections, consumers, what a fold works with |
//! | `tables` | the table of read models, its rows |
//! | `generations` | which generation is read, and which ones are written |
//! | `engine` | the projector, positions, gaps, parked streams, heartbeats |
//! | `reactor` | events for processes, and the state of process instances |
//! | [`rebuild`] | rebuild, reconcile, switch, rollback, removal |
//! | [`audit_index`] | the index of all commits |

pub mod audit_index;
mod definition;
mod engine;
mod generations;
mod reactor;
pub mod rebuild;
mod stream_read;
mod tables;

pub use audit_index::short_hash::{InvalidShortHash, ShortHash};
pub use definition::consumer::{Consumer, Follows};
pub use definition::projection::{
    Change, Fold, FoldError, Kind, Knows, Merge, MultiStreamDelta, Projection, RecordedEvent, UnknownType,
};
pub use engine::freshness::FreshError;
pub use stream_read::TimeLimit;
pub use engine::heartbeat::Heartbeat;
pub use engine::notification::Notification;
pub use engine::parking::{Parked, ParkedPage, Resumed};
pub use tables::position::Stray;
pub use engine::project_error::ProjectError;
pub use engine::projector::{Failed, Projector};
pub use engine::witnesses::Witnesses;
pub use generations::{GenerationState, Generations, OtherGeneration, OtherShape};
pub use reactor::process_state::{ProcessState, ReadAhead};
pub use reactor::{FollowError, Stopped};
pub use tables::read_models::{ListCursor, ListPage, ReadModels};
pub use tables::row::{Listing, Row, RowData, UnreadableRow};
pub use tables::table::TableError;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
