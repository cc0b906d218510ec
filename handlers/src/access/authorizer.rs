//! Checks the token of each request, as the JWT authorizer of AWS's API gateway does.
//!
//! It checks the signature by `kid`, then `iss`, `aud` (or `client_id` without `aud`), `exp`, `nbf`
//! and `iat`. Unlike AWS, it accepts ES256 besides RS256. Keys come from a file, read once, or from
//! the issuer's address.

use super::caller::{Caller, Unauthorized};
use super::issuer_keys::IssuerKeys;
use super::key_set::{KeySet, KeysError, VerificationKey};
use super::scopes::is_public;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Validation, decode};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The largest difference between the issuer's clock and ours, in seconds.
pub const LEEWAY_S: f64 = 60.0;
/// The longest token, in bytes. The API gateway accepts no more in all headers together.
pub const MAX_TOKEN_BYTES: usize = 10_240;
/// How many characters of a token's text an error repeats at most.
const SHOWN_CHARS: usize = 64;

/// Checks tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Authorizer {
    keys: Keys,
    issuer: String,
    audience: String,
}

#[derive(Debug)]
enum Keys {
    /// From a file, read once.
    Fixed(Arc<KeySet>),
    /// From the issuer's address, renewed.
    OfIssuer(Arc<IssuerKeys>),
}

impl Keys {
    fn current(&self) -> Arc<KeySet> {
        match self {
            Self::Fixed(keys) => Arc::clone(keys),
            Self::OfIssuer(keys) => keys.current(),
        }
    }
}

/// The header of a token, which is not verified yet.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Authorizer {
    /// An authorizer with the keys of a file: a JSON Web Key Set (RFC 7517).
    ///
    /// # Errors
    /// [`KeysError`]: the file cannot be read, is not a key set, or has no usable key.
    pub fn from_file(file: &Path, issuer: &str, audience: &str) -> Result<Self, KeysError> {
        let keys = Keys::Fixed(Arc::new(KeySet::from_file(file)?));
        Ok(Self { keys, issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// An authorizer with the keys of an issuer's address. A token with an unknown key makes it
    /// fetch them again.
    #[must_use]
    pub fn of_issuer(keys: Arc<IssuerKeys>, audience: &str) -> Self {
        let issuer = keys.issuer().to_owned();
        Self { keys: Keys::OfIssuer(keys), issuer, audience: audience.to_owned() }
    }

    /// The caller that a token names, if the token is valid at this time.
    ///
    /// # Errors
    /// [`Unauthorized::InvalidToken`] with the rule that it breaks.
    pub fn caller(&self, token: &str, now: SystemTime) -> Result<Caller, Unauthorized> {
        let claims = self
            .signed(token)
            .and_then(|claims| self.current(claims, now))
            .map_err(Unauthorized::InvalidToken)?;
        Caller::from_claims(&claims, &[])
            .map_err(|error| Unauthorized::InvalidToken(error.to_string()))
    }

    /// The same, after the keys were fetched again if the token names an unknown one.
    async fn caller_renewing(&self, token: &str, now: SystemTime) -> Result<Caller, Unauthorized> {
        if let Keys::OfIssuer(keys) = &self.keys
            && let Ok(Header { kid: Some(kid), .. }) = header(token)
        {
            keys.renew_for(&kid).await;
        }
        self.caller(token, now)
    }

    /// The claims, if their signature is valid.
    fn signed(&self, token: &str) -> Result<Map<String, Value>, String> {
        let header = header(token)?;
        if header.crit.is_some() {
            return Err("the token's header has crit, but no extension is supported".to_owned());
        }
        let kid = header.kid.ok_or("the token's header names no key (kid)")?;
        let keys = self.keys.current();
        let Some(VerificationKey { algorithm, key }) = keys.get(&kid) else {
            return Err(format!("the issuer has no key (kid) {}", shown(&kid)));
        };
        if header.alg != format!("{algorithm:?}") {
            return Err(format!(
                "the token's alg is {}, but its key signs with {algorithm:?}",
                shown(&header.alg)
            ));
        }
        let mut signature_only = Validation::new(*algorithm);
        (signature_only.validate_exp, signature_only.validate_aud) = (false, false);
        signature_only.required_spec_claims.clear();
        let data = decode(token, key, &signature_only);
        data.map(|data| data.claims).map_err(|_| "the token's signature is not valid".to_owned())
    }

    /// The claims, if issuer, audience and times are right.
    fn current(
        &self,
        claims: Map<String, Value>,
        now: SystemTime,
    ) -> Result<Map<String, Value>, String> {
        if text(&claims, "iss")? != self.issuer {
            return Err(format!("the token's issuer (iss) must be {}", self.issuer));
        }
        if !is_for(&claims, &self.audience) {
            return Err(format!(
                "the token's audience (aud, or else client_id) must be {}",
                self.audience
            ));
        }
        let now_s =
            now.duration_since(UNIX_EPOCH).map_err(|_| "the clock is before 1970")?.as_secs_f64();
        let expires_s = time(&claims, "exp")?.ok_or("the token has no end (exp)")?;
        if now_s - LEEWAY_S >= expires_s {
            return Err("the token has expired (exp)".to_owned());
        }
        for claim in ["nbf", "iat"] {
            if time(&claims, claim)?.is_some_and(|begins_s| begins_s > now_s + LEEWAY_S) {
                return Err(format!("the token is not valid yet ({claim})"));
            }
        }
        Ok(claims)
    }
}

/// Checks the token of a request and puts its caller among the extensions. A request without a
/// token passes on: the API answers that it needs one.
pub async fn authorize(
    State(authorizer): State<Arc<Authorizer>>,
    mut request: Request,
    next: Next,
) -> Response {
    if is_public(request.uri().path()) {
        return next.run(request).await;
    }
    let caller = match bearer(request.headers()) {
        None => return next.run(request).await,
        Some(Err(unauthorized)) => Err(unauthorized),
        Some(Ok(token)) => authorizer.caller_renewing(token, SystemTime::now()).await,
    };
    match caller {
        Err(unauthorized) => unauthorized.into_response(),
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
    }
}

/// The token of a request, if it has one.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, Unauthorized>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next()?;
    let invalid =
        |rule: &str| Some(Err(Unauthorized::InvalidToken(format!("Authorization {rule}"))));
    if values.next().is_some() {
        return invalid("must be sent once");
    }
    match first.to_str().ok().and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("Bearer") => Some(Ok(token)),
        Some(_) | None => invalid("must be: Bearer <token>"),
    }
}

/// The first of the token's three parts.
fn header(token: &str) -> Result<Header, String> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(format!("the token has more than {MAX_TOKEN_BYTES} bytes"));
    }
    let [header, _, _] = token.split('.').collect::<Vec<_>>()[..] else {
        return Err("the token must be header, claims and signature, separated by dots".to_owned());
    };
    let json = URL_SAFE_NO_PAD.decode(header).map_err(|_| "the token's header is not base64url")?;
    serde_json::from_slice(&json)
        .map_err(|_| "the token's header is not a JSON object with alg".to_owned())
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<&'a str, String> {
    claims
        .get(claim)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("the token has no {claim}, or it is not text"))
}

/// A time in seconds since 1970, if there is one.
fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<f64>, String> {
    let seconds = |value: &Value| {
        value.as_f64().ok_or_else(|| format!("the token's {claim} is not a time in seconds"))
    };
    claims.get(claim).map(seconds).transpose()
}

/// Whether a token is for that audience. Access tokens of Cognito have a `client_id` instead of
/// `aud`.
fn is_for(claims: &Map<String, Value>, audience: &str) -> bool {
    match claims.get("aud").or_else(|| claims.get("client_id")) {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(some)) => some.iter().any(|one| one == audience),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    }
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(SHOWN_CHARS).collect::<String>())
}
