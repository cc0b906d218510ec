//! The table of read models and its rows.

pub(crate) mod attribute;
pub(crate) mod position;
pub(crate) mod read_models;
pub(crate) mod removal;
pub(crate) mod row;
pub(crate) mod table;
