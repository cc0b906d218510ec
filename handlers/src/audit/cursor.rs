//! The cursor of a search.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventstore::{MAX_VERSION, StreamId};
use projections::audit_index::AuditCursor;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most characters of a cursor's text: two places, a stream and a version have less than two
/// thirds as many.
const MAX_CURSOR_CHARS: usize = 1_024;

/// Where a search continues. As text it is opaque, and safe in a URL. It is only a place: another
/// search of the same kind (in one stream, or over all) may begin there, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub(super) SearchPlace);

/// The text is no [`Cursor`], or one of the other kind of search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be one that an earlier answer to such a question gave as next_cursor")]
pub struct InvalidCursor;

/// A place among the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum SearchPlace {
    /// At the event of that version, in the stream that is searched.
    Stream {
        /// From 1.
        version: u64,
        /// The last version of the search: the end of the stream at its first page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<u64>,
    },
    /// After a place among all commits.
    Index {
        /// That place.
        after: AuditCursor,
        /// The commit that was shown in part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cut: Option<Cut>,
        /// The last place of the search: the newest commit of the index at its first page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<AuditCursor>,
    },
}

/// A commit that was shown in part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cut {
    /// Its stream.
    pub(super) stream: StreamId,
    /// The version of the last event that was shown.
    pub(super) version: u64,
}

impl Cursor {
    /// At that version of the searched stream; the search ends at `end`.
    pub(super) fn in_stream(version: u64, end: Option<u64>) -> Self {
        Self(SearchPlace::Stream { version, end })
    }
}

impl SearchPlace {
    fn is_possible(&self) -> bool {
        let fits = |version: &u64| (1..=MAX_VERSION).contains(version);
        match self {
            Self::Stream { version, end } => fits(version) && end.as_ref().is_none_or(fits),
            Self::Index { cut, .. } => cut.as_ref().is_none_or(|cut| fits(&cut.version)),
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        let bytes = Some(text)
            .filter(|text| text.len() <= MAX_CURSOR_CHARS)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        let place: Option<SearchPlace> =
            bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place.filter(SearchPlace::is_possible).map(Self).ok_or(InvalidCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let json = serde_json::to_vec(&self.0).map_err(|_| fmt::Error)?;
        f.write_str(&URL_SAFE_NO_PAD.encode(json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_cursor_comes_back_from_its_text() {
        let stream = StreamId::new("order-1").unwrap();
        let after = AuditCursor::of("2026-11-22T10:00:00Z".parse().unwrap(), &stream, 7);
        let cut = Some(Cut { stream, version: 9 });
        let places = [
            SearchPlace::Stream { version: 7, end: None },
            SearchPlace::Stream { version: 7, end: Some(9) },
            SearchPlace::Index { after: after.clone(), cut: None, end: None },
            SearchPlace::Index { after: after.clone(), cut, end: Some(after) },
        ];
        for cursor in places.map(Cursor) {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn a_text_that_no_answer_gave_is_invalid() {
        let long = format!("{{\"version\":1{}}}", " ".repeat(MAX_CURSOR_CHARS));
        for json in [
            "",
            "{",
            "7",
            "{}",
            "{\"version\":0}",
            "{\"version\":9007199254740992}",
            "{\"version\":1,\"more\":1}",
            "{\"version\":1,\"end\":0}",
            "{\"after\":\"\"}",
            "{\"after\":\"a b\"}",
            "{\"after\":\"a\",\"cut\":{\"stream\":\"x\",\"version\":1}}",
            "{\"after\":\"a\",\"cut\":{\"stream\":\"x-1\",\"version\":0}}",
            &long,
        ] {
            assert_eq!(text(json).parse::<Cursor>(), Err(InvalidCursor), "{json}");
        }
        assert_eq!("{\"version\":1}".parse::<Cursor>(), Err(InvalidCursor));
        assert_eq!(
            text("{\"version\":1}").parse(),
            Ok(Cursor(SearchPlace::Stream { version: 1, end: None }))
        );
    }
}
