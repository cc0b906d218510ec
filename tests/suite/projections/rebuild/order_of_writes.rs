//! The order in which generations are written: the active one last.

use super::jobs::{assert_same, finish, projector, rebuild, ruled};
use crate::harness::events::{Stored, Writer, confirmed, new_order, placed, shipped};
use crate::harness::messages::{deliver, messages_of};
use crate::harness::stack::TestStack;
use crate::harness::wire::Wire;
use bookshop::{bestsellers, orders};
use handlers::ProjectorHandler;
use projections::Projection;

/// The generations that were written since the last call, in order.
fn written(wire: &Wire, projection: &Projection) -> Vec<u32> {
    let exchanges = wire.take().into_iter();
    let writes = exchanges.filter(|exchange| {
        ["PutItem", "TransactWriteItems"].contains(&exchange.operation.as_str())
    });
    let texts = writes.map(|exchange| exchange.request.to_string());
    texts
        .filter_map(|text| {
            (1..=2).find(|number| text.contains(&format!("\"{}.{number}/", projection.name)))
        })
        .collect()
}

#[tokio::test]
async fn an_event_is_in_the_other_generation_before_readers_see_it() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let mut writer = Writer::new(&stack.store, &new_order());
        let mut batches = vec![writer.append(vec![placed("c", [(1, 2)]).stored()]).await];
        let (ruled, wire) = ruled(&stack);
        let handler = ProjectorHandler::new(projection, ruled);
        assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
        assert!(rebuild(&projector(&stack), &projection, 1).await.complete);
        batches.push(writer.append(vec![confirmed().stored()]).await);
        tokio::time::sleep(super::jobs::REMEMBERED).await;
        written(&wire, &projection);
        assert!(deliver(&handler, &messages_of(&batches[1..])).await.is_empty());
        assert_eq!(written(&wire, &projection), [2, 1], "{}", projection.name);
    }
}

#[tokio::test]
async fn the_active_generation_waits_for_no_gap_of_the_other() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let mut writer = Writer::new(&stack.store, &new_order());
        let mut batches = vec![writer.append(vec![placed("c", [(1, 2)]).stored()]).await];
        batches.push(writer.append(vec![confirmed().stored()]).await);
        let (ruled, wire) = ruled(&stack);
        let handler = ProjectorHandler::new(projection, ruled);
        assert!(deliver(&handler, &messages_of(&batches)).await.is_empty());
        let operator = projector(&stack);
        let calls = operator.rebuild(&projection, 1).await.unwrap();
        batches.push(writer.append(vec![shipped().stored()]).await);
        tokio::time::sleep(super::jobs::REMEMBERED).await;
        written(&wire, &projection);
        assert!(deliver(&handler, &messages_of(&batches[2..])).await.is_empty());
        assert_eq!(written(&wire, &projection), [1, 2], "{}", projection.name);
        assert!(finish(&operator, &projection, calls).await.complete);
        assert_same(&stack, &projection, 1, 2).await;
    }
}
