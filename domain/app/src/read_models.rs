//! The read models of the bookshop.

use crate::{ORDER, STOCK};
use domain::read_models::bestsellers as sales;
use domain::read_models::{orders as placed, stock as levels};
use eventstore::time_text;
use handlers::app::{Addition, ReadModel};
use projections::{Listing, Projection};
use std::sync::LazyLock;

/// Orders by id, and the orders of a customer, newest first.
pub fn orders() -> Projection {
    static ORDERS: LazyLock<Projection> = LazyLock::new(|| {
        ReadModel::of_stream(
            "orders",
            "orders/1",
            &ORDER,
            |row, event, origin| placed::fold(row, event, origin.recorded_at),
            |row, origin| {
                let list = placed::customer_list(row.details.customer_id.as_str());
                Some(Listing {
                    list,
                    rank: format!("{}#{}", time_text(row.placed_at), origin.stream.key()),
                })
            },
        )
    });
    *ORDERS
}

/// The stock of each book.
pub fn stock() -> Projection {
    static LEVELS: LazyLock<Projection> = LazyLock::new(|| {
        let fold =
            |row: Option<levels::StockRow>, event: &_, _: handlers::app::EventContext<'_>| {
                Some(levels::fold(row.unwrap_or_default(), event))
            };
        ReadModel::of_stream("stock", "stock/1", &STOCK, fold, |_, _| None)
    });
    *LEVELS
}

/// The sales of each book per day.
pub fn bestsellers() -> Projection {
    static SALES: LazyLock<Projection> = LazyLock::new(|| {
        ReadModel::of_many(
            "bestsellers",
            "bestsellers/1",
            &ORDER,
            |counted, event, origin| {
                let (counted, sales) = sales::fold(counted, event, origin.recorded_at.date_naive());
                (
                    counted,
                    sales
                        .into_iter()
                        .map(|sale| Addition { row: sale.row(), delta: sale })
                        .collect(),
                )
            },
            sales::merge,
            |row, sale| row.rank().map(|rank| Listing { list: sale.list(), rank }),
        )
    });
    *SALES
}
