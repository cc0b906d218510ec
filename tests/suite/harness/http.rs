//! A client of the API.

use super::waiting::{PATIENCE, becomes};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// A caller of one API, with a token or without one.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// An answer, whole. A body that is no JSON is a text.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Client {
    pub(crate) fn of(url: &str) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        Self { http, url: url.to_owned(), token: None }
    }

    /// With another token. An empty one is none.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub(crate) fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        self.token.iter().fold(request, RequestBuilder::bearer_auth)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        sent(self.request(Method::GET, path)).await
    }

    /// A command or a step, not yet sent.
    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// A command under a key, not yet sent.
    pub(crate) fn keyed(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        self.post(path, body).header("Idempotency-Key", key)
    }

    /// Sends a command under a key.
    pub(crate) async fn command(&self, path: &str, key: &str, body: &Value) -> Response {
        sent(self.keyed(path, key, body)).await
    }

    /// The answer to a command that must be done.
    pub(crate) async fn done(&self, path: &str, key: &str, body: &Value) -> Value {
        let answer = unless_busy(self.keyed(path, key, body)).await.expect("the program ended");
        assert!((200..300).contains(&answer.status), "{path}: {answer:?}");
        answer.body
    }

    /// The body of an answer 200.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// Reads until the answer is as wanted. Its body.
    pub(crate) async fn until(&self, path: &str, wanted: impl Fn(&Response) -> bool) -> Value {
        becomes(path, async || self.get(path).await, wanted).await.body
    }

    /// Receives copies of a book.
    pub(crate) async fn receive(&self, isbn: &str, copies: u32) {
        let (path, key) = (format!("/stock/{isbn}/receive"), format!("delivery-of-{isbn}"));
        self.done(&path, &key, &json!({"quantity": copies})).await;
    }

    /// Places an order. Its path.
    pub(crate) async fn place(&self, key: &str, order: &Value) -> String {
        let placed = self.command("/orders", key, order).await;
        assert_eq!(placed.status, 201, "{placed:?}");
        placed.header("location").to_owned()
    }

    /// The events of a stream, page by page.
    pub(crate) async fn events(&self, stream: &str) -> Vec<Value> {
        let (mut events, mut from) = (Vec::new(), json!(1));
        while !from.is_null() {
            let page = self.get(&format!("/audit/streams/{stream}?from={from}&limit=500")).await;
            if page.status == 404 {
                break;
            }
            assert_eq!(page.status, 200, "{page:?}");
            events.extend(page.body["events"].as_array().unwrap().iter().cloned());
            from = page.body["next_from"].clone();
        }
        events
    }

    /// The versions and types of a stream's events, oldest first.
    pub(crate) async fn history(&self, stream: &str) -> Vec<String> {
        let events = self.events(stream).await;
        events
            .iter()
            .map(|event| format!("{} {}", event["version"], text(&event["type"])))
            .collect()
    }
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().unwrap()
    }

    /// Whether it is the answer of an earlier try.
    pub(crate) fn is_replay(&self) -> bool {
        self.headers.contains_key("idempotency-replayed")
    }

    /// Asserts that it is a problem document of that kind.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["type"], format!("https://ledgerfold.dev/problems/{slug}"));
        assert_eq!(self.body["status"], status);
        assert!(
            !text(&self.body["title"]).is_empty() && !text(&self.body["detail"]).is_empty(),
            "{self:?}"
        );
        assert!(text(&self.body["instance"]).starts_with("urn:uuid:"), "{self:?}");
    }

    /// Asserts that a field breaks a rule, of which a part is given.
    #[track_caller]
    pub(crate) fn breaks(&self, field: &str, rule: &str) {
        self.is_problem(400, "invalid-request");
        let error = &self.body["errors"][0];
        assert_eq!(error["field"], field, "{error}");
        assert!(text(&error["rule"]).contains(rule), "{error} has not {rule:?}");
    }

    /// Asserts that the domain refuses, in those words.
    #[track_caller]
    pub(crate) fn is_refused(&self, reason: &str) {
        self.is_problem(422, "refused");
        assert_eq!(self.body["reason"], reason);
    }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn sent(request: RequestBuilder) -> Response {
    try_sent(request).await.unwrap()
}

/// Sends a request again as long as the API is busy. None if the program ends meanwhile.
pub(crate) async fn unless_busy(request: RequestBuilder) -> Option<Response> {
    for _ in 0..100 {
        let answer = try_sent(request.try_clone().unwrap()).await.ok()?;
        if answer.status != 503 {
            return Some(answer);
        }
    }
    panic!("{request:?} is never answered but with busy");
}

async fn try_sent(request: RequestBuilder) -> reqwest::Result<Response> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await?;
    Ok(Response {
        status,
        headers,
        body: serde_json::from_str(&body).unwrap_or(Value::String(body)),
    })
}

#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Another book for each number: 978, nine digits, and their check digit.
pub(crate) fn isbn(number: u32) -> String {
    super::events::isbn(number).to_string()
}

/// An order's line.
pub(crate) fn line(book: u32, quantity: u32, unit_price_minor: u32) -> Value {
    json!({"isbn": isbn(book), "quantity": quantity, "unit_price_minor": unit_price_minor})
}

pub(crate) fn order(customer_id: &str, lines: &[Value]) -> Value {
    json!({"customer_id": customer_id, "currency": "EUR", "lines": lines})
}

/// The stream of the order at that path.
pub(crate) fn order_stream(path: &str) -> String {
    path.replace("/orders/", "order-")
}
