//! The W3C trace parent, which links all work to the request that caused it.

use eventstore::Id;
use uuid::Uuid;

/// A `traceparent` header: `00-{trace id}-{parent id}-{flags}`, lower-case hexadecimal digits of
/// 16, 8 and 1 bytes.
///
/// Each commit stores that of its request, so that consumers continue the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent {
    text: String,
}

/// The number of digits of version, trace id, parent id and flags.
const DIGITS: [usize; 4] = [2, 32, 16, 2];

impl TraceParent {
    /// A new trace, not sampled: each component decides whether it records.
    #[must_use]
    pub fn begin() -> Self {
        let (trace, parent) = (Uuid::now_v7().simple(), Uuid::now_v7().as_u128());
        // The low half of a UUIDv7 is random.
        let parent = parent & u128::from(u64::MAX);
        Self { text: format!("00-{trace}-{parent:016x}-00") }
    }

    /// Parses a header's value. None if the standard says to ignore it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let hex = |part: &&str| {
            part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let fits = parts.iter().map(|part| part.len()).eq(DIGITS) && parts.iter().all(hex);
        let empty = |part: &&str| part.bytes().all(|byte| byte == b'0');
        let known = parts.first().is_some_and(|version| *version != "ff");
        let ids = parts.get(1..3)?;
        (fits && known && !ids.iter().any(empty)).then(|| Self { text: text.to_owned() })
    }

    /// The trace parent of a commit, if it has one.
    #[must_use]
    pub fn of(id: Option<&Id>) -> Option<Self> {
        Self::parse(id?.as_str())
    }

    /// The header's value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trace's id: 32 hexadecimal digits, the same for all work that a request causes.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.part(1)
    }

    /// The id of the step before: 16 hexadecimal digits.
    #[must_use]
    pub fn parent_id(&self) -> &str {
        self.part(2)
    }

    fn part(&self, index: usize) -> &str {
        self.text.split('-').nth(index).unwrap_or_default()
    }
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn a_new_trace_can_be_read_and_no_two_are_the_same() {
        let (one, two) = (TraceParent::begin(), TraceParent::begin());
        assert_eq!(TraceParent::parse(one.as_str()), Some(one.clone()));
        assert_ne!((one.trace_id(), one.parent_id()), (two.trace_id(), two.parent_id()));
    }

    #[test]
    fn malformed_headers_are_ignored() {
        let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            TraceParent::parse(valid).unwrap().trace_id(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00",
            "00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }
}
