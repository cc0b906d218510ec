use super::*;
use crate::clients::{Clients, Endpoints};
use aws_sdk_sqs::error::ProvideErrorMetadata;
use axum::http::Method;
use axum::routing::any;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// An engine that answers accepted requests with an empty object, and its key.
async fn engine() -> (SocketAddr, AccessKey) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, key) = (listener.local_addr().unwrap(), AccessKey::generate().unwrap());
    let service = guarded(Router::new().fallback(any(async || "{}")), &key);
    tokio::spawn(async move { axum::serve(listener, service).await });
    (address, key)
}

async fn lists_tables(address: SocketAddr, key: AccessKey) -> Result<(), String> {
    let endpoint = format!("http://{address}");
    let clients = Clients::loopback(&Endpoints { dynamodb: endpoint.clone(), sqs: endpoint, key });
    let answer = clients.dynamodb.list_tables().send().await;
    answer.map(|_| ()).map_err(|error| error.code().unwrap_or("no code").to_owned())
}

#[tokio::test]
async fn only_the_key_of_this_start_signs_for_an_engine() {
    let (address, key) = engine().await;
    assert_eq!(lists_tables(address, key.clone()).await, Ok(()));
    let wrong_secret = AccessKey { secret: "test".to_owned(), ..key };
    assert_eq!(
        lists_tables(address, wrong_secret).await,
        Err("InvalidSignatureException".to_owned())
    );
    let other = AccessKey::generate().unwrap();
    assert_eq!(lists_tables(address, other).await, Err("UnrecognizedClientException".to_owned()));
}

/// The canonical form of AWS's documentation, computed without the SDK.
#[test]
fn paths_and_values_take_their_canonical_form() {
    let (mut parts, ()) = Request::builder().uri("/a%20b/c.fifo").body(()).unwrap().into_parts();
    let mut add =
        |name: &'static str, value| parts.headers.append(name, HeaderValue::from_static(value));
    add("host", "127.0.0.1:80");
    add("x-amz-date", "20150830T123600Z");
    add("x-amz-target", "  a   b ");
    add("x-amz-target", "c");
    parts.method = Method::POST;
    let canonical =
        signature::canonical_request(&parts, "host;x-amz-date;x-amz-target", b"").unwrap();
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(
        canonical,
        format!(
            "POST\n/a%2520b/c.fifo\n\nhost:127.0.0.1:80\nx-amz-date:20150830T123600Z\nx-amz-target:a b,c\n\n\
             host;x-amz-date;x-amz-target\n{empty}"
        )
    );
    assert!(signature::canonical_request(&parts, "host;x-amz-date", b"").is_err());
}

#[test]
fn hosts_of_an_engine_are_loopback_names() {
    let named = |host: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        names_loopback(&headers)
    };
    for host in ["127.0.0.1:8000", "localhost:8000", "LOCALHOST:8000", "[::1]:8000", "127.0.0.1"] {
        assert!(named(host), "{host}");
    }
    for host in [
        "",
        "evil.example:8000",
        "localhost.evil.example:8000",
        "10.0.0.1:8000",
        "[::2]",
        "127.0.0.1:evil",
    ] {
        assert!(!named(host), "{host}");
    }
    assert!(!names_loopback(&HeaderMap::new()));
}
