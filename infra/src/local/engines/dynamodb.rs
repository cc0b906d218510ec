//! DynamoDB and DynamoDB Streams in this process: an embedded engine over one SQLite file. It is
//! served over HTTP on loopback, so all clients use it like AWS.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rusqlite::Connection;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::access_key::AccessKey;
use super::in_process::InProcessEngine;
use super::request_auth;
use super::stream_retention::{self, StreamTrim};

/// The prefix of the engine's thread names.
pub const THREADS: &str = "dynamodb";
/// Without these indexes, each write (for the highest sequence number) and each read (for the
/// records after a number) scans all stream records.
const STREAM_INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS x_seq ON _stream_records(table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS x_shard ON _stream_records(table_name, shard_id, CAST(sequence_number AS INTEGER));";
/// The engine's threads share one lock around SQLite. A few serve the network meanwhile; more would
/// not help.
const MIN_THREADS: usize = 2;
const MAX_THREADS: usize = 4;
const LISTEN_BACKLOG: u32 = 1_024;
/// The first trim comes one period after the start. Until then, stream mappings can deliver old
/// records, such as those of a laptop that slept over the weekend.
const TRIM_PERIOD: Duration = Duration::from_secs(10 * 60);
pub(in crate::local) const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How often the engine looks for changes. It takes microseconds; an empty `GetRecords` takes a
/// millisecond.
const CHANGE_POLL: Duration = Duration::from_millis(10);

/// A running engine. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct DynamoDb {
    endpoint: String,
    engine: InProcessEngine,
    changes: watch::Receiver<i64>,
    stop: DropGuard,
    stopped: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

/// Why DynamoDB cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbStartError {
    /// The engine cannot open the file.
    #[error("database {} cannot be opened", file.display())]
    Open {
        /// The database file.
        file: PathBuf,
        /// The error of the engine.
        source: dynoxide::DynoxideError,
    },
    /// SQLite cannot open the file.
    #[error("database {} cannot be prepared", file.display())]
    Prepare {
        /// The database file.
        file: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// No address or thread is available.
    #[error("engine for {} cannot listen on 127.0.0.1", file.display())]
    Listen {
        /// The database file.
        file: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl DynamoDb {
    /// Opens the database file, or creates it, and serves it on a free port of 127.0.0.1. Requests
    /// must be signed with the key.
    ///
    /// The engine uses SQLite on the threads that serve requests. It has its own runtime, so that
    /// other work does not wait for writes.
    ///
    /// # Errors
    /// [`DynamoDbStartError`] when the file cannot be opened or no address is free.
    pub async fn start(file: &Path, key: &AccessKey) -> Result<Self, DynamoDbStartError> {
        let file = file.to_owned();
        let listen_error = |source| DynamoDbStartError::Listen { file: file.clone(), source };
        let stop = CancellationToken::new();
        let (started_sender, started) = oneshot::channel();
        let (stopped_sender, stopped) = oneshot::channel();
        let (changes_sender, changes) = watch::channel(0);
        let thread = {
            let (file, key, stop) = (file.clone(), key.clone(), stop.clone());
            thread::Builder::new().name(THREADS.to_owned()).spawn(move || {
                run(&file, &key, started_sender, changes_sender, &stop);
                // The receiver may be gone.
                let _ = stopped_sender.send(());
            })
        };
        let thread = thread.map_err(listen_error)?;
        let ended = |_ended| listen_error(io::Error::other("the engine's thread ended"));
        let (address, engine) = started.await.map_err(ended)??;
        Ok(Self {
            endpoint: format!("http://{address}"),
            engine,
            changes,
            stop: stop.drop_guard(),
            stopped,
            thread,
        })
    }

    /// Its address, `http://127.0.0.1:<port>`, for DynamoDB and its streams.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The engine for clients of this process.
    #[must_use]
    pub fn engine(&self) -> &InProcessEngine {
        &self.engine
    }

    /// A number that changes shortly after each write. It wakes stream mappings.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.changes.clone()
    }

    /// Stops: accepts no more connections, answers open requests for at most 5 seconds, closes the
    /// file.
    pub async fn stop(self) {
        drop(self.stop);
        // An error means that the thread has ended already.
        let _ = self.stopped.await;
        if self.thread.join().is_err() {
            tracing::error!("the thread of the DynamoDB engine panicked");
        }
    }
}

/// Runs the engine on its own thread until `stop`.
fn run(
    file: &Path,
    key: &AccessKey,
    started_sender: oneshot::Sender<Result<(SocketAddr, InProcessEngine), DynamoDbStartError>>,
    changes_sender: watch::Sender<i64>,
    stop: &CancellationToken,
) {
    let threads = thread::available_parallelism().map_or(MIN_THREADS, |cores| cores.get());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.clamp(MIN_THREADS, MAX_THREADS))
        .thread_name(format!("{THREADS}-worker"))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(source) => {
            let _ = started_sender
                .send(Err(DynamoDbStartError::Listen { file: file.to_owned(), source }));
            return;
        }
    };
    runtime.block_on(async {
        match open(file).and_then(|database| Ok((database, listen(file)?))) {
            Ok((database, (listener, address))) => {
                let service = loopback_dynamodb::router(database);
                let _ = started_sender.send(Ok((
                    address,
                    InProcessEngine::new(service.clone(), runtime.handle().clone()),
                )));
                let trimming = runtime.spawn(trim_periodically(file.to_owned(), stop.clone()));
                let watching = runtime.spawn(watch_for_changes(file.to_owned(), changes_sender));
                request_auth::serve(listener, service, key, stop.clone()).await;
                trimming.abort();
                watching.abort();
            }
            Err(error) => {
                let _ = started_sender.send(Err(error));
            }
        }
    });
    // Aborts tasks that are left. The last one closes the file.
    runtime.shutdown_timeout(Duration::from_secs(1));
}

fn open(file: &Path) -> Result<dynoxide::Database, DynamoDbStartError> {
    let prepare = |source| DynamoDbStartError::Prepare { file: file.to_owned(), source };
    let refuse = |source| DynamoDbStartError::Open { file: file.to_owned(), source };
    let database = dynoxide::Database::new(&file.to_string_lossy()).map_err(refuse)?;
    let connection = Connection::open(file).map_err(prepare)?;
    connection.busy_timeout(LOCK_WAIT).map_err(prepare)?;
    connection.execute_batch(STREAM_INDEXES).map_err(prepare)?;
    // The engine offers no other way to `PRAGMA synchronous = NORMAL`, which allows ten times the
    // writes. A commit still survives a kill of the process. A power cut may lose the last commits,
    // but none in part.
    database
        .enable_bulk_loading()
        .and_then(|()| database.disable_bulk_loading())
        .map_err(refuse)?;
    Ok(database)
}

fn listen(file: &Path) -> Result<(TcpListener, SocketAddr), DynamoDbStartError> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        // Accepted connections inherit it. Without it, the last packet of an answer may wait 40 ms
        // for an acknowledgement of the first.
        socket.set_nodelay(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(LISTEN_BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind().map_err(|source| DynamoDbStartError::Listen { file: file.to_owned(), source })
}

/// Looks for changes while the engine runs. If this fails, mappings still poll, but less often.
async fn watch_for_changes(file: PathBuf, changes_sender: watch::Sender<i64>) {
    if let Err(error) = publish_changes(&file, &changes_sender).await {
        tracing::warn!(%error, "changes of the database are no longer noticed at once");
    }
}

async fn publish_changes(file: &Path, changes_sender: &watch::Sender<i64>) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    while !changes_sender.is_closed() {
        // SQLite changes this number with every commit of another connection.
        let current =
            connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        changes_sender.send_if_modified(|last| std::mem::replace(last, current) != current);
        tokio::time::sleep(CHANGE_POLL).await;
    }
    Ok(())
}

/// Removes old stream records while the engine runs.
async fn trim_periodically(file: PathBuf, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(TRIM_PERIOD)).await.is_some() {
        let oldest_kept = SystemTime::now() - stream_retention::RETENTION;
        let trimmed = match StreamTrim::open(&file) {
            Ok(mut trim) => trim.remove_before(oldest_kept).await,
            Err(error) => Err(error),
        };
        match trimmed {
            Ok(records) => tracing::debug!(records, "stream records older than 24 hours removed"),
            Err(error) => tracing::warn!(%error, "stream records not trimmed, trying again later"),
        }
    }
}
