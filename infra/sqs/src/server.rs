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
use crate::store::QueueStore;

/// An SQS server over one file. Clones share it; dropping the last one closes the file.
#[derive(Clone)]
pub struct Server {
    shared: Arc<SharedServer>,
}

/// The state that all requests share.
pub(crate) struct SharedServer {
    store: Mutex<QueueStore>,
    address: OnceLock<SocketAddr>,
    account: String,
    closing: watch::Sender<bool>,
}

impl Server {
    /// Opens the file at `path`, or creates it.
    ///
    /// # Errors
    /// [`OpenError`]: the file is in use, damaged, of another program, or not writable.
    pub fn open(path: &Path, config: Config) -> Result<Self, OpenError> {
        let account = config.account.clone();
        let store = Mutex::new(QueueStore::open(path, config)?);
        let closing = watch::Sender::new(false);
        Ok(Self {
            shared: Arc::new(SharedServer { store, address: OnceLock::new(), account, closing }),
        })
    }

    /// Serves until `shutdown` completes. Long polls then return at once without messages.
    ///
    /// Queue URLs have the address of the first listener.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve_with_shutdown(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let router = self.router_at(listener.local_addr().unwrap_or_else(|_| unbound()));
        let (shared, working) = (self.shared.clone(), self.clone());
        let working = tokio::spawn(async move { working.work_until(shutdown).await });
        let stopped = async move { shared.closed().await };
        let served = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
        self.shared.closing.send_replace(true);
        working.await.map_err(std::io::Error::other)?;
        served
    }

    /// The HTTP service, for a program with its own listener at that address. It must also run
    /// [`Server::work_until`].
    pub fn router_at(&self, address: SocketAddr) -> Router {
        self.shared.address.get_or_init(|| address);
        http::router(self.shared.clone())
    }

    /// Runs move tasks until `shutdown` completes or the server stops. Then long polls return
    /// without messages.
    pub async fn work_until(&self, shutdown: impl Future<Output = ()>) {
        let stopped = async {
            tokio::select! {
                () = shutdown => {}
                () = self.shared.closed() => {}
            }
            self.shared.closing.send_replace(true);
        };
        tokio::join!(run_moves(self.shared.clone()), stopped);
    }
}

fn unbound() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl SharedServer {
    /// Locks the store for a few statements, never while waiting. It is used on the runtime's
    /// threads, because moving the usual 0.1 ms of work to another thread would take longer.
    pub(crate) fn store(&self) -> MutexGuard<'_, QueueStore> {
        // A panic in another request has rolled back its transaction, so the store is valid.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of a queue.
    pub(crate) fn url(&self, name: &str) -> String {
        let address = self.address.get().copied().unwrap_or_else(unbound);
        format!("http://{address}/{}/{name}", self.account)
    }

    /// Completes when the server stops.
    pub(crate) async fn closed(&self) {
        // `self` owns the sender, so waiting cannot fail.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }
}

/// Runs move tasks until the server stops.
async fn run_moves(shared: Arc<SharedServer>) {
    let started = shared.store().move_started.clone();
    loop {
        let next_ms = shared.store().step_moves();
        let pause = async {
            match next_ms {
                Ok(Some(0)) => tokio::task::yield_now().await,
                Ok(Some(pause_ms)) => tokio::time::sleep(Duration::from_millis(pause_ms)).await,
                Ok(None) => started.notified().await,
                Err(error) => {
                    log_failure("message move task", &error);
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = shared.closed() => return,
            () = pause => {}
        }
    }
}

/// Logs the internal cause, which the caller does not see.
pub(crate) fn log_failure(operation: &str, error: &ApiError) {
    if let Some(cause) = &error.cause {
        tracing::error!(operation, cause = %cause, "the queue file could not be read or written");
    }
}
