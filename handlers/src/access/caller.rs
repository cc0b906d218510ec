//! The caller of a request, and its scopes.

use crate::access::system_actors::{ACTOR_OF_SYSTEM, is_actor_of_system};
use crate::app::identity;
use eventstore::{Id, InvalidId};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Send commands, and read their status.
    Write,
    /// Read read models.
    Read,
    /// Query the audit trail.
    Audit,
    /// Operate projections.
    Operate,
}

/// Who sends a request, and what it may do. The authorizer puts it among the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's subject.
    pub actor: Id,
    /// What the token grants.
    pub scopes: BTreeSet<Scope>,
}

/// The claims of a token name no caller that can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCaller {
    /// There is no `sub`, or it is not text.
    #[error("the token has no subject: the claim sub, which is recorded as the actor")]
    NoSubject,
    /// The subject is the name of a part of the system.
    #[error("the token's subject (sub), which is recorded as the actor, {ACTOR_OF_SYSTEM}")]
    OfSystem,
    /// The subject is not an id.
    #[error("the token's subject (sub), which is recorded as the actor, does not fit")]
    Subject(#[source] InvalidId),
}

/// A request without a valid token (401).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unauthorized {
    /// There is no token.
    #[error("a token is needed: Authorization: Bearer <token>")]
    Missing,
    /// The token is not valid, for this reason.
    #[error("{0}")]
    InvalidToken(String),
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Write, Self::Read, Self::Audit, Self::Operate];

    /// The name of the scope in a token: the app's name and a word.
    pub fn name(self) -> &'static str {
        let [write, read, audit, operate] = &identity().scopes;
        match self {
            Self::Write => write,
            Self::Read => read,
            Self::Audit => audit,
            Self::Operate => operate,
        }
    }

    /// The purpose of the scope, as a clause.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Write => "send commands and read their status",
            Self::Read => "read read models",
            Self::Audit => "query who did what, when and why; each query is recorded",
            Self::Operate => "read the status of projections, rebuild and resume them",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

impl Caller {
    /// The caller that the claims of a checked token name. `sub` is the actor. Scopes are those
    /// that the API gateway lists as `granted`, and those of the claim `scope`, or else `scp`: a
    /// list, or text with spaces. Unknown scopes are ignored.
    ///
    /// The API gateway passes all claims as text, a list as `[a b]`.
    ///
    /// # Errors
    /// [`InvalidCaller`]: the token has no subject, or one that cannot be recorded.
    pub fn from_claims(
        claims: &Map<String, Value>,
        granted: &[String],
    ) -> Result<Self, InvalidCaller> {
        let subject = claims.get("sub").and_then(Value::as_str).ok_or(InvalidCaller::NoSubject)?;
        let actor = Id::new(subject).map_err(InvalidCaller::Subject)?;
        if is_actor_of_system(&actor) {
            return Err(InvalidCaller::OfSystem);
        }
        let claimed =
            claims.get("scope").or_else(|| claims.get("scp")).map(names).unwrap_or_default();
        let granted = granted.iter().map(String::as_str);
        Ok(Self { actor, scopes: granted.chain(claimed).filter_map(Scope::named).collect() })
    }
}

impl Unauthorized {
    /// The value of the header `WWW-Authenticate` (RFC 6750, section 3).
    pub(crate) fn challenge(&self) -> String {
        let realm = &identity().name;
        match self {
            Self::Missing => format!(r#"Bearer realm="{realm}""#),
            Self::InvalidToken(_) => format!(r#"Bearer realm="{realm}", error="invalid_token""#),
        }
    }
}

/// The names in a claim.
fn names(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => {
            text.trim_start_matches('[').trim_end_matches(']').split_whitespace().collect()
        }
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use serde_json::json;

    fn caller(claims: Value, granted: &[&str]) -> Result<Caller, InvalidCaller> {
        let granted: Vec<String> = granted.iter().map(|&name| name.to_owned()).collect();
        Caller::from_claims(claims.as_object().unwrap(), &granted)
    }

    #[test]
    fn scopes_come_from_claims_and_from_the_gateway() {
        let both = BTreeSet::from([Scope::Write, Scope::Read]);
        for (claims, granted) in [
            (json!({"scope": "ledgerfold/read openid ledgerfold/write"}), vec![]),
            (json!({"scp": ["ledgerfold/write", "ledgerfold/read", 7]}), vec![]),
            (json!({"scp": "[ledgerfold/write ledgerfold/read]"}), vec![]),
            (json!({"scope": "ledgerfold/read"}), vec!["ledgerfold/write"]),
            (
                json!({"scope": "ledgerfold/read ledgerfold/write", "scp": ["ledgerfold/audit"]}),
                vec![],
            ),
            (json!({}), vec!["ledgerfold/write", "ledgerfold/read", "ledgerfold/nonsense"]),
        ] {
            let mut claims = claims;
            claims["sub"] = json!("anna");
            let caller = caller(claims.clone(), &granted).unwrap();
            assert_eq!((caller.actor.as_str(), &caller.scopes), ("anna", &both), "{claims}");
        }
    }

    #[test]
    fn similar_scopes_grant_nothing() {
        for scope in [
            "ledgerfold",
            "write",
            "LEDGERFOLD/WRITE",
            "ledgerfold/write2",
            "ledgerfold/",
            "",
            "ledgerfold/read,x",
        ] {
            assert_eq!(
                caller(json!({"sub": "anna", "scope": scope}), &[scope]).unwrap().scopes,
                BTreeSet::new()
            );
        }
        for scope in [
            json!(null),
            json!(7),
            json!({"ledgerfold/write": true}),
            json!([["ledgerfold/write"]]),
        ] {
            assert_eq!(
                caller(json!({"sub": "anna", "scope": scope}), &[]).unwrap().scopes,
                BTreeSet::new()
            );
        }
    }

    #[test]
    fn a_subject_that_cannot_be_recorded_is_rejected() {
        for claims in [json!({}), json!({"sub": 7}), json!({"sub": null})] {
            assert_eq!(caller(claims, &[]), Err(InvalidCaller::NoSubject));
        }
        for subject in [String::new(), "two words".to_owned(), "ä".to_owned(), "x".repeat(129)] {
            assert!(matches!(caller(json!({"sub": subject}), &[]), Err(InvalidCaller::Subject(_))));
        }
        assert!(caller(json!({"sub": "x".repeat(128)}), &[]).is_ok());
    }
}
