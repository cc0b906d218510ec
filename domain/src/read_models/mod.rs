//! Rows of read models, and the folds that make them.
//!
//! | module | a row is |
//! |---|---|
//! | [`orders`] | an order, listed under its customer |
//! | [`stock`] | the stock of a book |
//! | [`bestsellers`] | the sales of a book on a day |

pub mod bestsellers;
pub mod orders;
pub mod stock;
