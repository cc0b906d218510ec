//! A command over several streams, from its one transaction to the read models.

use super::fan_out::hand_over;
use crate::harness::events::{Stored, confirmed, new_order, placed, received, reserved, stock_of};
use crate::harness::messages::{Message, deliver};
use crate::harness::stack::TestStack;
use crate::projections::read_models;
use eventstore::{CommandMetadata, Fingerprint, Head, Id, NewEvent, Part};

fn metadata(command: &str) -> CommandMetadata {
    let id = |text: &str| Id::new(text).unwrap();
    CommandMetadata {
        command_id: id(command),
        fingerprint: Fingerprint::of(&[command.as_bytes()]),
        correlation_id: id("correlation"),
        causation_id: None,
        actor: id("tester"),
        trace_parent: None,
    }
}

#[tokio::test]
async fn a_command_over_several_streams_is_projected_like_others() {
    let stack = TestStack::start().await;
    let (order, book) = (new_order(), stock_of(1));
    let mut heads = [Head::empty(&order), Head::empty(&book)];
    let steps: [(&str, [NewEvent; 2]); 2] = [
        ("place", [placed("c", [(1, 2)]).stored(), received(5).stored()]),
        ("confirm", [confirmed().stored(), reserved(1, 2).stored()]),
    ];
    for (command, events) in steps {
        let parts = heads
            .iter()
            .cloned()
            .zip(events)
            .map(|(head, event)| Part { head, events: vec![event] });
        let written =
            stack.store.append_all(&metadata(command), parts.collect(), &[]).await.unwrap();
        heads =
            written.parts.into_iter().map(|part| part.head).collect::<Vec<_>>().try_into().unwrap();
    }
    assert_eq!(hand_over(&stack, &stack.records(4).await).await, None);
    for projection in read_models() {
        let received = stack.receive_all(projection.name).await;
        let messages: Vec<Message> = received
            .iter()
            .map(|message| Message::new(&message.group, &message.body.to_string()))
            .collect();
        let followed = [&order, &book]
            .into_iter()
            .filter(|stream| projection.follows.includes(stream))
            .count();
        let notified: usize =
            received.iter().map(|message| message.body.as_array().map_or(1, Vec::len)).sum();
        assert_eq!(
            notified,
            2 * followed,
            "{} is notified of both commits of each stream",
            projection.name
        );
        assert!(deliver(&stack.handler(projection), &messages).await.is_empty());
    }
    assert!(!stack.rows().await.is_empty());
    stack.assert_exact([&order, &book]).await;
}
