//! Lambda's event source mapping of a DynamoDB stream, on this machine: every shard in order, batch by batch, to one
//! handler that reports which records it could not do.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::operation::describe_stream::DescribeStreamError;
use aws_sdk_dynamodbstreams::types::Shard;
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::checkpoints::Checkpoints;
use super::shard_poller::ShardPoller;
use handlers::delivery::Outage;

/// The most records that Lambda puts into one batch.
pub const MAX_BATCH_SIZE: usize = 10_000;

/// Without anyone to wake the mapping.
const IDLE_PAUSE: Duration = Duration::from_millis(25);
/// For changes that were missed for whatever reason.
const WOKEN_IDLE_PAUSE: Duration = Duration::from_secs(1);

/// How one stream is delivered to one handler.
///
/// As on AWS: records of a shard in order; a failed record is tried again, with those after it, until it succeeds (the
/// default of Lambda while the record is in the stream), and nothing later in its shard is delivered meanwhile; a batch
/// may come again after a crash.
#[derive(Clone, Debug)]
pub struct StreamMapping {
    /// The stream.
    pub stream_arn: String,
    /// The file that remembers how far each shard is; its folder must exist. See `DataDir::checkpoint_file`.
    pub checkpoint_file: PathBuf,
    /// Records in a batch, at most; 1 to [`MAX_BATCH_SIZE`].
    pub batch_size: usize,
    /// How long one call of the handler may take.
    pub timeout: Duration,
    /// Between two looks into a shard that had no more than was read.
    pub idle_pause: Duration,
    /// Ends that pause early when its number changes. See `DynamoDb::changes`.
    pub wake: Option<watch::Receiver<i64>>,
    /// Before a failed batch is tried again; doubled each time.
    pub first_retry: Duration,
    /// The longest pause before a failed batch is tried again.
    pub last_retry: Duration,
    /// Between two looks for new shards.
    pub shard_refresh: Duration,
}

impl StreamMapping {
    /// A mapping with Lambda's batch size and pauses that suit one machine.
    #[must_use]
    pub fn new(stream_arn: impl Into<String>, checkpoint_file: impl Into<PathBuf>) -> Self {
        Self {
            stream_arn: stream_arn.into(),
            checkpoint_file: checkpoint_file.into(),
            batch_size: 100,
            timeout: Duration::from_secs(30),
            idle_pause: IDLE_PAUSE,
            wake: None,
            first_retry: Duration::from_millis(50),
            last_retry: Duration::from_secs(5),
            shard_refresh: Duration::from_secs(10),
        }
    }

    /// Looks when something was written, instead of all the time: records come sooner, and an idle mapping costs next to
    /// nothing.
    #[must_use]
    pub fn woken_by(self, changes: watch::Receiver<i64>) -> Self {
        Self { wake: Some(changes), idle_pause: WOKEN_IDLE_PAUSE, ..self }
    }

    /// Delivers until `stop`; the batch in flight is finished first.
    ///
    /// A shard begins where its checkpoint says, otherwise at its oldest record. Failures, of the stream or of the
    /// handler, are logged and tried again; they never end the mapping.
    pub async fn run<H, F, E>(mut self, streams: Client, handler: H, stop: CancellationToken)
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = Result<DynamoDbEventResponse, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.batch_size = self.batch_size.clamp(1, MAX_BATCH_SIZE);
        let checkpoints = Arc::new(Checkpoints::open(self.checkpoint_file.clone(), &self.stream_arn));
        let handler = Arc::new(handler);
        let mapping = Arc::new(self);
        let mut outage = Outage::of(&mapping.stream_arn);
        let mut pollers = JoinSet::new();
        let mut running = HashMap::<Id, String>::new();
        while !stop.is_cancelled() {
            let pause = match all_shards(&streams, &mapping.stream_arn).await {
                Ok(shards) => {
                    outage.over();
                    checkpoints.keep_only(|shard| shards.iter().any(|listed| listed.shard_id() == Some(shard)));
                    for shard in startable(&shards, |shard| checkpoints.is_finished(shard), running.values()) {
                        let poller = ShardPoller {
                            shard: shard.clone(),
                            mapping: mapping.clone(),
                            streams: streams.clone(),
                            checkpoints: checkpoints.clone(),
                            handler: handler.clone(),
                            stop: stop.clone(),
                        };
                        running.insert(pollers.spawn(poller.run()).id(), shard);
                    }
                    mapping.shard_refresh
                }
                Err(error) => outage.failed(&error),
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
                // A shard that has ended may have children that can begin now.
                Some(ended) = pollers.join_next_with_id() => {
                    running.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
            }
        }
        while pollers.join_next().await.is_some() {}
    }
}

async fn all_shards(
    streams: &Client,
    stream_arn: &str,
) -> Result<Vec<Shard>, aws_sdk_dynamodbstreams::error::SdkError<DescribeStreamError>> {
    let mut shards = Vec::new();
    let mut after = None;
    loop {
        let request = streams.describe_stream().stream_arn(stream_arn).set_exclusive_start_shard_id(after);
        let description = request.send().await?.stream_description;
        let Some(description) = description else { return Ok(shards) };
        after = description.last_evaluated_shard_id;
        shards.extend(description.shards.unwrap_or_default());
        if after.is_none() {
            return Ok(shards);
        }
    }
}

/// The shards to begin with now. A child waits for its parent, because a key's records go on in the child: it begins when
/// the parent is finished, or so old that the stream has dropped it.
fn startable<'a>(
    shards: &[Shard],
    is_finished: impl Fn(&str) -> bool,
    running: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let running: HashSet<&str> = running.map(String::as_str).collect();
    let listed: HashSet<&str> = shards.iter().filter_map(Shard::shard_id).collect();
    let parent_is_done = |parent: &str| is_finished(parent) || !listed.contains(parent);
    let waiting = shards.iter().filter(|shard| shard.parent_shard_id().is_none_or(parent_is_done));
    let ready = waiting.filter_map(Shard::shard_id).filter(|shard| !running.contains(shard) && !is_finished(shard));
    ready.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: Option<&str>) -> Shard {
        Shard::builder().shard_id(id).set_parent_shard_id(parent.map(str::to_owned)).build()
    }

    fn check(finished: &[&str], running: &[&str], expected: &[&str]) {
        // `orphan` has a parent that the stream dropped long ago.
        let shards = [shard("a", None), shard("a1", Some("a")), shard("a2", Some("a1")), shard("orphan", Some("gone"))];
        let running: Vec<String> = running.iter().map(|&shard| shard.to_owned()).collect();
        assert_eq!(startable(&shards, |shard| finished.contains(&shard), running.iter()), expected);
    }

    #[test]
    fn a_child_shard_begins_when_its_parent_is_finished_or_gone() {
        check(&[], &[], &["a", "orphan"]);
        check(&[], &["a", "orphan"], &[]);
        check(&["a"], &["orphan"], &["a1"]);
        check(&["a", "a1"], &[], &["a2", "orphan"]);
        check(&["a", "a1", "a2", "orphan"], &[], &[]);
    }
}
