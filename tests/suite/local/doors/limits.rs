//! Slow and greedy clients.

use super::{ISBN, Program, raw, rest};
use crate::harness::waiting::eventually;
use axum::Router;
use axum::routing::get;
use handlers::http::server::{self, Limits};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A server with small limits.
async fn server(limits: Limits) -> (String, DropGuard) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let service = Router::new().route("/", get(async || "here"));
    let no_room = server::overload_response("text/plain", "no room");
    tokio::spawn(server::serve(listener, service, limits, no_room, stop.clone()));
    (url, stop.drop_guard())
}

async fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn an_incomplete_head_ends_its_connection() {
    let head = Duration::from_millis(200);
    let (url, _stop) = server(Limits { head, ..Limits::default() }).await;
    let begun = Instant::now();
    let slow = raw(&url, b"GET / HTTP/1.1\r\nHost: local").await;
    assert!(!slow.contains("200 OK"), "{slow}");
    // The same without any byte, and after a response.
    assert_eq!(raw(&url, b"").await, "");
    let idle = raw(&url, GET).await;
    assert!(idle.starts_with("HTTP/1.1 200 OK"), "{idle}");
    assert!(begun.elapsed() >= 3 * head);
}

#[tokio::test]
async fn a_connection_beyond_the_limit_is_503() {
    let (url, _stop) = server(Limits { connections: 3, ..Limits::default() }).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = connect(&url).await;
        connection.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        held.push(connection);
    }
    for _ in 0..5 {
        let refused = raw(&url, GET).await;
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.contains("\r\nRetry-After: 1\r\n"),
            "{refused}"
        );
        assert!(refused.ends_with("\r\n\r\nno room"), "{refused}");
    }
    drop(held.pop());
    // The server notices a moment later that it is gone.
    let mut answer =
        raw(&url, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    while answer.starts_with("HTTP/1.1 503 ") {
        answer = raw(&url, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    }
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_stop_waits_for_requests_but_not_for_idle_clients() {
    let (url, stop) = server(Limits { drain: Duration::from_secs(20), ..Limits::default() }).await;
    let mut idle = connect(&url).await;
    idle.write_all(GET).await.unwrap();
    let begun = Instant::now();
    drop(stop);
    let answer = rest(&mut idle).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_body_that_stalls_is_answered() {
    let system = Program::start().await;
    let head = "POST /stock/9780306406157/receive HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 15\r\n\r\n{\"quanti";
    let answer = raw(&system.dev.url, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("problems/slow-body"),
        "{answer}"
    );
    assert!(system.events(&format!("stock-{ISBN}")).await.is_empty());
}

#[tokio::test]
async fn many_connections_to_a_running_program_are_bounded() {
    let system = Program::start().await;
    let mut held = Vec::new();
    let rejected = loop {
        assert!(held.len() < 400, "there is no bound");
        let mut connection = connect(&system.dev.url).await;
        connection.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
        held.push(connection);
        if held.len() > 256 {
            break rest(held.last_mut().unwrap()).await;
        }
    };
    assert!(
        rejected.starts_with("HTTP/1.1 503 ") && rejected.contains("problems/unavailable"),
        "{rejected}"
    );
    drop(held);
    eventually("connections are free again", || async {
        let answer = reqwest::get(system.url("/healthz")).await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    system.receive(ISBN, 5).await;
}
