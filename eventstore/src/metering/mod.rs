//! What requests cost, the meter that counts it, and the tracing event of each operation.

pub(crate) mod meter;
pub(crate) mod operation_event;
pub(crate) mod usage;
