//! Who reads a queue of its own, and which streams it hears of.

use crate::Projection;
use domain::{order, stock};
use eventstore::StreamId;

/// The categories that exist, each a slice of one: what a projection names as its category.
const CATEGORIES: &[&str] = &[order::CATEGORY, stock::CATEGORY];

/// Someone who is told of every commit of the streams that it follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumer {
    /// Its name: part of its queue's name, and of the keys of its rows.
    pub name: &'static str,
    /// Which streams it hears of.
    pub follows: Follows,
}

/// Which streams a consumer hears of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Those of these categories.
    Categories(&'static [&'static str]),
    /// Every stream.
    All,
}

impl Consumer {
    /// Whether it hears of the stream.
    pub fn follows(&self, stream: &StreamId) -> bool {
        self.follows.follows(stream)
    }
}

impl Follows {
    /// Whether the stream is one of them.
    pub fn follows(&self, stream: &StreamId) -> bool {
        match self {
            Self::Categories(categories) => categories.contains(&stream.category()),
            Self::All => true,
        }
    }
}

impl From<&Projection> for Consumer {
    fn from(projection: &Projection) -> Self {
        let category = CATEGORIES.chunks(1).find(|category| category.contains(&projection.category));
        Self { name: projection.name, follows: Follows::Categories(category.unwrap_or_default()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ALL;

    fn stream(name: &str) -> StreamId {
        StreamId::new(name).unwrap()
    }

    #[test]
    fn a_consumer_hears_of_its_categories_only() {
        let both = Consumer { name: "c", follows: Follows::Categories(&["order", "stock"]) };
        assert!(both.follows(&stream("order-1")) && both.follows(&stream("stock-1")));
        assert!(!both.follows(&stream("purse-1")) && !both.follows(&stream("orders-1")));
        assert!(Consumer { follows: Follows::All, ..both }.follows(&stream("purse-1")));
    }

    #[test]
    fn a_projection_hears_of_the_category_that_it_names() {
        for projection in ALL {
            let (consumer, category) = (Consumer::from(&projection), projection.category);
            assert!(consumer.follows(&stream(&format!("{category}-1"))), "{}", projection.name);
            assert_eq!(consumer.follows(&stream("order-1")), category == order::CATEGORY);
        }
    }
}
