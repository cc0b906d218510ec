//! Who reads a queue of its own, and which streams it hears of.

use eventstore::StreamId;

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

impl Follows {
    /// Whether the stream is one of them.
    pub fn includes(&self, stream: &StreamId) -> bool {
        match self {
            Self::Categories(categories) => categories.contains(&stream.category()),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consumer_hears_of_its_categories_only() {
        let stream = |name: &str| StreamId::new(name).unwrap();
        let both = Follows::Categories(&["order", "stock"]);
        assert!(both.includes(&stream("order-1")) && both.includes(&stream("stock-1")));
        assert!(!both.includes(&stream("purse-1")) && !both.includes(&stream("orders-1")));
        assert!(Follows::All.includes(&stream("purse-1")));
    }
}
