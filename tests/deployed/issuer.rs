//! The issuer whose tokens the deployed system accepts. It publishes its keys on loopback while the
//! tests run.

use crate::jwt::{Key, now_s};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::LazyLock;

/// The audience of its tokens, as `.ci/deployed` deploys it.
const AUDIENCE: &str = "bookshop";
const KEY_ID: &str = "rsa-1";
/// A key for these cases only.
const KEY: &str = include_str!("../suite/harness/keys/rsa.pem");

/// All scopes.
pub(crate) const ALL: [&str; 4] =
    ["ledgerfold/write", "ledgerfold/read", "ledgerfold/audit", "ledgerfold/operate"];

/// Its address, once it serves.
static ISSUER: LazyLock<String> = LazyLock::new(|| {
    let issuer = crate::stack::environment("LEDGERFOLD_DEPLOYED_ISSUER");
    let listener = TcpListener::bind(issuer.trim_start_matches("http://")).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            // A client that disconnects early sends the request again.
            answer(connection).unwrap_or_default();
        }
    });
    issuer
});

/// Its keys, or 404.
fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let (status, body) = match request.contains("/.well-known/jwks.json") {
        true => ("200 OK", json!({"keys": [Key::rsa(KEY).published(Some(KEY_ID))]}).to_string()),
        false => ("404 Not Found", String::new()),
    };
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// The scopes of the second app.
pub(crate) const ALL_OF_BILLING: [&str; 4] =
    ["billing/write", "billing/read", "billing/audit", "billing/operate"];

/// A token for the subject with these scopes.
pub(crate) fn token(subject: &str, scopes: &[&str]) -> String {
    token_with(subject, scopes, &json!({}))
}

/// The same with changed claims.
pub(crate) fn token_with(subject: &str, scopes: &[&str], other: &Value) -> String {
    let now_s = now_s();
    let mut claims = json!({"iss": *ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scopes.join(" "),
        "iat": now_s - 1, "exp": now_s + 600});
    for (name, value) in other.as_object().unwrap() {
        claims[name] = value.clone();
    }
    Key::rsa(KEY).sign(Some(KEY_ID), &claims)
}
