//! `ledgerfold tokens`: a local issuer of tokens. On AWS, Cognito or another issuer signs them.

use super::exit::{Exit, Failure};
use super::{output, wording};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use eventstore::Id;
use handlers::access::Scope;
use handlers::access::install_crypto;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, get_current_timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

const KEY_FILE: &str = "signing-key.json";
const KEY_SET_FILE: &str = "jwks.json";
/// The file is secret: its key signs any token.
const OWNER_ONLY: u32 = 0o600;

/// Create keys and tokens to try `dev --auth`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tokens {
    /// Create a key pair: a private key for signing, and the key set (jwks.json) for `dev --auth`.
    #[command(
        after_help = "Examples:\n  ledgerfold tokens create\n  ledgerfold tokens create --dir /etc/shop/tokens"
    )]
    Create(Create),
    /// Sign a token and print it.
    #[command(
        after_help = "Examples:\n  ledgerfold tokens sign --subject anna --scope write --scope read\n  TOKEN=$(ledgerfold tokens sign --subject eve --scope audit --minutes 5)"
    )]
    Sign(Sign),
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    /// The folder for both files.
    #[arg(long, value_name = "DIR", default_value = wording::tokens_folder())]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct Sign {
    /// The folder that `tokens create` wrote.
    #[arg(long, value_name = "DIR", default_value = wording::tokens_folder())]
    dir: PathBuf,
    /// The caller's name, which is recorded as the actor of commands.
    #[arg(long, value_parser = super::dev::actor)]
    subject: Id,
    /// A scope of the token; may be repeated.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<ScopeName>,
    /// How many minutes it is valid; at most a day.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: u64,
    /// The claim iss.
    #[arg(long, default_value = wording::tokens_issuer(), value_parser = NonEmptyStringValueParser::new())]
    issuer: String,
    /// The claim aud.
    #[arg(long, default_value = wording::program(), value_parser = NonEmptyStringValueParser::new())]
    audience: String,
}

/// A scope, by the last part of its name.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    /// Send commands, and read their status.
    Write,
    /// Read orders, stock and reports.
    Read,
    /// Query the audit trail.
    Audit,
    /// Operate projections.
    Operate,
}

/// The stored private key with its id.
#[derive(serde::Serialize, serde::Deserialize)]
struct SigningKey {
    kid: String,
    /// PKCS #8, in base64url.
    pkcs8: String,
}

impl Tokens {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::Sign(sign) => sign.run(),
        }
    }
}

impl Create {
    fn run(self) -> Result<Exit, Failure> {
        let (signing_key, jwk) = key_pair()
            .map_err(|error| Failure::new("the key cannot be generated", error.to_string()))?;
        std::fs::create_dir_all(&self.dir).map_err(|error| not_written(&self.dir, error))?;
        let (key, key_set) = (self.dir.join(KEY_FILE), self.dir.join(KEY_SET_FILE));
        write_new(&key, &json!(signing_key).to_string())?;
        if let Err(failure) = write_new(&key_set, &json!({ "keys": [jwk] }).to_string()) {
            // A key without its set would block the next try.
            std::fs::remove_file(&key).map_err(|error| {
                Failure::new(format!("{} cannot be removed", key.display()), error)
            })?;
            return Err(failure);
        }
        let (program, issuer) = (wording::program(), wording::tokens_issuer());
        output::line(&format!(
            "{program} dev --auth {} --issuer {issuer} --audience {program}",
            key_set.display()
        ))?;
        Ok(Exit::Done)
    }
}

impl Sign {
    fn run(self) -> Result<Exit, Failure> {
        install_crypto();
        let signing_key = SigningKey::read(&self.dir.join(KEY_FILE))?;
        let now_s = get_current_timestamp();
        let scopes: Vec<&str> = self.scopes.iter().map(|name| name.scope().name()).collect();
        let claims = json!({
            "iss": self.issuer, "aud": self.audience, "sub": self.subject, "scope": scopes.join(" "),
            "iat": now_s, "exp": now_s.saturating_add(self.minutes.saturating_mul(60)), "jti": Uuid::now_v7(),
        });
        let header = Header { kid: Some(signing_key.kid.clone()), ..Header::new(Algorithm::ES256) };
        let token = encode(&header, &claims, &signing_key.key()?);
        output::line(&token.map_err(|error| Failure::new("the token cannot be signed", error))?)?;
        Ok(Exit::Done)
    }
}

impl SigningKey {
    fn read(file: &Path) -> Result<Self, Failure> {
        let what = |what| format!("{} {what}", file.display());
        let json = std::fs::read(file).map_err(|error| {
            Failure::new(what("cannot be read; `ledgerfold tokens create` writes it"), error)
        })?;
        serde_json::from_slice(&json)
            .map_err(|error| Failure::new(what("is not a signing key"), error))
    }

    fn key(&self) -> Result<EncodingKey, Failure> {
        let pkcs8 = URL_SAFE_NO_PAD.decode(&self.pkcs8);
        pkcs8
            .map(|pkcs8| EncodingKey::from_ec_der(&pkcs8))
            .map_err(|error| Failure::new("the signing key is damaged", error))
    }
}

/// A new private key, and its public half as a JSON Web Key.
fn key_pair() -> Result<(SigningKey, serde_json::Value), ring::error::Unspecified> {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)?;
    // SEC 1, 2.3.3: the byte 4, then x and y, 32 bytes each.
    let point =
        pair.public_key().as_ref().split_at_checked(1).map(|(_, xy)| xy.split_at(xy.len() / 2));
    let (x, y) = point.ok_or(ring::error::Unspecified)?;
    let kid = Uuid::now_v7().to_string();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        "kid": kid, "use": "sig", "alg": "ES256",
    });
    Ok((SigningKey { kid, pkcs8: URL_SAFE_NO_PAD.encode(pkcs8) }, jwk))
}

/// Writes a new file. A replaced key would make its tokens invalid.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(file);
    opened
        .and_then(|mut opened| writeln!(opened, "{text}"))
        .map_err(|error| not_written(file, error))
}

fn not_written(path: &Path, error: std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        let what = format!("{} exists already, and its tokens stay valid", path.display());
        return Failure::new(
            what,
            "use it, or choose another folder with --dir; to replace it, remove the folder",
        );
    }
    Failure::new(format!("{} cannot be written", path.display()), error)
}

impl ScopeName {
    fn scope(self) -> Scope {
        match self {
            Self::Write => Scope::Write,
            Self::Read => Scope::Read,
            Self::Audit => Scope::Audit,
            Self::Operate => Scope::Operate,
        }
    }
}
