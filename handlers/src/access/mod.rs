//! Tokens: who made them, and whom they name.
//!
//! | module | what it is |
//! |---|---|
//! | `authorizer` | checks the token of each request, as the JWT authorizer of the API gateway does |
//! | `key_set` | the public keys of an issuer |
//! | `jwt_crypto` | the cryptography of tokens, by ring |

mod authorizer;
mod jwt_crypto;
mod key_set;

pub use authorizer::{Authorizer, LEEWAY_S, MAX_TOKEN_BYTES, authorize};
pub use jwt_crypto::install as install_crypto;
pub use key_set::KeysError;
