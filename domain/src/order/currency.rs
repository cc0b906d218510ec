//! The currency of an order.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::QuotedInput;

/// The alphabetic code of a currency (ISO 4217), such as `EUR`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Currency(String);

/// Why a text is no [`Currency`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CurrencyError {
    /// Not three letters from A to Z.
    #[error("a currency must be three upper-case letters, not {0}")]
    NotThreeLetters(QuotedInput),
    /// Not the code of a currency.
    #[error("a currency must be an active code of ISO 4217 that has minor units, not {0}")]
    Unknown(QuotedInput),
}

/// The active codes of ISO 4217, list one, as of February 2026, in alphabetic order. Codes without
/// minor units (metals, units of account, XTS, XXX) are omitted, because prices are in minor units.
/// A code that ISO withdraws stays here: its orders must still load.
#[rustfmt::skip]
const ACTIVE_CODES: [&str; 165] = [
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BHD", "BIF", "BMD", "BND",
    "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CLF", "CLP", "CNY",
    "COP", "COU", "CRC", "CUP", "CVE", "CZK", "DJF", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP",
    "GBP", "GEL", "GHS", "GIP", "GMD", "GNF", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IQD",
    "IRR", "ISK", "JMD", "JOD", "JPY", "KES", "KGS", "KHR", "KMF", "KPW", "KRW", "KWD", "KYD", "KZT", "LAK", "LBP",
    "LKR", "LRD", "LSL", "LYD", "MAD", "MDL", "MGA", "MKD", "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN",
    "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "OMR", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN",
    "PYG", "QAR", "RON", "RSD", "RUB", "RWF", "SAR", "SBD", "SCR", "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD",
    "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TND", "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "UGX",
    "USD", "USN", "UYI", "UYU", "UYW", "UZS", "VED", "VES", "VND", "VUV", "WST", "XAD", "XAF", "XCD", "XCG", "XOF",
    "XPF", "YER", "ZAR", "ZMW", "ZWG",
];

impl PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        let codes = Self::CODES.iter().copied();
        let object = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes));
        object.description(Some("A currency by its code, ISO 4217")).into()
    }
}

impl ToSchema for Currency {}

impl Currency {
    /// The codes of all currencies, in alphabetic order.
    pub const CODES: &[&str] = &ACTIVE_CODES;

    /// The three letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Currency {
    type Error = CurrencyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() != 3 || !text.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Err(CurrencyError::NotThreeLetters(QuotedInput::new(&text)));
        }
        match ACTIVE_CODES.binary_search(&text.as_str()) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(CurrencyError::Unknown(QuotedInput::new(&text))),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod specs {
    use super::{ACTIVE_CODES, Currency};
    use crate::samples::{accepted, refused};

    #[test]
    fn every_active_code_is_accepted() {
        assert!(ACTIVE_CODES.is_sorted(), "a binary search needs the codes in order");
        for code in ACTIVE_CODES {
            accepted::<Currency>(&format!("{code:?}"));
        }
    }

    #[test]
    fn only_three_upper_case_letters_are_a_code() {
        for text in ["eur", "EU", "EURO", "E R", "€", "", "ÄÖÜ"] {
            refused::<Currency>(
                &format!("{text:?}"),
                &format!("a currency must be three upper-case letters, not {text:?}"),
            );
        }
    }

    #[test]
    fn withdrawn_invented_and_moneyless_codes_are_refused() {
        for text in ["DEM", "HRK", "BGN", "ZZZ", "XXX", "XTS", "XAU"] {
            refused::<Currency>(
                &format!("{text:?}"),
                &format!(
                    "a currency must be an active code of ISO 4217 that has minor units, not {text:?}"
                ),
            );
        }
    }
}
