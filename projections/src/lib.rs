//! Read models: pure folds over events, and the projector that keeps them exact.
//!
//! A [`Projection`] is a value: its rows, its folds. [`Projector`] brings them up to what
//! the store says, exactly once, under duplicates, reordering, loss and concurrent projectors; it parks what cannot be
//! applied, and makes them anew while the world goes on ([`rebuild`]). Who has effects instead of rows follows its streams
//! by [`Projector::follow`], and keeps what it knows beside the rows. [`ReadModels`] is the table.

pub mod audit;
mod consumer;
mod folding;
mod follow;
mod freshness;
mod gap;
mod generations;
mod kept;
mod lag;
mod multi_stream;
mod news;
mod parked;
mod position;
mod projection;
mod projector;
mod read_models;
pub mod rebuild;
mod row;
mod short_hash;
mod table;
mod witnesses;

pub use consumer::{Consumer, Follows};
pub use follow::{FollowError, Stopped};
pub use freshness::FreshError;
pub use gap::TimeLimit;
pub use generations::{GenerationState, Generations, OtherGeneration, OtherShape};
pub use kept::{Kept, ReadAhead};
pub use lag::Pulse;
pub use news::WakeUp;
pub use parked::{Parked, ParkedPage, Resumed};
pub use position::Stray;
pub use projection::{Change, Effect, Fact, Fold, FoldError, Kind, Knows, Merge, Projection, UnknownType};
pub use projector::{Failed, ProjectError, Projector};
pub use read_models::{ListCursor, ListPage, ReadModels};
pub use row::{Listing, Row, RowData, UnreadableRow};
pub use short_hash::{InvalidShortHash, ShortHash};
pub use table::TableError;
pub use witnesses::Witnesses;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
