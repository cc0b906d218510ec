//! The public keys of an issuer of tokens: a JSON Web Key Set.

use super::jwt_crypto;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

/// Bytes of an RSA modulus: of 2,048 to 4,096 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The keys of a set that can have signed a token, by `kid`.
#[derive(Debug)]
pub(super) struct KeySet(HashMap<String, Key>);

/// A key, and the one algorithm by which it signs.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file.
    #[error("the keys in {} cannot be read", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// What is in it.
    #[error("{place} is no JSON Web Key Set")]
    NoKeySet {
        /// The file or address.
        place: String,
        /// Where it differs.
        #[source]
        source: serde_json::Error,
    },
    /// Nothing in it checks a token.
    #[error("{place} has no key that checks a token: {reasons}")]
    NoKey {
        /// The file or address.
        place: String,
        /// What is wrong with each.
        reasons: String,
    },
    /// It is not clear which of two keys is meant.
    #[error("{place} has two keys of the id (kid) {kid:?}")]
    Twice {
        /// The file or address.
        place: String,
        /// The id of both.
        kid: String,
    },
}

impl KeySet {
    /// The keys of a file.
    pub(super) fn from_file(file: &Path) -> Result<Self, KeysError> {
        let json = std::fs::read(file);
        let json = json.map_err(|source| KeysError::Unreadable { file: file.to_owned(), source })?;
        Self::from_json(&json, &file.display().to_string())
    }

    /// The keys of a set that was found at that place. Those for other purposes and of other kinds are passed over, if one is left.
    pub(super) fn from_json(json: &[u8], place: &str) -> Result<Self, KeysError> {
        jwt_crypto::install();
        let place = || place.to_owned();
        let set: JwkSet =
            serde_json::from_slice(json).map_err(|source| KeysError::NoKeySet { place: place(), source })?;
        let (mut keys, mut reasons) = (HashMap::new(), Vec::new());
        for jwk in &set.keys {
            match usable(jwk) {
                Err(reason) => reasons.push(reason),
                Ok((kid, key)) => match keys.entry(kid) {
                    Entry::Vacant(vacant) => drop(vacant.insert(key)),
                    Entry::Occupied(same) => return Err(KeysError::Twice { place: place(), kid: same.key().clone() }),
                },
            }
        }
        if keys.is_empty() {
            let reasons = if reasons.is_empty() { "it is empty".to_owned() } else { reasons.join("; ") };
            return Err(KeysError::NoKey { place: place(), reasons });
        }
        Ok(Self(keys))
    }

    /// The key of that id.
    pub(super) fn get(&self, kid: &str) -> Option<&Key> {
        self.0.get(kid)
    }
}

/// A key with its id, or why it checks no token.
fn usable(jwk: &Jwk) -> Result<(String, Key), String> {
    let kid = jwk.common.key_id.clone().ok_or("a key has no id (kid)")?;
    let unfit = |rule: &str| format!("{kid:?} {rule}");
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
        return Err(unfit("is not for signatures (use)"));
    }
    let algorithm = algorithm(&jwk.algorithm).ok_or_else(|| unfit("is neither RSA nor of the curve P-256"))?;
    if jwk.common.key_algorithm.is_some_and(|said| said != algorithm.into()) {
        return Err(unfit(&format!("does not sign by {algorithm:?} (alg)")));
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|_| unfit("is not base64url"))?;
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } if !RSA_MODULUS_BYTES.contains(&n.len()) => {
            Err(unfit("has not 2,048 to 4,096 bits"))
        }
        DecodingKeyKind::SecretOrDer(point) if !jwt_crypto::is_point_of_p256(point) => {
            Err(unfit("is no point of its curve"))
        }
        DecodingKeyKind::RsaModulusExponent { .. } | DecodingKeyKind::SecretOrDer(_) => {
            Ok((kid, Key { algorithm, key }))
        }
    }
}

/// The one algorithm by which keys of that kind sign tokens here. A secret is none: who knows the public keys could sign by it.
fn algorithm(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    if let AlgorithmParameters::RSA(_) = parameters {
        return Some(Algorithm::RS256);
    }
    let AlgorithmParameters::EllipticCurve(key) = parameters else { return None };
    (key.curve == EllipticCurve::P256).then_some(Algorithm::ES256)
}
