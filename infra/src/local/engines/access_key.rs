//! The access key of the engines, new at each start. Clients sign their requests with it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug, Formatter};
use std::io;

/// Random bytes of the id: enough to be unique.
const ID_BYTES: usize = 8;
/// Random bytes of the secret: too many to guess.
const SECRET_BYTES: usize = 32;

/// An id and a secret, as in AWS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessKey {
    /// The public half. Each request names it.
    #[serde(rename = "access_key_id")]
    pub id: String,
    /// The secret half. It signs requests and is never sent.
    #[serde(rename = "secret_access_key")]
    pub secret: String,
}

impl AccessKey {
    /// Generates a key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)
            .and_then(|()| getrandom::fill(&mut secret))
            .map_err(io::Error::other)?;
        let id = id.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        Ok(Self { id: format!("LOCAL{id}"), secret: URL_SAFE_NO_PAD.encode(secret) })
    }
}

/// Without the secret, because debug output may be logged.
impl Debug for AccessKey {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::AccessKey;

    #[test]
    fn each_key_is_new_and_its_secret_is_not_shown() {
        let (one, other) = (AccessKey::generate().unwrap(), AccessKey::generate().unwrap());
        assert_ne!(one.id, other.id);
        assert_ne!(one.secret, other.secret);
        assert!(!format!("{one:?}").contains(&one.secret));
    }
}
