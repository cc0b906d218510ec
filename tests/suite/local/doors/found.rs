//! Commands that find a running `dev` through its data folder.

use super::{ISBN, Program};
use crate::harness::program::{Dev, ledgerfold};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

/// Runs a command in that folder. Returns its exit status and output.
async fn beside(
    folder: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (i32, String, String) {
    let mut command = ledgerfold(arguments.iter().copied());
    let output =
        command.current_dir(folder).envs(environment.iter().copied()).output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// `dev` as it runs without arguments, but for the port.
async fn dev_in(folder: &Path) -> Dev {
    Dev::start_command(
        ledgerfold(["dev", "--port", "0", "--without-processes"]).current_dir(folder),
    )
    .await
}

#[tokio::test]
async fn commands_find_the_dev_that_runs_in_their_folder() {
    let folder = TempDir::new().unwrap();
    let dev = dev_in(folder.path()).await;
    let data = folder.path().join(".ledgerfold");
    let endpoint = ["projection", "list", "--endpoint", "http://127.0.0.1:1"];
    for arguments in
        [&["projection", "list"][..], &["audit", "verify", "--all"], &["tables", "create"]]
    {
        let (status, _, said) = beside(folder.path(), arguments, &[]).await;
        assert_eq!((status, &*said), (0, ""), "{arguments:?}");
        // From another folder: with the option, or with the variable that `dev` reads, too.
        let named = [arguments, &["--data", data.to_str().unwrap()]].concat();
        assert_eq!(beside(Path::new("/"), &named, &[]).await.0, 0, "{named:?}");
        let variable = [("LEDGERFOLD_DATA", data.to_str().unwrap())];
        assert_eq!(beside(Path::new("/"), arguments, &variable).await.0, 0, "{arguments:?}");
    }
    // Environment and options have precedence.
    let elsewhere = [
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ];
    assert_eq!(beside(folder.path(), &["projection", "list"], &elsewhere).await.0, 3);
    assert_eq!(beside(folder.path(), &endpoint, &[]).await.0, 3);

    assert_eq!(dev.interrupt().await, 0);
    assert!(!data.join("running.json").exists());
    let (status, _, said) = beside(folder.path(), &["projection", "list"], &[]).await;
    assert_eq!(status, 3);
    assert!(
        said.starts_with(
            "ledgerfold: no running instance found: start `ledgerfold dev` in this folder"
        ),
        "{said}"
    );
}

#[tokio::test]
async fn a_killed_dev_is_reported_and_starts_again() {
    let folder = TempDir::new().unwrap();
    let dev = dev_in(folder.path()).await;
    let process = dev.id();
    dev.kill().await;
    let (status, _, said) = beside(folder.path(), &["projection", "list"], &[]).await;
    let gone = format!(
        "running.json names process {process}, which is gone: start `ledgerfold dev` again"
    );
    assert!(status == 3 && said.contains(&gone), "{said}");
    // Its folder is free for another start.
    let data = ["projection", "list", "--data", ".ledgerfold"];
    assert_eq!(beside(folder.path(), &data, &[]).await.0, 0);
    let _dev = dev_in(folder.path()).await;
    assert_eq!(beside(folder.path(), &["projection", "list"], &[]).await.0, 0);
}

#[tokio::test]
async fn the_data_folder_and_its_files_are_their_owners_alone() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("open-to-all");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    let _dev = Dev::start(&data).await;
    assert_eq!(mode(&data), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&data).unwrap().chain(fs::read_dir(data.join("checkpoints")).unwrap())
    {
        let path = entry.unwrap().path();
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
        files += 1;
    }
    assert!(files >= 5, "{files}");
}

#[tokio::test]
async fn new_files_are_their_owners_alone() {
    let system = Program::start().await;
    system.receive(ISBN, 5).await;
    let checkpoint = system.data.path().join("checkpoints/fan-out.json");
    while !checkpoint.exists() {
        tokio::task::yield_now().await;
    }
    assert_eq!(mode(&checkpoint), 0o600);
    for file in ["dynamodb.db-wal", "dynamodb.db-shm", "sqs.db-wal", "running.json"] {
        let path = system.data.path().join(file);
        assert!(!path.exists() || mode(&path) == 0o600, "{file}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
