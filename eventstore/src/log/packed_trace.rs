//! The stored form of a trace parent: packed if it is canonical, as nearly all are.

use crate::Id;
use crate::stream::hash::{from_base64, to_base64};
use serde::{Deserialize, Serialize};

/// The flags that are left out: sampled.
const SAMPLED: u8 = 1;
/// The bytes of a trace id.
const TRACE_ID: usize = 16;
/// The bytes of a trace id and a parent id.
const IDS: usize = 24;

/// A canonical `traceparent` of version 00. Stored in base64url: trace id, parent id, and the flags
/// if they are not 01.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct PackedTrace(Id);

/// The text is no packed trace parent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a packed trace parent is 24 bytes in base64url, or 25 with flags other than 01")]
pub(crate) struct InvalidTrace;

impl PackedTrace {
    /// Packs the trace parent if it can be restored exactly. Other versions and upper-case digits
    /// cannot.
    pub(crate) fn of(trace_parent: &Id) -> Option<Self> {
        pack(trace_parent.as_str()).map(|_| Self(trace_parent.clone()))
    }

    /// The unpacked trace parent.
    pub(crate) fn unpack(self) -> Id {
        self.0
    }
}

fn pack(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let fits = version == "00"
        && (trace.len(), parent.len(), flags.len()) == (32, 16, 2)
        && parts.next().is_none();
    let mut packed = bytes(trace).filter(|_| fits)?;
    packed.extend(bytes(parent)?);
    packed.extend(bytes(flags)?.into_iter().filter(|flags| *flags != SAMPLED));
    Some(packed)
}

fn unpack(packed: &[u8]) -> Option<Id> {
    let (ids, flags) = packed.split_at_checked(IDS)?;
    let (trace, parent) = ids.split_at_checked(TRACE_ID)?;
    let flags = match flags {
        [] => SAMPLED,
        [flags] if *flags != SAMPLED => *flags,
        _ => return None,
    };
    Id::new(format!("00-{}-{}-{flags:02x}", digits(trace), digits(parent))).ok()
}

/// Decodes pairs of lower-case hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let is_canonical =
        digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let mut pairs = (0..digits.len()).step_by(2).filter(|_| is_canonical);
    let bytes = pairs.try_fold(Vec::new(), |mut bytes, at| {
        bytes.push(u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?);
        Some(bytes)
    });
    bytes.filter(|_| is_canonical)
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl From<PackedTrace> for String {
    fn from(trace: PackedTrace) -> Self {
        to_base64(&pack(trace.0.as_str()).unwrap_or_default())
    }
}

impl TryFrom<String> for PackedTrace {
    type Error = InvalidTrace;

    fn try_from(text: String) -> Result<Self, InvalidTrace> {
        from_base64(&text).and_then(|packed| unpack(&packed)).map(Self).ok_or(InvalidTrace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn stored(text: &str) -> Option<String> {
        PackedTrace::of(&Id::new(text).unwrap()).map(String::from)
    }

    #[test]
    fn a_canonical_trace_parent_is_packed_and_comes_back() {
        for (flags, chars) in [("01", 32), ("00", 34), ("02", 34), ("ff", 34)] {
            let text = TRACE.replace("-01", &format!("-{flags}"));
            let stored = stored(&text).unwrap();
            assert_eq!(stored.len(), chars, "{text}");
            assert_eq!(PackedTrace::try_from(stored).unwrap().unpack().as_str(), text);
        }
    }

    #[test]
    fn any_other_trace_parent_stays_text() {
        for text in [
            TRACE.to_uppercase(),
            TRACE.replacen("00", "01", 1),
            TRACE.replacen("00", "cc", 1),
            TRACE.replace("4bf9", "4Bf9"),
            TRACE.replace("4bf9", "+bf9"),
            TRACE.replace("4bf9", "4bg9"),
            format!("{TRACE}-more"),
            format!("{TRACE}1"),
            TRACE.replace("36-00", "3-600"),
            TRACE.replace('-', "_"),
            "x".repeat(55),
            "-".repeat(55),
            stored(TRACE).unwrap(),
        ] {
            assert_eq!(stored(&text), None, "{text}");
        }
    }

    #[test]
    fn what_no_trace_parent_becomes_is_refused() {
        let stored = stored(TRACE).unwrap();
        let explicit: Vec<u8> =
            from_base64(&stored).unwrap().into_iter().chain([SAMPLED]).collect();
        for wrong in ["", &stored[..30], &to_base64(&explicit), &format!("{stored}AAAA"), TRACE] {
            assert_eq!(PackedTrace::try_from(wrong.to_owned()), Err(InvalidTrace), "{wrong}");
        }
    }
}
