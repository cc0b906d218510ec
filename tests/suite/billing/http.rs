//! Billing's API. All of it follows from the registration.

use super::{is_done, open};
use crate::harness::http::{Response, sent};
use crate::harness::waiting::eventually;
use serde_json::json;

#[tokio::test]
async fn a_command_is_handled_once_and_refused_with_a_code() {
    let bank = open().await;
    bank.account("a", 1500).await;
    let again = bank.command("/accounts/a/deposit", "first-a", &json!({"minor": 1500})).await;
    assert_eq!(
        (again.status, again.is_replay(), &again.body["version"]),
        (200, true, &json!(2)),
        "{again:?}"
    );
    let other = bank.command("/accounts/a/deposit", "first-a", &json!({"minor": 1})).await;
    assert_eq!(
        (other.status, &other.body["type"]),
        (422, &json!("urn:problem:billing:idempotency-key-reused"))
    );
    let refused =
        bank.command("/accounts/a/withdraw", "w", &json!({"minor": 1501, "reason": "cash"})).await;
    let Response { status, body, .. } = &refused;
    assert_eq!(
        (*status, &body["type"]),
        (422, &json!("urn:problem:billing:refused")),
        "{refused:?}"
    );
    assert_eq!(
        (&body["code"], &body["reason"]),
        (&json!("insufficient"), &json!("only 1500 are there"))
    );
    assert_eq!(
        bank.get("/accounts/a?at_least=2").await.body,
        json!({"owner": "a", "balance_minor": 1500, "open": true})
    );
    assert_eq!(bank.get("/accounts/b").await.status, 404);
}

#[tokio::test]
async fn a_transfer_is_on_both_accounts_or_on_none() {
    let bank = open().await;
    bank.account("a", 1500).await;
    bank.account("b", 0).await;
    let transfer = |key: &'static str, minor: u64| {
        let body = json!({"from": "a", "to": "b", "minor": minor});
        let bank = &bank;
        async move { bank.command("/transfers", key, &body).await }
    };
    let done = transfer("t", 200).await;
    is_done(&done);
    let streams: Vec<_> =
        done.body["streams"].as_array().unwrap().iter().map(|part| &part["stream"]).collect();
    assert_eq!(streams, ["account-a", "account-b"]);
    let again = transfer("t", 200).await;
    assert_eq!((again.is_replay(), &again.body), (true, &done.body));
    let refused = transfer("u", 1301).await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (422, &json!("insufficient")),
        "{refused:?}"
    );
    assert_eq!((bank.balance("a", 3).await, bank.balance("b", 2).await), (1300, 200));
    for (body, rule) in [
        (json!({"from": "a", "minor": 1}), "to: is required"),
        (json!({"from": "a", "to": "a", "minor": 1}), "two for account-a"),
        (json!({"from": "a", "to": "b c", "minor": 1}), "account: \"b c\""),
        (json!({"from": "a", "to": "b", "minor": -1, "note": ""}), "note: is unknown"),
    ] {
        let answer = bank.command("/transfers", "bad", &body).await;
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(answer.status == 400 && detail.contains(rule), "{rule}: {answer:?}");
    }
    let matched = bank.http.post(bank.url("/transfers")).header("If-Match", "\"3\"");
    let answer = sent(matched.json(&json!({"from": "a", "to": "b", "minor": 1}))).await;
    assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (400, &json!("If-Match")));
}

#[tokio::test]
async fn a_command_can_be_answered_later() {
    let bank = open().await;
    bank.account("a", 0).await;
    let url = bank.url("/accounts/a/deposit");
    let later =
        bank.http.post(url).header("Prefer", "respond-async").header("Idempotency-Key", "later");
    let taken = sent(later.json(&json!({"minor": 7}))).await;
    assert_eq!((taken.status, &taken.body["stream"]), (202, &json!("account-a")), "{taken:?}");
    let status = eventually("it is answered", || async {
        let status = bank.get("/commands/later").await.body;
        (status["status"] != "pending").then_some(status)
    });
    let status = status.await;
    assert_eq!(
        (&status["status"], &status["result"]["events"][0]["type"]),
        (&json!("done"), &json!("Deposited"))
    );
}

#[tokio::test]
async fn a_wrong_body_is_reported_field_by_field() {
    let bank = open().await;
    let answer = bank.command("/accounts/a/open", "k", &json!({"minor": 7})).await;
    let fields: Vec<_> =
        answer.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(
        (answer.status, fields),
        (400, vec![&json!("owner"), &json!("minor")]),
        "{answer:?}"
    );
    assert_eq!(bank.command("/accounts/a/burn", "k", &json!({})).await.status, 404);
    assert_eq!(bank.get("/audit/streams/account-a").await.status, 404, "nothing was recorded");
}

#[tokio::test]
async fn past_rows_and_differences_are_answered() {
    let bank = open().await;
    bank.account("a", 5).await;
    is_done(
        &bank.command("/accounts/a/withdraw", "w", &json!({"minor": 2, "reason": "cash"})).await,
    );
    let at = bank.get("/audit/streams/account-a/at?version=2").await.body;
    assert_eq!((&at["read_model"], &at["state"]["balance_minor"]), (&json!("accounts"), &json!(5)));
    let changes = bank.get("/audit/streams/account-a/diff?from=2&to=3").await.body;
    assert_eq!(
        changes["changes"],
        json!([{"path": "balance_minor", "before": 5, "after": 3}]),
        "{changes}"
    );
}

#[tokio::test]
async fn lists_are_paged_and_rows_of_many_streams_have_a_key() {
    let bank = open().await;
    for account in ["a", "b", "c"] {
        let open = json!({"owner": "alice"});
        is_done(&bank.command(&format!("/accounts/{account}/open"), account, &open).await);
    }
    bank.account("rich", 1500).await;
    let listed = eventually("all are listed", || async {
        let page = bank.get("/owners/alice/accounts?limit=500").await.body;
        (page["rows"].as_array()?.len() == 3).then_some(page)
    });
    assert_eq!(listed.await["next_cursor"], json!(null));
    let first = bank.get("/owners/alice/accounts?limit=2").await.body;
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = bank.get(&format!("/owners/alice/accounts?limit=2&cursor={cursor}")).await.body;
    let rows = |page: &serde_json::Value| page["rows"].as_array().unwrap().len();
    assert_eq!((rows(&first), rows(&second), &second["next_cursor"]), (2, 1, &json!(null)));
    let other = bank.get(&format!("/owners/rich/accounts?cursor={cursor}")).await;
    assert_eq!((other.status, &other.body["errors"][0]["field"]), (400, &json!("cursor")));
    assert_eq!(bank.get("/owners/unknown/accounts").await.body["rows"], json!([]));
    bank.subscription("s", "rich").await;
    is_done(&bank.command("/subscriptions/s/renew", "renew", &json!({})).await);
    let paid = bank.types_of("subscription-s", 3).await;
    assert_eq!(paid[2], "RenewalPaid");
    let month = &bank.get("/audit/streams/subscription-s").await.body["events"][2]["recorded_at"];
    let path = format!("/revenue/{}", &month.as_str().unwrap()[..7]);
    let revenue = eventually("it is counted", || async {
        Some(bank.get(&path).await).filter(|row| row.status == 200)
    });
    assert_eq!(revenue.await.body, json!(1000));
    for missing in ["/revenue/1999-01", "/revenue/fence%2Fsubscription-s"] {
        assert_eq!(bank.get(missing).await.status, 404, "{missing}");
    }
}

#[tokio::test]
async fn the_document_describes_each_command_from_its_type() {
    let bank = open().await;
    let document = bank.get("/openapi.json").await.body;
    assert_eq!(document["info"]["title"], "Billing");
    assert!(
        document["info"]["description"]
            .as_str()
            .unwrap()
            .starts_with("Accounts and subscriptions.")
    );
    let open = &document["paths"]["/accounts/{id}/open"]["post"];
    assert_eq!(
        (&open["operationId"], &open["summary"]),
        (&json!("account.Open"), &json!("Open the account."))
    );
    let content = &open["requestBody"]["content"]["application/json"];
    assert_eq!(content["example"], json!({"owner": "alice"}));
    let name = content["schema"]["$ref"].as_str().unwrap().trim_start_matches('#');
    let schema = document.pointer(name).unwrap();
    assert_eq!(
        (&schema["required"], &schema["additionalProperties"]),
        (&json!(["owner"]), &json!(false)),
        "{schema}"
    );
    let text = document.to_string();
    for word in ["isbn", "bestseller", "fulfilment", "bookshop", "ledgerfold/"] {
        assert!(!text.contains(word), "the document speaks of {word}");
    }
    assert!(text.contains("billing/write") && text.contains("/transfers"));
}
