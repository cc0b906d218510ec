//! From the commits of a stream to what fulfilment learns of them.

use super::{FULFILMENT, FulfilError};
use domain::fulfilment::Fact;
use domain::order;
use domain::stock;
use domain::{Isbn, OrderId};
use eventstore::{Commit, Envelope, Event, Id, StreamId};
use projections::{Stopped, events};
use serde::{Deserialize, Serialize};

/// A fact of one order, and where it comes from.
#[derive(Debug)]
pub(super) struct News {
    /// The version of the event, in the stream that tells of it.
    pub(super) version: u64,
    pub(super) order_id: OrderId,
    pub(super) fact: Fact,
    pub(super) origin: Origin,
}

/// The business process that a commit belongs to: what a command that it causes takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    pub(super) correlation_id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) trace_parent: Option<Id>,
}

impl From<&Envelope> for Origin {
    fn from(envelope: &Envelope) -> Self {
        let Envelope { correlation_id, trace_parent, .. } = envelope.clone();
        Self { correlation_id, trace_parent }
    }
}

/// The facts that commits tell, in order, up to the first event that cannot be read.
pub(super) fn of(stream: &StreamId, commits: &[Commit]) -> (Vec<News>, Option<Stopped<FulfilError>>) {
    let mut news = Vec::new();
    for (commit, event) in commits.iter().flat_map(|commit| commit.events.iter().map(move |event| (commit, event))) {
        match fact(stream, event) {
            Ok(Some((order_id, fact))) => {
                let origin = Origin::from(&commit.envelope);
                news.push(News { version: event.version, order_id, fact, origin });
            }
            Ok(None) => {}
            Err(source) => return (news, Some(Stopped { version: event.version, source })),
        }
    }
    (news, None)
}

/// What an event tells; most tell nothing.
fn fact(stream: &StreamId, event: &Event) -> Result<Option<(OrderId, Fact)>, FulfilError> {
    if FULFILMENT.ignores(&event.body)? {
        return Ok(None);
    }
    match stream.category() {
        order::CATEGORY => {
            let order_id = OrderId::try_from(stream.key().to_owned())?;
            let fact = Fact::of_order(event.version, events::ORDER.decode(&event.body)?);
            Ok(fact.map(|fact| (order_id, fact)))
        }
        stock::CATEGORY => {
            let isbn = Isbn::try_from(stream.key().to_owned())?;
            Ok(Fact::of_stock(&isbn, event.version, &events::STOCK.decode(&event.body)?))
        }
        _ => Ok(None),
    }
}
