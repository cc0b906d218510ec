//! Every order gets its answer and exactly its books, under all faults of queues and processes.
//!
//! | module | what it tests |
//! |---|---|
//! | [`running_program`] | does the running program confirm, reject, release and commit, and record why? |
//! | [`deliveries`] | does every order of delivery, with repetitions and losses, end the same? |
//! | [`deaths`] | and when a runner dies between any two requests, or two run at once? |
//! | [`rush`] | many orders for too few copies, with several runners; and a program that is killed |
//! | [`stops`] | which event stops a stream, and what it does not stop |
//! | [`again`] | does a redelivered stream cause no new command, and does a refusal stay? |
//! | [`budget`] | what one order costs |
//!
//! [`orders`] has the engines, commands of a clerk, and the final state that must hold.
#![cfg(test)]

mod again;
mod budget;
mod client;
mod deaths;
mod deliveries;
pub(crate) mod orders;
mod running_program;
mod rush;
mod stops;
