//! Billing's program.

use super::{billing, open};
use serde_json::{Value, json};
use std::process::Output;

async fn run<const N: usize>(arguments: [&str; N]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = billing(arguments).output().await.unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn the_program_and_its_parts_have_the_apps_names() {
    for arguments in [
        &["--help"][..],
        &["dev", "--help"],
        &["projection", "rebuild", "--help"],
        &["audit", "at", "--help"],
    ] {
        let output = billing(arguments.iter().copied()).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("billing ") && output.status.success(), "{text}");
        for word in ["ledgerfold ", "orders", "stock-", "READ_MODEL", "isbn"] {
            assert!(!text.contains(word), "{arguments:?} speaks of {word:?}: {text}");
        }
    }
    let (status, script, _) = run(["completions", "bash"]).await;
    assert!(
        status == 0 && script.contains("_billing()") && script.contains("accounts"),
        "{status}"
    );
    let (status, _, said) = run(["projection", "status", "orders"]).await;
    assert_eq!(status, 2, "{said}");
    assert!(
        said.contains("accounts, revenue, audit, journal, payments"),
        "the names that it has: {said}"
    );
}

#[tokio::test]
async fn read_models_are_rebuilt_online_and_the_folder_verifies() {
    let bank = open().await;
    bank.account("a", 1500).await;
    bank.subscription("s", "a").await;
    super::is_done(&bank.command("/subscriptions/s/renew", "renew", &json!({})).await);
    bank.types_of("subscription-s", 3).await;
    let data = bank.data.path().to_str().unwrap();
    for name in ["accounts", "revenue"] {
        let (status, told, said) =
            run(["projection", "rebuild", name, "--wait", "--data", data]).await;
        assert!(status == 0 && told.contains("generation 2: complete"), "{told}{said}");
        assert_eq!(run(["projection", "switch", name, "--wait", "--data", data]).await.0, 0);
    }
    assert_eq!(bank.balance("a", 3).await, 500);
    let (_, listed, _) = run(["projection", "list", "--json", "--data", data]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let names: Vec<_> =
        listed["projections"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["accounts", "revenue", "audit", "journal", "payments"]);
    assert_eq!(bank.dev.interrupt().await, 0);
    let (status, verified, said) = run(["audit", "verify", "--all", "--data", data]).await;
    assert_eq!(status, 0, "{verified}{said}");
    let (status, _, said) = run(["audit", "history", "account-b", "--data", data]).await;
    assert!(status == 3 && said.starts_with("billing: "), "{said}");
}
