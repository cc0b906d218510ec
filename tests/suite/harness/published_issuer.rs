//! An issuer that publishes its configuration and keys on loopback, and can fail.

use crate::harness::issuer::Signer;
use crate::harness::jwt::now_s;
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::TcpListener;

pub(crate) const AUDIENCE: &str = "bookshop";

/// A running issuer. It ends with the test's runtime.
pub(crate) struct Issuer {
    pub(crate) url: String,
    published: Arc<Mutex<Published>>,
}

struct Published {
    url: String,
    /// The issuer that its configuration names.
    name: String,
    keys: Vec<Value>,
    is_down: bool,
    fetches: usize,
}

type Shared = State<Arc<Mutex<Published>>>;

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = vec![Signer::rsa().published(), Signer::ec().published()];
        let published =
            Published { url: url.clone(), name: url.clone(), keys, is_down: false, fetches: 0 };
        let published = Arc::new(Mutex::new(published));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys_of))
            .with_state(Arc::clone(&published));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, published }
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap()
    }

    /// Publishes these keys from now on.
    pub(crate) fn publish(&self, keys: &[&Signer]) {
        self.published().keys = keys.iter().map(|key| key.published()).collect();
    }

    /// Names another issuer from now on.
    pub(crate) fn call_itself(&self, name: &str) {
        self.published().name = name.to_owned();
    }

    /// Whether it answers from now on.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.published().is_down = is_down;
    }

    /// How often its keys were requested.
    pub(crate) fn fetches(&self) -> usize {
        self.published().fetches
    }

    /// The claims of a token for that subject, valid for a while.
    pub(crate) fn claims(&self, subject: &str, scopes: &[&str]) -> Value {
        let (now_s, scope) = (now_s(), scopes.join(" "));
        json!({"iss": self.url, "aud": AUDIENCE, "sub": subject, "scope": scope, "iat": now_s, "exp": now_s + 600})
    }

    pub(crate) fn token(&self, subject: &str, scopes: &[&str]) -> String {
        Signer::ec().sign(&self.claims(subject, scopes))
    }
}

async fn configuration(State(published): Shared) -> Result<Json<Value>, StatusCode> {
    let published = published.lock().unwrap();
    let Published { url, name, is_down, .. } = &*published;
    if *is_down {
        Err(StatusCode::SERVICE_UNAVAILABLE)
    } else {
        Ok(Json(json!({"issuer": name, "jwks_uri": format!("{url}/keys")})))
    }
}

async fn keys_of(State(published): Shared) -> Result<Json<Value>, StatusCode> {
    let mut published = published.lock().unwrap();
    published.fetches += 1;
    if published.is_down {
        Err(StatusCode::SERVICE_UNAVAILABLE)
    } else {
        Ok(Json(json!({"keys": published.keys})))
    }
}
