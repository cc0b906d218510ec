//! A command is recorded once, and every retry finds it.

pub(super) mod clock_set_back;
pub(super) mod command_index;
pub(super) mod once;
pub(super) mod retries;
