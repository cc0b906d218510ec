//! Which callers are accepted.

use crate::issuer::{ALL, token, token_with};
use crate::stack::{Stack, status};
use reqwest::Method;
use serde_json::json;

const NOW: u64 = 1;

#[tokio::test]
async fn without_a_token_that_holds_nobody_is_let_in() {
    let stack = Stack::of("anna").await;
    let ask = || stack.request(Method::GET, "/bestsellers");
    assert_eq!(status(ask()).await, 401, "without a token");
    let valid = token("anna", &ALL);
    assert_eq!(status(ask().bearer_auth(&valid)).await, 200);
    let (signed, signature) = valid.rsplit_once('.').unwrap();
    let flipped = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{flipped}{}", &signature[1..]);
    assert_eq!(status(ask().bearer_auth(forged)).await, 401, "forged");
    for (what, claim) in [
        ("expired", json!({"exp": NOW})),
        ("for others", json!({"aud": "somebody-else"})),
        ("of others", json!({"iss": "https://issuer.example"})),
    ] {
        assert_eq!(
            status(ask().bearer_auth(token_with("anna", &ALL, &claim))).await,
            401,
            "{what}"
        );
    }
}

#[tokio::test]
async fn each_scope_opens_what_it_is_for_and_nothing_else() {
    let stack = Stack::of("anna").await;
    let calls = [
        (Method::POST, "/orders", "ledgerfold/write"),
        (Method::GET, "/bestsellers", "ledgerfold/read"),
        (Method::GET, "/audit/events?limit=1", "ledgerfold/audit"),
        (Method::GET, "/projections", "ledgerfold/operate"),
    ];
    for (method, path, needed) in calls {
        for scope in ALL {
            let answer = status(
                stack
                    .request(method.clone(), path)
                    .bearer_auth(token("anna", &[scope]))
                    .json(&json!({})),
            )
            .await;
            assert_eq!(answer == 403, scope != needed, "{method} {path} with {scope}: {answer}");
        }
    }
}

#[tokio::test]
async fn health_and_description_are_for_everybody() {
    let stack = Stack::of("anna").await;
    for path in ["/healthz", "/openapi.json"] {
        assert_eq!(status(stack.request(Method::GET, path)).await, 200, "{path}");
    }
}
