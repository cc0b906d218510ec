//! Canonical JSON (RFC 8785), which fingerprints are made of.
//!
//! The canonical form can lose differences: it has one of two members with the same name, and
//! integers beyond 2^53 lose their last digits. Such JSON is rejected.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Number, Value};
use std::fmt;

/// The largest integer up to which every JSON reader is exact.
const MAX_INTEGER: u64 = 1 << 53;
/// The same as a float. Beyond it there are only integers.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;
const DUPLICATE: &str = "must be in its object only once";
const INEXACT: &str = "must not be beyond 2^53, where integers are not exact in JSON";

/// A JSON text in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CanonicalJson(String);

/// Any JSON whose canonical form loses nothing.
#[derive(Debug)]
pub(crate) struct ExactJson(pub(crate) Value);

impl CanonicalJson {
    /// The canonical form of a value.
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    pub(crate) fn of<T: Serialize>(value: &T) -> serde_json::Result<Self> {
        serde_json_canonicalizer::to_string(value).map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl<'de> Deserialize<'de> for ExactJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExactVisitor).map(Self)
    }
}

struct ExactVisitor;

impl<'de> Visitor<'de> for ExactVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        if number.unsigned_abs() > MAX_INTEGER {
            Err(E::custom(INEXACT))
        } else {
            Ok(number.into())
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        if number > MAX_INTEGER { Err(E::custom(INEXACT)) } else { Ok(number.into()) }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        let exact = Number::from_f64(number).filter(|_| number.abs() < MAX_EXACT);
        exact.map(Value::Number).ok_or_else(|| E::custom(INEXACT))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(ExactJson(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                // Rejected while the member's value is read, so that the error names the member.
                members.next_value_seed(DuplicateMember)?;
            }
            let ExactJson(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

/// Rejects a value.
struct DuplicateMember;

impl<'de> DeserializeSeed<'de> for DuplicateMember {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom(DUPLICATE))
    }
}

#[cfg(test)]
mod specs {
    use super::*;

    fn canonical(json: &str) -> String {
        let ExactJson(value) = serde_json::from_str(json).unwrap();
        CanonicalJson::of(&value).unwrap().0
    }

    /// Most of it is the example of RFC 8785, section 3.2.2.
    #[test]
    fn the_form_is_that_of_rfc_8785() {
        let json = "{ \"numbers\": [333333333.33333329, 4.50, 2e-3, 0.000000000000000000000000001, -0.0, 1e15, 10],\n\
                    \"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\", \"literals\": [null, true, false]}";
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,4.5,0.002,1e-27,0,1000000000000000,10],\
                        \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(canonical(json), expected);
    }

    #[test]
    fn names_are_sorted_by_their_utf_16() {
        let json = r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7,"a":{"c":1,"b":2}}"#;
        let places =
            ["\\r", "\"1\"", "\"a\"", "\u{80}", "\u{f6}", "\u{20ac}", "\u{1f600}", "\u{fb33}"];
        let places: Vec<usize> =
            places.iter().map(|name| canonical(json).find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
    }

    #[test]
    fn what_would_be_merged_is_refused_at_any_depth() {
        let refused = |json: &str| {
            let mut text = serde_json::Deserializer::from_str(json);
            let error = serde_path_to_error::deserialize::<_, ExactJson>(&mut text).unwrap_err();
            assert!(error.inner().is_data(), "{json}");
            (error.path().to_string(), error.inner().to_string())
        };
        for (json, path, rule) in [
            (r#"{"a":1,"a":1}"#, "a", DUPLICATE),
            (r#"{"a":1,"\u0061":2}"#, "a", DUPLICATE),
            (r#"{"a":[{"b":{"c":1,"d":2,"c":{}}}]}"#, "a[0].b.c", DUPLICATE),
            (r#"{"n":9007199254740993}"#, "n", INEXACT),
            (r#"{"n":-9007199254740993}"#, "n", INEXACT),
            (r#"{"n":18446744073709551616}"#, "n", INEXACT),
            (r#"{"n":[0,9007199254740992.0]}"#, "n[1]", INEXACT),
            (r#"{"n":9.007199254740993e15}"#, "n", INEXACT),
            ("1e300", ".", INEXACT),
        ] {
            let (found, message) = refused(json);
            assert_eq!((&*found, message.starts_with(rule)), (path, true), "{json}: {message}");
        }
        for json in
            ["9007199254740992", "-9007199254740992", r#"[{"a":1},{"a":1}]"#, "4503599627370495.5"]
        {
            assert!(serde_json::from_str::<ExactJson>(json).is_ok(), "{json}");
        }
    }
}
