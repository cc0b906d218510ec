//! Tokens: who made them, and whom they name.
//!
//! | module | what it is |
//! |---|---|
//! | `authorizer` | checks the token of each request, as the JWT authorizer of the API gateway does |
//! | [`IssuerKeys`] | the keys of an issuer's address: fetched, kept, renewed |
//! | `key_set` | the public keys of an issuer |
//! | [`KeyAddress`] | where an issuer publishes its keys, and one request for them |
//! | `jwt_crypto` | the cryptography of tokens, by ring |

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
pub use scopes::{Requirement, is_for_everybody, required_scope};
pub use system_actors::{ACTOR_OF_SYSTEM, is_actor_of_system};
