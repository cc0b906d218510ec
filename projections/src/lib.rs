//! Read models: pure folds over events, and the projector that keeps them exact.
//!
//! [`ALL`] lists the projections; each is a file with its row, its fold and its specs. [`Projector`] brings them up to what
//! the store says, exactly once, under duplicates, reordering, loss and concurrent projectors. [`ReadModels`] is the table.
//! [`events`] says how the bookshop's events are stored.

pub mod audit;
pub mod bestsellers;
pub mod events;
mod freshness;
mod multi_stream;
pub mod orders;
mod projection;
mod projector;
mod read_models;
mod row;
pub mod stock;

pub use freshness::FreshError;
pub use projection::{ALL, Change, Effect, Fact, FoldError, Kind, Projection};
pub use projector::{ProjectError, Projector, WakeUp};
pub use read_models::{ListCursor, ListPage, ReadModels, TableError};
pub use row::{Listing, Row, RowData, UnreadableRow};
