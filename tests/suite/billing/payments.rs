//! The process that pays renewals.

use super::Bank;
use serde_json::json;

#[tokio::test]
async fn a_renewal_is_paid_and_counted() {
    let bank = Bank::open().await;
    bank.account("a", 2500).await;
    bank.subscription("s", "a").await;
    for renewal in 1..=2_usize {
        Bank::done(&bank.post("/subscriptions/s/renew", &format!("renew-{renewal}"), &json!({})).await);
        let types = bank.types("subscription-s", 1 + 2 * renewal).await;
        assert_eq!(types.last().unwrap(), "RenewalPaid", "{types:?}");
    }
    assert_eq!(bank.balance("a", 4).await, 500);
    let trace = bank.get("/audit/streams/account-a?limit=10").await.body;
    let paid = &trace["events"][2];
    assert_eq!((&paid["actor"], &paid["causation_id"]), (&json!("payments"), &json!("subscription-s:2")), "{paid}");
}

#[tokio::test]
async fn a_refused_renewal_is_never_paid_later() {
    let bank = Bank::open().await;
    bank.account("a", 10).await;
    bank.subscription("s", "a").await;
    Bank::done(&bank.post("/subscriptions/s/renew", "renew", &json!({})).await);
    assert_eq!(bank.types("subscription-s", 3).await[2], "SubscriptionSuspended");
    Bank::done(&bank.post("/accounts/a/deposit", "top-up", &json!({"minor": 5000})).await);
    // Steps of an operator send no command again, although `reconcile` delivers streams from their
    // beginning.
    let url = format!("{}/projections/payments/resume", bank.dev.url);
    let resumed = bank.sent(bank.http.post(url).json(&json!({"stream": "subscription-s"}))).await;
    Bank::done(&resumed);
    let url = format!("{}/projections/payments/reconcile", bank.dev.url);
    let reconciled = bank.sent(bank.http.post(url).json(&json!({}))).await;
    assert_eq!(reconciled.status, 202, "{reconciled:?}");
    // A second subscription is paid after it. By then the first would have been paid, too.
    bank.subscription("t", "a").await;
    Bank::done(&bank.post("/subscriptions/t/renew", "renew", &json!({})).await);
    assert_eq!(bank.types("subscription-t", 3).await[2], "RenewalPaid");
    let types = bank.types("account-a", 5).await;
    assert_eq!(types, ["AccountOpened", "Deposited", "$Refused", "Deposited", "Withdrawn"]);
    assert_eq!(bank.balance("a", 5).await, 4010);
    let caller = bank.http.post(format!("{}/accounts/a/deposit", bank.dev.url)).header("X-Actor", "payments");
    assert_eq!(bank.sent(caller.json(&json!({"minor": 1}))).await.status, 400, "a process's name is no caller's");
}
