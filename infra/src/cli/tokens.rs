//! `ledgerfold tokens`: an issuer of tokens for one's own machine. On AWS, Cognito or another issuer makes them.

use super::failure::{Exit, Failure};
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
/// Whoever reads the file can sign any token.
const OWNER_ONLY: u32 = 0o600;

/// Make keys and tokens to try `dev --auth` with.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tokens {
    /// Make a key pair: a private key to sign with, and the key set (jwks.json) for `dev --auth`.
    #[command(after_help = "Examples:\n  ledgerfold tokens create\n  ledgerfold tokens create --dir /etc/shop/tokens")]
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
    /// The folder that `create` made.
    #[arg(long, value_name = "DIR", default_value = wording::tokens_folder())]
    dir: PathBuf,
    /// Who the caller is: recorded as the actor of commands.
    #[arg(long, value_parser = super::dev::actor)]
    subject: Id,
    /// What the token grants; may be given several times.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Grant>,
    /// How long it is valid, in minutes: a day at most.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=24 * 60))]
    minutes: u64,
    /// The claim iss.
    #[arg(long, default_value = wording::tokens_issuer(), value_parser = NonEmptyStringValueParser::new())]
    issuer: String,
    /// The claim aud.
    #[arg(long, default_value = wording::program(), value_parser = NonEmptyStringValueParser::new())]
    audience: String,
}

/// A scope, by its last word.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Grant {
    /// Send commands, and ask what became of them.
    Write,
    /// Read orders, stock and reports.
    Read,
    /// Ask who did what, when and why.
    Audit,
    /// Operate projections.
    Operate,
}

/// A private key with its id, as it is kept.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
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
        let (kept, jwk) = key_pair().map_err(|error| Failure::new("no key can be made", error.to_string()))?;
        std::fs::create_dir_all(&self.dir).map_err(|error| written(&self.dir, error))?;
        let (key, key_set) = (self.dir.join(KEY_FILE), self.dir.join(KEY_SET_FILE));
        write_new(&key, &json!(kept).to_string())?;
        if let Err(failure) = write_new(&key_set, &json!({ "keys": [jwk] }).to_string()) {
            // A key without its set would be in the way of the next try.
            std::fs::remove_file(&key).map_err(|error| Failure::new(format!("{} stays", key.display()), error))?;
            return Err(failure);
        }
        let (program, issuer) = (wording::program(), wording::tokens_issuer());
        output::line(&format!("{program} dev --auth {} --issuer {issuer} --audience {program}", key_set.display()))?;
        Ok(Exit::Done)
    }
}

impl Sign {
    fn run(self) -> Result<Exit, Failure> {
        install_crypto();
        let kept = Kept::read(&self.dir.join(KEY_FILE))?;
        let now_s = get_current_timestamp();
        let scopes: Vec<&str> = self.scopes.iter().map(|grant| grant.scope().name()).collect();
        let claims = json!({
            "iss": self.issuer, "aud": self.audience, "sub": self.subject, "scope": scopes.join(" "),
            "iat": now_s, "exp": now_s.saturating_add(self.minutes.saturating_mul(60)), "jti": Uuid::now_v7(),
        });
        let header = Header { kid: Some(kept.kid.clone()), ..Header::new(Algorithm::ES256) };
        let token = encode(&header, &claims, &kept.key()?);
        output::line(&token.map_err(|error| Failure::new("the token cannot be signed", error))?)?;
        Ok(Exit::Done)
    }
}

impl Kept {
    fn read(file: &Path) -> Result<Self, Failure> {
        let what = |what| format!("{} {what}", file.display());
        let json = std::fs::read(file)
            .map_err(|error| Failure::new(what("cannot be read; `ledgerfold tokens create` makes it"), error))?;
        serde_json::from_slice(&json).map_err(|error| Failure::new(what("is no signing key"), error))
    }

    fn key(&self) -> Result<EncodingKey, Failure> {
        let pkcs8 = URL_SAFE_NO_PAD.decode(&self.pkcs8);
        pkcs8
            .map(|pkcs8| EncodingKey::from_ec_der(&pkcs8))
            .map_err(|error| Failure::new("the signing key is damaged", error))
    }
}

/// A new private key, and its public half as a JSON Web Key.
fn key_pair() -> Result<(Kept, serde_json::Value), ring::error::Unspecified> {
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)?;
    // SEC 1, 2.3.3: the byte 4, then x and y, 32 bytes each.
    let point = pair.public_key().as_ref().split_at_checked(1).map(|(_, xy)| xy.split_at(xy.len() / 2));
    let (x, y) = point.ok_or(ring::error::Unspecified)?;
    let kid = Uuid::now_v7().to_string();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        "kid": kid, "use": "sig", "alg": "ES256",
    });
    Ok((Kept { kid, pkcs8: URL_SAFE_NO_PAD.encode(pkcs8) }, jwk))
}

/// Writes a file that is not there yet: tokens that were signed by an older key would no longer be valid.
fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(file);
    opened.and_then(|mut opened| writeln!(opened, "{text}")).map_err(|error| written(file, error))
}

fn written(path: &Path, error: std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        let what = format!("{} exists already, and its tokens stay valid", path.display());
        return Failure::new(
            what,
            "go on with it, or choose another folder with --dir; to replace it, remove the folder",
        );
    }
    Failure::new(format!("{} cannot be made", path.display()), error)
}

impl Grant {
    fn scope(self) -> Scope {
        match self {
            Self::Write => Scope::Write,
            Self::Read => Scope::Read,
            Self::Audit => Scope::Audit,
            Self::Operate => Scope::Operate,
        }
    }
}
