//! Profiles of the AWS configuration: credentials from a program, or from SSO.

use super::{Ended, ended, ledgerfold};
use crate::harness::program::Dev;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

/// The program with a home folder that has a profile with these settings.
async fn list(home: &TempDir, settings: &str) -> Ended {
    let config = home.path().join("config");
    fs::write(&config, format!("[profile shop]\n{settings}")).unwrap();
    let mut command = ledgerfold(["projection", "list", "--json"]);
    command.current_dir(home.path()).env("HOME", home.path());
    command
        .env("AWS_CONFIG_FILE", config)
        .env("AWS_PROFILE", "shop")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    ended(command).await
}

#[tokio::test]
async fn a_program_that_the_profile_names_gives_credentials() {
    let (home, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut dev = Dev::start(data.path()).await;
    let exports: BTreeMap<String, String> = dev.exports().await.into_iter().collect();
    let key = json!({
        "Version": 1,
        "AccessKeyId": exports["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": exports["AWS_SECRET_ACCESS_KEY"],
    });
    let file = home.path().join("key.json");
    fs::write(&file, key.to_string()).unwrap();
    let settings = format!(
        "region = us-east-1\ncredential_process = cat {}\nservices = here\n\n[services here]\n\
         dynamodb =\n  endpoint_url = {}\nsqs =\n  endpoint_url = {}\n",
        file.display(),
        exports["AWS_ENDPOINT_URL_DYNAMODB"],
        exports["AWS_ENDPOINT_URL_SQS"],
    );
    let listed = list(&home, &settings).await;
    assert_eq!((listed.status, &*listed.stderr), (0, ""), "{listed:?}");
    assert_eq!(listed.json()["projections"][0]["name"], "orders");
    // The engines check the key, so the call succeeded with the program's credentials.
    fs::write(&file, key.to_string().replace(&exports["AWS_SECRET_ACCESS_KEY"], "another"))
        .unwrap();
    list(&home, &settings).await.failed_saying("signature");
}

#[tokio::test]
async fn an_sso_profile_asks_for_a_login() {
    let home = TempDir::new().unwrap();
    let settings = "region = us-east-1\nsso_session = shop\nsso_account_id = 123456789012\nsso_role_name = operator\n\n\
        [sso-session shop]\nsso_region = us-east-1\nsso_start_url = https://shop.example/start\n";
    let listed = list(&home, settings).await;
    listed.failed_saying("SSO");
    assert!(!listed.stderr.contains("feature"), "{listed:?}");
}
