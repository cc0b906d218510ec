//! Many consumers at once.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, SendMessageBatchRequestEntry};
use futures::future::join_all;

use super::{QueueEngine, handle};

cases!(
    eight_consumers_get_each_message_of_a_standard_queue_once,
    eight_consumers_keep_the_order_of_twenty_groups,
);

const CONSUMERS: usize = 8;
const GROUPS: usize = 20;
const MESSAGES_PER_GROUP: usize = 15;

async fn eight_consumers_get_each_message_of_a_standard_queue_once(engine: &QueueEngine) {
    let url = engine.queue().await;
    let total = 300;
    join_all((0..total).map(|n| async move { n.to_string() }).map(|body| async {
        engine.send(&url, &body.await).await;
    }))
    .await;
    let seen = Mutex::new(Vec::new());
    let consume = || async {
        while seen.lock().unwrap().len() < total {
            for message in engine.receive_waiting(&url, 10, 1).await {
                seen.lock().unwrap().push(message.body().unwrap().to_owned());
                engine.delete(&url, &message).await;
            }
        }
    };
    join_all((0..CONSUMERS).map(|_| consume())).await;
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), total);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), total);
}

/// What all consumers received.
#[derive(Default)]
struct Ledger {
    held: HashMap<String, usize>,
    seen: HashMap<String, Vec<usize>>,
    count: usize,
}

impl Ledger {
    /// Records the messages that a consumer received.
    fn take(&mut self, consumer: usize, messages: &[Message]) {
        for message in messages {
            let group = group(message);
            if let Some(holder) = self.held.insert(group.clone(), consumer) {
                assert_eq!(holder, consumer, "group {group} has two holders");
            }
            self.seen.entry(group).or_default().push(message.body().unwrap().parse().unwrap());
            self.count += 1;
        }
    }
}

fn group(message: &Message) -> String {
    message.attributes().unwrap()[&MessageSystemAttributeName::MessageGroupId].clone()
}

async fn fill(engine: &QueueEngine, url: &str, group: usize) {
    for first in (0..MESSAGES_PER_GROUP).step_by(5) {
        let entry = |n: usize| {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(n.to_string())
                .message_body(n.to_string());
            let entry = entry.message_group_id(format!("group-{group}"));
            entry.message_deduplication_id(format!("{group}-{n}")).build().unwrap()
        };
        let request = engine.client.send_message_batch().queue_url(url);
        let sent = request
            .set_entries(Some((first..first + 5).map(entry).collect()))
            .send()
            .await
            .unwrap();
        assert_eq!(sent.successful().len(), 5);
    }
}

async fn consume(engine: &QueueEngine, url: &str, consumer: usize, ledger: &Mutex<Ledger>) {
    while ledger.lock().unwrap().count < GROUPS * MESSAGES_PER_GROUP {
        let most = i32::try_from(consumer % 4).unwrap() * 3 + 1;
        let messages = engine.receive_waiting(url, most, 1).await;
        ledger.lock().unwrap().take(consumer, &messages);
        for (n, message) in messages.iter().enumerate() {
            // Removed from the ledger first: after the deletion, another consumer may receive the
            // group.
            let group = group(message);
            if messages.iter().skip(n + 1).all(|later| self::group(later) != group) {
                ledger.lock().unwrap().held.remove(&group);
            }
            engine
                .client
                .delete_message()
                .queue_url(url)
                .receipt_handle(handle(message))
                .send()
                .await
                .unwrap();
        }
    }
}

async fn eight_consumers_keep_the_order_of_twenty_groups(engine: &QueueEngine) {
    let url = engine.fifo().await;
    let ledger = Mutex::new(Ledger::default());
    let filling = join_all((0..GROUPS).map(|group| fill(engine, &url, group)));
    let consuming =
        join_all((0..CONSUMERS).map(|consumer| consume(engine, &url, consumer, &ledger)));
    tokio::join!(filling, consuming);
    let ledger = ledger.into_inner().unwrap();
    assert_eq!(ledger.seen.len(), GROUPS);
    let expected: Vec<usize> = (0..MESSAGES_PER_GROUP).collect();
    for (group, seen) in &ledger.seen {
        assert_eq!(seen, &expected, "{group}");
    }
}
