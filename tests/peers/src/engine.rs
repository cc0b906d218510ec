//! The engine in a separate process. Its CPU is not counted for the client, and each cell starts an
//! empty one.

use crate::Failure;
use ledgerfold::clients::Endpoints;
use ledgerfold::local::engines::access_key::AccessKey;
use ledgerfold::local::engines::dynamodb::DynamoDb;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// Clock ticks a second in `/proc/<pid>/stat`: 100 on every Linux.
const TICKS_PER_S: f64 = 100.0;

/// A running engine with its own database. Dropping it kills the engine and removes the database.
pub(crate) struct Engine {
    child: Child,
    pid: u32,
    endpoints: Endpoints,
    /// Last, so that it is removed after its users.
    _folder: TempDir,
}

impl Engine {
    /// Starts this program's own subcommand on an empty database.
    pub(crate) async fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["engine", "--file"])
            .arg(folder.path().join("peers.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C goes to the measuring program, which then ends this one.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or("the engine ended at once")?;
        let stdout = child.stdout.take().ok_or("the engine has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(START_LIMIT, lines.next_line()).await??;
        let line = line.ok_or("the engine ended before it said where it listens")?;
        let endpoints = serde_json::from_str(&line)?;
        Ok(Self { child, pid, endpoints, _folder: folder })
    }

    /// Its address and access key.
    pub(crate) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// CPU seconds, user and system, since its start; in steps of 10 ms.
    pub(crate) fn cpu_s(&self) -> Result<f64, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        // The program's name, in brackets, may contain spaces. The third field follows it.
        let (_, fields) = stat.rsplit_once(')').ok_or("unknown form of /proc/<pid>/stat")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
        Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_S)
    }

    /// Stops it.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        drop(self.child.stdin.take());
        match timeout(STOP_LIMIT, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => Ok(()),
            Ok(status) => Err(format!("the engine ended with {:?}", status?).into()),
            Err(_) => Err("the engine does not stop".into()),
        }
    }
}

/// The process of the engine. It serves until standard input ends, also when the parent dies.
pub(crate) async fn serve(file: &Path) -> Result<(), Failure> {
    let key = AccessKey::generate()?;
    let engine = DynamoDb::start(file, &key).await?;
    let endpoints = serde_json::to_string(&Endpoints::of_one(engine.endpoint(), key))?;
    let mut stdout = tokio::io::stdout();
    stdout.write_all(format!("{endpoints}\n").as_bytes()).await?;
    stdout.flush().await?;
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    engine.stop().await;
    Ok(())
}
