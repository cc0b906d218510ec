//! What operations cost, and how that is reported.

pub(super) mod budget;
pub(super) mod operation_usage;
