//! Every order gets its answer, and holds the books that it ought to hold and no others, whatever
//! queues and processes do.
//!
//! | module | what it asks |
//! |---|---|
//! | [`running_program`] | does the running program confirm, reject, release and commit, and record why? |
//! | [`deliveries`] | does every order of delivery, with repetitions and losses, end the same? |
//! | [`deaths`] | and when a runner dies between any two requests, or two run at once? |
//! | [`rush`] | many orders for too few copies, with several runners; and a program that is killed |
//! | [`stops`] | which event stops a stream, and what it does not stop |
//! | [`again`] | is nothing new asked for when a stream is told again, and is a refusal kept? |
//! | [`budget`] | what one order costs |
//!
//! [`orders`] has the engines, a clerk who does things by hand, and what must hold in the end.
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
