//! DynamoDB fails during a long operation, or permanently. The answer is all or nothing, and
//! attempts are limited.

use crate::store::log::store_errors::{answer_all, error, faults};
use crate::store::{Act, Engine, Process, Table, new_commit, stream};
use eventstore::{
    Consistency, Direction, EventStore, ExecuteError, Head, Options, ReadError, ScanCursor,
    Segment, StoreError,
};
use std::collections::BTreeMap;

cases!(
    a_long_read_whose_page_is_throttled_for_good_fails_whole,
    a_long_read_whose_page_is_throttled_for_a_moment_is_whole,
    a_table_that_cannot_be_created_is_tried_three_times,
    a_transaction_that_always_loses_ends_as_contention,
    no_operation_is_tried_more_than_three_times,
    a_permanent_error_is_tried_once,
);

/// The number of requests of each kind since the last call.
fn counts(process: &Process) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for operation in process.wire.operations() {
        *counts.entry(operation).or_default() += 1;
    }
    counts
}

/// One put, five reads of a stream and two scans. The second scan reads two segments concurrently
/// and ends at the first failure.
async fn requests_of_all_operations(process: &Process) -> (usize, usize, usize) {
    process.wire.take();
    faults(&process.store).await;
    let counts = counts(process);
    (counts["PutItem"], counts["Query"], counts["Scan"])
}

async fn no_operation_is_tried_more_than_three_times(engine: &Engine) {
    let table = engine.table().await;
    let passing = [
        (400, error("ProvisionedThroughputExceededException")),
        (400, error("ThrottlingException")),
        (400, error("RequestLimitExceeded")),
        (500, error("InternalServerError")),
        (503, String::new()),
    ];
    for (status, body) in passing {
        // A new process each time, because the SDK limits retries per process.
        let process = table.process();
        answer_all(&process, status, &body);
        let (puts, queries, scans) = requests_of_all_operations(&process).await;
        assert_eq!((puts, queries), (3, 15), "{body}");
        assert!((6..=9).contains(&scans), "{body}: {scans} scans");
    }
}

async fn a_permanent_error_is_tried_once(engine: &Engine) {
    let process = engine.table().await.process();
    for kind in ["ValidationException", "AccessDeniedException", "ResourceNotFoundException"] {
        answer_all(&process, 400, &error(kind));
        let (puts, queries, scans) = requests_of_all_operations(&process).await;
        assert_eq!((puts, queries), (1, 5), "{kind}");
        assert!((2..=3).contains(&scans), "{kind}: {scans} scans");
    }
}

/// Every put loses its race, and none writes anything.
async fn a_transaction_that_always_loses_ends_as_contention(engine: &Engine) {
    let table = engine.table().await;
    for max_attempts in [1, 4] {
        let process = table.process_with(Options { max_attempts, ..Options::default() });
        process.wire.rule(|seen| {
            let busy = seen.operation == "PutItem";
            std::future::ready(if busy {
                Act::Answer(400, error("TransactionConflictException"))
            } else {
                Act::Pass
            })
        });
        let lost = process.count(&stream("s"), "a", 1).await;
        assert!(
            matches!(lost, Err(ExecuteError::Contention { attempts }) if attempts == max_attempts),
            "{lost:?}"
        );
        let puts = counts(&process)["PutItem"];
        let tries = usize::try_from(max_attempts).unwrap();
        assert!((tries..=3 * tries).contains(&puts), "{puts} puts for {max_attempts} attempts");
        process.wire.no_rule();
        assert_eq!(process.load(&stream("s")).await.head.version(), 0);
    }
}

async fn a_table_that_cannot_be_created_is_tried_three_times(engine: &Engine) {
    for (status, kind, tries) in [
        (400, "ThrottlingException", 3),
        (500, "InternalServerError", 3),
        (400, "AccessDeniedException", 1),
    ] {
        for operation in ["CreateTable", "DescribeTable"] {
            let process = engine.no_table().process();
            process.wire.rule(move |seen| {
                let made = |table| {
                    serde_json::json!({ "TableDescription": { "TableName": table } }).to_string()
                };
                let failing = seen.operation == operation;
                let table = seen.body["TableName"].clone();
                std::future::ready(if failing {
                    Act::Answer(status, error(kind))
                } else {
                    Act::Answer(200, made(table))
                })
            });
            let failed = process.store.create_table().await.unwrap_err();
            let as_expected = match kind {
                "ThrottlingException" => matches!(failed, StoreError::Throttled(_)),
                "InternalServerError" => matches!(failed, StoreError::Unavailable(_)),
                _ => matches!(failed, StoreError::Rejected(_)),
            };
            assert!(as_expected, "{operation}, {kind}: {failed:?}");
            assert_eq!(counts(&process)[operation], tries, "{operation}, {kind}");
        }
    }
}

const COMMITS: u64 = 9;

/// A stream of 2.7 MB, so that every read of it takes three pages or more.
async fn long_stream(table: &Table) -> Head {
    let process = table.process();
    let mut chance = fastrand::Rng::with_seed(9);
    let mut head = Head::empty(&stream("long"));
    for index in 0..COMMITS {
        let noise: String =
            std::iter::repeat_with(|| chance.alphanumeric()).take(400_000).collect();
        head = process.append(&head, vec![new_commit(&format!("c{index}"), &[&noise])]).await.head;
    }
    head
}

/// The long reads. Each returns the number of commits and the last version.
#[derive(Clone, Copy, Debug)]
enum LongRead {
    Load(Consistency),
    Verify,
    Pages(Direction),
    Scan,
    Streams,
}

const LONG_READS: [LongRead; 7] = [
    LongRead::Load(Consistency::Eventual),
    LongRead::Load(Consistency::Strong),
    LongRead::Verify,
    LongRead::Pages(Direction::Forwards),
    LongRead::Pages(Direction::Backwards),
    LongRead::Scan,
    LongRead::Streams,
];

async fn read_all(store: &EventStore, head: &Head, read: LongRead) -> Result<u64, StoreError> {
    let fault = |error| match error {
        ReadError::Store(fault) => fault,
        ReadError::Corrupt(damaged) => panic!("{damaged}"),
    };
    match read {
        LongRead::Load(consistency) => {
            let loaded = store.load(head.stream(), consistency).await.map_err(fault)?;
            assert_eq!(loaded.head, *head);
            Ok(loaded.batches.len().try_into().unwrap())
        }
        LongRead::Verify => {
            let walk = store.verify(head.stream()).await?;
            assert!(walk.verified());
            Ok(walk.commits)
        }
        LongRead::Pages(direction) => pages(store, head, direction).await.map_err(fault),
        LongRead::Scan => scan(store).await.map_err(fault),
        LongRead::Streams => {
            let streams = store.streams(1, |_| ()).await?;
            assert!(streams.foreign.is_empty());
            Ok(if streams.names.contains(head.stream()) { COMMITS } else { 0 })
        }
    }
}

async fn pages(store: &EventStore, head: &Head, direction: Direction) -> Result<u64, ReadError> {
    let (mut met, mut next) =
        (0, Some(if direction == Direction::Forwards { 1 } else { head.version() }));
    while let Some(from) = next {
        let page = store.read(head.stream(), from, direction, 1_000).await?;
        met += u64::try_from(page.commits.len()).unwrap();
        next = page.next;
    }
    Ok(met)
}

async fn scan(store: &EventStore) -> Result<u64, ReadError> {
    let (mut met, mut cursor): (u64, Option<ScanCursor>) = (0, None);
    loop {
        let page = store.scan(Segment { index: 0, total: 1 }, cursor.as_ref()).await?;
        met += u64::try_from(page.batches.len()).unwrap();
        cursor = page.next;
        if cursor.is_none() {
            return Ok(met);
        }
    }
}

/// Throttles this many requests, from the request with this number on.
fn throttle(process: &Process, from: usize, times: usize) {
    process.wire.rule(move |seen| {
        let throttled = (from..from.saturating_add(times)).contains(&seen.nth);
        let kind = "ProvisionedThroughputExceededException";
        std::future::ready(if throttled { Act::Answer(400, error(kind)) } else { Act::Pass })
    });
}

async fn a_long_read_whose_page_is_throttled_for_good_fails_whole(engine: &Engine) {
    let table = engine.table().await;
    let head = long_stream(&table).await;
    for read in LONG_READS {
        for page in [1, 2] {
            let process = table.process();
            throttle(&process, page, usize::MAX);
            let failed = read_all(&process.store, &head, read).await;
            assert!(
                matches!(failed, Err(StoreError::Throttled(_))),
                "{read:?}, page {page}: {failed:?}"
            );
        }
    }
    let process = table.process();
    throttle(&process, 1, usize::MAX);
    let failed = process.count(head.stream(), "a", 1).await;
    assert!(matches!(failed, Err(ExecuteError::Store(StoreError::Throttled(_)))), "{failed:?}");
}

async fn a_long_read_whose_page_is_throttled_for_a_moment_is_whole(engine: &Engine) {
    let table = engine.table().await;
    let head = long_stream(&table).await;
    for read in LONG_READS {
        let process = table.process();
        throttle(&process, 1, 2);
        assert_eq!(read_all(&process.store, &head, read).await.unwrap(), COMMITS, "{read:?}");
    }
    let process = table.process();
    throttle(&process, 1, 2);
    assert_eq!(process.count(head.stream(), "a", 1).await.unwrap().version, COMMITS + 1);
}
