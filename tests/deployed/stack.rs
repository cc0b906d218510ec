//! The stack, as clients and operators use it.

use crate::issuer::{ALL, ALL_OF_BILLING, token};
use ledgerfold::clients::{Clients, Endpoints};
use ledgerfold::local::engines::access_key::AccessKey;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The time limit of each wait: generous, because speed does not matter.
const PATIENCE: Duration = Duration::from_secs(60);
/// The prefix of its tables, queues and functions.
pub(crate) const PREFIX: &str = "ledgerfold-local";

/// A variable that `.ci/deployed` sets.
pub(crate) fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: `.ci/deployed` deploys the system and runs these tests")
    })
}

/// Functions are killed only while no other case uses them.
static TURNS: RwLock<()> = RwLock::const_new(());

/// The deployed system, and a caller with all scopes.
pub(crate) struct Stack {
    http: reqwest::Client,
    api: String,
    token: String,
    /// Access to its tables and queues, to inject faults.
    pub(crate) clients: Clients,
    _turn: Turn,
}

/// Shared or exclusive use.
enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// Whether it is a replay.
    pub(crate) replayed: bool,
    pub(crate) body: Value,
}

impl Stack {
    /// The deployed system, called by this subject.
    pub(crate) async fn of(subject: &str) -> Self {
        Self::in_turn(subject, Turn::Shared { _guard: TURNS.read().await })
    }

    /// The same, for exclusive use.
    pub(crate) async fn alone(subject: &str) -> Self {
        Self::in_turn(subject, Turn::Alone { _guard: TURNS.write().await })
    }

    /// The second app, called by this subject.
    pub(crate) async fn of_billing(subject: &str) -> Self {
        let turn = Turn::Shared { _guard: TURNS.read().await };
        let (api, token) =
            (environment("LEDGERFOLD_DEPLOYED_BILLING"), token(subject, &ALL_OF_BILLING));
        Self { api, token, ..Self::in_turn(subject, turn) }
    }

    fn in_turn(subject: &str, turn: Turn) -> Self {
        let endpoint = environment("AWS_ENDPOINT_URL");
        let clients = Clients::loopback(&Endpoints::of_one(
            &endpoint,
            AccessKey { id: "test".to_owned(), secret: "test".to_owned() },
        ));
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        Self {
            http,
            api: environment("LEDGERFOLD_DEPLOYED_API"),
            token: token(subject, &ALL),
            clients,
            _turn: turn,
        }
    }

    /// A request without a token.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.api))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        sent(self.request(Method::GET, path).bearer_auth(&self.token)).await.unwrap()
    }

    /// Sends a command or an operation.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        sent(self.request(Method::POST, path).bearer_auth(&self.token).json(body)).await.unwrap()
    }

    /// Sends a command with a key. None if there is no answer.
    pub(crate) async fn command(&self, path: &str, key: &str, body: &Value) -> Option<Answer> {
        let request = self
            .request(Method::POST, path)
            .bearer_auth(&self.token)
            .header("Idempotency-Key", key);
        sent(request.json(body)).await
    }

    /// Sends an asynchronous command.
    pub(crate) async fn later(&self, path: &str, key: &str, body: &Value) -> Answer {
        let request = self
            .request(Method::POST, path)
            .bearer_auth(&self.token)
            .header("Idempotency-Key", key);
        sent(request.header("Prefer", "respond-async").json(body)).await.unwrap()
    }

    /// Receives copies of a book that no other case uses.
    pub(crate) async fn book(&self, copies: u32) -> String {
        let isbn = isbn();
        let received =
            self.post(&format!("/stock/{isbn}/receive"), &json!({"quantity": copies})).await;
        assert_eq!(received.status, 200, "{received:?}");
        isbn
    }

    /// Places an order of one copy. Returns its path.
    pub(crate) async fn place(&self, key: &str, isbn: &str) -> String {
        let placed = self.command("/orders", key, &order(isbn)).await.unwrap();
        assert_eq!(placed.status, 201, "{placed:?}");
        placed.location.unwrap()
    }

    /// Waits until the order has this status. Returns the order.
    pub(crate) async fn until(&self, path: &str, status: &str) -> Value {
        eventually(&format!("{path} is {status}"), || async {
            let order = self.get(path).await.body;
            (order["status"] == status).then_some(order)
        })
        .await
    }

    /// The URL of a queue.
    pub(crate) async fn queue(&self, name: &str) -> String {
        let answer = self
            .clients
            .sqs
            .get_queue_url()
            .queue_name(format!("{PREFIX}-{name}.fifo"))
            .send()
            .await;
        answer.unwrap().queue_url.unwrap()
    }
}

async fn sent(request: RequestBuilder) -> Option<Answer> {
    let response = request.send().await.ok()?;
    let header = |name: &str| {
        response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let (location, replayed) = (header("location"), header("idempotency-replayed").is_some());
    let status = response.status().as_u16();
    let body = response.text().await.ok()?;
    Some(Answer {
        status,
        location,
        replayed,
        body: serde_json::from_str(&body).unwrap_or(Value::String(body)),
    })
}

/// Sends a request as it is.
pub(crate) async fn status(request: RequestBuilder) -> u16 {
    sent(request).await.unwrap().status
}

/// Polls until there is an answer.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    ask: impl Fn() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// An order of one copy.
pub(crate) fn order(isbn: &str) -> Value {
    json!({"customer_id": "c-17", "currency": "EUR", "lines": [{"isbn": isbn, "quantity": 1, "unit_price_minor": 1999}]})
}

/// A random ISBN with its check digit.
fn isbn() -> String {
    let digits = format!("978{:09}", fastrand::u32(0..1_000_000_000));
    let sum: u32 = digits
        .bytes()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}
