//! The server: the file, the listener, long polls and move tasks.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::error::{ApiError, OpenError};
use crate::http;
use crate::store::Store;

/// An SQS server over one file. Clones share it; the file is closed with the last of them.
#[derive(Clone)]
pub struct Server {
    engine: Arc<Engine>,
}

/// What every request sees.
pub(crate) struct Engine {
    store: Mutex<Store>,
    address: OnceLock<SocketAddr>,
    account: String,
    closing: watch::Sender<bool>,
}

impl Server {
    /// Opens the file at `path`, or makes it.
    ///
    /// # Errors
    /// See [`OpenError`]: the file is in use, damaged, something else, or cannot be written.
    pub fn open(path: &Path, config: Config) -> Result<Self, OpenError> {
        let account = config.account.clone();
        let store = Mutex::new(Store::open(path, config)?);
        let closing = watch::Sender::new(false);
        Ok(Self { engine: Arc::new(Engine { store, address: OnceLock::new(), account, closing }) })
    }

    /// Answers requests until `shutdown` ends; running long polls then return empty at once.
    ///
    /// Queue URLs name the address of the first listener served.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve_with_shutdown(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = self.router_at(listener.local_addr().unwrap_or_else(|_| unbound()));
        let (engine, working) = (self.engine.clone(), self.clone());
        let working = tokio::spawn(async move { working.work_until(shutdown).await });
        let stopped = async move { engine.closed().await };
        let served = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
        self.engine.closing.send_replace(true);
        working.await.map_err(std::io::Error::other)?;
        served
    }

    /// The HTTP service alone, for a program that has its own listener at that address, and calls
    /// [`Server::work_until`] beside it.
    pub fn router_at(&self, address: SocketAddr) -> Router {
        self.engine.address.get_or_init(|| address);
        http::router(self.engine.clone())
    }

    /// Carries out move tasks until `shutdown` ends, or the server stops otherwise; then lets long polls return empty.
    pub async fn work_until(&self, shutdown: impl Future<Output = ()>) {
        let stopped = async {
            tokio::select! {
                () = shutdown => {}
                () = self.engine.closed() => {}
            }
            self.engine.closing.send_replace(true);
        };
        tokio::join!(run_moves(self.engine.clone()), stopped);
    }
}

fn unbound() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Engine {
    /// The store, for a few statements: no request holds it while it waits. It is used on the runtime's own threads,
    /// because a hop to another thread would cost more than the usual 0.1 ms of work.
    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        // A panic in another request has rolled its transaction back, so the store is sound.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of a queue.
    pub(crate) fn url(&self, name: &str) -> String {
        let address = self.address.get().copied().unwrap_or_else(unbound);
        format!("http://{address}/{}/{name}", self.account)
    }

    /// Ends when the server is told to stop.
    pub(crate) async fn closed(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

/// Carries out move tasks until the server stops.
async fn run_moves(engine: Arc<Engine>) {
    let bell = engine.store().moves_bell.clone();
    loop {
        let again_ms = engine.store().step_moves();
        let pause = async {
            match again_ms {
                Ok(Some(0)) => tokio::task::yield_now().await,
                Ok(Some(pause_ms)) => tokio::time::sleep(Duration::from_millis(pause_ms)).await,
                Ok(None) => bell.notified().await,
                Err(error) => {
                    log_failure("message move task", &error);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = engine.closed() => return,
            () = pause => {}
        }
    }
}

/// Logs what the caller does not get to see.
pub(crate) fn log_failure(operation: &str, error: &ApiError) {
    if let Some(cause) = &error.cause {
        tracing::error!(operation, cause = %cause, "the queue file could not be read or written");
    }
}
