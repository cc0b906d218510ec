//! The process manager of orders and stock.

mod process;

pub use process::{
    Cause, Fulfilment, FulfilmentCommand, FulfilmentInput, IssuedCommand, decide, evolve, react,
};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod specs;
