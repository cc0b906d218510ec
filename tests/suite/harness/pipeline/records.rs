//! The stream of the event table, read as a mapping reads it.

use crate::harness::stack::TestStack;
use aws_lambda_events::event::dynamodb::EventRecord;
use aws_sdk_dynamodbstreams::types::ShardIteratorType;
use ledgerfold::local::event_source::stream_event;

pub(crate) struct Records {
    stream_arn: String,
    /// From where the stream is read on.
    iterator: String,
}

impl Records {
    /// From the first record.
    pub(crate) async fn of(stack: &TestStack) -> Self {
        let (stream_arn, streams) = (stack.stream_arn().await, &stack.clients().streams);
        let stream = streams.describe_stream().stream_arn(&stream_arn).send().await.unwrap();
        let shards = stream.stream_description.unwrap().shards.unwrap();
        let [shard] = shards.as_slice() else { panic!("the stream has {} shards", shards.len()) };
        let request = streams
            .get_shard_iterator()
            .stream_arn(&stream_arn)
            .shard_id(shard.shard_id().unwrap());
        let request = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
        Self { stream_arn, iterator: request.unwrap().shard_iterator.unwrap() }
    }

    /// The records behind those that it gave before.
    pub(crate) async fn read_on(&mut self, stack: &TestStack) -> Vec<EventRecord> {
        let mut records = Vec::new();
        loop {
            let request = stack.clients().streams.get_records().shard_iterator(&self.iterator);
            let page = request.send().await.unwrap();
            self.iterator = page.next_shard_iterator.expect("the shard is open");
            let page = page.records.unwrap_or_default();
            if page.is_empty() {
                return stream_event::event(&records, &self.stream_arn).unwrap().records;
            }
            records.extend(page);
        }
    }
}
