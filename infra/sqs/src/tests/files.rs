//! The file: kept, refused, taken.

use super::*;
use crate::OpenError;

fn open(path: &std::path::Path) -> Result<Server, OpenError> {
    Server::open(path, Config::default())
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let server = TestServer::new();
    let url = server.queue("q", json!({ "VisibilityTimeout": "7" })).await;
    server.send(&url, "waiting").await;
    let handle = server.receive(&url).await[0]["ReceiptHandle"].clone();
    let server = server.reopened_at(START_MS + 1_000);
    let attributes = server
        .ok("GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["All"] }))
        .await;
    assert_eq!(attributes["Attributes"]["VisibilityTimeout"], "7");
    assert_eq!(attributes["Attributes"]["ApproximateNumberOfMessagesNotVisible"], "1");
    server.ok("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": handle })).await;
    server.pass_s(60);
    assert!(server.bodies(&url).await.is_empty());
}

#[test]
fn a_file_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.db");
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Locked { .. })));
    drop(first);
    open(&path).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queues.db");
    std::fs::write(
        &path,
        "these are not queues, but some other kind of text, and long enough".repeat(50),
    )
    .unwrap();
    let error = open(&path).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("the queue file {} is damaged", path.display()));
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let server = TestServer::new();
    let url = server.queue("q", json!({})).await;
    for _ in 0..50 {
        server.send(&url, &"x".repeat(1_000)).await;
    }
    let TestServer { router, folder, .. } = server;
    drop(router);
    let path = folder.path().join("queues.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[4_096..middle].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    let error = open(&path).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn a_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(matches!(open(&path), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error =
        open(&folder.path().join("no such folder").join("queues.db")).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
    let error = open(folder.path()).map(drop).unwrap_err();
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
}
