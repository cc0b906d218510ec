//! Rules of tokens, each alone. Over HTTP they are tested in [`super::auth`].

use crate::harness::issuer::{
    AUDIENCE, EC_PUBLIC, ISSUER, KeySetFile, Signer, but, claims, in_seconds,
};
use handlers::access::{Authorizer, MAX_TOKEN_BYTES};
use handlers::access::{Caller, Scope, Unauthorized};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::SystemTime;

fn authorizer() -> Authorizer {
    Authorizer::from_file(&KeySetFile::new().file(), ISSUER, AUDIENCE).unwrap()
}

fn check(authorizer: &Authorizer, token: &str) -> Result<Caller, Unauthorized> {
    authorizer.caller(token, SystemTime::now())
}

/// A token of these parts, in base64url.
fn unsigned(header: &Value, claims: &Value) -> String {
    let parts = [header, claims].map(|part| encoded(part.to_string().as_bytes()));
    format!("{}.{}.", parts[0], parts[1])
}

/// base64url without padding (RFC 4648, section 5).
fn encoded(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits: Vec<bool> =
        bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1)).collect();
    let digit = |six: &[bool]| {
        (0..6).fold(0, |sum, bit| sum * 2 + usize::from(six.get(bit) == Some(&true)))
    };
    bits.chunks(6).map(|six| char::from(DIGITS[digit(six)])).collect()
}

#[test]
fn valid_tokens_name_their_caller() {
    let authorizer = authorizer();
    for signer in [Signer::rsa(), Signer::ec()] {
        for claims in [
            claims("anna", &["ledgerfold/read"]),
            but("aud", json!(["others", AUDIENCE])),
            but("exp", in_seconds(-55)),
            but("nbf", in_seconds(55)),
            but("iat", in_seconds(55)),
            but("iat", Value::Null),
            but("exp", json!(1e12)),
        ] {
            let caller = check(&authorizer, &signer.sign(&claims))
                .unwrap_or_else(|error| panic!("{error}: {claims}"));
            assert_eq!((caller.actor.as_str(), caller.scopes), ("anna", [Scope::Read].into()));
        }
        let mut cognito = but("aud", Value::Null);
        cognito["client_id"] = json!(AUDIENCE);
        assert!(check(&authorizer, &signer.sign(&cognito)).is_ok());
    }
}

#[test]
fn an_invalid_token_is_rejected_by_its_rule() {
    let authorizer = authorizer();
    let mut for_others = but("aud", json!("others"));
    for_others["client_id"] = json!(AUDIENCE);
    for (claims, rule) in [
        (
            but("iss", json!("https://issuer.example")),
            "issuer (iss) must be https://issuer.example/",
        ),
        (but("iss", json!([ISSUER])), "has no iss, or it is not text"),
        (but("iss", Value::Null), "has no iss"),
        (for_others, "audience (aud, or else client_id) must be bookshop"),
        (but("aud", json!(["others", ["bookshop"]])), "must be bookshop"),
        (but("aud", json!({"bookshop": true})), "must be bookshop"),
        (but("aud", Value::Null), "must be bookshop"),
        (but("exp", in_seconds(-65)), "has expired (exp)"),
        (but("exp", json!(-1e300)), "has expired (exp)"),
        (but("exp", Value::Null), "has no end (exp)"),
        (but("exp", json!("4102444800")), "exp is not a time in seconds"),
        (but("exp", json!(true)), "exp is not a time in seconds"),
        (but("nbf", in_seconds(65)), "not valid yet (nbf)"),
        (but("nbf", json!("0")), "nbf is not a time in seconds"),
        (but("iat", in_seconds(65)), "not valid yet (iat)"),
        (but("sub", Value::Null), "no subject: the claim sub"),
        (
            but("sub", json!("anna smith")),
            "subject (sub), which is recorded as the actor, does not fit",
        ),
        (json!([]), "signature is not valid"),
    ] {
        for signer in [Signer::rsa(), Signer::ec()] {
            let refused = check(&authorizer, &signer.sign(&claims)).expect_err(rule);
            assert!(refused.to_string().contains(rule), "{refused}: {claims}");
        }
    }
}

#[test]
fn a_key_verifies_by_its_own_algorithm_only() {
    let (authorizer, anna) = (authorizer(), claims("anna", &["ledgerfold/read"]));
    let jwk = Signer::ec().published().to_string();
    let unknown = Signer::ec().named(Some("ec-2"));
    let crossed = Signer::ec().named(Some("rsa-1"));
    let nameless = Signer::rsa().named(None);
    for (token, rule) in [
        (Signer::stranger().sign(&anna), "signature is not valid"),
        (unknown.sign(&anna), "issuer has no key (kid) \"ec-2\""),
        (
            Signer::ec().named(Some("encryption")).sign(&anna),
            "issuer has no key (kid) \"encryption\"",
        ),
        (nameless.sign(&anna), "names no key (kid)"),
        (crossed.sign(&anna), "alg is \"ES256\", but its key signs with RS256"),
        (
            Signer::secret("ec-1", EC_PUBLIC).sign(&anna),
            "alg is \"HS256\", but its key signs with ES256",
        ),
        (Signer::secret("ec-1", jwk.as_bytes()).sign(&anna), "alg is \"HS256\""),
        (Signer::secret("secret", b"secret").sign(&anna), "issuer has no key (kid) \"secret\""),
        (unsigned(&json!({"alg": "none", "kid": "ec-1"}), &anna), "alg is \"none\""),
        (unsigned(&json!({"alg": "NONE", "kid": "ec-1"}), &anna), "alg is \"NONE\""),
        (unsigned(&json!({"alg": "ES256", "kid": "ec-1"}), &anna), "signature is not valid"),
        (unsigned(&json!({"alg": "ES256", "kid": "ec-1", "crit": ["exp"]}), &anna), "has crit"),
        (unsigned(&json!({"kid": "ec-1"}), &anna), "not a JSON object with alg"),
        (unsigned(&json!(["ES256"]), &anna), "not a JSON object with alg"),
        (
            unsigned(&json!({"alg": "ES256", "kid": "k".repeat(500)}), &anna),
            &format!("no key (kid) {:?}", "k".repeat(64)),
        ),
    ] {
        let refused = check(&authorizer, &token).expect_err(rule);
        assert!(refused.to_string().contains(rule), "{refused}, not {rule}");
    }
}

#[test]
fn a_malformed_token_is_rejected() {
    let authorizer = authorizer();
    let (good, long) = (Signer::ec().sign(&claims("anna", &[])), "a".repeat(MAX_TOKEN_BYTES + 1));
    let parts: Vec<&str> = good.split('.').collect();
    let (more, fewer) = (format!("{good}.x"), parts[..2].join("."));
    let (padded, spaced) = (format!("{}=.{}.{}", parts[0], parts[1], parts[2]), format!("{good} "));
    for (token, rule) in [
        ("", "must be header, claims and signature"),
        ("nonsense", "must be header, claims and signature"),
        (more.as_str(), "must be header, claims and signature"),
        (fewer.as_str(), "must be header, claims and signature"),
        ("ä.b.c", "header is not base64url"),
        (padded.as_str(), "header is not base64url"),
        ("bm9wZQ.bm9wZQ.bm9wZQ", "not a JSON object with alg"),
        (spaced.as_str(), "signature is not valid"),
        (long.as_str(), "more than 10240 bytes"),
    ] {
        let refused = check(&authorizer, token).expect_err(rule);
        assert!(refused.to_string().contains(rule), "{refused}, not {rule}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_token_with_one_bit_changed_is_invalid(by_rsa: bool, place: prop::sample::Index, bit in 0..7_u8) {
        let signer = if by_rsa { Signer::rsa() } else { Signer::ec() };
        let token = signer.sign(&claims("anna", &["ledgerfold/read"]));
        let authorizer = authorizer();
        prop_assert!(check(&authorizer, &token).is_ok());
        let mut bytes = token.into_bytes();
        let at = place.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert!(check(&authorizer, &changed).is_err(), "bit {} of byte {} of {}", bit, at, changed);
    }

    #[test]
    fn no_random_text_is_a_token(text in "\\PC{0,40}(\\.\\PC{0,40}){0,4}") {
        prop_assert!(check(&authorizer(), &text).is_err());
    }
}
