//! Subscription billing: the second app, written as a team would write it.

mod account;
mod subscription;

use account::{ACCOUNT, Account, AccountEvent, Transfer};
use eventstore::StreamId;
use handlers::app::{Across, Addition, App, EventContext, ReadModel, across, command, list, row};
use handlers::process::{
    Ask, AskAnswer, EventOrigin, FollowedCategory, Input, InstanceKey, Process, ask,
};
use projections::{Listing, Projection, Row};
use serde::{Deserialize, Serialize};
use std::convert::identity;
use std::process::ExitCode;
use subscription::{SUBSCRIPTION, SubscriptionCommand, SubscriptionEvent};
use utoipa::ToSchema;

/// The row of an account.
#[derive(Default, Serialize, Deserialize, ToSchema)]
struct AccountRow {
    owner: String,
    balance_minor: u64,
    open: bool,
}

fn account_row(
    row: Option<AccountRow>,
    event: &AccountEvent,
    _: EventContext<'_>,
) -> Option<AccountRow> {
    let row = row.unwrap_or_default();
    let balance_minor = row.balance_minor;
    Some(match event {
        AccountEvent::AccountOpened { owner } => {
            AccountRow { owner: owner.clone(), balance_minor: 0, open: true }
        }
        AccountEvent::Deposited { minor } => {
            AccountRow { balance_minor: balance_minor + minor, ..row }
        }
        AccountEvent::Withdrawn { minor, .. } => {
            AccountRow { balance_minor: balance_minor.saturating_sub(*minor), ..row }
        }
        AccountEvent::AccountClosed {} => AccountRow { open: false, ..row },
    })
}

/// Adds each payment to the row of its month.
fn paid((): (), event: &SubscriptionEvent, at: EventContext<'_>) -> ((), Vec<Addition<u64>>) {
    let paid = if let SubscriptionEvent::RenewalPaid { price_minor, .. } = event {
        Some(*price_minor)
    } else {
        None
    };
    let row = at.recorded_at.format("%Y-%m").to_string();
    ((), paid.map(|delta| Addition { row, delta }).into_iter().collect())
}

/// Pays a due renewal: withdraws, then sends the result to the subscription.
#[derive(Default, Serialize, Deserialize)]
struct Payment {
    subscription: Option<StreamId>,
    period: u32,
}

fn pay(known: Payment, input: Input<'_, SubscriptionEvent>) -> (Payment, Vec<Ask>) {
    match input {
        Input::Event(origin, SubscriptionEvent::RenewalDue { period, account, price_minor }) => {
            let reason = format!("{} period {period}", origin.stream);
            let withdraw = account::AccountCommand::Withdraw { minor: price_minor, reason };
            let ask = ask("withdraw", format!("account-{account}"), &withdraw);
            (Payment { subscription: Some(origin.stream.clone()), period }, vec![ask])
        }
        Input::Answer { ask: asked, answer } if asked.name == "withdraw" => {
            let command = match answer {
                AskAnswer::Done => SubscriptionCommand::ConfirmPayment { period: known.period },
                AskAnswer::Refused { .. } => SubscriptionCommand::Suspend { period: known.period },
            };
            let asks = known
                .subscription
                .iter()
                .map(|stream| ask("tell", stream.to_string(), &command))
                .collect();
            (known, asks)
        }
        Input::Event(..) | Input::Answer { .. } => (known, Vec::new()),
    }
}

fn key(origin: &EventOrigin, _: &SubscriptionEvent) -> InstanceKey {
    Ok(Some(origin.stream.key().to_owned()))
}

fn accounts() -> Projection {
    ReadModel::of_stream("accounts", "accounts/1", &ACCOUNT, account_row, |row, at| {
        Some(Listing { list: format!("owner/{}", row.owner), rank: at.stream.key().to_owned() })
    })
}

fn revenue() -> Projection {
    let add = |row: Option<u64>, minor: &u64| row.unwrap_or_default() + minor;
    ReadModel::of_many("revenue", "revenue/1", &SUBSCRIPTION, paid, add, |_, _| None)
}

pub(crate) fn app() -> App {
    let accounts_of = |transfer: &Transfer| vec![transfer.from.clone(), transfer.to.clone()];
    let example = r#"{"from": "a-17", "to": "b-4", "minor": 200}"#;
    let followed = FollowedCategory::of(SUBSCRIPTION.category, SUBSCRIPTION.events, identity);
    App::new("billing")
        .described("Accounts and subscriptions.")
        .aggregate(ACCOUNT)
        .aggregate(SUBSCRIPTION)
        .across(Across::of::<Account, _, _, _, _>(
            "Transfer",
            &ACCOUNT,
            accounts_of,
            account::transfer,
            example,
        ))
        .read_model(accounts())
        .read_model(revenue())
        .process(Process::named("payments", "payments/1", [followed], key, pay))
        .routes([
            command("/accounts/{id}/open", "account", "Open"),
            command("/accounts/{id}/deposit", "account", "Deposit"),
            command("/accounts/{id}/withdraw", "account", "Withdraw"),
            command("/accounts/{id}/close", "account", "Close"),
            across("/transfers", "Transfer"),
            row("/accounts/{id}", "accounts", Row::read::<AccountRow>),
            list("/owners/{id}/accounts", "accounts", "owner/{}", Row::read::<AccountRow>),
            row("/revenue/{month}", "revenue", Row::read::<u64>),
            command("/subscriptions/{id}/start", "subscription", "Start"),
            command("/subscriptions/{id}/renew", "subscription", "Renew"),
        ])
}

fn main() -> ExitCode {
    ledgerfold::main(app())
}
