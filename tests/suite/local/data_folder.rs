//! The data folder: one process at a time, clear errors, and no foreign file is removed.

use std::fs;
use std::path::Path;

use ledgerfold::local::data_folder::{DataFolder, DataFolderError};
use ledgerfold::local::stack::Stack;
use std::path::PathBuf;

fn refusal(folder: &Path) -> String {
    DataFolder::open(folder).unwrap_err().to_string()
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
    let owner = DataFolder::open(&folder).unwrap();
    let said = refusal(&folder);
    assert!(said.contains(&format!("in use by process {}", std::process::id())), "{said}");
    assert!(said.contains(&folder.display().to_string()), "{said}");
    assert!(matches!(DataFolder::open_fresh(&folder), Err(DataFolderError::InUse { .. })));
    drop(owner);
    DataFolder::open(&folder).unwrap();
}

#[test]
fn a_start_from_nothing_removes_our_files_only() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let dir = DataFolder::open(&folder).unwrap();
    let ours = [
        dir.dynamodb_file(),
        dir.sqs_file(),
        folder.join("dynamodb.db-wal"),
        folder.join("sqs.db-shm"),
        dir.checkpoint_file("fan-out"),
        folder.join("ledgerfold.json"),
    ];
    let theirs = [
        folder.join("notes.txt"),
        folder.join("checkpoints").join("notes.txt"),
        folder.join("other.db"),
    ];
    ours.iter().chain(&theirs).for_each(|file| fs::write(file, "x").unwrap());
    drop(dir);
    let dir = DataFolder::open_fresh(&folder).unwrap();
    assert_eq!(ours.iter().filter(|file| file.exists()).count(), 0);
    assert_eq!(theirs.iter().filter(|file| file.exists()).count(), theirs.len());
    assert!(dir.checkpoint_file("fan-out").parent().unwrap().is_dir());
}

#[test]
fn a_folder_that_is_not_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sqs.db"), "somebody's").unwrap();
    assert!(matches!(DataFolder::open_fresh(folder.path()), Err(DataFolderError::NotOurs { .. })));
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
    // Even root cannot create a folder there.
    let said = refusal(Path::new("/sys/ledgerfold-data"));
    assert!(said.contains("/sys/ledgerfold-data cannot be written to"), "{said}");
}

#[test]
fn a_damaged_database_is_distinguished_from_a_sound_one() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let dir = DataFolder::open(&folder).unwrap();
    let file = dir.dynamodb_file();
    make_database(&file);
    make_database(&dir.sqs_file());
    drop(dir);
    DataFolder::open(&folder).unwrap();

    let sound = fs::read(&file).unwrap();
    let cut_short = &sound[..sound.len() / 2];
    let mut no_schema = sound.clone();
    no_schema[100..200].fill(0xff);
    for damaged in [
        b"not a database at all, but long enough for a header".repeat(40).as_slice(),
        cut_short,
        &no_schema,
    ] {
        fs::write(&file, damaged).unwrap();
        let said = refusal(&folder);
        assert!(said.contains("dynamodb.db is damaged") && said.contains("--fresh"), "{said}");
    }
    DataFolder::open_fresh(&folder).unwrap();
    assert!(!file.exists());
}

/// Starts and stops the engines over the folder. Then it has data.
async fn use_once(folder: &Path) {
    Stack::start(DataFolder::open(folder).unwrap()).await.unwrap().stop().await;
}

/// Copies the folder's files as they are, below the same parent.
fn copy(folder: &Path, name: &str) -> PathBuf {
    let copy = folder.with_file_name(name);
    fs::create_dir_all(&copy).unwrap();
    for entry in
        fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file())
    {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

fn remove(folder: &Path, names: &[&str]) {
    names.iter().for_each(|name| fs::remove_file(folder.join(name)).unwrap());
}

#[tokio::test]
async fn a_database_that_is_missing_or_empty_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    use_once(&folder).await;
    use_once(&folder).await;
    for name in ["dynamodb.db", "sqs.db"] {
        for without_manifest in [false, true] {
            for how in ["removed", "cut to nothing", "a database without tables"] {
                let copy = copy(&folder, "copy");
                let file = copy.join(name);
                fs::remove_file(&file).unwrap();
                match how {
                    "cut to nothing" => fs::write(&file, "").unwrap(),
                    "a database without tables" => {
                        rusqlite::Connection::open(&file)
                            .unwrap()
                            .execute_batch("CREATE TABLE t(x); DROP TABLE t")
                            .unwrap();
                    }
                    _ => {}
                }
                if without_manifest {
                    remove(&copy, &["ledgerfold.json"]);
                }
                let said = refusal(&copy);
                let file = file.display();
                assert!(said.starts_with(&format!("{file} is missing or empty")), "{how}: {said}");
                assert!(
                    said.contains("would be lost") && said.contains("ledgerfold restore"),
                    "{how}: {said}"
                );
                assert!(said.contains("--fresh"), "{how}: {said}");
                fs::remove_dir_all(copy).unwrap();
            }
        }
    }
    remove(&folder, &["dynamodb.db", "sqs.db"]);
    assert!(refusal(&folder).contains("dynamodb.db is missing or empty"));
    drop(DataFolder::open_fresh(&folder).unwrap());
    use_once(&folder).await;
}

#[tokio::test]
async fn files_of_two_folders_or_two_times_are_not_mixed() {
    let parent = tempfile::tempdir().unwrap();
    let [folder, other] = ["data", "other"].map(|name| parent.path().join(name));
    use_once(&folder).await;
    use_once(&other).await;
    let older = copy(&folder, "older");
    use_once(&folder).await;
    for source in [&other, &older] {
        for name in ["dynamodb.db", "sqs.db"] {
            for manifest in [true, false] {
                let mixed = copy(&folder, "mixed");
                fs::copy(source.join(name), mixed.join(name)).unwrap();
                if !manifest {
                    remove(&mixed, &["ledgerfold.json"]);
                }
                let said = refusal(&mixed);
                assert!(
                    said.contains("does not belong to the other files of its folder"),
                    "{said}"
                );
                fs::remove_dir_all(mixed).unwrap();
            }
        }
    }
    use_once(&folder).await;
}

#[tokio::test]
async fn a_log_that_is_missing_after_a_kill_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    let stack = Stack::start(DataFolder::open(&folder).unwrap()).await.unwrap();
    // The state after a kill.
    let [whole, cut] = ["whole", "cut"].map(|name| copy(&folder, name));
    stack.stop().await;
    for log in ["dynamodb.db-wal", "sqs.db-wal"] {
        let cut = copy(&cut, "without-log");
        remove(&cut, &[log]);
        let said = refusal(&cut);
        assert!(said.contains(&format!("{log} is missing")), "{said}");
        fs::remove_dir_all(cut).unwrap();
    }
    // Opened, but not served: SQLite merges and removes the logs. That is correct.
    drop(DataFolder::open(&whole).unwrap());
    assert!(!whole.join("dynamodb.db-wal").exists());
    use_once(&whole).await;
}

#[tokio::test]
async fn a_folder_without_lock_or_manifest_is_recognised() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    use_once(&folder).await;
    remove(&folder, &["ledgerfold.lock"]);
    use_once(&folder).await;
    remove(&folder, &["ledgerfold.lock", "ledgerfold.json"]);
    use_once(&folder).await;
    // Written by a program without marks.
    for name in ["dynamodb.db", "sqs.db"] {
        let database = rusqlite::Connection::open(folder.join(name)).unwrap();
        database.execute_batch("DROP TABLE ledgerfold_folder").unwrap();
    }
    assert!(refusal(&folder).contains("does not belong to the other files"));
    remove(&folder, &["ledgerfold.lock", "ledgerfold.json"]);
    use_once(&folder).await;
    assert!(folder.join("ledgerfold.json").exists());
}

#[tokio::test]
async fn a_start_that_was_cut_off_is_no_mixture() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    use_once(&folder).await;
    let older = copy(&folder, "older");
    use_once(&folder).await;
    let mark = |folder: &Path| {
        let manifest: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("ledgerfold.json")).unwrap()).unwrap();
        manifest["marks"][0].as_str().unwrap().to_owned()
    };
    // The new mark is in the one database, and not yet in the other.
    let marks = serde_json::json!([mark(&folder), mark(&older)]);
    fs::copy(older.join("sqs.db"), folder.join("sqs.db")).unwrap();
    let manifest = serde_json::json!({"format": 1, "marks": marks, "begun": true, "open": false});
    fs::write(folder.join("ledgerfold.json"), manifest.to_string()).unwrap();
    use_once(&folder).await;
    use_once(&folder).await;
}

#[tokio::test]
async fn a_manifest_of_an_unknown_format_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("data");
    use_once(&folder).await;
    fs::write(folder.join("ledgerfold.json"), r#"{"format":2}"#).unwrap();
    assert!(refusal(&folder).contains("ledgerfold.json has format 2"));
}

#[test]
fn a_name_that_is_not_utf_8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join(std::ffi::OsStr::from_bytes(b"sh\xffop"));
    assert!(refusal(&folder).contains("is not UTF-8"));
    assert!(!folder.exists());
}
