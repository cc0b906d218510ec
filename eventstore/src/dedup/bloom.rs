//! A Bloom filter of fixed size. It has no false negatives and few false positives.

use crate::{Hash, Id};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The size of a filter in bytes.
pub(crate) const BLOOM_BYTES: usize = 2 * 1024;
/// With ten bits an id, a full filter has a false positive for one unknown id in 120.
pub(crate) const BLOOM_IDS: usize = BLOOM_BYTES * 8 / 10;
const PROBES: u64 = 7;

/// As JSON: hexadecimal digits, which zstd halves.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bloom(Vec<u8>);

impl Default for Bloom {
    fn default() -> Self {
        Self(vec![0; BLOOM_BYTES])
    }
}

impl Bloom {
    /// Adds an id.
    pub(crate) fn insert(&mut self, id: &Id) {
        for (byte, bit) in places(id) {
            if let Some(byte) = self.0.get_mut(byte) {
                *byte |= bit;
            }
        }
    }

    /// Whether the id may have been added: true for all that were.
    pub(crate) fn may_have(&self, id: &Id) -> bool {
        places(id).all(|(byte, bit)| self.0.get(byte).is_some_and(|byte| byte & bit != 0))
    }
}

/// The byte and the bit of each probe. This is a stored format and never changes.
fn places(id: &Id) -> impl Iterator<Item = (usize, u8)> + use<> {
    let hash = Hash::of(&[id.as_str().as_bytes()]);
    let number =
        |bytes: &[u8]| bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let (first, rest) = hash.as_bytes().split_at(8);
    let (first, step) = (number(first), number(rest.get(..8).unwrap_or_default()) | 1);
    let bits = u64::try_from(BLOOM_BYTES * 8).unwrap_or(u64::MAX);
    (0..PROBES).map(move |probe| {
        let place = first.wrapping_add(probe.wrapping_mul(step)) % bits;
        (usize::try_from(place / 8).unwrap_or(usize::MAX), 1 << (place % 8))
    })
}

impl Serialize for Bloom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Bloom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let byte = |pair: &[u8]| {
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
        };
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        let whole = bytes.filter(|bytes| bytes.len() == BLOOM_BYTES);
        whole
            .map(Self)
            .ok_or_else(|| serde::de::Error::custom("a filter is 4,096 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, number: usize) -> Id {
        Id::new(format!("{name}-{number}")).unwrap()
    }

    fn full() -> Bloom {
        let mut bloom = Bloom::default();
        (0..BLOOM_IDS).for_each(|number| bloom.insert(&id("own", number)));
        bloom
    }

    #[test]
    fn what_was_taken_is_never_denied() {
        let bloom = full();
        assert!((0..BLOOM_IDS).all(|number| bloom.may_have(&id("own", number))));
        assert!((0..BLOOM_IDS).all(|number| !Bloom::default().may_have(&id("own", number))));
    }

    #[test]
    fn a_full_filter_claims_one_stranger_in_a_hundred_at_most() {
        let bloom = full();
        let claimed =
            (0..100_000).filter(|number| bloom.may_have(&id("stranger", *number))).count();
        assert!((500..1_000).contains(&claimed), "{claimed} of 100,000");
    }

    #[test]
    fn json_brings_the_filter_back_and_no_other_size() {
        let bloom = full();
        let json = serde_json::to_string(&bloom).unwrap();
        assert_eq!(serde_json::from_str::<Bloom>(&json).unwrap(), bloom);
        for wrong in ["\"\"", "\"00\"", &json.replace("00", ""), &json.replace(['a', 'b'], "g")] {
            assert!(serde_json::from_str::<Bloom>(wrong).is_err());
        }
    }

    /// The bytes that two ids set, computed by another program: SHA-256 of the id's length in 8
    /// bytes and its text.
    #[test]
    fn places_are_what_they_were_when_snapshots_were_written() {
        let golden: [(usize, &[usize]); 2] = [
            (3, &[10, 25, 1985, 2000, 2015, 2029, 2044]),
            (1, &[45, 80, 704, 739, 774, 1398, 1434]),
        ];
        for (number, bytes) in golden {
            let mut bloom = Bloom::default();
            bloom.insert(&id("own", number));
            let set: Vec<usize> = (0..BLOOM_BYTES).filter(|at| bloom.0[*at] != 0).collect();
            assert_eq!(set, bytes, "own-{number}");
        }
    }
}
