//! A commit's hash, shortened for an index entry or a row.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventstore::Hash;
use std::fmt;
use std::str::FromStr;

/// How many bytes of the hash are stored.
const BYTES: usize = 16;

/// The first 128 bits of a commit's hash. As text it has 22 characters of base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShortHash([u8; BYTES]);

/// The text is not a [`ShortHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a short hash is 22 characters of base64url")]
pub struct InvalidShortHash;

impl From<&Hash> for ShortHash {
    fn from(hash: &Hash) -> Self {
        let mut short = [0; BYTES];
        short.iter_mut().zip(hash.as_bytes()).for_each(|(short, byte)| *short = *byte);
        Self(short)
    }
}

impl ShortHash {
    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for ShortHash {
    type Err = InvalidShortHash;

    fn from_str(text: &str) -> Result<Self, InvalidShortHash> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidShortHash)?;
        bytes.try_into().map(Self).map_err(|_| InvalidShortHash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_hash_is_the_first_128_bits_in_22_characters() {
        let short = ShortHash::from(&Hash::of(&[b"a"]));
        // printf '\0\0\0\0\0\0\0\1a' | sha256sum | head -c 32 | xxd -r -p | basenc --base64url
        assert_eq!(short.to_string(), "Oxlv1JB77fUcMJDpg18vfA");
        assert_eq!(short.to_string().parse(), Ok(short));
        for wrong in
            ["", "Oxlv1JB77fUcMJDpg18vf", "Oxlv1JB77fUcMJDpg18vfA==", "Oxlv1JB77fUcMJDpg18vf/"]
        {
            assert_eq!(wrong.parse::<ShortHash>(), Err(InvalidShortHash), "{wrong:?}");
        }
    }
}
