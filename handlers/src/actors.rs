//! The actors that are parts of the system. No caller may have the name of one.

use eventstore::Id;

/// Who gives the commands of fulfilment.
pub(crate) const FULFILMENT: &str = "fulfilment";
/// All of them.
const OF_SYSTEM: [&str; 1] = [FULFILMENT];

/// What a caller is told who has such a name.
pub const ACTOR_OF_SYSTEM: &str = "must not be the name of a part of the system";

/// Whether the actor is a part of the system, in whatever case its name is written.
pub fn is_actor_of_system(actor: &Id) -> bool {
    OF_SYSTEM.iter().any(|name| name.eq_ignore_ascii_case(actor.as_str()))
}
