//! The container continues the work of functions; and two containers at once.

use super::Deployment;
use crate::aws::lambda;
use crate::harness::http::isbn;
use serde_json::json;

const BOOK: u32 = 1;

#[tokio::test]
async fn the_container_continues_where_functions_stopped() {
    let deployment = Deployment::start().await;
    deployment.return_messages_after(10).await;
    // Functions receive stock and orders, and their mappings stop half way.
    let commands = lambda::function(&deployment.stack, lambda::COMMAND_API, &[]).await;
    let mappings = lambda::Mappings::start(&deployment.stack).await;
    let by_function =
        lambda::Caller { function: &commands, subject: "anna", scope: "ledgerfold/write" };
    let received = by_function
        .post(&format!("/stock/{}/receive", isbn(BOOK)), "in", &json!({"quantity": 50}))
        .await;
    assert_eq!(received.status, 200, "{received:?}");
    let mut orders = Vec::new();
    for number in 0..5 {
        let placed = by_function
            .post("/orders", &format!("first-{number}"), &super::shop::order_of(BOOK))
            .await;
        orders.push(placed.headers["location"].as_str().unwrap().to_owned());
    }
    mappings.stop().await;
    // The container does the rest, with the same responses.
    let _fan_out = deployment.fan_out().await;
    let service = deployment.serve(&[]).await;
    let anna = deployment.caller(&service);
    let again = anna.command("/orders", "first-0", &super::shop::order_of(BOOK)).await;
    assert_eq!(again.body["stream"], orders[0].replacen("/orders/", "order-", 1), "{again:?}");
    orders.extend(anna.place_many("second", BOOK, 5).await);
    anna.all_confirmed(&orders).await;
    deployment.idle().await;
    let queries = lambda::function(&deployment.stack, lambda::QUERY_API, &[]).await;
    let by_function =
        lambda::Caller { function: &queries, subject: "anna", scope: "ledgerfold/read" };
    let stock = format!("/stock/{}", isbn(BOOK));
    for path in
        [orders[0].as_str(), orders[9].as_str(), "/customers/c-1/orders", "/bestsellers", &stock]
    {
        assert_eq!(by_function.get(path).await.json(), anna.read(path).await, "{path}");
    }
    assert_eq!(anna.read(&stock).await["available"], 40);
    anna.read_models_are_those_of_a_rebuild(BOOK).await;
    service.stop().await;
}

#[tokio::test]
async fn two_processes_share_the_queues() {
    let deployment = Deployment::start().await;
    deployment.return_messages_after(10).await;
    let _fan_out = deployment.fan_out().await;
    let services = [deployment.serve(&[]).await, deployment.serve(&[]).await];
    let callers = services.each_ref().map(|service| deployment.caller(service));
    callers[0].receive(&isbn(BOOK), 100).await;
    let (one, two) = futures::join!(
        callers[0].place_many("one", BOOK, 15),
        callers[1].place_many("two", BOOK, 15)
    );
    let orders = [one, two].concat();
    callers[1].all_confirmed(&orders).await;
    deployment.idle().await;
    let stock = callers[0].read(&format!("/stock/{}", isbn(BOOK))).await;
    assert_eq!(stock["available"], 70, "{stock}");
    for service in &services {
        assert!(!service.said("message handled").is_empty(), "one of them got no message");
        assert!(
            service.lines().iter().all(|line| line["level"] != "ERROR"),
            "{:?}",
            service.lines()
        );
    }
    callers[0].read_models_are_those_of_a_rebuild(BOOK).await;
    for service in services {
        service.stop().await;
    }
}
