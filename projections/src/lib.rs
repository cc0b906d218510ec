//! Read models: pure folds over events, and the projector that keeps them exact.
//!
//! A [`Projection`] is a value: its rows, its folds. [`Projector`] brings them up to what
//! the store says, exactly once, under duplicates, reordering, loss and concurrent projectors; it parks what cannot be
//! applied, and makes them anew while the world goes on ([`rebuild`]). Who has effects instead of rows follows its streams
//! by [`Projector::follow`], and keeps what it knows beside the rows. [`ReadModels`] is the table.

pub mod audit_index;
mod definition;
mod engine;
mod generations;
mod reactor;
pub mod rebuild;
mod tables;

pub use audit_index::short_hash::{InvalidShortHash, ShortHash};
pub use definition::consumer::{Consumer, Follows};
pub use definition::projection::{
    Change, Fold, FoldError, Kind, Knows, Merge, MultiStreamDelta, Projection, RecordedEvent, UnknownType,
};
pub use engine::freshness::FreshError;
pub use engine::gap::TimeLimit;
pub use engine::heartbeat::Heartbeat;
pub use engine::notification::Notification;
pub use engine::parking::{Parked, ParkedPage, Resumed};
pub use engine::position::Stray;
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
