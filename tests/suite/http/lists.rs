//! A customer's orders: newest first, in pages, by status.

use super::{Program, eventually, line, order, text};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Places orders, a few at once, and waits until all are listed.
async fn place_and_list(program: &Program, count: usize) -> BTreeSet<String> {
    let details = order("c", &[line(1, 1, 5)]);
    let places = stream::iter(0..count).map(|number| {
        let details = &details;
        async move { program.place(&format!("k-{number}"), details).await.replace("/orders/", "") }
    });
    let placed: BTreeSet<String> = places.buffer_unordered(8).collect().await;
    assert_eq!(placed.len(), count);
    eventually("all orders are listed", || async {
        let page = program.get("/customers/c/orders?limit=500").await.body;
        Some(()).filter(|()| orders(&page).len() == count)
    })
    .await;
    placed
}

fn orders(page: &Value) -> &[Value] {
    page["orders"].as_array().unwrap_or_else(|| panic!("{page}"))
}

#[tokio::test]
async fn pages_lose_and_repeat_nothing_while_new_orders_arrive() {
    let program = Program::start().await;
    let placed = place_and_list(&program, 120).await;
    let (mut seen, mut times, mut cursor, mut sizes) =
        (Vec::new(), Vec::new(), None::<String>, Vec::new());
    loop {
        let from = cursor.map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let page = program.get(&format!("/customers/c/orders?limit=50{from}")).await.body;
        sizes.push(orders(&page).len());
        seen.extend(orders(&page).iter().map(|order| text(&order["order_id"]).to_owned()));
        times.extend(orders(&page).iter().map(|order| text(&order["placed_at"]).to_owned()));
        let new =
            program.place(&format!("new-{}", seen.len()), &order("c", &[line(1, 1, 5)])).await;
        eventually("the new order is listed", || async {
            let newest = program.get("/customers/c/orders?limit=1").await.body;
            Some(())
                .filter(|()| text(&orders(&newest)[0]["order_id"]) == new.replace("/orders/", ""))
        })
        .await;
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [50, 50, 20]);
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    assert_eq!((seen.len(), seen.into_iter().collect::<BTreeSet<_>>()), (120, placed));
}

#[tokio::test]
async fn a_page_has_twenty_rows_by_default() {
    let program = Program::start().await;
    place_and_list(&program, 21).await;
    let page = program.get("/customers/c/orders").await.body;
    assert_eq!((orders(&page).len(), page["next_cursor"].is_string()), (20, true));
    let nobody = program.get("/customers/nobody/orders").await;
    assert_eq!((nobody.status, nobody.body), (200, json!({"orders": [], "next_cursor": null})));
}

#[tokio::test]
async fn orders_are_filtered_by_status_and_paged() {
    let program = Program::start().await;
    let placed = place_and_list(&program, 30).await;
    let confirmed: BTreeSet<String> = placed.iter().step_by(3).cloned().collect();
    for order_id in &confirmed {
        assert_eq!(
            program.command(&format!("/orders/{order_id}/confirm"), "c", &json!({})).await.status,
            200
        );
    }
    for (status, wanted) in [
        ("confirmed", confirmed.clone()),
        ("placed", &placed - &confirmed),
        ("shipped", BTreeSet::new()),
    ] {
        let found = eventually("the orders of the status are listed", || async {
            let found = pages_of(&program, status).await;
            Some(found).filter(|found| found.len() == wanted.len())
        });
        let found = found.await;
        assert!(found.iter().all(|order| order["status"] == status));
        assert_eq!(
            found.iter().map(|order| text(&order["order_id"]).to_owned()).collect::<BTreeSet<_>>(),
            wanted
        );
    }
}

/// All orders of a status, in pages of four.
async fn pages_of(program: &Program, status: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = program
            .get(&format!("/customers/c/orders?limit=4&status={status}&cursor={cursor}"))
            .await
            .body;
        assert!(orders(&page).len() <= 4, "{page}");
        found.extend(orders(&page).iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return found,
        }
    }
}
