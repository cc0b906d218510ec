//! The actors that are parts of the system. No caller may have the name of one.

use crate::app::identity;
use eventstore::Id;

/// What a caller with such a name is told.
pub const ACTOR_OF_SYSTEM: &str = "must not be the name of a part of the system";

/// Whether the actor is a part of the system, in whatever case its name is written: a process of its app.
pub fn is_actor_of_system(actor: &Id) -> bool {
    identity().is_process(actor)
}
