//! Accounts, subscriptions, and the process between them.

use crate::harness::faults::FaultInjector;
use crate::harness::stack::TestStack;

use eventstore::{
    CommandHandler, CommandMetadata, CommandRequest, Commit, EventCodec, EventStore, Id, Model,
    RecordedRefusal, SnapshotCodec, StreamId,
};
use handlers::System;
use handlers::process::{
    Ask, AskAnswer, AskError, FollowedCategory, Input, Process, ProcessHandler, SendCommand, ask,
};
use projections::{Follows, Kind, Projection};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// The price of a renewal.
pub(super) const PRICE: u64 = 10;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(super) enum AccountCommand {
    Deposit { minor: u64 },
    Withdraw { minor: u64 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(super) enum AccountEvent {
    Deposited { minor: u64 },
    Withdrawn { minor: u64 },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(super) enum SubscriptionCommand {
    Renew { account: String },
    ConfirmPayment {},
    Suspend {},
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(super) enum SubscriptionEvent {
    RenewalDue { account: String },
    RenewalPaid {},
    SubscriptionSuspended {},
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(&'static str);

const ACCOUNT_EVENTS: EventCodec<AccountEvent> = EventCodec::new(&[]);
pub(super) const SUBSCRIPTION_EVENTS: EventCodec<SubscriptionEvent> = EventCodec::new(&[]);

/// The balance.
const ACCOUNT: Model<u64, AccountEvent> = Model {
    initial: || 0,
    evolve: |balance, event| match event {
        AccountEvent::Deposited { minor } => balance + minor,
        AccountEvent::Withdrawn { minor } => balance - minor,
    },
    encode: |event| ACCOUNT_EVENTS.encode(event),
    decode: |event| ACCOUNT_EVENTS.decode(event),
    snapshot: Some(SnapshotCodec::json("account/1")),
};

/// Whether a renewal waits to be paid.
const SUBSCRIPTION: Model<bool, SubscriptionEvent> = Model {
    initial: || false,
    evolve: |_, event| matches!(event, SubscriptionEvent::RenewalDue { .. }),
    encode: |event| SUBSCRIPTION_EVENTS.encode(event),
    decode: |event| SUBSCRIPTION_EVENTS.decode(event),
    snapshot: Some(SnapshotCodec::json("subscription/1")),
};

fn decide_account(balance: u64, command: &AccountCommand) -> Result<Vec<AccountEvent>, Refused> {
    match *command {
        AccountCommand::Deposit { minor } => Ok(vec![AccountEvent::Deposited { minor }]),
        AccountCommand::Withdraw { minor } if minor > balance => {
            Err(Refused("insufficient-balance"))
        }
        AccountCommand::Withdraw { minor } => Ok(vec![AccountEvent::Withdrawn { minor }]),
    }
}

fn decide_subscription(
    due: bool,
    command: &SubscriptionCommand,
) -> Result<Vec<SubscriptionEvent>, Refused> {
    match command {
        SubscriptionCommand::Renew { account } => {
            Ok(vec![SubscriptionEvent::RenewalDue { account: account.clone() }])
        }
        SubscriptionCommand::ConfirmPayment {} | SubscriptionCommand::Suspend {} if !due => {
            Err(Refused("not-due"))
        }
        SubscriptionCommand::ConfirmPayment {} => Ok(vec![SubscriptionEvent::RenewalPaid {}]),
        SubscriptionCommand::Suspend {} => Ok(vec![SubscriptionEvent::SubscriptionSuspended {}]),
    }
}

/// The subscription whose renewal is being paid.
fn pay(
    subscription: Option<StreamId>,
    input: Input<'_, SubscriptionEvent>,
) -> (Option<StreamId>, Vec<Ask>) {
    match input {
        Input::Event(origin, SubscriptionEvent::RenewalDue { account }) => {
            let withdraw = ask(
                "withdraw",
                format!("account-{account}"),
                &AccountCommand::Withdraw { minor: PRICE },
            );
            (Some(origin.stream.clone()), vec![withdraw])
        }
        Input::Answer { ask: asked, answer } if asked.name == "withdraw" => {
            let command = match answer {
                AskAnswer::Done => SubscriptionCommand::ConfirmPayment {},
                AskAnswer::Refused { .. } => SubscriptionCommand::Suspend {},
            };
            let asks = subscription
                .iter()
                .map(|stream| ask("answer", stream.as_str(), &command))
                .collect();
            (subscription, asks)
        }
        Input::Event(..) | Input::Answer { .. } => (subscription, Vec::new()),
    }
}

pub(super) const PAYMENTS: Projection = Projection {
    name: "payments",
    shape: "payments/1",
    follows: Follows::Categories(&["subscription"]),
    knows: &|event_type| SUBSCRIPTION_EVENTS.knows(event_type),
    ignored: &[],
    kind: Kind::Process,
};

fn payments() -> Process {
    let source = FollowedCategory::of("subscription", SUBSCRIPTION_EVENTS, std::convert::identity);
    Process::named(
        "payments",
        "payments/1",
        [source],
        |origin, _| Ok(Some(origin.stream.key().to_owned())),
        pay,
    )
}

async fn handle<S: Clone, E>(
    handler: &CommandHandler<S, E, Refused>,
    request: CommandRequest,
    decide: impl Fn(&S) -> Result<Vec<E>, Refused> + Send + Sync + 'static,
) -> Result<AskAnswer, AskError> {
    let handled = handler.handle_recording_refusals(request, decide, |Refused(code)| code).await;
    let handled =
        handled.map_err(|error| AskError { passes: true, source: error.to_string().into() })?;
    let refusal = handled.commit.as_ref().and_then(Commit::refusal);
    Ok(refusal.map_or(AskAnswer::Done, |RecordedRefusal { code, reason }| AskAnswer::Refused {
        code,
        reason,
    }))
}

fn read<C: DeserializeOwned>(command: serde_json::Value) -> C {
    serde_json::from_value(command).unwrap()
}

/// Sends to accounts and subscriptions.
pub(super) fn send(store: EventStore) -> SendCommand {
    let (accounts, subscriptions) =
        (CommandHandler::new(store.clone(), ACCOUNT), CommandHandler::new(store, SUBSCRIPTION));
    Arc::new(move |request, command| {
        let (accounts, subscriptions) = (accounts.clone(), subscriptions.clone());
        Box::pin(async move {
            if request.stream.category() == "account" {
                let command: AccountCommand = read(command);
                handle(&accounts, request, move |balance| decide_account(*balance, &command)).await
            } else {
                let command: SubscriptionCommand = read(command);
                handle(&subscriptions, request, move |due| decide_subscription(*due, &command))
                    .await
            }
        })
    })
}

/// The engines, and a client that pays in and renews.
pub(super) struct Office {
    pub(super) stack: TestStack,
    send: SendCommand,
}

impl Office {
    pub(super) async fn open() -> Self {
        let stack = TestStack::start().await;
        Self { send: send(stack.store.clone()), stack }
    }

    /// A command of the client.
    async fn give<C: Serialize>(&self, stream: &StreamId, command: &C) {
        let (id, actor) = (Id::from(Uuid::now_v7()), Id::new("clerk").unwrap());
        let request =
            CommandRequest::new(stream.clone(), CommandMetadata::new(id, actor, command).unwrap());
        assert_eq!(
            (self.send)(request, serde_json::to_value(command).unwrap()).await.unwrap(),
            AskAnswer::Done
        );
    }

    pub(super) async fn deposit(&self, account: &StreamId, minor: u64) {
        self.give(account, &AccountCommand::Deposit { minor }).await;
    }

    pub(super) async fn renew(&self, subscription: &StreamId, account: &StreamId) {
        self.give(subscription, &SubscriptionCommand::Renew { account: account.key().to_owned() })
            .await;
    }

    /// A runner of payments with empty caches.
    pub(super) fn runner(&self) -> ProcessHandler {
        self.runner_of(payments(), &self.stack.system(), |send| send)
    }

    pub(super) fn runner_over(&self, wire: &FaultInjector) -> ProcessHandler {
        self.runner_of(payments(), &self.stack.system_over(wire), |send| send)
    }

    /// A runner whose commands go another way.
    pub(super) fn runner_sending(
        &self,
        way: impl FnOnce(SendCommand) -> SendCommand,
    ) -> ProcessHandler {
        self.runner_of(payments(), &self.stack.system(), way)
    }

    /// A runner of another process over the same streams.
    pub(super) fn runner_of_other(&self, process: Process) -> ProcessHandler {
        self.runner_of(process, &self.stack.system(), |send| send)
    }

    fn runner_of(
        &self,
        process: Process,
        system: &System,
        way: impl FnOnce(SendCommand) -> SendCommand,
    ) -> ProcessHandler {
        ProcessHandler::new(
            process,
            way(send(system.event_store())),
            system.read_models(),
            system.projector(),
        )
    }
}

/// Streams of this case only.
pub(super) fn streams() -> (StreamId, StreamId) {
    let key = Uuid::now_v7();
    (
        StreamId::new(format!("account-{key}")).unwrap(),
        StreamId::new(format!("subscription-{key}")).unwrap(),
    )
}
