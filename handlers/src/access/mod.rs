//! Callers and their scopes.
//!
//! | module | what it has |
//! |---|---|
//! | `authorizer` | checks the token of each request, as the API gateway's JWT authorizer does |
//! | `scopes` | the scope that each path needs |
//! | `caller`, `system_actors` | the caller that a token names, and names that no caller may have |
//! | [`IssuerKeys`] | the keys of an issuer, cached and renewed |
//! | [`KeyAddress`] | the address of these keys, and the request for them |
//! | `key_set`, `jwt_crypto` | the keys that verify tokens, and the cryptography |

mod authorizer;
pub(crate) mod caller;
mod issuer_keys;
mod jwt_crypto;
mod key_address;
mod key_set;
pub(crate) mod scopes;
pub(crate) mod system_actors;

pub use authorizer::{Authorizer, LEEWAY_S, MAX_TOKEN_BYTES, authorize};
pub use caller::{Caller, InvalidCaller, Scope, Unauthorized};
pub use issuer_keys::IssuerKeys;
pub use jwt_crypto::install as install_crypto;
pub use key_address::{FetchError, InvalidAddress, KeyAddress};
pub use key_set::KeysError;
pub use scopes::{Requirement, is_public, required_scope};
pub use system_actors::{ACTOR_OF_SYSTEM, is_actor_of_system};
