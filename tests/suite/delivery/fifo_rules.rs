//! The rules of a FIFO queue's mapping. Each case fails for a mapping without the rule.

use crate::harness::pipeline::Outcome;
use crate::harness::pipeline::clock::Clock;
use crate::harness::pipeline::fifo_source::{FifoBatch, FifoSource};
use crate::harness::pipeline::policy::FifoPolicy;
use crate::harness::stack::TestStack;
use aws_lambda_events::event::sqs::SqsBatchResponse;
use aws_sdk_sqs::types::Message;

const VISIBILITY_MS: u64 = 60_000;
const FIVE_MINUTES_MS: u64 = 300_000;

const POLICY: FifoPolicy = FifoPolicy {
    batch_size: 10,
    max_concurrency: 4,
    timeout_ms: 10_000,
    visibility_ms: VISIBILITY_MS,
    max_receives: 3,
};

struct Queue {
    clock: Clock,
    stack: TestStack,
    source: FifoSource,
}

impl Queue {
    async fn start(policy: FifoPolicy) -> Self {
        let clock = Clock::new();
        let stack = TestStack::with_queues_on(clock.of_queues()).await;
        let source =
            FifoSource::on(stack.clients().sqs.clone(), &stack.route("orders").queue_url, policy)
                .await;
        Self { clock, stack, source }
    }

    /// Sends messages of a group. The text is both body and deduplication id.
    async fn send(&mut self, group: &str, texts: &[&str]) {
        for text in texts {
            let request = self
                .stack
                .clients()
                .sqs
                .send_message()
                .queue_url(&self.source.url)
                .message_body(*text);
            request.message_group_id(group).message_deduplication_id(*text).send().await.unwrap();
        }
        self.source.stir();
    }

    async fn next(&mut self) -> Option<FifoBatch> {
        self.source.next_batch(&self.clock).await
    }

    /// The texts of the next batch, which stays in flight.
    async fn next_texts(&mut self) -> Vec<String> {
        self.next().await.map(|batch| texts(&batch)).unwrap_or_default()
    }

    async fn answer(&mut self, batch: FifoBatch, failed: &[&str]) {
        let mut response = SqsBatchResponse::default();
        failed.iter().for_each(|id| response.add_failure(*id));
        self.source.answer(batch, &Outcome::Answered(response)).await;
    }

    async fn dead_letters(&self) -> Vec<String> {
        let url = self.source.url.replace(".fifo", "-dead.fifo");
        let request =
            self.stack.clients().sqs.receive_message().queue_url(url).max_number_of_messages(10);
        let messages = request.send().await.unwrap().messages.unwrap_or_default();
        messages.into_iter().filter_map(|message| message.body).collect()
    }
}

fn texts(batch: &FifoBatch) -> Vec<String> {
    batch.event.records.iter().filter_map(|message| message.body.clone()).collect()
}

fn id_of<'a>(batch: &'a FifoBatch, text: &str) -> &'a str {
    let message = batch.messages.iter().find(|message| message.body() == Some(text));
    message.and_then(Message::message_id).unwrap()
}

#[tokio::test]
async fn only_the_group_of_a_message_in_flight_is_locked() {
    let mut queue = Queue::start(FifoPolicy { batch_size: 1, ..POLICY }).await;
    queue.send("a", &["a1", "a2"]).await;
    queue.send("b", &["b1"]).await;
    let first = queue.next().await.unwrap();
    assert_eq!(texts(&first), ["a1"]);
    assert_eq!(queue.next_texts().await, ["b1"]);
    assert!(queue.next().await.is_none());
    queue.answer(first, &[]).await;
    assert_eq!(queue.next_texts().await, ["a2"]);
}

#[tokio::test]
async fn a_batch_has_ten_messages_at_most_and_does_not_wait_for_more() {
    let mut queue = Queue::start(POLICY).await;
    let names: Vec<String> = (10..22).map(|number| format!("a{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    queue.send("a", &names).await;
    let first = queue.next().await.unwrap();
    assert_eq!(texts(&first), names[..10]);
    queue.answer(first, &[]).await;
    assert_eq!(queue.next_texts().await, names[10..]);
    queue.send("b", &["b1"]).await;
    assert_eq!(queue.next_texts().await, ["b1"], "one message at a time");
}

#[tokio::test]
async fn only_reported_messages_are_redelivered_in_order() {
    let mut queue = Queue::start(POLICY).await;
    queue.send("a", &["a1", "a2", "a3"]).await;
    queue.send("b", &["b1"]).await;
    let batch = queue.next().await.unwrap();
    let failed = [id_of(&batch, "a2").to_owned(), id_of(&batch, "a3").to_owned()];
    queue.answer(batch, &[&failed[0], &failed[1]]).await;
    queue.send("a", &["a4"]).await;
    assert!(queue.next().await.is_none(), "later messages of the group wait, too");
    assert_eq!(queue.source.wakes_at_ms(), Some(queue.clock.now_ms() + VISIBILITY_MS));
    queue.clock.pass(VISIBILITY_MS - 1);
    assert!(queue.next().await.is_none());
    queue.clock.pass(1);
    let again = queue.next().await.unwrap();
    assert_eq!(texts(&again), ["a2", "a3", "a4"]);
    let count =
        |index: usize| again.event.records[index].attributes["ApproximateReceiveCount"].clone();
    assert_eq!([count(0), count(1), count(2)], ["2", "2", "1"]);
}

#[tokio::test]
async fn an_unknown_id_or_a_killed_function_fails_the_whole_batch() {
    let mut queue = Queue::start(POLICY).await;
    queue.send("a", &["a1"]).await;
    queue.send("b", &["b1"]).await;
    let batch = queue.next().await.unwrap();
    let known = id_of(&batch, "a1").to_owned();
    queue.answer(batch, &[&known, "unknown"]).await;
    queue.clock.pass(VISIBILITY_MS);
    let batch = queue.next().await.unwrap();
    assert_eq!(texts(&batch), ["a1", "b1"]);
    queue.source.answer(batch, &Outcome::Failed).await;
    assert!(queue.next().await.is_none(), "they stay hidden until the timeout");
    queue.clock.pass(VISIBILITY_MS);
    let batch = queue.next().await.unwrap();
    assert_eq!(texts(&batch), ["a1", "b1"]);
    queue.answer(batch, &[""]).await;
    queue.clock.pass(VISIBILITY_MS);
    assert!(queue.next().await.is_none());
    assert_eq!(queue.dead_letters().await, ["a1", "b1"], "an empty id is unknown, too");
}

#[tokio::test]
async fn after_too_many_receives_a_message_is_a_dead_letter() {
    let mut queue = Queue::start(POLICY).await;
    queue.send("a", &["a1", "a2"]).await;
    for _ in 0..POLICY.max_receives {
        let batch = queue.next().await.unwrap();
        assert_eq!(texts(&batch)[0], "a1");
        let failed = id_of(&batch, "a1").to_owned();
        queue.answer(batch, &[&failed]).await;
        queue.clock.pass(VISIBILITY_MS);
    }
    queue.send("a", &["a3"]).await;
    assert_eq!(queue.next_texts().await, ["a3"]);
    assert_eq!(queue.dead_letters().await, ["a1"]);
}

#[tokio::test]
async fn a_known_deduplication_id_is_dropped_for_five_minutes() {
    let mut queue = Queue::start(POLICY).await;
    queue.send("a", &["a1"]).await;
    let batch = queue.next().await.unwrap();
    queue.answer(batch, &[]).await;
    queue.clock.pass(FIVE_MINUTES_MS - 1);
    queue.send("a", &["a1"]).await;
    assert!(queue.next().await.is_none(), "although the first one is deleted");
    queue.clock.pass(1);
    queue.send("a", &["a1"]).await;
    assert_eq!(queue.next_texts().await, ["a1"]);
}

#[tokio::test]
async fn no_more_functions_run_at_once_than_allowed() {
    let mut queue = Queue::start(FifoPolicy { batch_size: 1, max_concurrency: 2, ..POLICY }).await;
    for group in ["a", "b", "c"] {
        queue.send(group, &[group]).await;
    }
    let first = queue.next().await.unwrap();
    assert_eq!(queue.next_texts().await, ["b"]);
    assert!(queue.next().await.is_none());
    queue.answer(first, &[]).await;
    assert_eq!(queue.next_texts().await, ["c"]);
}

#[tokio::test]
async fn an_answer_that_comes_too_late_deletes_nothing() {
    let mut queue = Queue::start(POLICY).await;
    queue.send("a", &["a1"]).await;
    let slow = queue.next().await.unwrap();
    queue.clock.pass(VISIBILITY_MS);
    let second = queue.next().await.unwrap();
    assert_eq!(texts(&second), ["a1"]);
    queue.answer(slow, &[]).await;
    queue.source.answer(second, &Outcome::Failed).await;
    queue.clock.pass(VISIBILITY_MS);
    assert_eq!(queue.next_texts().await, ["a1"]);
}
