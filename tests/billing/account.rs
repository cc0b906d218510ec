//! An account: open, deposit, withdraw, close; never negative.

use eventstore::{EventCodec, Model, SnapshotCodec};
use handlers::app::{Aggregate, KeyFormat};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub(crate) enum AccountEvent {
    AccountOpened { owner: String },
    Deposited { minor: u64 },
    Withdrawn { minor: u64, reason: String },
    AccountClosed {},
}

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", content = "data")]
pub(crate) enum AccountCommand {
    /// Open the account.
    Open { owner: String },
    /// Pay in.
    Deposit { minor: u64 },
    /// Pay out.
    Withdraw { minor: u64, reason: String },
    /// Close the account, which must be empty.
    Close {},
}

/// From one account to another.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Transfer {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) minor: u64,
}

#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Account {
    open: bool,
    balance_minor: u64,
}

#[derive(thiserror::Error, Debug)]
pub(crate) enum AccountRefusal {
    #[error("the account is not open")]
    NotOpen,
    #[error("the account is open already")]
    Open,
    #[error("only {balance_minor} are there")]
    Insufficient { balance_minor: u64 },
    #[error("{balance_minor} are still there")]
    NotEmpty { balance_minor: u64 },
}

fn evolve(account: Account, event: &AccountEvent) -> Account {
    let Account { open, balance_minor } = account;
    match event {
        AccountEvent::AccountOpened { .. } => Account { open: true, balance_minor: 0 },
        AccountEvent::Deposited { minor } => {
            Account { open, balance_minor: balance_minor.saturating_add(*minor) }
        }
        AccountEvent::Withdrawn { minor, .. } => {
            Account { open, balance_minor: balance_minor.saturating_sub(*minor) }
        }
        AccountEvent::AccountClosed {} => Account { open: false, balance_minor },
    }
}

fn decide(
    account: &Account,
    command: &AccountCommand,
) -> Result<Vec<AccountEvent>, AccountRefusal> {
    let Account { open, balance_minor } = *account;
    match command {
        AccountCommand::Open { .. } if open => Err(AccountRefusal::Open),
        AccountCommand::Open { owner } => {
            Ok(vec![AccountEvent::AccountOpened { owner: owner.clone() }])
        }
        _ if !open => Err(AccountRefusal::NotOpen),
        AccountCommand::Deposit { minor } => Ok(vec![AccountEvent::Deposited { minor: *minor }]),
        AccountCommand::Withdraw { minor, .. } if *minor > balance_minor => {
            Err(AccountRefusal::Insufficient { balance_minor })
        }
        AccountCommand::Withdraw { minor, reason } => {
            Ok(vec![AccountEvent::Withdrawn { minor: *minor, reason: reason.clone() }])
        }
        AccountCommand::Close {} if balance_minor > 0 => {
            Err(AccountRefusal::NotEmpty { balance_minor })
        }
        AccountCommand::Close {} => Ok(vec![AccountEvent::AccountClosed {}]),
    }
}

/// Decides on both accounts: from, to.
pub(crate) fn transfer(
    accounts: &[&Account],
    transfer: &Transfer,
) -> Result<Vec<Vec<AccountEvent>>, AccountRefusal> {
    let [from, to] = accounts else { return Ok(Vec::new()) };
    let reason = format!("transfer to {}", transfer.to);
    let taken = decide(from, &AccountCommand::Withdraw { minor: transfer.minor, reason })?;
    Ok(vec![taken, decide(to, &AccountCommand::Deposit { minor: transfer.minor })?])
}

pub(crate) const EVENTS: EventCodec<AccountEvent> = EventCodec::new(&[]);

pub(crate) const ACCOUNT: Aggregate<Account, AccountCommand, AccountEvent, AccountRefusal> =
    Aggregate {
        category: "account",
        key: KeyFormat::ANY,
        model: Model {
            initial: Account::default,
            evolve,
            encode: |event| EVENTS.encode(event),
            decode: |event| EVENTS.decode(event),
            snapshot: Some(SnapshotCodec::json("account/1")),
        },
        events: EVENTS,
        decide,
        creates: |command| matches!(command, AccountCommand::Open { .. }),
        code: |refusal| match refusal {
            AccountRefusal::NotOpen => "not-open",
            AccountRefusal::Open => "open",
            AccountRefusal::Insufficient { .. } => "insufficient",
            AccountRefusal::NotEmpty { .. } => "not-empty",
        },
        examples: &[
            r#"{"type": "Open", "data": {"owner": "alice"}}"#,
            r#"{"type": "Deposit", "data": {"minor": 1500}}"#,
            r#"{"type": "Withdraw", "data": {"minor": 200, "reason": "cash"}}"#,
            r#"{"type": "Close", "data": {}}"#,
        ],
    };
