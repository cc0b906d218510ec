//! The committed template is up to date, and `template --check` confirms it.

use crate::harness::program::ledgerfold;
use tempfile::TempDir;

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml");
/// The program's folder, relative to `infra`.
const CODE: [&str; 3] = ["template", "--code", "../target/lambda/bookshop-service/"];

#[tokio::test]
async fn the_committed_template_is_what_the_bookshop_needs() {
    let checked =
        ledgerfold(CODE.into_iter().chain(["--check", COMMITTED])).output().await.unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[tokio::test]
async fn a_template_that_is_old_is_told_by_its_first_difference() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("template.yaml");
    let old = std::fs::read_to_string(COMMITTED).unwrap().replacen(
        "maxReceiveCount: 1000",
        "maxReceiveCount: 20",
        1,
    );
    std::fs::write(&file, old).unwrap();
    let checked = ledgerfold(CODE.into_iter().chain(["--check", file.to_str().unwrap()]))
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("maxReceiveCount: 20 }\n+ ") && printed.contains("maxReceiveCount: 1000"),
        "{printed}"
    );
    let written = ledgerfold(CODE.into_iter().chain(["--out", file.to_str().unwrap()]))
        .output()
        .await
        .unwrap();
    assert_eq!(written.status.code(), Some(0));
    assert!(
        std::fs::read(&file).unwrap() == std::fs::read(COMMITTED).unwrap(),
        "the written file equals the committed one"
    );
    let nowhere = folder.path().join("nowhere").join("template.yaml");
    let failed = ledgerfold(CODE.into_iter().chain(["--out", nowhere.to_str().unwrap()]))
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8(failed.stderr).unwrap();
    assert_eq!(failed.status.code(), Some(3), "{printed}");
    assert!(printed.contains("template.yaml cannot be written"), "{printed}");
}
