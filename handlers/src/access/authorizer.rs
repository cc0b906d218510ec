//! What the JWT authorizer of AWS's API gateway does, on this machine: it checks the token of each request that needs one, and
//! hands the caller on.
//!
//! As there: signature by `kid`, `iss`, `aud` (or `client_id`, where there is no `aud`), `exp`, `nbf`, `iat`. Unlike there, ES256 is
//! taken beside RS256. Keys come from a file that is read once, or from the issuer's address.

use super::caller::{Caller, Unauthorized};
use super::issuer_keys::IssuerKeys;
use super::key_set::{Key, KeySet, KeysError};
use super::scopes::is_for_everybody;
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

/// How far the issuer's clock may be from ours, in seconds.
pub const LEEWAY_S: f64 = 60.0;
/// The longest token, in bytes: the API gateway takes no more in all headers together.
pub const MAX_TOKEN_BYTES: usize = 10_240;
/// A reason repeats at most this many characters of what a token says.
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
    /// Of a file, read once.
    Fixed(Arc<KeySet>),
    /// Of the issuer's address, renewed.
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

/// What the first part of a token says of itself, before anything is believed.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Authorizer {
    /// An authorizer with the keys of a JSON Web Key Set (RFC 7517), read now.
    ///
    /// # Errors
    /// [`KeysError`]: the file cannot be read, is no key set, or has no key that could have signed a token.
    pub fn from_file(file: &Path, issuer: &str, audience: &str) -> Result<Self, KeysError> {
        let keys = Keys::Fixed(Arc::new(KeySet::from_file(file)?));
        Ok(Self { keys, issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// An authorizer with the keys of the issuer's address. An unknown key lets them be fetched again.
    #[must_use]
    pub fn of_issuer(keys: Arc<IssuerKeys>, audience: &str) -> Self {
        let issuer = keys.issuer().to_owned();
        Self { keys: Keys::OfIssuer(keys), issuer, audience: audience.to_owned() }
    }

    /// The caller whom a token names, if it is valid at this time.
    ///
    /// # Errors
    /// [`Unauthorized::InvalidToken`] with the rule that it breaks.
    pub fn caller(&self, token: &str, now: SystemTime) -> Result<Caller, Unauthorized> {
        let claims =
            self.signed(token).and_then(|claims| self.current(claims, now)).map_err(Unauthorized::InvalidToken)?;
        Caller::from_claims(&claims, &[]).map_err(|error| Unauthorized::InvalidToken(error.to_string()))
    }

    /// The same, after the issuer was asked for its keys again where the token names an unknown one.
    async fn caller_renewing(&self, token: &str, now: SystemTime) -> Result<Caller, Unauthorized> {
        if let Keys::OfIssuer(keys) = &self.keys
            && let Ok(Header { kid: Some(kid), .. }) = header(token)
        {
            keys.renew_for(&kid).await;
        }
        self.caller(token, now)
    }

    /// The claims, if one of the keys has signed them.
    fn signed(&self, token: &str) -> Result<Map<String, Value>, String> {
        let header = header(token)?;
        if header.crit.is_some() {
            return Err("the token's header has crit: extensions are not understood".to_owned());
        }
        let kid = header.kid.ok_or("the token's header names no key: kid")?;
        let keys = self.keys.current();
        let Some(Key { algorithm, key }) = keys.get(&kid) else {
            return Err(format!("the token's key (kid) {} is none of the issuer's", shown(&kid)));
        };
        if header.alg != format!("{algorithm:?}") {
            return Err(format!("the token's alg is {}, and its key signs by {algorithm:?}", shown(&header.alg)));
        }
        let mut signature_only = Validation::new(*algorithm);
        (signature_only.validate_exp, signature_only.validate_aud) = (false, false);
        signature_only.required_spec_claims.clear();
        let data = decode(token, key, &signature_only);
        data.map(|data| data.claims).map_err(|_| "the token's signature is not that of its issuer".to_owned())
    }

    /// The claims, if they are for us and for now.
    fn current(&self, claims: Map<String, Value>, now: SystemTime) -> Result<Map<String, Value>, String> {
        if text(&claims, "iss")? != self.issuer {
            return Err(format!("the token's issuer (iss) must be {}", self.issuer));
        }
        if !is_for(&claims, &self.audience) {
            return Err(format!("the token's audience (aud, or else client_id) must be {}", self.audience));
        }
        let now_s = now.duration_since(UNIX_EPOCH).map_err(|_| "the clock stands before 1970")?.as_secs_f64();
        let expires_s = time(&claims, "exp")?.ok_or("the token says no end: exp")?;
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

/// Checks the token of a request that needs one, and puts its caller among the extensions. A request without a token goes on: the API
/// itself answers that it needs one.
pub async fn authorize(State(authorizer): State<Arc<Authorizer>>, mut request: Request, next: Next) -> Response {
    if is_for_everybody(request.uri().path()) {
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

/// The token of a request, where it has one.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, Unauthorized>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let first = values.next()?;
    let invalid = |rule: &str| Some(Err(Unauthorized::InvalidToken(format!("Authorization {rule}"))));
    if values.next().is_some() {
        return invalid("must be given once");
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
        return Err("the token is not header, claims and signature with dots between".to_owned());
    };
    let json = URL_SAFE_NO_PAD.decode(header).map_err(|_| "the token's header is not base64url")?;
    serde_json::from_slice(&json).map_err(|_| "the token's header is no JSON object with alg".to_owned())
}

fn text<'a>(claims: &'a Map<String, Value>, claim: &str) -> Result<&'a str, String> {
    claims.get(claim).and_then(Value::as_str).ok_or_else(|| format!("the token has no {claim}, or none that is text"))
}

/// A time in seconds since 1970, where there is one.
fn time(claims: &Map<String, Value>, claim: &str) -> Result<Option<f64>, String> {
    let seconds = |value: &Value| value.as_f64().ok_or_else(|| format!("the token's {claim} is no time in seconds"));
    claims.get(claim).map(seconds).transpose()
}

/// Whether a token is for that audience. Cognito's access tokens have no `aud`, but the client that they were made for.
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
