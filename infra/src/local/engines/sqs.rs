//! SQS in this process: the crate `loopback-sqs` on its own threads.

use super::access_key::AccessKey;
use super::in_process::InProcessEngine;
use super::request_auth;
use axum::Router;
use loopback_sqs::{Config, OpenError, Server};
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread::{self, JoinHandle};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One lock guards its short SQLite work, so more threads would only wait.
const THREADS: usize = 2;

/// A running SQS. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Sqs {
    endpoint: String,
    engine: InProcessEngine,
    stop: DropGuard,
    thread: JoinHandle<io::Result<()>>,
}

/// Why SQS cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SqsStartError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No address or thread is available.
    #[error("the queues cannot be served on 127.0.0.1")]
    Listen(#[from] io::Error),
}

impl Sqs {
    /// Opens the database, or creates it, and serves it on a free port of 127.0.0.1. Requests must
    /// be signed with the key.
    ///
    /// # Errors
    /// [`SqsStartError`].
    pub fn start(file: &Path, key: &AccessKey) -> Result<Self, SqsStartError> {
        // All receivers were in the process that last had the folder open, so their messages are
        // visible again.
        let server = Server::open(file, Config { release_on_open: true, ..Config::default() })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("sqs-worker")
            .enable_all()
            .build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let service = server.router_at(address);
        let engine = InProcessEngine::new(service.clone(), runtime.handle().clone());
        let stop = CancellationToken::new();
        let (stopped, key) = (stop.clone(), key.clone());
        let thread = thread::Builder::new()
            .name("sqs".to_owned())
            .spawn(move || serve(&runtime, listener, &server, service, &key, stopped))?;
        Ok(Self { endpoint: format!("http://{address}"), engine, stop: stop.drop_guard(), thread })
    }

    /// Its address, `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The engine for clients of this process.
    #[must_use]
    pub fn engine(&self) -> &InProcessEngine {
        &self.engine
    }

    /// Stops: long polls return at once, open requests are answered, the file is closed.
    pub async fn stop(self) {
        let Self { stop, thread, .. } = self;
        drop(stop);
        match tokio::task::spawn_blocking(move || thread.join()).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::error!(%error, "SQS stopped serving"),
            Ok(Err(_)) | Err(_) => tracing::error!("the thread of SQS panicked"),
        }
    }
}

fn serve(
    runtime: &Runtime,
    listener: std::net::TcpListener,
    server: &Server,
    service: Router,
    key: &AccessKey,
    stop: CancellationToken,
) -> io::Result<()> {
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        let working = server.work_until(stop.clone().cancelled_owned());
        tokio::join!(request_auth::serve(listener, service, key, stop), working);
        Ok(())
    })
}
