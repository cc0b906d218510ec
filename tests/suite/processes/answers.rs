//! Answers are stored before the reaction: a refusal stays, also for runners that die or were
//! frozen.

use super::subscriptions::{Office, PAYMENTS, PRICE, streams};
use crate::harness::faults::{Fault, FaultInjector};
use crate::harness::messages::{Message, messages_of};
use crate::processes::fulfilment::orders::deliver;
use eventstore::StreamId;
use handlers::process::SendCommand;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// More requests than a renewal makes.
const MAX_REQUESTS: usize = 60;

impl Office {
    async fn messages(&self, stream: &StreamId) -> Vec<Message> {
        messages_of(&self.stack.batches(stream).await)
    }
}

const SUSPENDED: [&str; 2] = ["RenewalDue", "SubscriptionSuspended"];

#[tokio::test]
async fn a_refused_renewal_is_not_paid_after_a_redelivery() {
    let (office, (account, subscription)) = (Office::open().await, streams());
    office.deposit(&account, PRICE - 1).await;
    office.renew(&subscription, &account).await;
    assert!(deliver(&office.runner(), &office.messages(&subscription).await).await.is_empty());
    assert_eq!(office.stack.types(&subscription).await, SUSPENDED);
    office.deposit(&account, 100).await;
    let types = ["Deposited", "$Refused", "Deposited"];
    assert_eq!(office.stack.types(&account).await, types);
    // A resume does this.
    office.stack.projector().rewind(PAYMENTS.consumer(), &subscription).await.unwrap();
    assert!(deliver(&office.runner(), &office.messages(&subscription).await).await.is_empty());
    assert_eq!(office.stack.types(&account).await, types, "no withdrawal");
    assert_eq!(office.stack.types(&subscription).await, SUSPENDED);
}

/// The runner's first command waits until it is released.
fn frozen(gate: &Arc<Semaphore>) -> impl FnOnce(SendCommand) -> SendCommand {
    let gate = Arc::clone(gate);
    move |send| {
        Arc::new(move |request, command| {
            let (gate, answer) = (Arc::clone(&gate), send(request, command));
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                answer.await
            })
        })
    }
}

#[tokio::test]
async fn a_frozen_twin_gets_the_refusal_that_was_acted_on() {
    let (office, (account, subscription)) = (Office::open().await, streams());
    office.renew(&subscription, &account).await;
    let messages = office.messages(&subscription).await;
    let gate = Arc::new(Semaphore::new(0));
    let twin = office.runner_sending(frozen(&gate));
    let others = async {
        // The other runner finds the ask open, or stores it first.
        assert!(deliver(&office.runner(), &messages).await.is_empty());
        assert_eq!(office.stack.types(&subscription).await, SUSPENDED);
        office.deposit(&account, 100).await;
        gate.add_permits(1);
    };
    let (again, ()) = tokio::join!(deliver(&twin, &messages), others);
    assert!(again.is_empty());
    assert_eq!(office.stack.types(&account).await, ["$Refused", "Deposited"]);
    assert_eq!(office.stack.types(&subscription).await, SUSPENDED);
}

/// The end of a renewal whose runner gets the fault, and whether it got it. Money comes after its
/// crash.
async fn renewal_under(
    office: &Office,
    fault: Fault,
    deposit: u64,
) -> (Vec<String>, Vec<String>, bool) {
    let (account, subscription) = streams();
    office.deposit(&account, deposit).await;
    office.renew(&subscription, &account).await;
    let (messages, wire) = (office.messages(&subscription).await, FaultInjector::default());
    wire.arm(Some(fault));
    if !deliver(&office.runner_over(&wire), &messages).await.is_empty() {
        office.deposit(&account, 100).await;
        assert!(deliver(&office.runner(), &messages).await.is_empty());
    }
    let mut types = office.stack.types(&account).await;
    types.retain(|event_type| event_type != "Deposited");
    (types, office.stack.types(&subscription).await, !wire.is_armed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_that_dies_leaves_a_renewal_paid_or_suspended() {
    let (office, mut met, mut ends) = (Office::open().await, 0, [0, 0]);
    for n in 1..MAX_REQUESTS {
        let before = met;
        for fault in [Fault::DiesBefore(n), Fault::DiesAfter(n), Fault::LosesAnswer(n)] {
            for deposit in [PRICE - 1, PRICE] {
                let (account, subscription, was_met) = renewal_under(&office, fault, deposit).await;
                let paid = (&account[..], &subscription[..]);
                let end = match paid {
                    ([one], [_, end]) if one == "Withdrawn" && end == "RenewalPaid" => 0,
                    ([one], [_, end]) if one == "$Refused" && end == "SubscriptionSuspended" => 1,
                    _ => panic!("{fault:?} with {deposit}: {account:?}, {subscription:?}"),
                };
                ends[end] += 1;
                met += usize::from(was_met);
            }
        }
        if met == before {
            assert!(met > 30 && ends[0] > ends[1] && ends[1] > 20, "{met} faults, {ends:?}");
            return;
        }
    }
    panic!("it makes more requests than anybody thought");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_of_one_renewal_act_on_its_answer_once() {
    let office = Office::open().await;
    for round in 0..20 {
        let (account, subscription) = streams();
        office.deposit(&account, if round % 2 == 0 { PRICE } else { 1 }).await;
        office.renew(&subscription, &account).await;
        let messages = office.messages(&subscription).await;
        let runners = [office.runner(), office.runner()];
        let (one, other) =
            tokio::join!(deliver(&runners[0], &messages), deliver(&runners[1], &messages));
        assert!(one.is_empty() && other.is_empty());
        let end = if round % 2 == 0 {
            ("Withdrawn", "RenewalPaid")
        } else {
            ("$Refused", "SubscriptionSuspended")
        };
        assert_eq!(office.stack.types(&account).await, ["Deposited", end.0]);
        assert_eq!(office.stack.types(&subscription).await, ["RenewalDue", end.1]);
    }
}
