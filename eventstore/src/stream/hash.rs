//! SHA-256 values: chain hashes and command fingerprints.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt;

/// A SHA-256 hash. Displayed as 64 lower-case hexadecimal digits, serialised as 43 characters of
/// base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

/// A hash of what a command contains: 128 bits of SHA-256, as 22 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

/// The text is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 hexadecimal digits")]
pub struct InvalidHash;

impl Hash {
    /// Hashes the parts. Each is preceded by its length, so that no two lists hash the same bytes.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = Hasher::default();
        for part in parts {
            hasher.part(part);
        }
        hasher.finish()
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Fingerprint {
    /// The first half of [`Hash::of`] the parts.
    pub fn of(parts: &[&[u8]]) -> Self {
        let (mut half, whole) = ([0; 16], Hash::of(parts));
        half.iter_mut().zip(whole.0).for_each(|(byte, of_whole)| *byte = of_whole);
        Self(half)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Encodes bytes for the store: base64url without padding.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes what [`to_base64`] wrote, and no other text of the same bytes.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn read_base64<'de, D: Deserializer<'de>, const BYTES: usize>(
    deserializer: D,
) -> Result<[u8; BYTES], D::Error> {
    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
    let bytes = from_base64(&text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| {
        serde::de::Error::custom(format_args!("must be {BYTES} bytes in base64url without padding"))
    })
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_base64(deserializer).map(Self)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&to_base64(&self.0))
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_base64(deserializer).map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_base64(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes fields, each preceded by its length as 8 big-endian bytes.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn part(&mut self, bytes: &[u8]) {
        self.0.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.part(&number.to_be_bytes());
    }

    /// An absent field differs from an empty one.
    pub(crate) fn optional(&mut self, text: Option<&str>) {
        self.number(u64::from(text.is_some()));
        self.part(text.unwrap_or_default().as_bytes());
    }

    pub(crate) fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for Hash {
    type Error = InvalidHash;

    fn try_from(text: String) -> Result<Self, InvalidHash> {
        if text.len() != 64
            || !text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        {
            return Err(InvalidHash);
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(index * 2..index * 2 + 2).ok_or(InvalidHash)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| InvalidHash)?;
        }
        Ok(Self(bytes))
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_the_bytes() {
        let hash = Hash::of(&[b"a"]);
        assert_eq!(Hash::try_from(hash.to_string()), Ok(hash));
        for wrong in ["", "zz", &"g".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            assert_eq!(Hash::try_from(wrong.to_owned()), Err(InvalidHash));
        }
    }

    #[test]
    fn what_is_stored_is_base64url_of_one_text_a_value() {
        let (hash, fingerprint) = (Hash::of(&[b"a"]), Fingerprint::of(&[b"a"]));
        let (hash_json, print_json) =
            (r#""Oxlv1JB77fUcMJDpg18vfLYefuGyKZ6juP7ZtBg6gio""#, r#""Oxlv1JB77fUcMJDpg18vfA""#);
        assert_eq!(serde_json::to_string(&hash).unwrap(), hash_json);
        assert_eq!(serde_json::to_string(&fingerprint).unwrap(), print_json);
        assert_eq!(serde_json::from_str::<Hash>(hash_json).unwrap(), hash);
        assert_eq!(serde_json::from_str::<Fingerprint>(print_json).unwrap(), fingerprint);
        for wrong in [
            "",
            "Oxlv1JB77fUcMJDpg18vfB",
            "Oxlv1JB77fUcMJDpg18vfA==",
            "Oxlv1/B77fUcMJDpg18vfA",
            "Oxlv1JB7",
        ] {
            let json = format!("\"{wrong}\"");
            assert!(serde_json::from_str::<Fingerprint>(&json).is_err(), "{wrong}");
            assert!(serde_json::from_str::<Hash>(&json).is_err(), "{wrong}");
        }
    }

    #[test]
    fn moving_a_boundary_changes_the_hash() {
        assert_ne!(Hash::of(&[b"ab", b"c"]), Hash::of(&[b"a", b"bc"]));
        assert_ne!(Hash::of(&[b"ab"]), Hash::of(&[b"ab", b""]));
    }

    #[test]
    fn the_bytes_are_those_that_any_other_tool_computes() {
        // printf '\0\0\0\0\0\0\0\1a' | sha256sum
        assert_eq!(
            Hash::of(&[b"a"]).to_string(),
            "3b196fd4907bedf51c3090e9835f2f7cb61e7ee1b2299ea3b8fed9b4183a822a"
        );
    }
}
