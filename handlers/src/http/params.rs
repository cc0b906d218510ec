//! Query parameters, each with its rule.

use crate::problem::Problem;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use chrono::{DateTime, NaiveDate, Utc};
use eventstore::Id;
use projections::ListCursor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::str::FromStr;

/// The most characters of a number: as many as 2^53 has.
const MAX_NUMBER_CHARS: usize = 16;
/// The most characters of a time: with nanoseconds and an offset.
const MAX_TIME_CHARS: usize = 35;

/// The query parameters of a request. Each is sent at most once, and none is empty but the first
/// cursor.
pub struct Params(BTreeMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) =
            pairs.map_err(|rejection| Problem::invalid("query", rejection.body_text()))?;
        let mut params = BTreeMap::new();
        for (name, value) in pairs {
            // Clients that page may begin with an empty cursor.
            if value.is_empty() && name == "cursor" {
                continue;
            }
            if value.is_empty() {
                return Err(Problem::invalid(name, "must not be empty; leave it out instead"));
            }
            if params.insert(name.clone(), value).is_some() {
                return Err(Problem::invalid(name, "must be sent at most once"));
            }
        }
        Ok(Self(params))
    }
}

impl Params {
    /// Rejects unknown parameters. A misspelt filter would otherwise filter nothing.
    pub fn only(self, known: &[&str]) -> Result<Self, Problem> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => {
                let rule = if known.is_empty() {
                    "no parameter is known".to_owned()
                } else {
                    format!("known: {}", known.join(", "))
                };
                Err(Problem::invalid(unknown.clone(), format!("is unknown; {rule}")))
            }
            None => Ok(self),
        }
    }

    /// The text of a parameter, which is never empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter whose type has its own rule.
    pub fn parsed<T>(&self, name: &str) -> Result<Option<T>, Problem>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let parse = |text: &str| {
            text.parse().map_err(|rule: T::Err| Problem::invalid(name, rule.to_string()))
        };
        self.text(name).map(parse).transpose()
    }

    /// An id: 1 to 128 visible ASCII characters.
    pub fn id(&self, name: &str) -> Result<Option<Id>, Problem> {
        let parse =
            |text: &str| Id::new(text).map_err(|rule| Problem::invalid(name, rule.to_string()));
        self.text(name).map(parse).transpose()
    }

    /// All parameters, with those of the path.
    pub fn given<const N: usize>(&self, path: [(&str, &str); N]) -> BTreeMap<String, String> {
        let query = self.0.iter().map(|(name, value)| (name.clone(), value.clone()));
        query.chain(path.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect()
    }

    /// A whole number within a range.
    pub fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Problem> {
        let rule = || {
            Problem::invalid(
                name,
                format!("must be a whole number from {} to {}", range.start(), range.end()),
            )
        };
        let digits = |text: &&str| {
            text.len() <= MAX_NUMBER_CHARS && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let parse = |text: &str| {
            let number = Some(text).filter(digits).and_then(|text| text.parse().ok());
            number.filter(|number| range.contains(number)).ok_or_else(rule)
        };
        self.text(name).map(parse).transpose()
    }

    /// `true` or `false`; false by default.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::invalid(name, "must be true or false")),
        }
    }

    /// The most results that the client wants: 1 to 500.
    pub fn limit(&self, default: u32) -> Result<u32, Problem> {
        let limit = self.number("limit", 1..=500)?;
        Ok(limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(default))
    }

    /// A day, `YYYY-MM-DD`.
    pub fn day(&self, name: &str) -> Result<Option<NaiveDate>, Problem> {
        let parse = |text: &str| {
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .ok()
                .filter(|day| day.to_string() == text);
            day.ok_or_else(|| Problem::invalid(name, "must be a day such as 2026-11-22"))
        };
        self.text(name).map(parse).transpose()
    }

    /// A time, RFC 3339.
    pub fn time(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        let parse = |text| {
            time(text).ok_or_else(|| {
                Problem::invalid(name, "must be a time such as 2026-11-22T10:00:00Z")
            })
        };
        self.text(name).map(parse).transpose()
    }

    /// The cursor of an earlier response.
    pub fn cursor<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        let parse = |text: &str| {
            let cursor = decode(text).and_then(|bytes| serde_json::from_slice(&bytes).ok());
            cursor.ok_or_else(Problem::foreign_cursor)
        };
        self.text("cursor").map(parse).transpose()
    }
}

/// A time. A `+` that is not encoded in a URL arrives as a space, so a space before an offset is
/// read as `+`.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let text = Some(text).filter(|text| text.len() <= MAX_TIME_CHARS)?;
    let offset = text.rsplit_once(' ').filter(|(local, _)| local.contains(':'));
    let repaired = offset.map(|(local, offset)| format!("{local}+{offset}"));
    let time = DateTime::parse_from_rfc3339(repaired.as_deref().unwrap_or(text)).ok()?;
    Some(time.with_timezone(&Utc))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

/// Where a page of a list ended. It names its list, because DynamoDB rejects keys of other lists.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PageCursor {
    list: String,
    behind: ListCursor,
}

impl PageCursor {
    /// A position in that list.
    pub fn new(list: String, behind: ListCursor) -> Self {
        Self { list, behind }
    }

    /// The position, if it is in that list.
    ///
    /// # Errors
    /// A problem, if the cursor belongs to another list.
    pub fn of(self, list: &str) -> Result<ListCursor, Problem> {
        let fits = self.list == list && self.behind.fits();
        if fits { Ok(self.behind) } else { Err(Problem::foreign_cursor()) }
    }
}

/// A cursor as clients get it: opaque, and safe in a URL.
pub fn cursor_text(cursor: &impl serde::Serialize) -> Option<String> {
    use base64::Engine;
    let json = serde_json::to_vec(cursor).ok()?;
    Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
mod specs {
    use super::*;

    #[test]
    fn a_plus_that_was_not_encoded_is_a_plus() {
        let eight: DateTime<Utc> = "2026-11-22T08:00:00Z".parse().unwrap();
        for text in
            ["2026-11-22T10:00:00+02:00", "2026-11-22T10:00:00 02:00", "2026-11-22 10:00:00 02:00"]
        {
            assert_eq!(time(text), Some(eight), "{text}");
        }
        assert_eq!(time("2026-11-22 08:00:00Z"), Some(eight), "a blank may stand for the T");
        for text in
            ["2026-11-22 02:00", "2026-11-22T10:00:00  02:00", "2026-11-22T10:00:00 ", " 02:00", ""]
        {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn values_beyond_the_longest_meaningful_one_are_refused() {
        let given = |value: String| Params(BTreeMap::from([("n".to_owned(), value)]));
        assert!(matches!(given("0000000000000007".to_owned()).number("n", 1..=9), Ok(Some(7))));
        for number in [format!("{}7", "0".repeat(16)), "+7".to_owned()] {
            assert!(given(number.clone()).number("n", 1..=9).is_err(), "{number}");
        }
        assert!(time("2026-11-22T10:00:00.123456789+02:00").is_some());
        assert!(time("2026-11-22T10:00:00.1234567890+02:00").is_none());
    }
}
