//! Converts requests of an API gateway (HTTP API, payload format 2.0) for the router, and its
//! answers back.

use super::events::TooSlow;
use super::{FunctionFailure, Start};
use crate::access::{Caller, InvalidCaller, Unauthorized};
use crate::problem::Problem;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body as Payload;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::StreamExt;
use lambda_runtime::tower::ServiceExt;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;

/// The most bytes of an answer; the problem names this limit.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// The same as it goes: Lambda takes 6 MB of JSON, in which the answer is a string, and a quote of
/// it takes two. <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
const MAX_WRITTEN_BYTES: usize = 5_900_000;
/// Characters that need no escape in a path; the gateway passes it decoded.
const OF_PATHS: &[u8] = b"/-._~!$&'()*+,;=:@";
/// Characters that need no escape in a segment of a path.
const OF_SEGMENTS: &[u8] = b"-._~!$&'()*+,;=:@";
/// Characters that need no escape in a query; the gateway passes it unchanged.
const OF_QUERIES: &[u8] = b"/-._~!$&'()*+,;=:@?%";

impl Start {
    /// Answers requests. The gateway's authorizer has checked the caller.
    ///
    /// # Errors
    /// When Lambda cannot be asked for events.
    pub async fn serve_http(self, router: Router) -> Result<(), FunctionFailure> {
        let router = &router;
        self.serve("an HTTP API", async |event: ApiGatewayV2httpRequest, left| {
            Ok(answer(router.clone(), event, left).await)
        })
        .await
    }
}

async fn answer(
    router: Router,
    event: ApiGatewayV2httpRequest,
    left: Duration,
) -> ApiGatewayV2httpResponse {
    let answered = async {
        match request(event) {
            Ok(request) => {
                let Ok(response) = router.oneshot(request).await;
                payload(response).await
            }
            Err(problem) => payload(problem.into_response()).await,
        }
    };
    match tokio::time::timeout(left, Box::pin(answered)).await {
        Ok(answer) => answer,
        Err(_) => payload(Problem::timed_out(&TooSlow(left)).into_response()).await,
    }
}

fn request(event: ApiGatewayV2httpRequest) -> Result<Request, Problem> {
    let rebuilt =
        event.route_key.as_deref().and_then(|route_key| rebuilt(route_key, &event.path_parameters));
    let path =
        rebuilt.unwrap_or_else(|| escaped(event.raw_path.as_deref().unwrap_or("/"), OF_PATHS));
    let uri = match event.raw_query_string.filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{}", escaped(&query, OF_QUERIES)),
        None => path,
    };
    let mut request = Request::new(body(event.body, event.is_base64_encoded)?);
    *request.method_mut() = event.request_context.http.method;
    *request.uri_mut() =
        uri.parse().map_err(|_| Problem::invalid("path", "must begin with '/'"))?;
    *request.headers_mut() = event.headers;
    if let Some(jwt) = event.request_context.authorizer.and_then(|authorizer| authorizer.jwt) {
        let claims =
            jwt.claims.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
        let caller = Caller::from_claims(&claims, &jwt.scopes.unwrap_or_default());
        request.extensions_mut().insert(caller.map_err(refused)?);
    }
    Ok(request)
}

/// The path as the caller sent it, from the route that the gateway chose and the parameters that it
/// found in it. In the path that it gives, which is decoded, a `/` or `?` of an id cannot be told
/// from one between segments. Nothing where the route says too little: `$default`, or a catch-all
/// `{proxy+}`, whose `/` are between segments.
///
/// Only AWS can answer whether a `%2F` finds a route with `{id}`: reports say that the gateway
/// decodes before it matches, so that an id with `/` needs a greedy `{id+}`, which is one id here.
/// They also say that parameters come decoded once.
fn rebuilt(route_key: &str, parameters: &HashMap<String, String>) -> Option<String> {
    let (_method, route) = route_key.split_once(' ')?;
    let segments = route.strip_prefix('/')?.split('/').map(|segment| {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            return Some(segment.to_owned());
        };
        let name = name.strip_suffix('+').unwrap_or(name);
        parameters.get(name).filter(|_| name != "proxy").map(|value| escaped(value, OF_SEGMENTS))
    });
    let path = segments.collect::<Option<Vec<String>>>()?.join("/");
    Some(format!("/{path}"))
}

/// The gateway accepted a token without a subject.
fn refused(invalid: InvalidCaller) -> Problem {
    Problem::unauthorized(&Unauthorized::InvalidToken(invalid.to_string()))
}

fn body(text: Option<String>, is_base64: bool) -> Result<Body, Problem> {
    let text = text.unwrap_or_default();
    match is_base64 {
        false => Ok(Body::from(text)),
        true => BASE64_STANDARD
            .decode(text)
            .map(Body::from)
            .map_err(|_| Problem::invalid("", "the body is no Base64")),
    }
}

/// The text, with every byte escaped that is not allowed there in a URL.
fn escaped(text: &str, allowed: &[u8]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || allowed.contains(&byte) {
            true => escaped.push(char::from(byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The answer in the gateway's format.
async fn payload(response: Response) -> ApiGatewayV2httpResponse {
    let (parts, body) = response.into_parts();
    let bytes = match whole(body).await {
        Ok(bytes) => bytes,
        Err(problem) => return Box::pin(payload(problem.into_response())).await,
    };
    let mut answer = ApiGatewayV2httpResponse::default();
    answer.status_code = i64::from(parts.status.as_u16());
    answer.headers = parts.headers;
    (answer.body, answer.is_base64_encoded) = encoded(bytes);
    answer
}

/// The whole body of an answer, unless it is too long or ends early.
async fn whole(body: Body) -> Result<Bytes, Problem> {
    let (mut chunks, mut bytes) = (body.into_data_stream(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        bytes.extend_from_slice(&chunk.map_err(|error| Problem::incomplete_answer(&error))?);
        if bytes.len() > MAX_ANSWER_BYTES {
            break;
        }
    }
    if bytes.len() > MAX_ANSWER_BYTES || written(&bytes) > MAX_WRITTEN_BYTES {
        return Err(Problem::answer_too_large(MAX_ANSWER_BYTES));
    }
    Ok(bytes.into())
}

/// Its approximate length as a JSON string.
fn written(bytes: &[u8]) -> usize {
    let length = |byte: &u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
        0..0x20 => 6,
        _ => 1,
    };
    bytes.iter().map(length).sum()
}

/// Text is passed unchanged: all answers of the API are text. Other bodies would be Base64.
fn encoded(bytes: Bytes) -> (Option<Payload>, bool) {
    match String::from_utf8(bytes.into()) {
        Ok(text) => (Some(Payload::Text(text)), false),
        Err(error) => (Some(Payload::Binary(error.into_bytes())), true),
    }
}

#[cfg(test)]
mod tests {
    use super::{OF_PATHS, OF_QUERIES, escaped, rebuilt};
    use std::collections::HashMap;

    fn path(route_key: &str, parameters: &[(&str, &str)]) -> Option<String> {
        let parameters =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        rebuilt(route_key, &parameters.collect::<HashMap<_, _>>())
    }

    #[test]
    fn a_path_is_rebuilt_from_its_route_and_its_ids() {
        let rebuilt = |route_key, parameters: &[_], wanted: &str| {
            assert_eq!(path(route_key, parameters).as_deref(), Some(wanted));
        };
        rebuilt("GET /projections", &[], "/projections");
        rebuilt("POST /orders/{id}/confirm", &[("id", "o-1")], "/orders/o-1/confirm");
        rebuilt(
            "GET /commands/{command_id}",
            &[("command_id", "a/b?c#d%2Fe ä")],
            "/commands/a%2Fb%3Fc%23d%252Fe%20%C3%A4",
        );
        rebuilt("GET /commands/{command_id+}", &[("command_id", "a/b")], "/commands/a%2Fb");
    }

    #[test]
    fn a_route_that_says_too_little_leaves_the_path() {
        for (route_key, parameters) in [
            ("$default", &[][..]),
            ("ANY /{proxy+}", &[("proxy", "orders/o-1")]),
            ("GET /orders/{id}", &[]),
            ("GET /orders/{id}", &[("key", "o-1")]),
        ] {
            assert_eq!(path(route_key, parameters), None, "{route_key}");
        }
    }

    #[test]
    fn a_decoded_path_is_an_address_again() {
        assert_eq!(
            escaped("/audit/streams/stock-9%20ä b", OF_PATHS),
            "/audit/streams/stock-9%2520%C3%A4%20b"
        );
        assert_eq!(escaped("from=1&type=%C3%A4\"<", OF_QUERIES), "from=1&type=%C3%A4%22%3C");
    }
}
