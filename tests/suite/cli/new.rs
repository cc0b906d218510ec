//! `ledgerfold new`: its files, and refusals. `.ci/starter` builds and tests a new
//! app.

use super::{Ended, ended, ledgerfold, run};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::TempDir;

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

async fn new(folder: &Path, more: &[&str]) -> Ended {
    let arguments = ["new", "book-shop", "--path", folder.to_str().unwrap()];
    ended(ledgerfold(arguments.into_iter().chain(more.iter().copied()))).await
}

/// Every file below a folder, by relative path.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

#[tokio::test]
async fn it_makes_a_whole_app_of_that_name() {
    let parent = TempDir::new().unwrap();
    let folder = parent.path().join("app");
    let said = new(&folder, &["--crates", REPOSITORY]).await.done();
    assert!(said.starts_with(&format!("book-shop is created in {}\n", folder.display())), "{said}");
    assert!(said.contains("cargo test") && said.contains("cargo run"), "{said}");
    let files = files(&folder);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let expected = [
        ".github/workflows/ci.yml",
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "rustfmt.toml",
        "src/bin/book-shop-service.rs",
        "src/course.rs",
        "src/courses.rs",
        "src/lib.rs",
        "src/main.rs",
        "tests/whole_line.rs",
    ];
    assert_eq!(names, expected);
    assert!(files["Cargo.toml"].contains("name = \"book-shop\""), "{}", files["Cargo.toml"]);
    assert!(files["src/main.rs"].contains("book_shop::app()"), "{}", files["src/main.rs"]);
    assert!(files["src/lib.rs"].contains("App::new(\"book-shop\")"), "{}", files["src/lib.rs"]);
    let repository = Path::new(REPOSITORY).canonicalize().unwrap();
    let handlers =
        format!("ledgerfold-handlers = {{ path = \"{}/handlers\" }}", repository.display());
    assert!(files["Cargo.toml"].contains(&handlers), "{}", files["Cargo.toml"]);
    assert_eq!(files["Cargo.lock"], fs::read_to_string(repository.join("Cargo.lock")).unwrap());
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "no other file is left");
}

#[tokio::test]
async fn without_a_folder_of_crates_it_names_their_version() {
    let parent = TempDir::new().unwrap();
    new(&parent.path().join("app"), &[]).await.done();
    let files = files(&parent.path().join("app"));
    let handlers =
        format!("ledgerfold-handlers = {{ version = \"{}\" }}", env!("CARGO_PKG_VERSION"));
    assert!(files["Cargo.toml"].contains(&handlers), "{}", files["Cargo.toml"]);
    assert!(!files.contains_key("Cargo.lock"));
}

#[tokio::test]
async fn an_empty_folder_is_taken_and_a_full_one_is_kept() {
    let folder = TempDir::new().unwrap();
    new(folder.path(), &[]).await.done();
    let before = files(folder.path());
    new(folder.path(), &[])
        .await
        .failed_saying("the folder exists and is not empty: choose another one with --path");
    assert_eq!(files(folder.path()), before);
}

#[tokio::test]
async fn where_it_cannot_write_nothing_is_made() {
    let parent = TempDir::new().unwrap();
    let nowhere = parent.path().join("missing/app");
    new(&nowhere, &[]).await.failed_saying("No such file or directory");
    let empty = TempDir::new().unwrap();
    let crates = ["--crates", empty.path().to_str().unwrap()];
    new(&parent.path().join("app"), &crates).await.failed_saying("has no infra/Cargo.toml");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_name_that_no_crate_can_have_is_refused() {
    for name in ["Shop", "2shop", "shop-", "sh_op", "../shop"] {
        run(["new", name])
            .await
            .is_wrong_use("a name is 1 to 32 lower-case letters, digits and '-'");
    }
    run(["new", "match"]).await.is_wrong_use("is a keyword of Rust");
    run(["new", "handlers"])
        .await
        .is_wrong_use("is used by Rust, Cargo or a crate that the app depends on");
    run(["new"]).await.is_wrong_use("<NAME>");
}
