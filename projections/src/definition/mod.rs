//! What an app defines: projections, the streams that they follow, and their pure folds.

pub(crate) mod consumer;
pub(crate) mod fold_context;
pub(crate) mod projection;
