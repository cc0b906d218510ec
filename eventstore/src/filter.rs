//! A set of ids that never denies one it has taken, and seldom claims another: a Bloom filter that grows.

use crate::{Hash, Id};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bits an id: with eight probes, one stranger in 1,700 is claimed by a full block.
const BITS_PER_ID: usize = 16;
const PROBES: u64 = 8;
/// Ids of the first block; each further one has room for twice as many.
const FIRST_BLOCK: usize = 64;
/// Then the last block takes all that come: 65,000 ids or 131 KB. Beyond that, more and more strangers are claimed.
const MAX_BLOCKS: usize = 10;

/// See the module. As JSON: how many ids it has, and its blocks in hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Filter {
    ids: usize,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, PartialEq)]
struct Block(Vec<u8>);

impl Filter {
    /// Takes an id.
    pub(crate) fn insert(&mut self, id: &Id) {
        let room = FIRST_BLOCK * ((1 << self.blocks.len()) - 1);
        if self.ids >= room && self.blocks.len() < MAX_BLOCKS {
            let ids = FIRST_BLOCK << self.blocks.len();
            self.blocks.push(Block(vec![0; ids * BITS_PER_ID / 8]));
        }
        if let Some(newest) = self.blocks.last_mut() {
            newest.insert(&probes(id));
        }
        self.ids += 1;
    }

    /// Whether the id may have been taken: true for all that were.
    pub(crate) fn may_have(&self, id: &Id) -> bool {
        let probes = probes(id);
        self.blocks.iter().any(|block| block.has(&probes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ids == 0
    }

    /// Whether the blocks are as many and as large as that many ids make them.
    pub(crate) fn is_sound(&self) -> bool {
        let room = |blocks: usize| FIRST_BLOCK * ((1 << blocks) - 1);
        let count = (0..=MAX_BLOCKS).find(|blocks| room(*blocks) >= self.ids).unwrap_or(MAX_BLOCKS);
        let fits = |(index, block): (usize, &Block)| block.0.len() == (FIRST_BLOCK << index) * BITS_PER_ID / 8;
        self.blocks.len() == count && self.blocks.iter().enumerate().all(fits)
    }
}

/// Two numbers from which all probes follow, the same on every machine for ever.
fn probes(id: &Id) -> (u64, u64) {
    let hash = Hash::of(&[id.as_str().as_bytes()]);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    let (first, rest) = hash.as_bytes().split_at(8);
    (number(first), number(rest.get(..8).unwrap_or_default()) | 1)
}

impl Block {
    fn insert(&mut self, probes: &(u64, u64)) {
        for (byte, bit) in self.places(probes) {
            if let Some(byte) = self.0.get_mut(byte) {
                *byte |= bit;
            }
        }
    }

    fn has(&self, probes: &(u64, u64)) -> bool {
        self.places(probes).all(|(byte, bit)| self.0.get(byte).is_some_and(|byte| byte & bit != 0))
    }

    /// The byte and the bit of each probe.
    fn places(&self, &(first, step): &(u64, u64)) -> impl Iterator<Item = (usize, u8)> + use<> {
        let bits = u64::try_from(self.0.len() * 8).unwrap_or(u64::MAX).max(1);
        (0..PROBES).map(move |probe| {
            let place = first.wrapping_add(probe.wrapping_mul(step)) % bits;
            (usize::try_from(place / 8).unwrap_or(usize::MAX), 1 << (place % 8))
        })
    }
}

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a block is hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, number: usize) -> Id {
        Id::new(format!("{name}-{number}")).unwrap()
    }

    #[test]
    fn nothing_taken_is_denied_and_few_strangers_are_claimed() {
        let mut filter = Filter::default();
        assert!(!filter.may_have(&id("stranger", 0)) && filter.is_sound());
        for taken in 0..20_000 {
            filter.insert(&id("taken", taken));
        }
        assert!(filter.is_sound());
        assert!((0..20_000).all(|taken| filter.may_have(&id("taken", taken))));
        let claimed = (0..20_000).filter(|stranger| filter.may_have(&id("stranger", *stranger))).count();
        assert!(claimed < 200, "{claimed} of 20,000 strangers are claimed");
        let bytes: usize = filter.blocks.iter().map(|block| block.0.len()).sum();
        assert!(bytes < 70_000, "{bytes} bytes");
    }

    #[test]
    fn it_grows_to_a_limit_and_still_denies_nothing() {
        let mut filter = Filter::default();
        for taken in 0..100_000 {
            filter.insert(&id("taken", taken));
        }
        assert_eq!((filter.blocks.len(), filter.is_sound()), (MAX_BLOCKS, true));
        assert!((0..100_000).step_by(7).all(|taken| filter.may_have(&id("taken", taken))));
    }

    #[test]
    fn json_brings_it_back_and_a_damaged_one_is_not_sound() {
        let mut filter = Filter::default();
        for taken in 0..100 {
            filter.insert(&id("taken", taken));
        }
        let json = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
        for (wrong, other) in [("\"ids\":100", "\"ids\":10"), ("[\"", "[\"00"), ("\"ids\":100", "\"ids\":500")] {
            let damaged = serde_json::from_str::<Filter>(&json.replacen(wrong, other, 1)).unwrap();
            assert!(!damaged.is_sound(), "{other}");
        }
        assert!(serde_json::from_str::<Filter>(&json.replacen("[\"", "[\"xx", 1)).is_err());
    }

    /// What is stored must be found by every later program.
    #[test]
    fn the_bits_stay_where_they_are() {
        let mut filter = Filter::default();
        filter.insert(&id("order", 1));
        let set: Vec<usize> = (0..1024).filter(|bit| filter.blocks[0].0[bit / 8] & (1 << (bit % 8)) != 0).collect();
        // sha256 of the length in eight bytes and the text; its first two numbers a and b | 1: (a + i · b) mod 1024.
        assert_eq!(set, [3, 63, 274, 334, 545, 605, 816, 876]);
    }
}
