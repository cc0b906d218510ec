//! One shard of a stream as Lambda's event source mapping reads it: a state machine without time of its own.
//!
//! What AWS leaves open is modelled at its harshest: an answer with an unknown identifier fails the whole batch; progress
//! within a batch does not give retries back; what is behind a record that is reported again and again goes with it.

use super::pattern::passes;
use super::policy::{Start, StreamPolicy};
use super::{MAX_PAYLOAD_BYTES, Outcome};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::DynamoDbEventResponse;
use serde::Serialize;
use std::collections::VecDeque;

/// How long a stream keeps a record.
pub(crate) const RETENTION_MS: u64 = 24 * 60 * 60 * 1_000;
/// Before a failed batch is tried again; doubled each time. AWS does not say how long: no case depends on it.
const FIRST_PAUSE_MS: u64 = 1_000;
const LAST_PAUSE_MS: u64 = 15 * 60_000;

/// A shard, and how far the mapping is in it.
pub(crate) struct StreamSource {
    shard: String,
    policy: StreamPolicy,
    lanes: Vec<Lane>,
    discarded: Vec<Discarded>,
    trimmed: usize,
}

/// What is handed to the function.
#[derive(Debug, Clone)]
pub(crate) struct StreamBatch {
    pub(crate) event: Event,
    lane: usize,
}

/// What the on-failure destination of a queue gets of records that are given up: where they are, and not what they are.
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
    /// How often the function has been called with them.
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

/// The records of some items: all of them, unless the mapping is parallel.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Arrived>,
    batches: VecDeque<Pending>,
    /// The first batch is with the function.
    busy: bool,
    /// Since when records are gathered for a batch.
    gathering_since_ms: u64,
}

#[derive(Clone)]
struct Arrived {
    at_ms: u64,
    record: EventRecord,
}

/// A batch that is not done.
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

    /// A mapping that is made on a stream that has these records already.
    pub(crate) fn made_on(shard: &str, policy: StreamPolicy, older: Vec<EventRecord>, at_ms: u64) -> Self {
        let start = policy.start;
        let mut source = Self::new(shard, policy);
        if start == Start::TrimHorizon {
            source.push(older, at_ms);
        }
        source
    }

    /// Records come into the shard. Those that no filter lets through are passed over.
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

    /// The next batch for the function, if one is due.
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
            lane.batches.push_back(Pending { records, calls: 0, retries: 0, not_before_ms: now_ms });
        }
        let batch = lane.batches.front_mut().filter(|batch| batch.not_before_ms <= now_ms)?;
        (batch.calls, lane.busy) = (batch.calls + 1, true);
        let mut event = Event::default();
        event.records = batch.records.iter().map(|arrived| arrived.record.clone()).collect();
        Some(StreamBatch { event, lane: index })
    }

    /// What became of a batch.
    pub(crate) fn answer(&mut self, batch: &StreamBatch, outcome: &Outcome<DynamoDbEventResponse>, now_ms: u64) {
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
        // It is split where the answer says; what is behind is tried again, and that is a retry.
        if !pending.records.is_empty() {
            self.retry(batch.lane, pending, now_ms);
        }
    }

    /// The function has failed as a whole. To split a batch is no retry.
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

    /// Records that are older than the mapping sends are given up, tried or not.
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

    /// When something will be due, if nothing comes in between.
    pub(crate) fn wakes_at_ms(&self) -> Option<u64> {
        self.lanes.iter().filter(|lane| !lane.busy).filter_map(|lane| lane.wakes_at_ms(&self.policy)).min()
    }

    /// How long one call of the function may take.
    pub(crate) fn timeout_ms(&self) -> u64 {
        self.policy.timeout_ms
    }

    /// What the on-failure destination has got.
    pub(crate) fn discarded(&self) -> &[Discarded] {
        &self.discarded
    }

    /// How many records were given up or dropped by the stream since the last call of this.
    pub(crate) fn take_given_up(&mut self) -> usize {
        let discarded = std::mem::take(&mut self.discarded);
        std::mem::take(&mut self.trimmed)
            + discarded.iter().map(|discarded| discarded.batch_info.batch_size).sum::<usize>()
    }

    /// How many records the stream has dropped before they were done. Nobody is told of those.
    pub(crate) fn trimmed(&self) -> usize {
        self.trimmed
    }

    /// How many records are neither done nor given up.
    pub(crate) fn left(&self) -> usize {
        let batches = self.lanes.iter().flat_map(|lane| &lane.batches).map(|batch| batch.records.len());
        self.lanes.iter().map(|lane| lane.waiting.len()).chain(batches).sum()
    }

    /// Records of one item are always in the same lane: Lambda keeps order by partition and sort key, not by partition key.
    fn lane_of(&self, record: &EventRecord) -> usize {
        let part = |name: &str| record.change.keys.get(name).map(|part| format!("{part:?}")).unwrap_or_default();
        let key = part("stream_id") + &part("version");
        let hash = key.bytes().fold(0xcbf2_9ce4_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        usize::try_from(hash).unwrap() % self.lanes.len()
    }
}

impl Lane {
    /// Records that the stream does not keep any longer are gone.
    fn trim(&mut self, now_ms: u64) -> usize {
        let count =
            |lane: &Self| lane.waiting.len() + lane.batches.iter().map(|batch| batch.records.len()).sum::<usize>();
        let (before, is_kept) = (count(self), |arrived: &Arrived| now_ms.saturating_sub(arrived.at_ms) < RETENTION_MS);
        self.waiting.retain(is_kept);
        self.batches.iter_mut().for_each(|batch| batch.records.retain(is_kept));
        self.batches.retain(|batch| !batch.records.is_empty());
        before - count(self)
    }

    fn is_ready(&self, policy: &StreamPolicy, now_ms: u64) -> bool {
        let is_over = now_ms >= self.gathering_since_ms + policy.batching_window_ms;
        !self.waiting.is_empty() && (is_over || self.fitting(policy) < self.waiting.len() || self.is_full(policy))
    }

    fn is_full(&self, policy: &StreamPolicy) -> bool {
        self.waiting.len() >= policy.batch_size
    }

    /// How many of those that wait fit into a batch: one always does.
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

/// How many records from the first on are done; none of an answer that cannot be understood.
fn done(records: &[Arrived], response: &DynamoDbEventResponse) -> Option<usize> {
    let place = |identifier: &Option<String>| {
        records.iter().position(|arrived| identifier.as_deref() == Some(number(&arrived.record)))
    };
    let failures = response.batch_item_failures.iter().map(|failure| place(&failure.item_identifier));
    let places: Option<Vec<usize>> = failures.collect();
    Some(places?.into_iter().min().unwrap_or(records.len()))
}

/// The record's place in its shard.
pub(crate) fn number(record: &EventRecord) -> &str {
    record.change.sequence_number.as_deref().expect("every record has a number")
}

fn pause_ms(retries: u32) -> u64 {
    FIRST_PAUSE_MS.saturating_mul(1 << retries.min(10)).min(LAST_PAUSE_MS)
}
