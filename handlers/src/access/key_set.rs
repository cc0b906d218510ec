//! The public keys of an issuer: a JSON Web Key Set.

use super::jwt_crypto;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

/// The length of an RSA modulus: 2,048 to 4,096 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// The keys of a set that can verify tokens, by `kid`.
#[derive(Debug)]
pub(super) struct KeySet(HashMap<String, VerificationKey>);

/// A key, and the only algorithm it is used with.
#[derive(Debug)]
pub(super) struct VerificationKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("the keys in {} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is not a key set.
    #[error("{place} is not a JSON Web Key Set")]
    NoKeySet {
        /// The file or address.
        place: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// No key in it can verify tokens.
    #[error("{place} has no key that can verify tokens: {reasons}")]
    NoKey {
        /// The file or address.
        place: String,
        /// The reason for each key.
        reasons: String,
    },
    /// Two keys have the same id.
    #[error("{place} has two keys with the id (kid) {kid:?}")]
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
        let json =
            json.map_err(|source| KeysError::Unreadable { file: file.to_owned(), source })?;
        Self::from_json(&json, &file.display().to_string())
    }

    /// The keys of a set. Unusable keys are skipped if there is a usable one. `place` is its file
    /// or address.
    pub(super) fn from_json(json: &[u8], place: &str) -> Result<Self, KeysError> {
        jwt_crypto::install();
        let place = || place.to_owned();
        let set: JwkSet = serde_json::from_slice(json)
            .map_err(|source| KeysError::NoKeySet { place: place(), source })?;
        let (mut keys, mut reasons) = (HashMap::new(), Vec::new());
        for jwk in &set.keys {
            match usable(jwk) {
                Err(reason) => reasons.push(reason),
                Ok((kid, key)) => match keys.entry(kid) {
                    Entry::Vacant(vacant) => drop(vacant.insert(key)),
                    Entry::Occupied(same) => {
                        return Err(KeysError::Twice { place: place(), kid: same.key().clone() });
                    }
                },
            }
        }
        if keys.is_empty() {
            let reasons =
                if reasons.is_empty() { "it is empty".to_owned() } else { reasons.join("; ") };
            return Err(KeysError::NoKey { place: place(), reasons });
        }
        Ok(Self(keys))
    }

    /// The key of that id.
    pub(super) fn get(&self, kid: &str) -> Option<&VerificationKey> {
        self.0.get(kid)
    }
}

/// A key with its id, or why it cannot verify tokens.
fn usable(jwk: &Jwk) -> Result<(String, VerificationKey), String> {
    let kid = jwk.common.key_id.clone().ok_or("a key has no id (kid)")?;
    let unfit = |rule: &str| format!("{kid:?} {rule}");
    if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
    {
        return Err(unfit("is not for signatures (use)"));
    }
    let algorithm =
        algorithm(&jwk.algorithm).ok_or_else(|| unfit("is neither RSA nor on the curve P-256"))?;
    if jwk.common.key_algorithm.is_some_and(|named| named != algorithm.into()) {
        return Err(unfit(&format!("does not sign with {algorithm:?} (alg)")));
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|_| unfit("is not base64url"))?;
    match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } if !RSA_MODULUS_BYTES.contains(&n.len()) => {
            Err(unfit("does not have 2,048 to 4,096 bits"))
        }
        DecodingKeyKind::SecretOrDer(point) if !jwt_crypto::is_point_of_p256(point) => {
            Err(unfit("is not a point of its curve"))
        }
        DecodingKeyKind::RsaModulusExponent { .. } | DecodingKeyKind::SecretOrDer(_) => {
            Ok((kid, VerificationKey { algorithm, key }))
        }
    }
}

/// The only algorithm that keys of this kind are used with. Symmetric keys have none: anyone who
/// knows the published key could sign with it.
fn algorithm(parameters: &AlgorithmParameters) -> Option<Algorithm> {
    if let AlgorithmParameters::RSA(_) = parameters {
        return Some(Algorithm::RS256);
    }
    let AlgorithmParameters::EllipticCurve(key) = parameters else { return None };
    (key.curve == EllipticCurve::P256).then_some(Algorithm::ES256)
}
