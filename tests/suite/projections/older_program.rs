//! An older program stops at an unknown event in the middle of a commit; a newer one continues
//! there.

use crate::harness::events::{Stored, Writer, cancelled, new_order, placed, received, stock_of};
use crate::harness::fold::ReadModel;
use crate::harness::messages::{deliver, ids, messages_of};
use crate::harness::stack::TestStack;
use bookshop::{bestsellers, orders, stock};
use eventstore::NewEvent;
use projections::{FoldError, Kind, MultiStreamDelta, Projection, RecordedEvent, RowData};
use serde_json::Value;

/// The unknown event is the second of its commit.
fn unknown(fact: &RecordedEvent<'_>) -> Result<(), FoldError> {
    let event = &fact.event.event_type;
    let known = event != "OrderCancelled" && fact.event.data.get() != r#"{"quantity":7}"#;
    if known { Ok(()) } else { Err(FoldError::Beginning(event.clone())) }
}

fn row_fold(
    projection: Projection,
    row: Option<&Value>,
    fact: &RecordedEvent<'_>,
) -> Result<RowData, FoldError> {
    unknown(fact)?;
    match projection.kind {
        Kind::SingleStream { fold } => fold(row, fact),
        Kind::MultiStream { .. } | Kind::CommitIndex | Kind::Journal | Kind::Process => {
            panic!("{} has no row a stream", projection.name)
        }
    }
}

fn effect_fold(
    memory: Option<&Value>,
    fact: &RecordedEvent<'_>,
) -> Result<MultiStreamDelta, FoldError> {
    unknown(fact)?;
    match bestsellers().kind {
        Kind::MultiStream { fold, .. } => fold(memory, fact),
        Kind::SingleStream { .. } | Kind::CommitIndex | Kind::Journal | Kind::Process => {
            panic!("bestsellers have rows of many streams")
        }
    }
}

/// The projection as the older program knows it.
fn older(projection: Projection) -> Projection {
    let kind = match projection.kind {
        Kind::MultiStream { merge, .. } => Kind::MultiStream { fold: &effect_fold, merge },
        Kind::SingleStream { .. } if projection.name == stock().name => {
            Kind::SingleStream { fold: &|row, fact| row_fold(stock(), row, fact) }
        }
        Kind::SingleStream { .. } => {
            Kind::SingleStream { fold: &|row, fact| row_fold(orders(), row, fact) }
        }
        other @ (Kind::CommitIndex | Kind::Journal | Kind::Process) => other,
    };
    Projection { kind, ..projection }
}

#[tokio::test]
async fn a_newer_program_continues_in_the_middle_of_a_commit() {
    let stack = TestStack::start().await;
    let (order, book) = (new_order(), stock_of(1));
    let order_events: [NewEvent; 2] = [placed("c", [(1, 2)]).stored(), cancelled("late").stored()];
    let order_commit = Writer::new(&stack.store, &order).append(order_events.to_vec()).await;
    let book_commit = Writer::new(&stack.store, &book)
        .append(vec![received(5).stored(), received(7).stored()])
        .await;
    let works =
        [(orders(), &order_commit), (stock(), &book_commit), (bestsellers(), &order_commit)];
    let mut half = ReadModel::default();
    half.add(&order, &order_commit.commits, 1);
    half.add(&book, &book_commit.commits, 1);
    for (projection, batch) in works {
        let messages = messages_of([batch]);
        assert_eq!(deliver(&stack.handler(older(projection)), &messages).await, ids(&messages));
    }
    assert_eq!(ReadModel::of_rows(&stack.rows().await, ""), half);
    for (projection, batch) in works {
        assert!(deliver(&stack.handler(projection), &messages_of([batch])).await.is_empty());
    }
    stack.assert_exact([&order, &book]).await;
}
