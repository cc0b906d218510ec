//! The container is killed within batches, repeatedly.

use super::Deployment;
use super::eventually;
use crate::harness::depth::full_or;
use crate::harness::http::isbn;
use std::time::Duration;

const KILLS: usize = 5;
const ORDERS_OF_A_LIFE: usize = 12;
const BOOK: u32 = 1;

#[tokio::test]
async fn kills_in_the_middle_of_batches_leave_read_models_right() {
    let deployment = Deployment::start().await;
    deployment.return_messages_after(2).await;
    let _fan_out = deployment.fan_out().await;
    let api = deployment.serve(&["api"]).await;
    let anna = deployment.caller(&api);
    anna.receive(&isbn(BOOK), 1_000).await;
    let mut orders = Vec::new();
    for life in 0..full_or(KILLS, 2) {
        let consumers = deployment.serve(&["consumers"]).await;
        orders.extend(anna.place_many(&format!("life-{life}"), BOOK, ORDERS_OF_A_LIFE).await);
        eventually("a batch is in hand", || async {
            (!consumers.said("message handled").is_empty()).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..100))).await;
        consumers.kill().await;
    }
    let consumers = deployment.serve(&["consumers"]).await;
    anna.all_confirmed(&orders).await;
    deployment.idle().await;
    let sold = anna.read("/bestsellers?limit=500").await;
    let copies: usize = sold["books"]
        .as_array()
        .unwrap_or_else(|| panic!("{sold}"))
        .iter()
        .map(|row| usize::try_from(row["copies"].as_u64().unwrap()).unwrap())
        .sum();
    assert_eq!(copies, orders.len(), "{sold}");
    let stock = anna.read(&format!("/stock/{}", isbn(BOOK))).await;
    assert_eq!(stock["available"], 1_000 - orders.len(), "{stock}");
    anna.read_models_are_those_of_a_rebuild(BOOK).await;
    consumers.stop().await;
    api.stop().await;
}
