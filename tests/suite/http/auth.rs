//! `dev --auth`: tokens, scopes, and the actor of a request.

use super::{Program, Response, eventually, isbn, line, order, order_stream, sent, text};
use crate::harness::issuer::{KeySetFile, Signer, but, claims, in_seconds};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SCOPES: [&str; 4] =
    ["ledgerfold/write", "ledgerfold/read", "ledgerfold/audit", "ledgerfold/operate"];

/// The program with `--auth`.
async fn guarded() -> Program {
    // It reads the keys of the issuer when it starts.
    let issuer = KeySetFile::new();
    let options = issuer.options();
    let arguments: Vec<&str> =
        options.iter().map(String::as_str).chain(["--without-processes"]).collect();
    Program::start_with(&arguments).await
}

fn token(subject: &str, scopes: &[&str]) -> String {
    Signer::ec().sign(&claims(subject, scopes))
}

impl Program {
    async fn get_as(&self, token: &str, path: &str) -> Response {
        self.with_token(token).get(path).await
    }

    fn post_as(&self, token: &str, path: &str, body: &Value) -> RequestBuilder {
        self.with_token(token).post(path, body)
    }
}

impl Response {
    /// Asserts a 401 that names the broken rule.
    #[track_caller]
    fn is_unauthorized(&self, rule: &str) {
        self.is_problem(401, "unauthorized");
        assert!(text(&self.body["detail"]).contains(rule), "{self:?} has not {rule:?}");
        let challenge = self.header("www-authenticate");
        let invalid = !rule.starts_with("a token is needed");
        assert!(
            challenge.starts_with("Bearer ")
                && challenge.contains("error=\"invalid_token\"") == invalid,
            "{challenge}"
        );
    }

    /// Asserts a 403 that names the missing scope.
    #[track_caller]
    fn lacks(&self, scope: &str) {
        self.is_problem(403, "forbidden");
        assert_eq!(self.body["scope"], scope);
        let challenge = format!("error=\"insufficient_scope\", scope=\"{scope}\"");
        assert!(self.header("www-authenticate").ends_with(&challenge), "{self:?}");
        assert!(text(&self.body["detail"]).contains(scope), "{self:?}");
    }
}

/// The scope that an operation of that tag needs.
fn wanted(method: &str, tag: &str) -> Option<&'static str> {
    match (tag, method) {
        ("orders" | "stock" | "reports", "get") => Some("ledgerfold/read"),
        ("orders" | "stock", "post") => Some("ledgerfold/write"),
        ("commands", "get") => Some("ledgerfold/write"),
        ("audit", "get") => Some("ledgerfold/audit"),
        ("projections", "get" | "post") => Some("ledgerfold/operate"),
        ("operation", "get") => None,
        _ => panic!("{method} of {tag} is not known to this test"),
    }
}

#[tokio::test]
async fn no_caller_has_the_name_of_a_part_of_the_system() {
    let program = guarded().await;
    let path = format!("/stock/{}/receive", isbn(1));
    for name in ["fulfilment", "FULFILMENT"] {
        let answer =
            sent(program.post_as(&token(name, &SCOPES), &path, &json!({"quantity": 1}))).await;
        answer.is_unauthorized("must not be the name of a part of the system");
    }
    assert_eq!(
        sent(program.post_as(&token("anna", &SCOPES), &path, &json!({"quantity": 1}))).await.status,
        200
    );
}

#[tokio::test]
async fn every_operation_needs_its_scope_and_says_so_in_the_document() {
    let program = guarded().await;
    let document = program.get("/openapi.json").await.body;
    let scheme = &document["components"]["securitySchemes"]["token"];
    assert_eq!(
        (&scheme["type"], &scheme["scheme"], &scheme["bearerFormat"]),
        (&json!("http"), &json!("bearer"), &json!("JWT"))
    );
    let mut seen = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let call = format!("{method} {path}");
            let scope = wanted(method, text(&operation["tags"][0]));
            let security = scope.map_or(json!([]), |scope| json!([{"token": [scope]}]));
            assert_eq!(operation["security"], security, "{call}");
            asks_for(&program, method, path, scope).await;
            seen.insert(scope);
        }
    }
    assert_eq!(seen.len(), 1 + SCOPES.len(), "{seen:?}");
}

/// Checks an operation without a token, with all other scopes, and with this scope only.
async fn asks_for(program: &Program, method: &str, path: &str, scope: Option<&str>) {
    let path =
        path.replace("{id}", "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e").replace("{isbn}", &isbn(7));
    let path = path
        .replace("{name}", "nothing")
        .replace("{stream}", "order-1")
        .replace("{correlation}", "nobody");
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let request = || {
        program
            .http
            .request(method.clone(), program.url(&path))
            .header("Content-Type", "application/json")
    };
    let Some(scope) = scope else {
        assert_eq!(sent(request()).await.status, 200, "{path}");
        return;
    };
    // Body and X-Actor are invalid: the token is checked before them.
    let request = || request().body("{");
    let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
    sent(request().header("X-Actor", "two words"))
        .await
        .is_unauthorized("a token is needed: Authorization: Bearer");
    sent(request().header("X-Actor", "two words").bearer_auth(token("anna", &others)))
        .await
        .lacks(scope);
    let let_in = sent(request().bearer_auth(token("anna", &[scope]))).await;
    assert!(![401, 403].contains(&let_in.status), "{method} {path}: {let_in:?}");
}

#[tokio::test]
async fn an_invalid_token_is_rejected_with_a_reason() {
    let program = guarded().await;
    let anna = claims("anna", &["ledgerfold/read"]);
    for (token, rule) in [
        (Signer::ec().sign(&but("exp", in_seconds(-65))), "has expired"),
        (Signer::rsa().sign(&but("nbf", in_seconds(65))), "not valid yet"),
        (
            Signer::rsa().sign(&but("iss", json!("https://elsewhere.example/"))),
            "issuer (iss) must be",
        ),
        (
            Signer::ec().sign(&but("aud", json!("others"))),
            "audience (aud, or else client_id) must be bookshop",
        ),
        (Signer::ec().named(Some("ec-2")).sign(&anna), "the issuer has no key (kid)"),
        (Signer::stranger().sign(&anna), "signature is not valid"),
        (Signer::secret("ec-1", b"guessed").sign(&anna), "alg is \"HS256\""),
        ("eyJhbGciOiJub25lIiwia2lkIjoiZWMtMSJ9.e30.".to_owned(), "alg is \"none\""),
        ("nonsense".to_owned(), "must be header, claims and signature"),
        (String::new(), "Authorization must be: Bearer <token>"),
    ] {
        program.get_as(&token, "/bestsellers").await.is_unauthorized(rule);
    }
    let valid = Signer::rsa().sign(&anna);
    assert_eq!(program.get_as(&valid, "/bestsellers").await.status, 200);
    let get = || program.http.get(program.url("/bestsellers"));
    assert_eq!(sent(get().header("Authorization", format!("bearer {valid}"))).await.status, 200);
    for other in [format!("Basic {valid}"), valid.clone(), "Bearer".to_owned()] {
        sent(get().header("Authorization", &other))
            .await
            .is_unauthorized("must be: Bearer <token>");
    }
    sent(get().bearer_auth(&valid).bearer_auth(&valid)).await.is_unauthorized("must be sent once");
    sent(get().query(&[("access_token", &valid)])).await.is_unauthorized("a token is needed");
}

#[tokio::test]
async fn the_tokens_subject_is_the_actor_of_commands_and_queries() {
    let program = guarded().await;
    let (anna, ben) = (
        token("anna", &["ledgerfold/write"]),
        token("ben", &["ledgerfold/write", "ledgerfold/read"]),
    );
    let eve = token("eve", &["ledgerfold/audit"]);
    let place = |token: &str| {
        let request = program.post_as(token, "/orders", &order("c", &[line(1, 1, 5)]));
        sent(request.header("Idempotency-Key", "k"))
    };
    let (annas, bens) = (place(&anna).await, place(&ben).await);
    assert_eq!((annas.status, bens.status), (201, 201), "{annas:?} {bens:?}");
    assert_ne!(
        annas.header("location"),
        bens.header("location"),
        "one key of two subjects is two orders"
    );
    assert_eq!(place(&anna).await.header("idempotency-replayed"), "true");
    for (placed, actor) in [(&annas, "anna"), (&bens, "ben")] {
        let stream = order_stream(placed.header("location"));
        let history = program.get_as(&eve, &format!("/audit/streams/{stream}")).await;
        assert_eq!(history.body["events"][0]["actor"], actor, "{history:?}");
    }
    let read = eventually("the readings are found", || async {
        let found = program.get_as(&eve, "/audit/events?type=AuditTrailRead&order=asc").await;
        Some(found)
            .filter(|found| found.body["events"].as_array().is_some_and(|events| events.len() >= 2))
    });
    for event in read.await.body["events"].as_array().unwrap() {
        assert_eq!(event["actor"], "eve", "{event}");
    }
}

#[tokio::test]
async fn a_request_with_a_token_cannot_name_an_actor() {
    let program = guarded().await;
    let (anna, eve) = (
        token("anna", &["ledgerfold/write", "ledgerfold/read"]),
        token("eve", &["ledgerfold/audit"]),
    );
    let request = program
        .post_as(&anna, "/orders", &order("c", &[line(1, 1, 5)]))
        .header("Idempotency-Key", "k");
    sent(request.header("X-Actor", "ben")).await.breaks("X-Actor", "must not be sent with a token");
    let request =
        program.http.get(program.url("/bestsellers")).bearer_auth(&anna).header("X-Actor", "anna");
    sent(request).await.breaks("X-Actor", "whose subject is the actor");
    let placed = sent(
        program
            .post_as(&anna, "/orders", &order("c", &[line(1, 1, 5)]))
            .header("Idempotency-Key", "k"),
    )
    .await;
    assert_eq!(
        (placed.status, placed.headers.get("idempotency-replayed")),
        (201, None),
        "nothing had been placed"
    );
    let history = program
        .get_as(&eve, &format!("/audit/streams/{}", order_stream(placed.header("location"))))
        .await;
    assert_eq!(history.body["events"][0]["actor"], "anna");
}

#[tokio::test]
async fn progress_and_exports_are_for_callers_with_the_scope() {
    let program = guarded().await;
    for (path, accept, kind, scope) in [
        (
            "/projections/orders/progress",
            "text/event-stream",
            "text/event-stream",
            "ledgerfold/operate",
        ),
        ("/audit/events", "text/csv", "text/csv", "ledgerfold/audit"),
        ("/audit/events", "application/x-ndjson", "application/x-ndjson", "ledgerfold/audit"),
    ] {
        let get = || program.http.get(program.url(path)).header("Accept", accept);
        sent(get()).await.is_unauthorized("a token is needed");
        sent(get().bearer_auth(token("anna", &["ledgerfold/write", "ledgerfold/read"])))
            .await
            .lacks(scope);
        let answer = sent(get().bearer_auth(token("anna", &[scope]))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("content-type").starts_with(kind), "{answer:?}");
    }
}

#[tokio::test]
async fn unlisted_paths_are_hidden_without_a_token() {
    let program = guarded().await;
    for path in ["/", "/nothing", "/ordersx", "/healthz/", "/.git/config"] {
        sent(program.http.get(program.url(path))).await.is_unauthorized("a token is needed");
        program
            .get_as("nonsense", path)
            .await
            .is_unauthorized("must be header, claims and signature");
        program.get_as(&token("anna", &[]), path).await.is_problem(404, "not-found");
    }
    let delete = || program.http.delete(program.url("/orders/1"));
    sent(delete().bearer_auth(token("anna", &["ledgerfold/read"]))).await.lacks("ledgerfold/write");
    sent(delete().bearer_auth(token("anna", &["ledgerfold/write"])))
        .await
        .is_problem(405, "method-not-allowed");
    // Public paths ignore tokens, as at the API gateway.
    for path in ["/healthz", "/openapi.json"] {
        assert_eq!(program.get_as("nonsense", path).await.status, 200, "{path}");
    }
}
