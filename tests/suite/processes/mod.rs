//! A process of another domain than the bookshop's: a renewal withdraws its price, or suspends the
//! subscription.
//!
//! | module | what it asks |
//! |---|---|
//! | [`answers`] | is each answer acted on once, though runners die or freeze? |
//! | [`endless`] | what becomes of a process that never stops asking? |
#![cfg(test)]

mod answers;
mod endless;
pub(crate) mod fulfilment;
mod subscriptions;
