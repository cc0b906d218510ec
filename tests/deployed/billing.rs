//! The second app, deployed by the same template.

use crate::stack::{Stack, eventually};
use serde_json::json;

#[tokio::test]
async fn billing_pays_a_renewal_through_its_own_functions() {
    let bank = Stack::of_billing("billing-berta").await;
    let run = fastrand::u64(..);
    let (account, subscription) = (format!("/accounts/a-{run}"), format!("/subscriptions/s-{run}"));
    let step = async |path: String, body| {
        let answer = bank.post(&path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    };
    step(format!("{account}/open"), json!({"owner": "berta"})).await;
    step(format!("{account}/deposit"), json!({"minor": 3000})).await;
    step(
        format!("{subscription}/start"),
        json!({"account": format!("a-{run}"), "price_minor": 1000}),
    )
    .await;
    step(format!("{subscription}/renew"), json!({})).await;
    let balance = eventually("the renewal is paid", || async {
        let row = bank.get(&account).await.body;
        (row["balance_minor"] == 2000).then_some(row)
    })
    .await;
    assert_eq!(balance["owner"], "berta");
    let found = eventually("the payment is in the audit trail", || async {
        let history = bank.get(&format!("/audit/streams/subscription-s-{run}")).await.body;
        history["events"].as_array().is_some_and(|events| events.len() >= 3).then_some(history)
    })
    .await;
    assert!(
        found["events"].as_array().unwrap().iter().any(|event| event["type"] == "RenewalPaid"),
        "{found}"
    );
}
