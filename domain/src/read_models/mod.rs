//! Rows of read models, and the folds that make them.
//!
//! | module | a row is |
//! |---|---|
//! | [`orders`] | an order, listed under its customer |
//! | [`stock`] | the copies of a book |
//! | [`bestsellers`] | what a book sold on a day |

pub mod bestsellers;
pub mod orders;
pub mod stock;
