//! HTTP/1.1 servers with limits, so that slow or greedy clients do not block others.
//!
//! | limit | where |
//! |---|---|
//! | connections at once | [`Limits::connections`]; others get 503 and are closed |
//! | time for a request's head, and between requests | [`Limits::head`] |
//! | size of a body | the handler that reads it |
//!
//! HTTP/2 is not served: its streams would escape the limit on connections.

use axum::Router;
use axum::body::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How many rejected connections get a response at once. Further ones are closed without.
const MAX_REJECTING: usize = 64;
/// How long a rejected client may take to read the response.
const REJECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after the operating system failed to accept a connection, mostly for want of file
/// handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long the head of a request may take, counted from the previous response. Idle
    /// connections end by it, too.
    pub head: Duration,
    /// How long a stop waits for open requests.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1_024, head: Duration::from_secs(60), drain: Duration::from_secs(5) }
    }
}

/// The response to connections beyond the limit, with a body of that type.
#[must_use]
pub fn overload_response(content_type: &str, body: &str) -> Bytes {
    let length = body.len();
    Bytes::from(format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{body}"
    ))
}

/// Serves until `stop`, then finishes open requests, within [`Limits::drain`].
///
/// `overload_response` is sent to connections beyond the limit: see [`overload_response()`].
pub async fn serve(
    listener: TcpListener,
    service: Router,
    limits: Limits,
    overload_response: Bytes,
    stop: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let rejected = Arc::new(Semaphore::new(MAX_REJECTING));
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener)).await {
        while connections.try_join_next().is_some() {}
        let Some(stream) = accepted else { continue };
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            connections.spawn(connection(stream, service.clone(), limits.head, stop.clone(), slot));
        } else if let Ok(permit) = Arc::clone(&rejected).try_acquire_owned() {
            tracing::warn!(
                connections = limits.connections,
                "a connection was rejected: too many are open"
            );
            connections.spawn(reject(stream, overload_response.clone(), permit));
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "a server stopped with open requests");
    }
}

/// The next connection; none if the operating system failed to accept one, after a pause.
async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it, the end of a response may wait 40 ms for an acknowledgement of its
            // beginning.
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) => {
            tracing::warn!(%error, "a connection was not accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    service: Router,
    head: Duration,
    stop: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(head);
    let connection =
        server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Sends the overload response. Then reads on: if the connection closed while the client sends, the
/// client would get an error instead of the response.
async fn reject(mut stream: TcpStream, overload_response: Bytes, _permit: OwnedSemaphorePermit) {
    let response = async {
        stream.write_all(&overload_response).await?;
        stream.shutdown().await?;
        let mut discarded = [0; 1_024];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    // It does not matter whether the client read it.
    let _ = tokio::time::timeout(REJECT_TIMEOUT, response).await;
}
