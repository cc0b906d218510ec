//! Reads the records of one shard from its checkpoint and delivers them in order.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::dynamodb::Event;
use aws_lambda_events::event::streams::DynamoDbEventResponse;
use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::SdkError;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsError;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::checkpoints::{Checkpoint, Checkpoints};
use super::mapping::StreamMapping;
use super::stream_event;
use handlers::delivery::invocation::{self, InvocationError};
use handlers::delivery::{Backoff, Outage, causes};

/// The most that one `GetRecords` returns.
const MAX_PAGE: usize = 1_000;

/// Reads a shard until it is finished or the mapping stops.
pub(crate) struct ShardPoller<H> {
    pub(crate) shard: String,
    pub(crate) mapping: Arc<StreamMapping>,
    pub(crate) streams: Client,
    pub(crate) checkpoints: Arc<Checkpoints>,
    pub(crate) handler: Arc<H>,
    pub(crate) stop: CancellationToken,
}

/// Records, and the next iterator. There is none at the end of a closed shard.
struct RecordPage {
    records: Vec<Record>,
    next_iterator: Option<String>,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// The stream has removed the records after the checkpoint. They are lost; continue with the
    /// oldest.
    #[error("records after the checkpoint are no longer in the stream")]
    Trimmed,
    /// Iterators expire after 15 minutes: get a new one.
    #[error("shard iterator has expired")]
    Expired,
    #[error("no shard iterator")]
    Iterator(#[source] SdkError<GetShardIteratorError>),
    #[error("no records")]
    Records(#[source] SdkError<GetRecordsError>),
}

impl<H, F, E> ShardPoller<H>
where
    H: Fn(Event) -> F,
    F: Future<Output = Result<DynamoDbEventResponse, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    /// Reads and delivers. After a failure, it retries from the checkpoint.
    pub(crate) async fn run(self) {
        let mut outage = Outage::of(&self.shard);
        let mut iterator = None;
        let mut wake = self.mapping.wake.clone();
        while !self.stop.is_cancelled() {
            // Before the read, so that a write during the read ends the next pause.
            if let Some(wake) = &mut wake {
                wake.mark_unchanged();
            }
            match self.read(iterator.take()).await {
                Ok(page) => {
                    outage.over();
                    let all_read = page.records.len() < self.mapping.batch_size;
                    self.deliver(page.records).await;
                    if self.stop.is_cancelled() {
                        return;
                    }
                    let Some(next) = page.next_iterator else {
                        return self.checkpoints.set(&self.shard, Checkpoint::Finished);
                    };
                    iterator = Some(next);
                    if all_read {
                        self.wait_for_records(&mut wake).await;
                    }
                }
                Err(ReadError::Expired) => {}
                Err(ReadError::Trimmed) => {
                    tracing::error!(
                        shard = self.shard,
                        "{}: continuing with the oldest ones",
                        ReadError::Trimmed
                    );
                    self.checkpoints.forget(&self.shard);
                }
                Err(error) => self.pause(outage.failed(&error)).await,
            }
        }
    }

    /// Reads up to one batch from the iterator, or from the checkpoint.
    async fn read(&self, iterator: Option<String>) -> Result<RecordPage, ReadError> {
        let mut iterator = match iterator {
            Some(iterator) => iterator,
            None => match self.iterator_at_checkpoint().await? {
                Some(iterator) => iterator,
                None => return Ok(RecordPage { records: Vec::new(), next_iterator: None }),
            },
        };
        let mut records = Vec::new();
        loop {
            let wanted = (self.mapping.batch_size - records.len()).min(MAX_PAGE);
            let page = self.page(iterator, wanted).await?;
            let full = page.records.len() == wanted;
            records.extend(page.records);
            match page.next_iterator {
                Some(next) if full && records.len() < self.mapping.batch_size => iterator = next,
                next_iterator => return Ok(RecordPage { records, next_iterator }),
            }
        }
    }

    async fn iterator_at_checkpoint(&self) -> Result<Option<String>, ReadError> {
        let request = self
            .streams
            .get_shard_iterator()
            .stream_arn(&self.mapping.stream_arn)
            .shard_id(&self.shard);
        let request = match self.checkpoints.of(&self.shard) {
            Some(Checkpoint::After(sequence_number)) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .sequence_number(sequence_number),
            Some(Checkpoint::Finished) => return Ok(None),
            None => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        match request.send().await {
            Ok(answer) => Ok(answer.shard_iterator),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetShardIteratorError::is_trimmed_data_access_exception) =>
            {
                Err(ReadError::Trimmed)
            }
            Err(error) => Err(ReadError::Iterator(error)),
        }
    }

    async fn page(&self, iterator: String, limit: usize) -> Result<RecordPage, ReadError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        match self.streams.get_records().shard_iterator(iterator).limit(limit).send().await {
            Ok(answer) => Ok(RecordPage {
                records: answer.records.unwrap_or_default(),
                next_iterator: answer.next_shard_iterator,
            }),
            Err(error) => Err(match error.as_service_error() {
                Some(GetRecordsError::ExpiredIteratorException(_)) => ReadError::Expired,
                Some(GetRecordsError::TrimmedDataAccessException(_)) => ReadError::Trimmed,
                _ => ReadError::Records(error),
            }),
        }
    }

    /// Delivers until all records are handled or the mapping stops.
    async fn deliver(&self, mut records: Vec<Record>) {
        let mut backoff = Backoff::new(self.mapping.first_retry, self.mapping.last_retry);
        while !records.is_empty() && !self.stop.is_cancelled() {
            let offered = stream_event::fitting(&records);
            let done = self.offer(records.get(..offered).unwrap_or_default()).await;
            if let Some(sequence_number) = last_done(&records, done) {
                self.checkpoints.set(&self.shard, Checkpoint::After(sequence_number));
            }
            records.drain(..done);
            if done > 0 {
                backoff.reset();
            }
            if done < offered {
                self.pause(backoff.pause()).await;
            }
        }
    }

    /// Invokes the handler once. Returns how many of the first records are handled.
    async fn offer(&self, records: &[Record]) -> usize {
        let done = match self.invoke(records).await {
            Ok(response) => stream_event::done(records, &response),
            Err(error) => {
                let error = causes(&error);
                tracing::warn!(
                    shard = self.shard,
                    records = records.len(),
                    error,
                    "batch failed, retrying"
                );
                return 0;
            }
        };
        if let Some(failed) = records.get(done).and_then(stream_event::sequence_number) {
            tracing::warn!(
                shard = self.shard,
                sequence_number = failed,
                "record failed, retrying from it"
            );
        }
        done
    }

    async fn invoke(&self, records: &[Record]) -> Result<DynamoDbEventResponse, InvocationError> {
        let event = stream_event::event(records, &self.mapping.stream_arn);
        let event = event.map_err(|error| InvocationError::Failed(error.into()))?;
        invocation::invoke(&*self.handler, event, self.mapping.timeout).await
    }

    /// Pauses until something is written, or the idle pause is over.
    async fn wait_for_records(&self, wake: &mut Option<watch::Receiver<i64>>) {
        let woken = async {
            let changed = match wake {
                Some(wake) => wake.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                // Nothing wakes the mapping: only the idle pause ends.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = woken => {}
            () = self.pause(self.mapping.idle_pause) => {}
        }
    }

    async fn pause(&self, pause: Duration) {
        self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
    }
}

fn last_done(records: &[Record], done: usize) -> Option<String> {
    let last = records.get(done.checked_sub(1)?)?;
    stream_event::sequence_number(last).map(str::to_owned)
}
