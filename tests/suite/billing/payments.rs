//! The process that pays renewals.

use super::{is_done, open};
use crate::harness::http::sent;
use serde_json::json;

#[tokio::test]
async fn a_renewal_is_paid_and_counted() {
    let bank = open().await;
    bank.account("a", 2500).await;
    bank.subscription("s", "a").await;
    for renewal in 1..=2_usize {
        is_done(
            &bank.command("/subscriptions/s/renew", &format!("renew-{renewal}"), &json!({})).await,
        );
        let types = bank.types_of("subscription-s", 1 + 2 * renewal).await;
        assert_eq!(types.last().unwrap(), "RenewalPaid", "{types:?}");
    }
    assert_eq!(bank.balance("a", 4).await, 500);
    let trace = bank.get("/audit/streams/account-a?limit=10").await.body;
    let paid = &trace["events"][2];
    assert_eq!(
        (&paid["actor"], &paid["causation_id"]),
        (&json!("payments"), &json!("subscription-s:2")),
        "{paid}"
    );
}

#[tokio::test]
async fn a_refused_renewal_is_never_paid_later() {
    let bank = open().await;
    bank.account("a", 10).await;
    bank.subscription("s", "a").await;
    is_done(&bank.command("/subscriptions/s/renew", "renew", &json!({})).await);
    assert_eq!(bank.types_of("subscription-s", 3).await[2], "SubscriptionSuspended");
    is_done(&bank.command("/accounts/a/deposit", "top-up", &json!({"minor": 5000})).await);
    // Steps of an operator send no command again, although `reconcile` delivers streams from their
    // beginning.
    let url = bank.url("/projections/payments/resume");
    let resumed = sent(bank.http.post(url).json(&json!({"stream": "subscription-s"}))).await;
    is_done(&resumed);
    let url = bank.url("/projections/payments/reconcile");
    let reconciled = sent(bank.http.post(url).json(&json!({}))).await;
    assert_eq!(reconciled.status, 202, "{reconciled:?}");
    // A second subscription is paid after it. By then the first would have been paid, too.
    bank.subscription("t", "a").await;
    is_done(&bank.command("/subscriptions/t/renew", "renew", &json!({})).await);
    assert_eq!(bank.types_of("subscription-t", 3).await[2], "RenewalPaid");
    let types = bank.types_of("account-a", 5).await;
    assert_eq!(types, ["AccountOpened", "Deposited", "$Refused", "Deposited", "Withdrawn"]);
    assert_eq!(bank.balance("a", 5).await, 4010);
    let caller = bank.http.post(bank.url("/accounts/a/deposit")).header("X-Actor", "payments");
    assert_eq!(
        sent(caller.json(&json!({"minor": 1}))).await.status,
        400,
        "a process's name is no caller's"
    );
}
