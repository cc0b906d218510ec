//! The id of an order.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::QuotedInput;

/// The id of an order: a UUID, written in lower case with hyphens. Upper case is read, too.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "String")]
#[schema(value_type = Uuid)]
pub struct OrderId(Uuid);

/// Why a text is no [`OrderId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an order id must be a uuid in its form of 36 characters with hyphens, not {given}")]
pub struct OrderIdError {
    /// The input.
    pub given: QuotedInput,
}

impl OrderId {
    /// The id with this UUID. Every UUID is valid.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl TryFrom<String> for OrderId {
    type Error = OrderIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hyphenated = text.len() == uuid::fmt::Hyphenated::LENGTH;
        let uuid = if hyphenated { Uuid::try_parse(&text).ok() } else { None };
        uuid.map(Self).ok_or_else(|| OrderIdError { given: QuotedInput::new(&text) })
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod specs {
    use super::OrderId;
    use crate::samples::{accepted, refused};

    #[test]
    fn a_hyphenated_uuid_is_accepted() {
        accepted::<OrderId>(r#""6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11""#);
    }

    #[test]
    fn upper_case_names_the_same_order() {
        let read = |text: &str| OrderId::try_from(text.to_owned()).unwrap();
        assert_eq!(
            read("6F0F7C1E-7A44-5C38-9C1B-0D8A4F1F2E11"),
            read("6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11")
        );
    }

    #[test]
    fn other_forms_of_a_uuid_are_refused() {
        for text in [
            "6f0f7c1e7a445c389c1b0d8a4f1f2e11",
            "{6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11}",
            "urn:uuid:6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11",
            "6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e1x",
            "",
        ] {
            refused::<OrderId>(
                &format!("{text:?}"),
                &format!(
                    "an order id must be a uuid in its form of 36 characters with hyphens, not {text:?}"
                ),
            );
        }
    }
}
