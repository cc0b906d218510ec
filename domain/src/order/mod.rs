//! The order of a customer: the aggregate and its values.

mod aggregate;
mod currency;
mod customer_id;
mod order_id;
mod order_lines;
mod reason;
mod tracking_code;
mod unit_price;

pub use aggregate::{
    CATEGORY, Order, OrderCommand, OrderDetails, OrderEvent, OrderRefusal, OrderStatus, decide,
    evolve, stream,
};
pub use currency::{Currency, CurrencyError};
pub use customer_id::{CustomerId, CustomerIdError};
pub use order_id::{OrderId, OrderIdError};
pub use order_lines::{OrderLine, OrderLines, OrderLinesError};
pub use reason::{Reason, ReasonError};
pub use tracking_code::{TrackingCode, TrackingCodeError};
pub use unit_price::{UnitPriceMinor, UnitPriceMinorError};

#[cfg(test)]
mod specs;
