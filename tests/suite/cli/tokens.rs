//! `ledgerfold tokens`, and `dev` with and without `--auth`.

use super::{Dev, ended, run};
use crate::harness::http::Client;
use crate::harness::issuer::{AUDIENCE, ISSUER, KeySetFile};
use crate::harness::program::ledgerfold;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// Creates keys in a folder. Returns the printed command for `dev`.
async fn create(folder: &Path) -> Vec<String> {
    let line = run(["tokens", "create", "--dir", folder.to_str().unwrap()]).await.done();
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    assert_eq!(words[..2], ["ledgerfold", "dev"]);
    words[2..].to_vec()
}

/// Signs a token with the key of a folder.
async fn sign(folder: &Path, options: &[&str]) -> String {
    let arguments = ["tokens", "sign", "--dir", folder.to_str().unwrap()];
    ended(ledgerfold(arguments.into_iter().chain(options.iter().copied())))
        .await
        .done()
        .trim()
        .to_owned()
}

/// The program on a folder, with more options.
fn dev(data: &Path, more: &[String]) -> Command {
    let arguments = ["dev", "--port", "0", "--without-processes", "--data", data.to_str().unwrap()];
    ledgerfold(arguments.into_iter().chain(more.iter().map(String::as_str)))
}

async fn status(dev: &Dev, token: &str, path: &str) -> u16 {
    Client::of(&dev.url).with_token(token).get(path).await.status
}

#[tokio::test]
async fn keys_that_were_made_half_are_not_in_the_way_of_the_next() {
    let scratch = TempDir::new().unwrap();
    // The path of the key set is taken.
    let in_the_way = scratch.path().join("jwks.json");
    fs::create_dir(&in_the_way).unwrap();
    run(["tokens", "create", "--dir", scratch.path().to_str().unwrap()])
        .await
        .failed_saying("jwks.json");
    fs::remove_dir(&in_the_way).unwrap();
    create(scratch.path()).await;
}

#[tokio::test]
async fn the_printed_first_command_works_with_a_token() {
    let scratch = TempDir::new().unwrap();
    let keys = scratch.path().join("tokens");
    let options = create(&keys).await;
    let mut dev = Dev::start_command(&mut dev(&scratch.path().join("data"), &options)).await;
    let callers = dev.printed("callers").await;
    assert_eq!(
        callers,
        "need a token of ledgerfold-tokens for ledgerfold; its subject is the actor"
    );
    let token = sign(&keys, &["--subject", "anna", "--scope", "write", "--scope", "read"]).await;
    assert_eq!(status(&dev, &token, "/bestsellers").await, 200);
    assert_eq!(status(&dev, &token, "/projections").await, 403);
    assert_eq!(status(&dev, &sign(&keys, &["--subject", "anna"]).await, "/bestsellers").await, 403);
    let foreign =
        sign(&keys, &["--subject", "anna", "--scope", "read", "--audience", "others"]).await;
    assert_eq!(status(&dev, &foreign, "/bestsellers").await, 401);
    let mut shell = Command::new("sh");
    shell.args(["-c", &dev.printed("try").await]).env("TOKEN", token);
    let answer = ended(shell).await;
    assert!(answer.stdout.starts_with("HTTP/1.1 201 Created"), "{answer:?}");
}

#[tokio::test]
async fn a_private_key_is_its_owners_and_never_replaced() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path().to_str().unwrap();
    create(scratch.path()).await;
    let file = scratch.path().join("signing-key.json");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let key = fs::read(&file).unwrap();
    run(["tokens", "create", "--dir", folder])
        .await
        .failed_saying("signing-key.json exists already, and its tokens stay valid: use it");
    assert_eq!(fs::read(&file).unwrap(), key);
    let published = fs::read_to_string(scratch.path().join("jwks.json")).unwrap();
    assert!(!published.contains("PRIVATE") && !published.contains("\"d\""), "{published}");
}

#[tokio::test]
async fn a_token_that_cannot_be_signed_is_told() {
    let scratch = TempDir::new().unwrap();
    let folder = scratch.path().to_str().unwrap();
    let sign = ["tokens", "sign", "--subject", "anna", "--dir", folder];
    run(sign)
        .await
        .failed_saying("signing-key.json cannot be read; `ledgerfold tokens create` writes it");
    for (text, part) in [
        ("{}", "is not a signing key"),
        (r#"{"kid":"k","pkcs8":"x"}"#, "the signing key is damaged"),
        (r#"{"kid":"k","pkcs8":"AAAA"}"#, "the token cannot be signed"),
    ] {
        fs::write(scratch.path().join("signing-key.json"), text).unwrap();
        run(sign).await.failed_saying(part);
    }
    run(["tokens", "sign", "--subject", "two words"]).await.is_wrong_use("visible ASCII");
    run(["tokens", "sign", "--subject", "a", "--minutes", "1441"])
        .await
        .is_wrong_use("1441 is not in 1..=1440");
    run(["tokens", "sign", "--subject", "a", "--scope", "all"])
        .await
        .is_wrong_use("write, read, audit, operate");
    run(["tokens", "sign"]).await.is_wrong_use("--subject");
}

#[tokio::test]
async fn without_tokens_nobody_but_this_machine_is_let_in() {
    let data = TempDir::new().unwrap();
    let folder = data.path().to_str().unwrap();
    for address in ["0.0.0.0", "::", "192.0.2.1", "::ffff:127.0.0.1"] {
        let ended = run(["dev", "--port", "0", "--data", folder, "--listen", address]).await;
        ended
            .is_wrong_use(&format!("--listen {address}: every client that reaches this address could do everything. To require tokens, add --auth"));
    }
    run(["dev", "--listen", "localhost"]).await.is_wrong_use("invalid IP address");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "no file is created");
    let dev =
        Dev::start_command(&mut dev(data.path(), &["--listen".to_owned(), "127.0.0.2".to_owned()]))
            .await;
    assert!(dev.url.starts_with("http://127.0.0.2:"), "{}", dev.url);
    assert_eq!(status(&dev, "any", "/bestsellers").await, 200);
}

#[tokio::test]
async fn the_greeting_says_that_no_tokens_are_required() {
    let data = TempDir::new().unwrap();
    let mut dev = Dev::start(data.path()).await;
    let said = dev.printed("actor").await;
    assert_eq!(said, "no tokens required; the actor is dev, or what the header X-Actor names");
}

#[tokio::test]
async fn keys_that_check_nothing_are_told_before_anything_begins() {
    let scratch = TempDir::new().unwrap();
    let (file, data) = (scratch.path().join("jwks.json"), scratch.path().join("data"));
    let (path, data) = (file.to_str().unwrap(), data.to_str().unwrap());
    let dev = [
        "dev",
        "--port",
        "0",
        "--data",
        data,
        "--auth",
        path,
        "--issuer",
        ISSUER,
        "--audience",
        AUDIENCE,
    ];
    run(dev).await.failed_saying(&format!("the keys in {path} cannot be read: No such file"));
    let mut published: serde_json::Value =
        serde_json::from_slice(&fs::read(KeySetFile::new().file()).unwrap()).unwrap();
    let key = published["keys"][1].take();
    let but = |name: &str, value: serde_json::Value| {
        let mut key = key.clone();
        key[name] = value;
        json!({"keys": [key]}).to_string()
    };
    for (keys, reason) in [
        ("nonsense".to_owned(), "is not a JSON Web Key Set: expected"),
        (json!({"key": []}).to_string(), "is not a JSON Web Key Set: missing field `keys`"),
        (json!({"keys": []}).to_string(), "has no key that can verify tokens: it is empty"),
        (
            json!({"keys": [{"kty": "oct", "kid": "s", "k": "c2VjcmV0"}]}).to_string(),
            "\"s\" is neither RSA nor",
        ),
        (but("kid", json!(null)), "a key has no id (kid)"),
        (but("use", json!("enc")), "\"ec-1\" is not for signatures (use)"),
        (but("alg", json!("HS256")), "\"ec-1\" does not sign with ES256 (alg)"),
        (but("crv", json!("P-384")), "neither RSA nor on the curve P-256"),
        (but("x", json!("AAAA")), "\"ec-1\" is not a point of its curve"),
        (but("y", json!("!")), "\"ec-1\" is not base64url"),
        (
            json!({"keys": [{"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}]}).to_string(),
            "does not have 2,048 to 4,096 bits",
        ),
        (json!({"keys": [key, key]}).to_string(), "has two keys with the id (kid) \"ec-1\""),
    ] {
        fs::write(&file, keys).unwrap();
        run(dev).await.failed_saying(reason);
    }
    assert!(!Path::new(data).exists(), "no file is created");
    run(["dev", "--auth", path]).await.is_wrong_use("--issuer");
    run(["dev", "--issuer", ISSUER]).await.is_wrong_use("--auth");
    run(["dev", "--auth", path, "--issuer", "", "--audience", "a"]).await.is_wrong_use("--issuer");
}
