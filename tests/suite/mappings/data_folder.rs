//! The data folder: one owner, clear refusals, and nothing removed that is not ours.

use std::fs;
use std::path::Path;

use ledgerfold::local::data_dir::{DataDir, DataDirError};

fn refusal(folder: &Path) -> String {
    DataDir::open(folder).unwrap_err().to_string()
}

fn make_database(file: &Path) {
    let database = rusqlite::Connection::open(file).unwrap();
    database
        .execute_batch(
            "CREATE TABLE t(x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
        INSERT INTO t SELECT randomblob(100) FROM n;",
        )
        .unwrap();
}

#[test]
fn a_folder_is_made_and_has_one_owner_until_it_is_released() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a").join("b");
    let owner = DataDir::open(&folder).unwrap();
    let said = refusal(&folder);
    assert!(said.contains(&format!("in use by process {}", std::process::id())), "{said}");
    assert!(said.contains(&folder.display().to_string()), "{said}");
    assert!(matches!(DataDir::open_fresh(&folder), Err(DataDirError::InUse { .. })));
    drop(owner);
    DataDir::open(&folder).unwrap();
}

#[test]
fn a_start_from_nothing_removes_our_files_only() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let dir = DataDir::open(&folder).unwrap();
    let ours = [
        dir.dynamodb_file(),
        dir.sqs_file(),
        folder.join("dynamodb.db-wal"),
        folder.join("sqs.db-shm"),
        dir.checkpoint_file("fan-out"),
    ];
    let theirs = [folder.join("notes.txt"), folder.join("checkpoints").join("notes.txt"), folder.join("other.db")];
    ours.iter().chain(&theirs).for_each(|file| fs::write(file, "x").unwrap());
    drop(dir);
    let dir = DataDir::open_fresh(&folder).unwrap();
    assert_eq!(ours.iter().filter(|file| file.exists()).count(), 0);
    assert_eq!(theirs.iter().filter(|file| file.exists()).count(), theirs.len());
    assert!(dir.checkpoint_file("fan-out").parent().unwrap().is_dir());
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sqs.db"), "somebody's").unwrap();
    assert!(matches!(DataDir::open_fresh(folder.path()), Err(DataDirError::NotOurs { .. })));
    assert!(refusal(folder.path()).contains("--data"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_is_not_a_folder() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).contains("is not a folder"));
    assert!(refusal(&file.join("below")).contains("is not a folder"));
}

#[test]
fn what_cannot_be_written_to_is_said_so() {
    // Nobody may make a folder there, not even root.
    let said = refusal(Path::new("/sys/ledgerfold-data"));
    assert!(said.contains("/sys/ledgerfold-data cannot be written to"), "{said}");
}

#[test]
fn a_damaged_database_is_told_from_a_sound_one() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let file = DataDir::open(&folder).unwrap().dynamodb_file();
    make_database(&file);
    DataDir::open(&folder).unwrap();

    let sound = fs::read(&file).unwrap();
    let cut_short = &sound[..sound.len() / 2];
    let mut no_schema = sound.clone();
    no_schema[100..200].fill(0xff);
    for damaged in [b"not a database at all, but long enough for a header".repeat(40).as_slice(), cut_short, &no_schema]
    {
        fs::write(&file, damaged).unwrap();
        let said = refusal(&folder);
        assert!(said.contains("dynamodb.db is damaged") && said.contains("--fresh"), "{said}");
    }
    DataDir::open_fresh(&folder).unwrap();
    assert!(!file.exists());
}
