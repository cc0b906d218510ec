//! Tokens, and which keys are in use when.

use super::Deployment;
use crate::harness::http::{Client, Response, isbn, sent};
use crate::harness::issuer::Signer;
use futures::future::join_all;
use serde_json::{Value, json};

const READ: &[&str] = &["ledgerfold/read"];

async fn status(caller: &Client, token: &str) -> Response {
    caller.with_token(token).get(&format!("/stock/{}", isbn(1))).await
}

#[tokio::test]
async fn commands_and_reads_with_tokens_are_answered() {
    let deployment = Deployment::start().await;
    let service = deployment.serve(&["api"]).await;
    let anna = deployment.caller(&service);
    let path = format!("/stock/{}/receive", isbn(1));
    let Response { status, body, .. } = anna.command(&path, "k", &json!({"quantity": 5})).await;
    assert_eq!((status, &body["version"]), (200, &json!(1)), "{body}");
    let stock = anna.read(&format!("/stock/{}?at_least=1", isbn(1))).await;
    assert_eq!(stock["available"], 5);
    let events = anna.read(&format!("/audit/streams/stock-{}", isbn(1))).await;
    assert_eq!(events["events"][0]["actor"], "anna", "{events}");
    let later =
        sent(anna.keyed(&path, "later", &json!({"quantity": 1})).header("Prefer", "respond-async"))
            .await;
    assert_eq!(later.status, 202, "{later:?}");
    assert_eq!(deployment.held("commands").await, 1);
    assert_eq!(anna.without_token().get("/healthz").await.status, 200);
    service.stop().await;
}

#[tokio::test]
async fn tokens_that_are_missing_foreign_or_expired_are_401() {
    let deployment = Deployment::start().await;
    let service = deployment.serve(&["api"]).await;
    let anna = deployment.caller(&service);
    let but = |name: &str, value: Value| {
        let mut claims = deployment.issuer.claims("anna", READ);
        claims[name] = value;
        Signer::ec().sign(&claims)
    };
    let expired = deployment.issuer.claims("anna", READ)["iat"].as_u64().unwrap() - 120;
    for (token, rule) in [
        ("nonsense".to_owned(), "must be header, claims and signature"),
        (
            Signer::stranger().sign(&deployment.issuer.claims("anna", READ)),
            "signature is not valid",
        ),
        (but("iss", json!("https://somebody.example.org")), "issuer (iss) must be"),
        (but("aud", json!("another shop")), "audience (aud, or else client_id) must be bookshop"),
        (but("exp", json!(expired)), "has expired"),
        (but("sub", json!("fulfilment")), "must not be the name of a part of the system"),
    ] {
        let Response { status, body, .. } = status(&anna, &token).await;
        assert_eq!(
            (status, &body["type"]),
            (401, &json!("https://ledgerfold.dev/problems/unauthorized")),
            "{rule}"
        );
        assert!(body["detail"].as_str().unwrap().contains(rule), "{rule}: {body}");
    }
    let unnamed = anna.without_token().get(&format!("/stock/{}", isbn(1))).await;
    assert!(unnamed.body["detail"].as_str().unwrap().contains("a token is needed"), "{unnamed:?}");
    let reader = anna.with_token(&deployment.issuer.token("anna", READ));
    let Response { status, body, .. } = reader.command("/orders", "k", &json!({})).await;
    assert_eq!((status, &body["scope"]), (403, &json!("ledgerfold/write")), "{body}");
    service.stop().await;
}

#[tokio::test]
async fn a_new_key_is_fetched_once_for_many_requests() {
    let deployment = Deployment::start().await;
    let service = deployment.serve(&["api"]).await;
    let anna = deployment.caller(&service);
    assert_eq!(deployment.issuer.fetches(), 1);
    let new = Signer::ec().named(Some("ec-2"));
    deployment.issuer.publish(&[&new]);
    let token = new.sign(&deployment.issuer.claims("anna", READ));
    let answers = join_all((0..20).map(|_| status(&anna, &token))).await;
    assert!(answers.iter().all(|answer| answer.status == 404), "{answers:?}");
    assert_eq!(deployment.issuer.fetches(), 2);
    // The issuer has dropped the old key, and another unknown key is not fetched at once.
    let old = status(&anna, &deployment.issuer.token("anna", READ)).await;
    assert!(
        old.status == 401
            && old.body["detail"].as_str().unwrap().contains("the issuer has no key (kid)"),
        "{old:?}"
    );
    assert_eq!(deployment.issuer.fetches(), 2);
    service.stop().await;
}

#[tokio::test]
async fn the_keys_stay_in_use_while_the_issuer_is_down() {
    let deployment = Deployment::start().await;
    let service = deployment.serve(&["api"]).await;
    let anna = deployment.caller(&service);
    deployment.issuer.set_down(true);
    let unknown = Signer::ec().named(Some("ec-2")).sign(&deployment.issuer.claims("anna", READ));
    for _ in 0..3 {
        assert_eq!(status(&anna, &unknown).await.status, 401);
        assert_eq!(status(&anna, &deployment.issuer.token("anna", READ)).await.status, 404);
    }
    let lines = service.said("could not renew the issuer's keys; the cached ones stay in use");
    assert_eq!((lines.len(), &lines[0]["level"]), (1, &json!("WARN")), "{lines:?}");
    service.stop().await;
}

#[tokio::test]
async fn a_key_set_may_be_named_without_a_configuration() {
    let deployment = Deployment::start().await;
    deployment.issuer.call_itself("https://somebody.example.org");
    let service =
        deployment.serve(&["api", "--key-set", &format!("{}/keys", deployment.issuer.url)]).await;
    assert_eq!(
        status(&deployment.caller(&service), &deployment.issuer.token("anna", READ)).await.status,
        404
    );
    service.stop().await;
}
