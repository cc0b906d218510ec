//! An issuer of tokens: its keys are for these cases only.

use super::jwt::{Key, now_s};
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

pub(crate) const ISSUER: &str = "https://issuer.example/";
pub(crate) const AUDIENCE: &str = "bookshop";
const RSA: &str = include_str!("keys/rsa.pem");
const EC: &str = include_str!("keys/ec.pem");
/// The public half of the EC key, as its owner would publish it.
pub(crate) const EC_PUBLIC: &[u8] = include_bytes!("keys/ec.pub.pem");
const STRANGER: &str = include_str!("keys/stranger.pem");

/// A private key, with the name that a token's header gives it.
#[derive(Clone)]
pub(crate) struct Signer {
    kid: Option<&'static str>,
    key: Key,
}

impl Signer {
    pub(crate) fn rsa() -> Self {
        Self { kid: Some("rsa-1"), key: Key::rsa(RSA) }
    }

    pub(crate) fn ec() -> Self {
        Self { kid: Some("ec-1"), key: Key::ec(EC) }
    }

    /// An attacker whose own key has the issuer's key id.
    pub(crate) fn stranger() -> Self {
        Self { key: Key::ec(STRANGER), ..Self::ec() }
    }

    /// An attacker who uses a public key as a secret.
    pub(crate) fn secret(kid: &'static str, secret: &[u8]) -> Self {
        Self { kid: Some(kid), key: Key::secret(secret) }
    }

    /// The same key under another name, or none.
    pub(crate) fn named(self, kid: Option<&'static str>) -> Self {
        Self { kid, ..self }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.key.sign(self.kid, claims)
    }

    /// The public half, as an entry of a key set.
    pub(crate) fn published(&self) -> Value {
        self.key.published(self.kid)
    }
}

/// The key set of an issuer, as a file.
pub(crate) struct KeySetFile {
    folder: TempDir,
}

impl KeySetFile {
    /// With one key of each kind, and others that cannot verify tokens.
    pub(crate) fn new() -> Self {
        let mut encryption = Signer::ec().published();
        (encryption["kid"], encryption["use"]) = (json!("encryption"), json!("enc"));
        let secret = json!({"kty": "oct", "kid": "secret", "alg": "HS256", "k": "c2VjcmV0"});
        Self::publishing(&[Signer::rsa().published(), Signer::ec().published(), encryption, secret])
    }

    pub(crate) fn publishing(keys: &[Value]) -> Self {
        let folder = TempDir::new().unwrap();
        let set = json!({"keys": keys});
        std::fs::write(folder.path().join("jwks.json"), set.to_string()).unwrap();
        Self { folder }
    }

    /// Where its key set is.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("jwks.json")
    }

    /// The options of `dev` for this issuer.
    pub(crate) fn options(&self) -> Vec<String> {
        let file = self.file();
        ["--auth", file.to_str().unwrap(), "--issuer", ISSUER, "--audience", AUDIENCE]
            .map(str::to_owned)
            .to_vec()
    }
}

/// The claims of a token for that subject, valid for a while.
pub(crate) fn claims(subject: &str, scopes: &[&str]) -> Value {
    let now_s = now_s();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scopes.join(" "), "iat": now_s, "exp": now_s + 300})
}

/// Claims of anna, who may read, with one of them changed; without it, if it is null.
pub(crate) fn but(name: &str, value: Value) -> Value {
    let mut claims = claims("anna", &["ledgerfold/read"]);
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

/// That many seconds from now.
pub(crate) fn in_seconds(seconds: i64) -> Value {
    json!(i64::try_from(now_s()).unwrap() + seconds)
}
