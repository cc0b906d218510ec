//! Models Lambda's event source mapping of one shard: a state machine without a clock.
//!
//! Where AWS's documentation is unclear, this models the worst case. A response with an unknown
//! identifier fails the whole batch. Progress within a batch does not reset retries. Records after
//! one that fails every time are discarded with it.

use super::pattern::passes;
use super::policy::{Start, StreamPolicy};
use super::{MAX_PAYLOAD_BYTES, Outcome};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::DynamoDbEventResponse;
use serde::Serialize;
use std::collections::VecDeque;

/// The retention of a stream.
pub(crate) const RETENTION_MS: u64 = 24 * 60 * 60 * 1_000;
/// The pause before a retry; it doubles. AWS does not document it, and no case depends on it.
const FIRST_PAUSE_MS: u64 = 1_000;
const LAST_PAUSE_MS: u64 = 15 * 60_000;

/// A shard, and the mapping's position in it.
pub(crate) struct StreamSource {
    shard: String,
    policy: StreamPolicy,
    lanes: Vec<Lane>,
    discarded: Vec<Discarded>,
    trimmed: usize,
}

/// An invocation's batch.
#[derive(Debug, Clone)]
pub(crate) struct StreamBatch {
    pub(crate) event: Event,
    lane: usize,
}

/// The message to the on-failure destination: the position of discarded records, without their
/// content.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Discarded {
    pub(crate) request_context: Context,
    #[serde(rename = "DDBStreamBatchInfo")]
    pub(crate) batch_info: BatchInfo,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Context {
    /// `RetryAttemptsExhausted` or `RecordAgeExceeded`.
    pub(crate) condition: &'static str,
    /// How many invocations had them.
    pub(crate) approximate_invoke_count: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchInfo {
    pub(crate) shard_id: String,
    pub(crate) start_sequence_number: String,
    pub(crate) end_sequence_number: String,
    pub(crate) batch_size: usize,
}

/// A lane of a parallel mapping, with the records of some items. A sequential mapping has one lane.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Arrived>,
    batches: VecDeque<Pending>,
    /// Whether the first batch is in flight.
    busy: bool,
    /// When the batching window began.
    gathering_since_ms: u64,
}

#[derive(Clone)]
struct Arrived {
    at_ms: u64,
    record: EventRecord,
}

/// A batch to handle or retry.
struct Pending {
    records: Vec<Arrived>,
    calls: u32,
    retries: u32,
    not_before_ms: u64,
}

impl StreamSource {
    pub(crate) fn new(shard: &str, policy: StreamPolicy) -> Self {
        let lanes = (0..policy.parallelization_factor).map(|_| Lane::default()).collect();
        Self { shard: shard.to_owned(), policy, lanes, discarded: Vec::new(), trimmed: 0 }
    }

    /// A new mapping of a stream with these records.
    pub(crate) fn made_on(
        shard: &str,
        policy: StreamPolicy,
        older: Vec<EventRecord>,
        at_ms: u64,
    ) -> Self {
        let start = policy.start;
        let mut source = Self::new(shard, policy);
        if start == Start::TrimHorizon {
            source.push(older, at_ms);
        }
        source
    }

    /// Adds records to the shard. Records that no filter matches are skipped.
    pub(crate) fn push(&mut self, records: Vec<EventRecord>, now_ms: u64) {
        for record in records {
            if passes(&self.policy.filters, &serde_json::to_value(&record).unwrap()) {
                let lane = self.lane_of(&record);
                let lane = &mut self.lanes[lane];
                if lane.waiting.is_empty() {
                    lane.gathering_since_ms = lane.gathering_since_ms.max(now_ms);
                }
                lane.waiting.push_back(Arrived { at_ms: now_ms, record });
            }
        }
    }

    /// The next batch, if one is due.
    pub(crate) fn next_batch(&mut self, now_ms: u64) -> Option<StreamBatch> {
        (0..self.lanes.len()).find_map(|lane| self.next_of(lane, now_ms))
    }

    fn next_of(&mut self, index: usize, now_ms: u64) -> Option<StreamBatch> {
        if self.lanes[index].busy {
            return None;
        }
        self.trimmed += self.lanes[index].trim(now_ms);
        self.discard_old(index, now_ms);
        let (policy, lane) = (&self.policy, &mut self.lanes[index]);
        if lane.batches.is_empty() && lane.is_ready(policy, now_ms) {
            let records = lane.gather(policy);
            lane.batches.push_back(Pending {
                records,
                calls: 0,
                retries: 0,
                not_before_ms: now_ms,
            });
        }
        let batch = lane.batches.front_mut().filter(|batch| batch.not_before_ms <= now_ms)?;
        (batch.calls, lane.busy) = (batch.calls + 1, true);
        let mut event = Event::default();
        event.records = batch.records.iter().map(|arrived| arrived.record.clone()).collect();
        Some(StreamBatch { event, lane: index })
    }

    /// Ends a batch.
    pub(crate) fn answer(
        &mut self,
        batch: &StreamBatch,
        outcome: &Outcome<DynamoDbEventResponse>,
        now_ms: u64,
    ) {
        let lane = &mut self.lanes[batch.lane];
        let mut pending = lane.batches.pop_front().expect("an answer is to a batch");
        (lane.busy, lane.gathering_since_ms) = (false, now_ms);
        match outcome {
            Outcome::Answered(response) => match done(&pending.records, response) {
                Some(done) => drop(pending.records.drain(..done)),
                None => return self.failed(batch.lane, pending, now_ms),
            },
            Outcome::Failed => return self.failed(batch.lane, pending, now_ms),
        }
        // Split at the reported record. The rest is retried, which counts as a retry.
        if !pending.records.is_empty() {
            self.retry(batch.lane, pending, now_ms);
        }
    }

    /// The invocation failed. Splitting the batch does not count as a retry.
    fn failed(&mut self, lane: usize, mut pending: Pending, now_ms: u64) {
        if !self.policy.bisect || pending.records.len() == 1 {
            return self.retry(lane, pending, now_ms);
        }
        let behind = pending.records.split_off(pending.records.len() / 2);
        let not_before_ms = now_ms + pause_ms(pending.retries);
        let second = Pending { records: behind, not_before_ms, ..pending };
        let batches = &mut self.lanes[lane].batches;
        batches.push_front(second);
        batches.push_front(Pending { not_before_ms, ..pending });
    }

    fn retry(&mut self, lane: usize, mut pending: Pending, now_ms: u64) {
        if self.policy.max_retries.is_some_and(|max| pending.retries >= max) {
            return self.discard(&pending.records, "RetryAttemptsExhausted", pending.calls);
        }
        pending.not_before_ms = now_ms + pause_ms(pending.retries);
        pending.retries += 1;
        self.lanes[lane].batches.push_front(pending);
    }

    /// Discards records above the maximum age.
    fn discard_old(&mut self, lane: usize, now_ms: u64) {
        let Some(max_ms) = self.policy.max_record_age_ms else { return };
        let is_old = |arrived: &Arrived| now_ms.saturating_sub(arrived.at_ms) > max_ms;
        let lane = &mut self.lanes[lane];
        let mut old: Vec<(Vec<Arrived>, u32)> = Vec::new();
        for batch in &mut lane.batches {
            let count = batch.records.iter().take_while(|arrived| is_old(arrived)).count();
            old.push((batch.records.drain(..count).collect(), batch.calls));
        }
        lane.batches.retain(|batch| !batch.records.is_empty());
        let count = lane.waiting.iter().take_while(|arrived| is_old(arrived)).count();
        old.push((lane.waiting.drain(..count).collect(), 0));
        for (records, calls) in old {
            self.discard(&records, "RecordAgeExceeded", calls);
        }
    }

    fn discard(&mut self, records: &[Arrived], condition: &'static str, calls: u32) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        let batch_info = BatchInfo {
            shard_id: self.shard.clone(),
            start_sequence_number: number(&first.record).to_owned(),
            end_sequence_number: number(&last.record).to_owned(),
            batch_size: records.len(),
        };
        let request_context = Context { condition, approximate_invoke_count: calls };
        self.discarded.push(Discarded { request_context, batch_info });
    }

    /// When the next batch is due.
    pub(crate) fn wakes_at_ms(&self) -> Option<u64> {
        self.lanes
            .iter()
            .filter(|lane| !lane.busy)
            .filter_map(|lane| lane.wakes_at_ms(&self.policy))
            .min()
    }

    /// The function's time-out.
    pub(crate) fn timeout_ms(&self) -> u64 {
        self.policy.timeout_ms
    }

    /// The messages to the on-failure destination.
    pub(crate) fn discarded(&self) -> &[Discarded] {
        &self.discarded
    }

    /// How many records were discarded or trimmed since the last call.
    pub(crate) fn take_given_up(&mut self) -> usize {
        let discarded = std::mem::take(&mut self.discarded);
        std::mem::take(&mut self.trimmed)
            + discarded.iter().map(|discarded| discarded.batch_info.batch_size).sum::<usize>()
    }

    /// How many records were trimmed before they were handled. The destination gets no message.
    pub(crate) fn trimmed(&self) -> usize {
        self.trimmed
    }

    /// How many records are neither handled nor discarded.
    pub(crate) fn left(&self) -> usize {
        let batches =
            self.lanes.iter().flat_map(|lane| &lane.batches).map(|batch| batch.records.len());
        self.lanes.iter().map(|lane| lane.waiting.len()).chain(batches).sum()
    }

    /// Records of one item are always in the same lane, because Lambda keeps the order per
    /// partition and sort key.
    fn lane_of(&self, record: &EventRecord) -> usize {
        let part = |name: &str| {
            record.change.keys.get(name).map(|part| format!("{part:?}")).unwrap_or_default()
        };
        let key = part("stream_id") + &part("version");
        let hash = key
            .bytes()
            .fold(0xcbf2_9ce4_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        usize::try_from(hash).unwrap() % self.lanes.len()
    }
}

impl Lane {
    /// Removes records beyond the retention.
    fn trim(&mut self, now_ms: u64) -> usize {
        let count = |lane: &Self| {
            lane.waiting.len() + lane.batches.iter().map(|batch| batch.records.len()).sum::<usize>()
        };
        let (before, is_kept) =
            (count(self), |arrived: &Arrived| now_ms.saturating_sub(arrived.at_ms) < RETENTION_MS);
        self.waiting.retain(is_kept);
        self.batches.iter_mut().for_each(|batch| batch.records.retain(is_kept));
        self.batches.retain(|batch| !batch.records.is_empty());
        before - count(self)
    }

    fn is_ready(&self, policy: &StreamPolicy, now_ms: u64) -> bool {
        let is_over = now_ms >= self.gathering_since_ms + policy.batching_window_ms;
        !self.waiting.is_empty()
            && (is_over || self.fitting(policy) < self.waiting.len() || self.is_full(policy))
    }

    fn is_full(&self, policy: &StreamPolicy) -> bool {
        self.waiting.len() >= policy.batch_size
    }

    /// How many waiting records fit into a batch: at least one.
    fn fitting(&self, policy: &StreamPolicy) -> usize {
        let mut bytes = 0;
        let fits = self.waiting.iter().take(policy.batch_size).take_while(|arrived| {
            bytes += arrived.record.change.size_bytes;
            bytes <= MAX_PAYLOAD_BYTES
        });
        fits.count().max(1)
    }

    fn gather(&mut self, policy: &StreamPolicy) -> Vec<Arrived> {
        let count = self.fitting(policy).min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }

    fn wakes_at_ms(&self, policy: &StreamPolicy) -> Option<u64> {
        let gathered = || match self.waiting.len() {
            0 => None,
            _ if self.is_full(policy) => Some(self.gathering_since_ms),
            _ => Some(self.gathering_since_ms + policy.batching_window_ms),
        };
        self.batches.front().map(|batch| batch.not_before_ms).or_else(gathered)
    }
}

/// How many of the first records are handled; none if the response is invalid.
fn done(records: &[Arrived], response: &DynamoDbEventResponse) -> Option<usize> {
    let place = |identifier: &Option<String>| {
        records.iter().position(|arrived| identifier.as_deref() == Some(number(&arrived.record)))
    };
    let failures =
        response.batch_item_failures.iter().map(|failure| place(&failure.item_identifier));
    let places: Option<Vec<usize>> = failures.collect();
    Some(places?.into_iter().min().unwrap_or(records.len()))
}

/// The record's sequence number.
pub(crate) fn number(record: &EventRecord) -> &str {
    record.change.sequence_number.as_deref().expect("every record has a number")
}

fn pause_ms(retries: u32) -> u64 {
    FIRST_PAUSE_MS.saturating_mul(1 << retries.min(10)).min(LAST_PAUSE_MS)
}
