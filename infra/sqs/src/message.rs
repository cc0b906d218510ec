//! Message attributes and bodies: their rules, size and digests.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::error::{ApiError, ErrorKind};

/// A message attribute in JSON. Binary values are base64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeValue {
    #[serde(default)]
    data_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
}

/// The attributes of a message by name, in the order of their digest.
pub(crate) type Attributes = BTreeMap<String, AttributeValue>;

const MOST_ATTRIBUTES: usize = 10;
const LONGEST_NAME: usize = 256;

impl AttributeValue {
    /// The value as bytes, and whether it is binary; `None` if the value does not fit the type.
    fn value(&self) -> Option<(bool, Vec<u8>)> {
        let kind = self.data_type.split('.').next()?;
        match (kind, &self.string_value, &self.binary_value) {
            ("String", Some(text), None) if !text.is_empty() => {
                Some((false, text.as_bytes().to_vec()))
            }
            ("Number", Some(text), None) if is_number(text) => {
                Some((false, text.as_bytes().to_vec()))
            }
            ("Binary", None, Some(encoded)) => STANDARD
                .decode(encoded)
                .ok()
                .filter(|bytes| !bytes.is_empty())
                .map(|bytes| (true, bytes)),
            _ => None,
        }
    }

    /// The text of a `String` or `Number` attribute.
    pub(crate) fn text(&self) -> Option<&str> {
        self.string_value.as_deref()
    }
}

fn is_number(text: &str) -> bool {
    text.len() <= 128
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Checks AWS's rules for attributes.
pub(crate) fn check_attributes(attributes: &Attributes) -> Result<(), ApiError> {
    if attributes.len() > MOST_ATTRIBUTES {
        return Err(ApiError::parameter(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MOST_ATTRIBUTES}].",
            attributes.len()
        )));
    }
    attributes.iter().try_for_each(|(name, value)| {
        if !is_attribute_name(name) {
            return Err(ApiError::parameter(format!("Message attribute name '{name}' is invalid.")));
        }
        if value.text().is_some_and(|text| !is_xml_text(text)) {
            return Err(invalid_contents());
        }
        match value.value() {
            Some(_) => Ok(()),
            None => Err(ApiError::parameter(format!(
                "The message attribute '{name}' must have a type of String, Number or Binary and one non-empty value of that type."
            ))),
        }
    })
}

fn is_attribute_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    (1..=LONGEST_NAME).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !lower.starts_with("aws.")
        && !lower.starts_with("amazon.")
}

/// Refuses an empty body, and characters that XML 1.0 does not allow.
pub(crate) fn check_body(body: &str) -> Result<(), ApiError> {
    if body.is_empty() {
        return Err(ApiError::missing("MessageBody"));
    }
    if is_xml_text(body) { Ok(()) } else { Err(invalid_contents()) }
}

fn invalid_contents() -> ApiError {
    ApiError::new(
        ErrorKind::InvalidMessageContents,
        "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
    )
}

fn is_xml_text(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..))
}

/// The size for the message limit: body, and name, type and value of each attribute.
pub(crate) fn size_bytes(body: &str, attributes: &Attributes) -> usize {
    let of_attribute = |(name, value): (&String, &AttributeValue)| {
        name.len() + value.data_type.len() + value.value().map_or(0, |(_, bytes)| bytes.len())
    };
    body.len() + attributes.iter().map(of_attribute).sum::<usize>()
}

/// MD5 of the body in hexadecimal.
pub(crate) fn md5_of_body(body: &str) -> String {
    format!("{:x}", md5::compute(body))
}

/// MD5 of the attributes as SDKs compute it; `None` without attributes. For each name in order, it
/// covers the length-prefixed name and type, a byte for text or binary, and the length-prefixed
/// value.
pub(crate) fn md5_of_attributes(attributes: &Attributes) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut context = md5::Context::new();
    for (name, attribute) in attributes {
        let (binary, value) = attribute.value().unwrap_or_default();
        consume(&mut context, name.as_bytes());
        consume(&mut context, attribute.data_type.as_bytes());
        context.consume([if binary { 2 } else { 1 }]);
        consume(&mut context, &value);
    }
    Some(format!("{:x}", context.compute()))
}

fn consume(context: &mut md5::Context, bytes: &[u8]) {
    context.consume(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    context.consume(bytes);
}

/// The attributes that a receiver requests: `All` or `.*`, names, and prefixes such as `trace.*`.
pub(crate) fn select(attributes: &Attributes, wanted: &[String]) -> Attributes {
    let is_wanted = |name: &str| {
        wanted.iter().any(|pattern| {
            pattern == "All"
                || pattern == name
                || pattern.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix))
        })
    };
    attributes
        .iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(data_type: &str, text: Option<&str>, binary: Option<&str>) -> AttributeValue {
        AttributeValue {
            data_type: data_type.to_owned(),
            string_value: text.map(str::to_owned),
            binary_value: binary.map(str::to_owned),
        }
    }

    fn one(name: &str, value: AttributeValue) -> Attributes {
        Attributes::from([(name.to_owned(), value)])
    }

    #[test]
    fn the_digest_of_attributes_is_the_one_that_sdks_check() {
        let number =
            one("timestamp", attribute("Number.java.lang.Long", Some("1493147359900"), None));
        assert_eq!(md5_of_attributes(&number).as_deref(), Some("2e2e4876d8e0bd6b8c2c8f556831c349"));
        assert_eq!(md5_of_attributes(&Attributes::new()), None);
    }

    #[test]
    fn attributes_with_a_wrong_name_type_or_value_are_refused() {
        let good = || attribute("String", Some("x"), None);
        for name in ["", ".a", "a.", "a..b", "AWS.x", "amazon.y", "a b", &"n".repeat(257)] {
            assert!(check_attributes(&one(name, good())).is_err(), "{name}");
        }
        for value in [
            attribute("", Some("x"), None),
            attribute("Text", Some("x"), None),
            attribute("String", Some(""), None),
            attribute("String", None, Some("AAAA")),
            attribute("Binary", Some("x"), None),
            attribute("Binary", None, Some("not base64!")),
            attribute("Number", Some("nan"), None),
            attribute("Number", Some("twelve"), None),
        ] {
            assert!(check_attributes(&one("a", value.clone())).is_err(), "{value:?}");
        }
        assert!(check_attributes(&one("a.b-c_1", good())).is_ok());
        assert!(check_attributes(&one("a", attribute("Number.int", Some("-1.5e3"), None))).is_ok());
        let eleven = (0..11).map(|n| (format!("a{n}"), good())).collect();
        assert!(check_attributes(&eleven).is_err());
    }

    #[test]
    fn only_characters_of_xml_are_allowed_in_a_body() {
        assert!(check_body("tab\t newline\n \u{fffd} \u{1f980}").is_ok());
        for text in ["\u{0}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}", ""] {
            assert!(check_body(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_size_counts_body_names_types_and_decoded_values() {
        assert_eq!(
            size_bytes("12345", &one("ab", attribute("Binary", None, Some("AAAA")))),
            5 + 2 + 6 + 3
        );
    }

    #[test]
    fn a_receiver_selects_attributes_by_name_prefix_or_all() {
        let all: Attributes = ["trace.id", "trace.span", "other"]
            .map(|n| (n.to_owned(), attribute("String", Some("x"), None)))
            .into();
        let count = |pattern: &str| select(&all, &[pattern.to_owned()]).len();
        assert_eq!(
            [
                count("All"),
                count(".*"),
                count("trace.*"),
                count("other"),
                count("trace"),
                count("Other")
            ],
            [3, 3, 2, 1, 0, 0]
        );
    }
}
