//! The rules for an app's name.

use std::str::FromStr;

/// The longest name. Names of tables and queues add up to 40 characters, and must fit into 80.
const MAX_CHARS: usize = 32;

/// The name of an app: of its crate, of its programs, and of what it stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AppName(String);

/// Why a name is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidName {
    /// It breaks the rules for characters or length.
    #[error(
        "a name is 1 to 32 lower-case letters, digits and '-', begins with a letter and ends with none of '-'"
    )]
    Form,
    /// It is a keyword of Rust.
    #[error("{0:?} is a keyword of Rust, so no crate can have that name")]
    Keyword(String),
    /// It is reserved.
    #[error("{0:?} is used by Rust, Cargo or a crate that the app depends on")]
    Taken(String),
}

/// Rust's keywords, also the reserved ones.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "unsafe", "unsized", "use", "virtual", "where", "while", "yield", "union",
];
/// Crates that the app's code names, Rust's own crates, and folders of Cargo.
const TAKEN: [&str; 20] = [
    "alloc",
    "build",
    "core",
    "deps",
    "eventstore",
    "examples",
    "handlers",
    "incremental",
    "ledgerfold",
    "ledgerfold-eventstore",
    "ledgerfold-handlers",
    "ledgerfold-projections",
    "proc-macro",
    "projections",
    "serde",
    "serde-json",
    "std",
    "test",
    "thiserror",
    "utoipa",
];

impl FromStr for AppName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_known =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins_well = text.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins_well
            || text.ends_with('-')
            || text.len() > MAX_CHARS
            || !text.bytes().all(is_known)
        {
            return Err(InvalidName::Form);
        }
        if KEYWORDS.contains(&text) {
            return Err(InvalidName::Keyword(text.to_owned()));
        }
        if TAKEN.contains(&text) {
            return Err(InvalidName::Taken(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl AppName {
    /// The name.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the crate in Rust code.
    pub(super) fn in_code(&self) -> String {
        self.0.replace('-', "_")
    }
}

#[cfg(test)]
mod tests {
    use super::{AppName, InvalidName};

    #[test]
    fn a_crates_name_is_an_apps_name() {
        let longest = "a".repeat(32);
        for text in ["shop", "a", "book-shop", "shop-2", &longest] {
            assert_eq!(text.parse::<AppName>().unwrap().as_str(), text);
        }
        assert_eq!("book-shop".parse::<AppName>().unwrap().in_code(), "book_shop");
    }

    #[test]
    fn other_names_are_refused_with_their_rule() {
        let too_long = "a".repeat(33);
        for text in
            ["", "Shop", "2shop", "-shop", "shop-", "sh op", "sh_op", "../shop", "shöp", &too_long]
        {
            assert_eq!(text.parse::<AppName>(), Err(InvalidName::Form), "{text:?}");
        }
        assert_eq!("match".parse::<AppName>(), Err(InvalidName::Keyword("match".to_owned())));
        for text in ["test", "core", "handlers", "ledgerfold", "serde-json"] {
            assert_eq!(
                text.parse::<AppName>(),
                Err(InvalidName::Taken(text.to_owned())),
                "{text:?}"
            );
        }
    }
}
