//! The stock of one book: the aggregate.

mod aggregate;

pub use aggregate::{
    CATEGORY, MAX_ON_HAND, Stock, StockCommand, StockEvent, StockRefusal, decide, evolve, stream,
};

#[cfg(test)]
mod specs;
