//! Verifies AWS Signature Version 4 as AWS does.
//!
//! Source:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//! The request's age is not checked: a key is valid for one start of the engines only.

use super::RequestRefusal;
use crate::local::engines::access_key::AccessKey;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use chrono::NaiveDateTime;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use subtle::ConstantTimeEq;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Headers that a signature must cover: destination, time of signing, and operation.
const SIGNED: [&str; 3] = ["host", "x-amz-date", "x-amz-target"];
/// Cached signing keys: enough for all services on two dates.
const MAX_SIGNING_KEYS: usize = 8;

/// Verifies signatures of one access key.
pub(super) struct Verifier {
    key: AccessKey,
    /// Signing keys by scope. Each costs four hashes.
    signing_keys: Mutex<Vec<(String, Vec<u8>)>>,
}

/// The parsed header `Authorization`.
struct Authorization<'a> {
    key_id: &'a str,
    /// Date, region, service and `aws4_request`, separated by slashes.
    scope: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl Verifier {
    pub(super) fn new(key: AccessKey) -> Self {
        Self { key, signing_keys: Mutex::default() }
    }

    /// Verifies that the key signed method, path, the named headers and the body.
    pub(super) fn verify(&self, request: &Parts, body: &[u8]) -> Result<(), RequestRefusal> {
        let text = single(&request.headers, header::AUTHORIZATION.as_str());
        let text = text.ok_or(RequestRefusal::NotSigned("has no Authorization header"))?;
        let authorization = Authorization::parse(text)
            .ok_or(RequestRefusal::NotSigned("has no signature of version 4 in Authorization"))?;
        if !bool::from(authorization.key_id.as_bytes().ct_eq(self.key.id.as_bytes())) {
            return Err(RequestRefusal::UnknownKey);
        }
        if request.uri.query().is_some_and(|query| !query.is_empty()) {
            return Err(RequestRefusal::NotSigned("has a query, which no operation needs"));
        }
        let time = single(&request.headers, "x-amz-date")
            .ok_or(RequestRefusal::NotSigned("has no X-Amz-Date header"))?;
        let canonical = canonical_request(request, authorization.signed_headers, body)?;
        let to_sign = format!(
            "{ALGORITHM}\n{time}\n{}\n{}",
            authorization.scope,
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let signing_key = self.signing_key(authorization.scope, time)?;
        let expected = calculate_signature(signing_key, to_sign.as_bytes());
        let matches = expected.as_bytes().ct_eq(authorization.signature.as_bytes());
        if bool::from(matches) { Ok(()) } else { Err(RequestRefusal::WrongSignature) }
    }

    /// The signing key of a scope. Its date must be the request's.
    fn signing_key(&self, scope: &str, time: &str) -> Result<Vec<u8>, RequestRefusal> {
        let malformed = RequestRefusal::NotSigned("has a malformed credential scope or X-Amz-Date");
        let [date, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..]
        else {
            return Err(malformed);
        };
        let signed_at = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ")
            .ok()
            .filter(|_| time.starts_with(date));
        let Some(signed_at) = signed_at else { return Err(malformed) };
        // After a panic elsewhere the list is still valid.
        let mut keys = self.signing_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, key)) = keys.iter().find(|(known, _)| known == scope) {
            return Ok(key.clone());
        }
        let signed_at = SystemTime::from(signed_at.and_utc());
        let key =
            generate_signing_key(&self.key.secret, signed_at, region, service).as_ref().to_vec();
        if keys.len() >= MAX_SIGNING_KEYS {
            keys.remove(0);
        }
        keys.push((scope.to_owned(), key.clone()));
        Ok(key)
    }
}

impl<'a> Authorization<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let part = |name: &str| {
            let mut parts = rest.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let (key_id, scope) = part("Credential")?.split_once('/')?;
        Some(Self {
            key_id,
            scope,
            signed_headers: part("SignedHeaders")?,
            signature: part("Signature")?,
        })
    }
}

pub(super) fn canonical_request(
    request: &Parts,
    signed_headers: &str,
    body: &[u8],
) -> Result<String, RequestRefusal> {
    let names: Vec<&str> = signed_headers.split(';').collect();
    if SIGNED.iter().any(|must| !names.contains(must)) {
        return Err(RequestRefusal::NotSigned(
            "has a signature that leaves out Host, X-Amz-Date or X-Amz-Target",
        ));
    }
    let mut canonical = format!("{}\n{}\n\n", request.method, canonical_path(request.uri.path()));
    for name in names {
        let value =
            canonical_value(&request.headers, name).ok_or(RequestRefusal::WrongSignature)?;
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(canonical, "{name}:{value}");
    }
    let _ = write!(canonical, "\n{signed_headers}\n{}", hex(&Sha256::digest(body)));
    Ok(canonical)
}

/// The path, encoded a second time, as all services but S3 require.
fn canonical_path(path: &str) -> String {
    let mut canonical = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            canonical.push(char::from(byte));
        } else {
            let _ = write!(canonical, "%{byte:02X}");
        }
    }
    canonical
}

/// All values of a header, with single spaces.
fn canonical_value(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(name).iter().map(|value| {
        let text = value.to_str().ok()?;
        Some(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    });
    let values = values.collect::<Option<Vec<_>>>()?;
    if values.is_empty() { None } else { Some(values.join(",")) }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
