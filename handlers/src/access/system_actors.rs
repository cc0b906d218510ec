//! Actors that are parts of the system. No caller may have such a name.

use crate::app::identity;
use eventstore::Id;

/// The rule that such a name breaks.
pub const ACTOR_OF_SYSTEM: &str = "must not be the name of a part of the system";

/// Whether the actor is a part of the system: a process of its app. Case is ignored.
pub fn is_actor_of_system(actor: &Id) -> bool {
    identity().is_process(actor)
}
