//! A process with a new ask after each answer.

use super::subscriptions::{
    AccountCommand, Office, PAYMENTS, SUBSCRIPTION_EVENTS, SubscriptionEvent, streams,
};
use crate::harness::messages::{ids, messages_of};
use crate::processes::fulfilment::orders::deliver;
use handlers::process::{Ask, FollowedCategory, Input, Process, ask};

/// Pays one in, again and again.
fn pay_in(times: u64, input: Input<'_, SubscriptionEvent>) -> (u64, Vec<Ask>) {
    let account = match input {
        Input::Event(_, SubscriptionEvent::RenewalDue { account }) => format!("account-{account}"),
        Input::Event(..) => return (times, Vec::new()),
        Input::Answer { ask, .. } => ask.stream.clone(),
    };
    (times + 1, vec![ask(format!("the {times}th"), account, &AccountCommand::Deposit { minor: 1 })])
}

#[tokio::test]
async fn a_process_with_endless_asks_is_parked_after_twenty_rounds() {
    let (office, (account, subscription)) = (Office::open().await, streams());
    let source = FollowedCategory::of("subscription", SUBSCRIPTION_EVENTS, std::convert::identity);
    let process = Process::named(
        "payments",
        "payments/1",
        [source],
        |origin, _| Ok(Some(origin.stream.key().to_owned())),
        pay_in,
    );
    let runner = office.runner_of_other(process);
    office.renew(&subscription, &account).await;
    let mut messages = messages_of(&office.stack.batches(&subscription).await);
    assert_eq!(deliver(&runner, &messages).await, ids(&messages));
    assert_eq!(office.stack.types(&account).await.len(), 20);
    messages.iter_mut().for_each(|message| message.receives = 5);
    assert!(deliver(&runner, &messages).await.is_empty());
    assert_eq!(office.stack.types(&account).await.len(), 40, "it continued where it had stopped");
    let parked = office.stack.projector().parked(&PAYMENTS, 1, 10, None).await.unwrap().streams;
    assert_eq!((&parked[0].stream, parked[0].version), (&subscription, Some(1)));
    assert!(
        parked[0].error.contains("it has new asks after 20 rounds of answers"),
        "{}",
        parked[0].error
    );
}
