//! Requests of an API gateway in its payload format 2.0.

use super::runtime_api::Function;
use serde_json::{Value, json};
use std::time::Duration;

/// A caller whose token the gateway has checked.
pub(crate) struct Caller<'a> {
    pub(crate) function: &'a Function,
    pub(crate) subject: &'a str,
    pub(crate) scope: &'a str,
}

/// A request's body, as the gateway gives it.
pub(super) enum Body {
    None,
    Text(String),
    Base64(String),
}

/// The request as the gateway forwards it.
#[derive(Debug)]
pub(crate) struct GatewayResponse {
    pub(crate) status: u64,
    pub(crate) headers: Value,
    pub(crate) body: String,
}

impl GatewayResponse {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Caller<'_> {
    pub(crate) async fn get(&self, path: &str) -> GatewayResponse {
        self.send("GET", path, json!({}), Body::None).await
    }

    pub(crate) async fn post(&self, path: &str, key: &str, body: &Value) -> GatewayResponse {
        self.post_for(path, key, body, Duration::from_secs(28)).await
    }

    /// Sends a command to a function with that time limit.
    pub(super) async fn post_for(
        &self,
        path: &str,
        key: &str,
        body: &Value,
        time: Duration,
    ) -> GatewayResponse {
        let headers = json!({"content-type": "application/json", "idempotency-key": key});
        let event =
            event("POST", path, headers, Body::Text(body.to_string()), Some(self.authorizer()));
        answer(self.function.invoke_for(&event, time).await.unwrap())
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: Value,
        body: Body,
    ) -> GatewayResponse {
        send(self.function, method, path, headers, body, Some(self.authorizer())).await
    }

    /// Reads by a route of the gateway, which gives path and parameters decoded.
    pub(super) async fn get_by(
        &self,
        route_key: &str,
        path: &str,
        parameters: Value,
    ) -> GatewayResponse {
        let mut event = event("GET", path, json!({}), Body::None, Some(self.authorizer()));
        event["rawPath"] = json!(path);
        event["rawQueryString"] = json!("");
        event["routeKey"] = json!(route_key);
        event["requestContext"]["routeKey"] = json!(route_key);
        event["pathParameters"] = parameters;
        answer(self.function.invoke(&event).await.unwrap())
    }

    fn authorizer(&self) -> Value {
        let claims = json!({"sub": self.subject, "iss": "https://issuer", "exp": "4102444800", "scope": self.scope});
        json!({"jwt": {"claims": claims, "scopes": [self.scope]}})
    }
}

/// Sends a request with the authorizer's claims.
pub(super) async fn send(
    function: &Function,
    method: &str,
    path_and_query: &str,
    headers: Value,
    body: Body,
    authorizer: Option<Value>,
) -> GatewayResponse {
    answer(
        function.invoke(&event(method, path_and_query, headers, body, authorizer)).await.unwrap(),
    )
}

fn event(
    method: &str,
    path_and_query: &str,
    headers: Value,
    body: Body,
    authorizer: Option<Value>,
) -> Value {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let mut event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query, "headers": headers,
        "isBase64Encoded": false,
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api.example", "requestId": "r-1", "stage": "$default",
            "routeKey": "$default", "time": "23/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_000_000_000_u64,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "a test"},
        },
    });
    match body {
        Body::None => {}
        Body::Text(text) => event["body"] = json!(text),
        Body::Base64(text) => {
            event["body"] = json!(text);
            event["isBase64Encoded"] = json!(true);
        }
    }
    if let Some(authorizer) = authorizer {
        event["requestContext"]["authorizer"] = authorizer;
    }
    event
}

fn answer(answer: Value) -> GatewayResponse {
    assert_eq!(answer["isBase64Encoded"], false, "{answer}");
    GatewayResponse {
        status: answer["statusCode"].as_u64().unwrap(),
        headers: answer["headers"].clone(),
        body: answer["body"].as_str().unwrap_or_default().to_owned(),
    }
}
