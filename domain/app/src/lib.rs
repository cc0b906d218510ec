//! The bookshop as an app: its aggregates, read models, process and routes.
//!
//! Their rules are in `domain`, which is pure. Here they are registered with the machine.

mod aggregates;
pub mod events;
mod fulfilment;
mod read_models;
mod reads;

pub use aggregates::{ORDER, STOCK};
pub use read_models::{bestsellers, orders, stock};

/// The projection of the fulfilment process.
pub fn fulfilment() -> Projection {
    fulfilment::process().projection()
}

use handlers::app::{App, command, creation, row};
use projections::Projection;
use uuid::Uuid;

/// The namespace of order ids, which derive from caller and idempotency key.
const ORDER_IDS: Uuid = Uuid::from_u128(0x9a3d_6d6c_52a1_4f0e_8f5a_2b1e_7c40_d5f1);

/// The bookshop.
pub fn app() -> App {
    App::new("bookshop")
        .named("ledgerfold")
        .problems_at("https://ledgerfold.dev/problems/")
        .described("Orders and stock of a bookshop.")
        .aggregate(ORDER)
        .aggregate(STOCK)
        .read_model(orders())
        .read_model(stock())
        .read_model(bestsellers())
        .process(fulfilment::process())
        .routes([
            creation("/orders", "order", "PlaceOrder", ORDER_IDS, "/orders/{}"),
            command("/orders/{id}/confirm", "order", "ConfirmOrder"),
            command("/orders/{id}/reject", "order", "RejectOrder"),
            command("/orders/{id}/cancel", "order", "CancelOrder"),
            command("/orders/{id}/ship", "order", "ShipOrder"),
            row("/orders/{id}", "orders", reads::order_view),
            command("/stock/{isbn}/receive", "stock", "ReceiveStock"),
            command("/stock/{isbn}/reserve", "stock", "ReserveStock"),
            command("/stock/{isbn}/release", "stock", "ReleaseStock"),
            command("/stock/{isbn}/commit", "stock", "CommitStock"),
            row("/stock/{isbn}", "stock", reads::stock_view),
        ])
        .merge(reads::routes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_app_lists_read_models_then_index_journal_and_processes() {
        let app = super::app().checked().unwrap();
        let names: Vec<&str> = app.consumers().iter().map(|projection| projection.name).collect();
        assert_eq!(names, ["orders", "stock", "bestsellers", "audit", "journal", "fulfilment"]);
    }

    #[test]
    fn only_an_orders_id_is_read_in_either_case() {
        let app = super::app();
        let order = "order-6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11";
        for (given, named) in [
            (order, order),
            ("order-6F0F7C1E-7A44-5C38-9C1B-0D8A4F1F2E11", order),
            ("order-6F0F7C1E7A445C389C1B0D8A4F1F2E11", "order-6F0F7C1E7A445C389C1B0D8A4F1F2E11"),
            ("order-A", "order-A"),
            (
                "note-6F0F7C1E-7A44-5C38-9C1B-0D8A4F1F2E11",
                "note-6F0F7C1E-7A44-5C38-9C1B-0D8A4F1F2E11",
            ),
        ] {
            assert_eq!(app.stream(given).unwrap().as_str(), named);
        }
        assert!(app.stream("Order-6f0f7c1e-7a44-5c38-9c1b-0d8a4f1f2e11").is_err());
    }
}
