//! Signs a request again after the wire has changed its body, because the engine verifies
//! signatures.

use aws_sdk_dynamodb::config::http::HttpRequest;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use chrono::NaiveDateTime;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const SIGNATURE: &str = "Signature=";

/// The new value of `Authorization`; none for an unsigned request.
pub(crate) fn authorization(request: &HttpRequest, secret: &str) -> Option<String> {
    let before = request.headers().get("authorization")?;
    let part = |name: &str| before.split([' ', ',']).find_map(|part| part.strip_prefix(name));
    let (_, scope) = part("Credential=")?.split_once('/')?;
    let mut scopes = scope.split('/').skip(1);
    let (region, service) = (scopes.next()?, scopes.next()?);
    let signed_headers = part("SignedHeaders=")?;
    let time = request.headers().get("x-amz-date")?;
    let mut canonical = format!("{}\n/\n\n", request.method());
    for name in signed_headers.split(';') {
        let value = match request.headers().get(name) {
            Some(value) => value,
            // The connector adds it.
            None if name == "host" => request.uri().split('/').nth(2)?,
            None => return None,
        };
        writeln!(canonical, "{name}:{}", value.trim()).ok()?;
    }
    write!(canonical, "\n{signed_headers}\n{}", hex(request.body().bytes()?)?).ok()?;
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(canonical.as_bytes())?);
    let signed_at = NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%SZ").ok()?.and_utc();
    let key = generate_signing_key(secret, signed_at.into(), region, service);
    let (unsigned, _) = before.rsplit_once(SIGNATURE)?;
    Some(format!("{unsigned}{SIGNATURE}{}", calculate_signature(key, to_sign.as_bytes())))
}

/// The SHA-256 of the bytes.
fn hex(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    Sha256::digest(bytes).iter().try_for_each(|byte| write!(text, "{byte:02x}")).ok()?;
    Some(text)
}
