//! A consumer: a projection or process with its own queue of notifications.

use eventstore::StreamId;

/// A projection or process, as fan-out knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consumer {
    /// Its name: part of its queue's name, and of the keys of its rows.
    pub name: &'static str,
    /// The streams whose commits it gets.
    pub follows: Follows,
    /// Whether one message has the notifications of many streams, and messages are handled one
    /// after the other.
    pub bundled: bool,
}

/// Which streams a consumer follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// The streams of these categories.
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
    fn a_consumer_follows_its_categories_only() {
        let stream = |name: &str| StreamId::new(name).unwrap();
        let both = Follows::Categories(&["order", "stock"]);
        assert!(both.includes(&stream("order-1")) && both.includes(&stream("stock-1")));
        assert!(!both.includes(&stream("purse-1")) && !both.includes(&stream("orders-1")));
        assert!(Follows::All.includes(&stream("purse-1")));
    }
}
