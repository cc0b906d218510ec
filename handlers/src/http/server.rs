//! The servers of this machine: HTTP/1.1 with limits, so that a slow or greedy client takes nothing from the others.
//!
//! | limit | where |
//! |---|---|
//! | connections at once | [`Limits::connections`]; one more is answered 503 and closed |
//! | a request's head, and the time between two requests | [`Limits::head`] |
//! | a request's body | the handler that reads it |
//!
//! HTTP/2 is refused: nothing here needs it, and its streams would escape the bound on connections.

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

/// Clients that are told at once that there is no room; one more is closed without a word.
const MAX_TURNED_AWAY: usize = 64;
/// How long a client that is turned away may take to read that.
const TURNING_AWAY: Duration = Duration::from_secs(1);
/// The pause after the operating system gave no connection, most likely for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server bears.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// How long the head of a request may take, from the end of the answer before it: an idle connection is closed then.
    pub head: Duration,
    /// How long a stop waits for requests that are being answered.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 1_024, head: Duration::from_secs(60), drain: Duration::from_secs(5) }
    }
}

/// What a connection above the limit is told, with a body of that type.
#[must_use]
pub fn no_room(content_type: &str, body: &str) -> Bytes {
    let length = body.len();
    Bytes::from(format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n{body}"
    ))
}

/// Serves until `stop`, then answers what was asked, for as long as the limits say.
///
/// `no_room` is what a connection above the limit is told: see [`no_room()`].
pub async fn serve(listener: TcpListener, service: Router, limits: Limits, no_room: Bytes, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let turned_away = Arc::new(Semaphore::new(MAX_TURNED_AWAY));
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(accept(&listener)).await {
        while connections.try_join_next().is_some() {}
        let Some(stream) = accepted else { continue };
        if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
            connections.spawn(connection(stream, service.clone(), limits.head, stop.clone(), slot));
        } else if let Ok(place) = Arc::clone(&turned_away).try_acquire_owned() {
            tracing::warn!(connections = limits.connections, "a connection was turned away: there is no room");
            connections.spawn(turn_away(stream, no_room.clone(), place));
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, all).await.is_err() {
        tracing::warn!(connections = connections.len(), "a server was stopped with requests still open");
    }
}

/// The next connection; nothing where the operating system gave none, after a pause.
async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _)) => {
            // Without it the end of an answer may wait 40 ms for an acknowledgement of its beginning.
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
    let connection = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
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

/// Tells a client that there is no room. What it sends meanwhile is read: closed on it, it would find an error in place of the
/// answer.
async fn turn_away(mut stream: TcpStream, no_room: Bytes, _place: OwnedSemaphorePermit) {
    let told = async {
        stream.write_all(&no_room).await?;
        stream.shutdown().await?;
        let mut thrown_away = [0; 1_024];
        while stream.read(&mut thrown_away).await? > 0 {}
        io::Result::Ok(())
    };
    // A client that is gone, or does not read, has had its chance.
    let _ = tokio::time::timeout(TURNING_AWAY, told).await;
}
