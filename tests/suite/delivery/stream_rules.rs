//! The rules of a stream's mapping. Each case fails for a mapping without the rule.

use crate::harness::pipeline::policy::{Start, StreamPolicy};
use crate::harness::pipeline::stream_source::{
    Discarded, RETENTION_MS, StreamBatch, StreamSource, number,
};
use crate::harness::pipeline::{MAX_PAYLOAD_BYTES, Outcome};
use aws_lambda_events::event::dynamodb::{Event, EventRecord};
use aws_lambda_events::streams::DynamoDbEventResponse;
use serde_json::{Value, json};

const DAY_MS: u64 = RETENTION_MS;

/// No window, unlimited retries, one batch for everything.
fn plain() -> StreamPolicy {
    StreamPolicy {
        batch_size: 100,
        batching_window_ms: 0,
        parallelization_factor: 1,
        bisect: false,
        max_retries: None,
        max_record_age_ms: None,
        filters: Vec::new(),
        start: Start::TrimHorizon,
        timeout_ms: 30_000,
    }
}

fn record(key: &str, number: usize, event_name: &str, size_bytes: i64) -> EventRecord {
    let change = json!({
        "Keys": {"stream_id": {"S": key}, "version": {"N": number.to_string()}},
        "SequenceNumber": number.to_string(),
        "SizeBytes": size_bytes,
        "ApproximateCreationDateTime": 1_800_000_000,
    });
    let record = json!({"eventID": "e", "eventName": event_name, "awsRegion": "eu-west-1", "dynamodb": change});
    let event: Event = serde_json::from_value(json!({ "Records": [record] })).unwrap();
    event.records.into_iter().next().unwrap()
}

fn records(numbers: impl IntoIterator<Item = usize>) -> Vec<EventRecord> {
    numbers.into_iter().map(|number| record("a", number, "INSERT", 100)).collect()
}

fn with(policy: StreamPolicy, numbers: impl IntoIterator<Item = usize>) -> StreamSource {
    let mut source = StreamSource::new("shard-1", policy);
    source.push(records(numbers), 0);
    source
}

fn numbers(batch: &StreamBatch) -> Vec<usize> {
    batch.event.records.iter().map(|record| number(record).parse().unwrap()).collect()
}

fn answer(identifiers: Value) -> Outcome<DynamoDbEventResponse> {
    Outcome::Answered(serde_json::from_value(json!({ "batchItemFailures": identifiers })).unwrap())
}

fn done() -> Outcome<DynamoDbEventResponse> {
    answer(json!([]))
}

fn failed_from(number: usize) -> Outcome<DynamoDbEventResponse> {
    answer(json!([{"itemIdentifier": number.to_string()}]))
}

/// Handles every batch with the function until none is left. Returns all batches.
fn run(
    source: &mut StreamSource,
    mut now_ms: u64,
    mut function: impl FnMut(&[usize]) -> Outcome<DynamoDbEventResponse>,
) -> Vec<Vec<usize>> {
    let mut given = Vec::new();
    while let Some(wakes_at_ms) = source.wakes_at_ms() {
        assert!(given.len() < 2_000, "it never ends");
        now_ms = now_ms.max(wakes_at_ms);
        while let Some(batch) = source.next_batch(now_ms) {
            source.answer(&batch, &function(&numbers(&batch)), now_ms);
            given.push(numbers(&batch));
        }
    }
    given
}

fn poisoned(poison: usize) -> impl FnMut(&[usize]) -> Outcome<DynamoDbEventResponse> {
    move |numbers| if numbers.contains(&poison) { Outcome::Failed } else { done() }
}

fn conditions(source: &StreamSource) -> Vec<(&str, u32, &str, &str, usize)> {
    source
        .discarded()
        .iter()
        .map(|Discarded { request_context: context, batch_info: batch }| {
            let (first, last) =
                (batch.start_sequence_number.as_str(), batch.end_sequence_number.as_str());
            (context.condition, context.approximate_invoke_count, first, last, batch.batch_size)
        })
        .collect()
}

#[test]
fn records_come_in_their_order_in_batches_of_the_size() {
    let mut source = with(StreamPolicy { batch_size: 2, ..plain() }, 1..=5);
    assert_eq!(run(&mut source, 0, |_| done()), [vec![1, 2], vec![3, 4], vec![5]]);
}

#[test]
fn later_records_wait_while_a_batch_is_in_flight_or_retried() {
    let mut source = with(StreamPolicy { batch_size: 1, ..plain() }, 1..=2);
    let first = source.next_batch(0).unwrap();
    assert!(source.next_batch(DAY_MS / 2).is_none());
    source.answer(&first, &Outcome::Failed, 0);
    assert!(source.next_batch(0).is_none(), "there is a pause before the retry");
    let again = source.next_batch(source.wakes_at_ms().unwrap()).unwrap();
    assert_eq!(numbers(&again), [1]);
    source.answer(&again, &done(), 2_000);
    assert_eq!(numbers(&source.next_batch(2_000).unwrap()), [2]);
}

#[test]
fn a_batch_is_gathered_until_the_window_is_over_or_it_is_full() {
    let policy = StreamPolicy { batch_size: 3, batching_window_ms: 5_000, ..plain() };
    let mut source = with(policy, 1..=1);
    assert!(source.next_batch(4_999).is_none());
    source.push(records(2..=2), 4_999);
    assert_eq!(source.wakes_at_ms(), Some(5_000));
    let batch = source.next_batch(5_000).unwrap();
    assert_eq!(numbers(&batch), [1, 2]);
    source.push(records(3..=4), 5_100);
    source.answer(&batch, &done(), 6_000);
    assert!(source.next_batch(10_999).is_none(), "the next window begins when the call is over");
    source.push(records(5..=5), 10_999);
    assert_eq!(
        numbers(&source.next_batch(10_999).unwrap()),
        [3, 4, 5],
        "a full batch does not wait"
    );
}

#[test]
fn a_batch_ends_before_six_megabytes_but_is_never_empty() {
    let mut source =
        StreamSource::new("shard-1", StreamPolicy { batching_window_ms: 60_000, ..plain() });
    let sizes = [MAX_PAYLOAD_BYTES / 2, MAX_PAYLOAD_BYTES / 2, 1, MAX_PAYLOAD_BYTES + 1];
    let large =
        sizes.into_iter().enumerate().map(|(number, bytes)| record("a", number, "INSERT", bytes));
    source.push(large.collect(), 0);
    let first = source.next_batch(0).expect("a full payload does not wait for the window");
    assert_eq!(numbers(&first), [0, 1]);
    source.answer(&first, &done(), 0);
    assert_eq!(run(&mut source, 60_000, |_| done()), [vec![2], vec![3]]);
}

#[test]
fn the_lowest_failure_is_the_checkpoint() {
    let mut source = with(plain(), 1..=5);
    let batch = source.next_batch(0).unwrap();
    source.answer(&batch, &answer(json!([{"itemIdentifier": "4"}, {"itemIdentifier": "3"}])), 0);
    assert_eq!(run(&mut source, 0, |_| done()), [vec![3, 4, 5]]);
}

#[test]
fn an_answer_that_cannot_be_understood_fails_the_whole_batch() {
    let understood_not = [
        json!([{"itemIdentifier": ""}]),
        json!([{"itemIdentifier": null}]),
        json!([{"itemIdentifier": "9"}]),
        json!([{"itemIdentifier": "2"}, {"itemIdentifier": "9"}]),
        json!([{}]),
    ];
    for identifiers in understood_not {
        let mut source = with(plain(), 1..=3);
        let batch = source.next_batch(0).unwrap();
        source.answer(&batch, &answer(identifiers.clone()), 0);
        assert_eq!(run(&mut source, 0, |_| done()), [vec![1, 2, 3]], "{identifiers}");
    }
}

#[test]
fn bisect_isolates_the_record_that_kills_the_function() {
    let policy = StreamPolicy { bisect: true, max_retries: Some(2), ..plain() };
    let mut source = with(policy, 1..=8);
    let mut got_through = Vec::new();
    let given = run(&mut source, 0, |numbers| {
        if !numbers.contains(&3) {
            got_through.extend(numbers.to_vec());
        }
        poisoned(3)(numbers)
    });
    assert_eq!(
        given[..5],
        [vec![1, 2, 3, 4, 5, 6, 7, 8], vec![1, 2, 3, 4], vec![1, 2], vec![3, 4], vec![3]]
    );
    assert_eq!(got_through, [1, 2, 4, 5, 6, 7, 8]);
    assert_eq!(
        given.iter().filter(|numbers| **numbers == [3]).count(),
        3,
        "splitting is not a retry"
    );
    assert_eq!(conditions(&source), [("RetryAttemptsExhausted", 6, "3", "3", 1)]);
}

#[test]
fn without_bisect_the_whole_batch_is_discarded() {
    let policy = StreamPolicy { batch_size: 4, max_retries: Some(2), ..plain() };
    let mut source = with(policy, 1..=8);
    assert_eq!(run(&mut source, 0, poisoned(3)).len(), 4);
    assert_eq!(conditions(&source), [("RetryAttemptsExhausted", 3, "1", "4", 4)]);
}

#[test]
fn retries_do_not_count_the_first_try_and_may_be_unlimited() {
    for (max_retries, tries) in [(Some(0), 1), (Some(1), 2), (Some(5), 6)] {
        let mut source = with(StreamPolicy { max_retries, ..plain() }, 1..=1);
        assert_eq!(run(&mut source, 0, poisoned(1)).len(), tries);
        assert_eq!(source.discarded().len(), 1);
    }
    let mut source = with(plain(), 1..=1);
    let tries = run(&mut source, 0, poisoned(1)).len();
    assert!(tries > 90, "{tries} tries in the stream's 24 hours");
    assert_eq!(
        (source.discarded().len(), source.trimmed()),
        (0, 1),
        "then it is trimmed, without a message"
    );
}

#[test]
fn a_record_that_always_fails_discards_the_rest_of_its_batch() {
    let policy = StreamPolicy { bisect: true, max_retries: Some(2), batch_size: 4, ..plain() };
    let mut source = with(policy, 1..=6);
    let given =
        run(&mut source, 0, |numbers| if numbers.contains(&2) { failed_from(2) } else { done() });
    assert_eq!(given, [vec![1, 2, 3, 4], vec![2, 3, 4], vec![2, 3, 4], vec![5, 6]]);
    assert_eq!(conditions(&source), [("RetryAttemptsExhausted", 3, "2", "4", 3)]);
}

#[test]
fn records_beyond_the_greatest_age_are_given_up_tried_or_not() {
    let policy = StreamPolicy { batch_size: 2, max_record_age_ms: Some(60_000), ..plain() };
    let mut source = with(policy, 1..=3);
    let batch = source.next_batch(0).unwrap();
    source.push(records(4..=4), 30_000);
    source.answer(&batch, &Outcome::Failed, 60_001);
    assert_eq!(run(&mut source, 60_001 + 1_000, |_| done()), [vec![4]]);
    let expected = [("RecordAgeExceeded", 1, "1", "2", 2), ("RecordAgeExceeded", 0, "3", "3", 1)];
    assert_eq!(conditions(&source), expected);
}

#[test]
fn the_destination_gets_positions_and_not_records() {
    let mut source = with(StreamPolicy { max_retries: Some(0), ..plain() }, 7..=9);
    run(&mut source, 0, |_| Outcome::Failed);
    let messages = serde_json::to_value(source.discarded()).unwrap();
    let batch = json!({"shardId": "shard-1", "startSequenceNumber": "7", "endSequenceNumber": "9", "batchSize": 3});
    let context = json!({"condition": "RetryAttemptsExhausted", "approximateInvokeCount": 1});
    assert_eq!(messages, json!([{"requestContext": context, "DDBStreamBatchInfo": batch}]));
}

#[test]
fn a_filter_lets_through_what_one_of_its_patterns_fits() {
    let commits = json!({"eventName": ["INSERT"], "dynamodb": {"Keys": {"version": {"N": [{"anything-but": ["3"]}]}}}});
    let removals = json!({"eventName": ["REMOVE"]});
    let mut source =
        StreamSource::new("shard-1", StreamPolicy { filters: vec![commits, removals], ..plain() });
    let names = ["INSERT", "MODIFY", "INSERT", "REMOVE", "INSERT"];
    let all = names.into_iter().enumerate().map(|(index, name)| record("a", index + 1, name, 1));
    source.push(all.collect(), 0);
    assert_eq!(run(&mut source, 0, |_| done()), [vec![1, 4, 5]]);
}

#[test]
fn operators_of_a_filter_match_as_documented() {
    let found = json!({"text": "INSERT", "number": 5, "key": {"N": "5"}});
    let cases = [
        (json!({"text": ["MODIFY", "INSERT"]}), true),
        (json!({"text": ["insert"]}), false),
        (json!({"text": [{"equals-ignore-case": "insert"}]}), true),
        (json!({"text": [{"prefix": "IN"}]}), true),
        (json!({"text": [{"suffix": "IN"}]}), false),
        (json!({"text": [{"anything-but": ["INSERT"]}]}), false),
        (json!({"missing": [{"anything-but": ["INSERT"]}]}), false),
        (json!({"missing": [{"exists": false}]}), true),
        (json!({"text": [{"exists": true}]}), true),
        (json!({"key": [{"exists": true}]}), false),
        (json!({"number": [{"numeric": [">", 4, "<=", 5]}]}), true),
        (json!({"key": {"N": [{"numeric": ["=", 5]}]}}), false),
        (json!({"$or": [{"text": ["x"]}, {"number": [5]}]}), true),
        (json!({"$or": [{"text": ["x"]}, {"number": [6]}]}), false),
    ];
    for (pattern, fits) in cases {
        assert_eq!(
            crate::harness::pipeline::pattern::passes(std::slice::from_ref(&pattern), &found),
            fits,
            "{pattern}"
        );
    }
}

#[test]
fn a_mapping_begins_with_the_oldest_record_or_with_the_next_one() {
    for (start, expected) in
        [(Start::TrimHorizon, vec![vec![1, 2, 3]]), (Start::Latest, vec![vec![3]])]
    {
        let mut source =
            StreamSource::made_on("shard-1", StreamPolicy { start, ..plain() }, records(1..=2), 0);
        source.push(records(3..=3), 0);
        assert_eq!(run(&mut source, 0, |_| done()), expected, "{start:?}");
    }
}

#[test]
fn a_record_is_gone_after_24_hours() {
    let mut source = with(plain(), 1..=2);
    assert!(source.next_batch(DAY_MS).is_none());
    assert_eq!((source.trimmed(), source.left(), source.discarded().len()), (2, 0, 0));
}

#[test]
fn a_parallel_mapping_keeps_the_order_of_each_item() {
    let mut source = StreamSource::new(
        "shard-1",
        StreamPolicy { parallelization_factor: 4, batch_size: 1, ..plain() },
    );
    let keys = ["a", "b", "c", "d", "e", "f"];
    let all = (0..30).map(|number| {
        let mut change = record(keys[number % keys.len()], number, "MODIFY", 1);
        // All changes of a key are of one item.
        change.change.keys = record(keys[number % keys.len()], 1, "MODIFY", 1).change.keys;
        change
    });
    source.push(all.collect(), 0);
    let batches: Vec<StreamBatch> = std::iter::from_fn(|| source.next_batch(0)).collect();
    assert!((2..=4).contains(&batches.len()), "{} at once", batches.len());
    let key =
        |batch: &StreamBatch| format!("{:?}", batch.event.records[0].change.keys["stream_id"]);
    // The first item fails until all others are handled.
    let stuck = key(&batches[0]);
    let mut order: Vec<(String, usize)> = Vec::new();
    let mut now_ms = 0;
    let mut out = batches;
    for _ in 0..200 {
        for batch in out {
            let fails = key(&batch) == stuck && order.len() < 10;
            if !fails {
                order.push((key(&batch), numbers(&batch)[0]));
            }
            source.answer(&batch, &if fails { Outcome::Failed } else { done() }, now_ms);
        }
        now_ms = now_ms.max(source.wakes_at_ms().unwrap_or(now_ms));
        out = std::iter::from_fn(|| source.next_batch(now_ms)).collect();
    }
    assert_eq!((order.len(), source.left()), (30, 0));
    for letter in keys {
        let of_key = order
            .iter()
            .filter(|(key, _)| key.contains(&format!("\"{letter}\"")))
            .map(|(_, number)| *number);
        let of_key: Vec<usize> = of_key.collect();
        assert!(of_key.len() == 5 && of_key.is_sorted(), "{letter}: {of_key:?}");
    }
}
