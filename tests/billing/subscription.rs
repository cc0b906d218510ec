//! A subscription: start, renew, be paid or suspended.

use eventstore::{EventCodec, Model, SnapshotCodec};
use handlers::app::{Aggregate, KeyFormat};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(crate) enum SubscriptionEvent {
    SubscriptionStarted { account: String, price_minor: u64 },
    RenewalDue { period: u32, account: String, price_minor: u64 },
    RenewalPaid { period: u32, price_minor: u64 },
    SubscriptionSuspended { period: u32 },
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "data")]
pub(crate) enum SubscriptionCommand {
    /// Begin the subscription, paid from an account.
    Start { account: String, price_minor: u64 },
    /// Begin the next period.
    Renew {},
    /// The period is paid.
    ConfirmPayment { period: u32 },
    /// The period was not paid.
    Suspend { period: u32 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Phase {
    #[default]
    None,
    Active,
    Renewing,
    Suspended,
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Subscription {
    phase: Phase,
    account: String,
    price_minor: u64,
    period: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("a subscription that is {0:?} does not take that")]
pub(crate) struct SubscriptionRefusal(Phase);

fn evolve(known: Subscription, event: &SubscriptionEvent) -> Subscription {
    let phase = match event {
        SubscriptionEvent::SubscriptionStarted { account, price_minor } => {
            return Subscription {
                phase: Phase::Active,
                account: account.clone(),
                price_minor: *price_minor,
                period: 0,
            };
        }
        SubscriptionEvent::RenewalDue { period, .. } => {
            return Subscription { phase: Phase::Renewing, period: *period, ..known };
        }
        SubscriptionEvent::RenewalPaid { .. } => Phase::Active,
        SubscriptionEvent::SubscriptionSuspended { .. } => Phase::Suspended,
    };
    Subscription { phase, ..known }
}

fn decide(
    known: &Subscription,
    command: &SubscriptionCommand,
) -> Result<Vec<SubscriptionEvent>, SubscriptionRefusal> {
    use SubscriptionCommand as Asked;
    use SubscriptionEvent as Event;
    let Subscription { phase, account, price_minor, period } = known;
    let is_due = |asked: &u32| *phase == Phase::Renewing && asked == period;
    let event = match (command, phase) {
        (Asked::Start { account, price_minor }, Phase::None) => {
            Event::SubscriptionStarted { account: account.clone(), price_minor: *price_minor }
        }
        (Asked::Renew {}, Phase::Active | Phase::Suspended) => Event::RenewalDue {
            period: period.saturating_add(1),
            account: account.clone(),
            price_minor: *price_minor,
        },
        (Asked::ConfirmPayment { period: asked }, _) if is_due(asked) => {
            Event::RenewalPaid { period: *asked, price_minor: *price_minor }
        }
        (Asked::Suspend { period: asked }, _) if is_due(asked) => {
            Event::SubscriptionSuspended { period: *asked }
        }
        // The renewal was already answered.
        (Asked::ConfirmPayment { .. } | Asked::Suspend { .. }, _) => return Ok(Vec::new()),
        _ => return Err(SubscriptionRefusal(*phase)),
    };
    Ok(vec![event])
}

pub(crate) const EVENTS: EventCodec<SubscriptionEvent> = EventCodec::new(&[]);

pub(crate) const SUBSCRIPTION: Aggregate<
    Subscription,
    SubscriptionCommand,
    SubscriptionEvent,
    SubscriptionRefusal,
> = Aggregate {
    category: "subscription",
    key: KeyFormat::ANY,
    model: Model {
        initial: Subscription::default,
        evolve,
        encode: |event| EVENTS.encode(event),
        decode: |event| EVENTS.decode(event),
        snapshot: Some(SnapshotCodec::json("subscription/1")),
    },
    events: EVENTS,
    decide,
    creates: |command| matches!(command, SubscriptionCommand::Start { .. }),
    code: |_| "wrong-phase",
    examples: &[
        r#"{"type": "Start", "data": {"account": "a-17", "price_minor": 1000}}"#,
        r#"{"type": "Renew", "data": {}}"#,
        r#"{"type": "ConfirmPayment", "data": {"period": 1}}"#,
        r#"{"type": "Suspend", "data": {"period": 1}}"#,
    ],
};
