//! DynamoDB and DynamoDB Streams in this process: an embedded engine over one SQLite file, served over HTTP on loopback,
//! so that everything else speaks to it as to AWS.

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
use super::in_process::Engine;
use super::request_auth;
use super::stream_retention::{self, StreamTrim};

/// What the names of the engine's threads begin with.
pub(crate) const THREADS: &str = "dynamodb";
/// The engine asks for a table's highest sequence number at every write, and for the records after a number at every
/// read, from a table without any index: both would slow down with every record written.
const STREAM_INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS x_seq ON _stream_records(table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS x_shard ON _stream_records(table_name, shard_id, CAST(sequence_number AS INTEGER));";
/// The engine's threads wait for one lock around SQLite: a few keep the network served meanwhile, more help nobody.
const MIN_THREADS: usize = 2;
const MAX_THREADS: usize = 4;
const LISTEN_BACKLOG: u32 = 1_024;
/// Also the time that stream mappings have, after a start, to deliver what a laptop that slept over the weekend still
/// holds: the first trim comes one period after the start.
const TRIM_PERIOD: Duration = Duration::from_secs(10 * 60);
pub(in crate::local) const LOCK_WAIT: Duration = Duration::from_secs(5);
/// How late a change is noticed at most. One look costs microseconds, where an empty `GetRecords` costs a millisecond.
const CHANGE_LOOK: Duration = Duration::from_millis(10);

/// A running engine. Dropping it stops it too, without waiting.
#[derive(Debug)]
pub struct DynamoDb {
    endpoint: String,
    engine: Engine,
    changes: watch::Receiver<i64>,
    stop: DropGuard,
    stopped: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The engine does not accept the file.
    #[error("database {} cannot be opened", file.display())]
    Open {
        /// The database file.
        file: PathBuf,
        /// What the engine said.
        source: dynoxide::DynoxideError,
    },
    /// SQLite does not accept the file.
    #[error("database {} cannot be prepared", file.display())]
    Prepare {
        /// The database file.
        file: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// No address or no thread to be had.
    #[error("engine for {} cannot listen on 127.0.0.1", file.display())]
    Listen {
        /// The database file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl DynamoDb {
    /// Opens the database file (made if it is not there) and serves it on a free port of 127.0.0.1, for requests signed with the key.
    ///
    /// The engine does its SQLite work on the threads that serve it, so it gets a runtime of its own: nothing else waits
    /// behind a write.
    ///
    /// # Errors
    /// [`StartError`] when the file or an address cannot be had.
    pub async fn start(file: &Path, key: &AccessKey) -> Result<Self, StartError> {
        let file = file.to_owned();
        let listen_error = |source| StartError::Listen { file: file.clone(), source };
        let stop = CancellationToken::new();
        let (tell_started, started) = oneshot::channel();
        let (tell_stopped, stopped) = oneshot::channel();
        let (tell_changes, changes) = watch::channel(0);
        let thread = {
            let (file, key, stop) = (file.clone(), key.clone(), stop.clone());
            thread::Builder::new().name(THREADS.to_owned()).spawn(move || {
                run(&file, &key, tell_started, tell_changes, &stop);
                // Nobody may be waiting any more.
                let _ = tell_stopped.send(());
            })
        };
        let thread = thread.map_err(listen_error)?;
        let ended = |_ended| listen_error(io::Error::other("the engine's thread ended"));
        let (address, engine) = started.await.map_err(ended)??;
        Ok(Self { endpoint: format!("http://{address}"), engine, changes, stop: stop.drop_guard(), stopped, thread })
    }

    /// Where it listens, as `http://127.0.0.1:<port>`, for DynamoDB and its streams alike.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The same, for clients of this process.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A number that changes shortly after anything was written: who waits for stream records sleeps until then.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.changes.clone()
    }

    /// Stops: takes no new connection, answers what is being answered (for 5 seconds at most), closes the file.
    pub async fn stop(self) {
        drop(self.stop);
        // An error says that the thread is gone, which is what was asked for.
        let _ = self.stopped.await;
        if self.thread.join().is_err() {
            tracing::error!("the thread of the DynamoDB engine panicked");
        }
    }
}

/// The whole life of the engine, on its own thread.
fn run(
    file: &Path,
    key: &AccessKey,
    tell_started: oneshot::Sender<Result<(SocketAddr, Engine), StartError>>,
    tell_changes: watch::Sender<i64>,
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
            let _ = tell_started.send(Err(StartError::Listen { file: file.to_owned(), source }));
            return;
        }
    };
    runtime.block_on(async {
        match open(file).and_then(|database| Ok((database, listen(file)?))) {
            Ok((database, (listener, address))) => {
                let service = loopback_dynamodb::router(database);
                let _ = tell_started.send(Ok((address, Engine::new(service.clone(), runtime.handle().clone()))));
                let trimming = runtime.spawn(keep_trimmed(file.to_owned(), stop.clone()));
                let watching = runtime.spawn(watch_for_changes(file.to_owned(), tell_changes));
                request_auth::serve(listener, service, key, stop.clone()).await;
                trimming.abort();
                watching.abort();
            }
            Err(error) => {
                let _ = tell_started.send(Err(error));
            }
        }
    });
    // Ends what did not end by itself; with the last task the file is closed.
    runtime.shutdown_timeout(Duration::from_secs(1));
}

fn open(file: &Path) -> Result<dynoxide::Database, StartError> {
    let prepare = |source| StartError::Prepare { file: file.to_owned(), source };
    let refuse = |source| StartError::Open { file: file.to_owned(), source };
    let database = dynoxide::Database::new(&file.to_string_lossy()).map_err(refuse)?;
    let connection = Connection::open(file).map_err(prepare)?;
    connection.busy_timeout(LOCK_WAIT).map_err(prepare)?;
    connection.execute_batch(STREAM_INDEXES).map_err(prepare)?;
    // The only way that the engine offers to `PRAGMA synchronous = NORMAL`: ten times the writes, and a commit still
    // survives the process being killed. After a power cut the last moments may be missing, never half there.
    database.enable_bulk_loading().and_then(|()| database.disable_bulk_loading()).map_err(refuse)?;
    Ok(database)
}

fn listen(file: &Path) -> Result<(TcpListener, SocketAddr), StartError> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        // Accepted connections inherit it from the listening socket. Without it the end of an answer of several packets
        // may wait 40 ms for an acknowledgement of its beginning.
        socket.set_nodelay(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(LISTEN_BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind().map_err(|source| StartError::Listen { file: file.to_owned(), source })
}

/// Looks for changes for as long as the engine runs. Should that fail, mappings still look by themselves, only less often.
async fn watch_for_changes(file: PathBuf, tell_changes: watch::Sender<i64>) {
    if let Err(error) = tell_of_changes(&file, &tell_changes).await {
        tracing::warn!(%error, "changes of the database are not noticed at once any more");
    }
}

async fn tell_of_changes(file: &Path, tell_changes: &watch::Sender<i64>) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    while !tell_changes.is_closed() {
        // SQLite's own mark: it changes with every commit of another connection.
        let seen = connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        tell_changes.send_if_modified(|told| std::mem::replace(told, seen) != seen);
        tokio::time::sleep(CHANGE_LOOK).await;
    }
    Ok(())
}

/// Trims for as long as the engine runs.
async fn keep_trimmed(file: PathBuf, stop: CancellationToken) {
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
