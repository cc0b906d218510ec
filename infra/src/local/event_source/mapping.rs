//! Lists the shards of a DynamoDB stream, as Lambda's event source mapping does, and starts a
//! poller for each.

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

/// Lambda's limit of records per batch.
pub const MAX_BATCH_SIZE: usize = 10_000;

/// The pause when nothing wakes the mapping.
const IDLE_PAUSE: Duration = Duration::from_millis(25);
/// The pause when changes wake the mapping, in case one is missed.
const WOKEN_IDLE_PAUSE: Duration = Duration::from_secs(1);

/// Delivers one stream to one handler.
///
/// As on AWS, the records of a shard are delivered in order. A failed record and those after it are
/// retried until they succeed; later ones in the shard wait. After a crash a batch may be delivered
/// again.
#[derive(Clone, Debug)]
pub struct StreamMapping {
    /// The stream.
    pub stream_arn: String,
    /// The file of checkpoints; its folder must exist. See `DataFolder::checkpoint_file`.
    pub checkpoint_file: PathBuf,
    /// The most records per batch, 1 to [`MAX_BATCH_SIZE`].
    pub batch_size: usize,
    /// The time limit of one invocation.
    pub timeout: Duration,
    /// The pause after all records of a shard were read.
    pub idle_pause: Duration,
    /// A change of this number ends the pause early. See `DynamoDb::changes`.
    pub wake: Option<watch::Receiver<i64>>,
    /// The pause before the first retry of a batch; it doubles each time.
    pub first_retry: Duration,
    /// The longest pause before a retry.
    pub last_retry: Duration,
    /// The pause between two listings of shards.
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

    /// Reads after changes instead of polling often: records are delivered sooner, and an idle
    /// mapping uses no CPU.
    #[must_use]
    pub fn woken_by(self, changes: watch::Receiver<i64>) -> Self {
        Self { wake: Some(changes), idle_pause: WOKEN_IDLE_PAUSE, ..self }
    }

    /// Delivers until `stop`, and finishes the current batch.
    ///
    /// A shard begins at its checkpoint, or else at its oldest record. Failures of stream or
    /// handler are logged and retried; they never end the mapping.
    pub async fn run<H, F, E>(mut self, streams: Client, handler: H, stop: CancellationToken)
    where
        H: Fn(Event) -> F + Send + Sync + 'static,
        F: Future<Output = Result<DynamoDbEventResponse, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.batch_size = self.batch_size.clamp(1, MAX_BATCH_SIZE);
        let checkpoints =
            Arc::new(Checkpoints::open(self.checkpoint_file.clone(), &self.stream_arn));
        let handler = Arc::new(handler);
        let mapping = Arc::new(self);
        let mut outage = Outage::of(&mapping.stream_arn);
        let mut pollers = JoinSet::new();
        let mut running = HashMap::<Id, String>::new();
        while !stop.is_cancelled() {
            let pause = match all_shards(&streams, &mapping.stream_arn).await {
                Ok(shards) => {
                    outage.over();
                    checkpoints.retain(|shard| {
                        shards.iter().any(|listed| listed.shard_id() == Some(shard))
                    });
                    for shard in
                        startable(&shards, |shard| checkpoints.is_finished(shard), running.values())
                    {
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
                // The children of a finished shard may start now.
                Some(finished) = pollers.join_next_with_id() => {
                    running.remove(&finished.map_or_else(|error| error.id(), |(id, ())| id));
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
        let request =
            streams.describe_stream().stream_arn(stream_arn).set_exclusive_start_shard_id(after);
        let description = request.send().await?.stream_description;
        let Some(description) = description else { return Ok(shards) };
        after = description.last_evaluated_shard_id;
        shards.extend(description.shards.unwrap_or_default());
        if after.is_none() {
            return Ok(shards);
        }
    }
}

/// The shards whose pollers can start. A child has later records of its parent's keys, so it waits
/// until the parent is finished or no longer listed.
fn startable<'a>(
    shards: &[Shard],
    is_finished: impl Fn(&str) -> bool,
    running: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let running: HashSet<&str> = running.map(String::as_str).collect();
    let listed: HashSet<&str> = shards.iter().filter_map(Shard::shard_id).collect();
    let parent_is_done = |parent: &str| is_finished(parent) || !listed.contains(parent);
    let waiting = shards.iter().filter(|shard| shard.parent_shard_id().is_none_or(parent_is_done));
    let ready = waiting
        .filter_map(Shard::shard_id)
        .filter(|shard| !running.contains(shard) && !is_finished(shard));
    ready.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(id: &str, parent: Option<&str>) -> Shard {
        Shard::builder().shard_id(id).set_parent_shard_id(parent.map(str::to_owned)).build()
    }

    fn check(finished: &[&str], running: &[&str], expected: &[&str]) {
        // The parent of `orphan` is no longer listed.
        let shards = [
            shard("a", None),
            shard("a1", Some("a")),
            shard("a2", Some("a1")),
            shard("orphan", Some("gone")),
        ];
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
