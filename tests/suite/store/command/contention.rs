//! Many concurrent commands on one stream.

use crate::harness::depth::full_or;
use crate::store::{Act, Engine, Process, Table, stream};
use eventstore::{Consistency, ExecuteError, Options, StreamId};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

cases!(
    a_writer_that_always_loses_ends_as_contention,
    one_that_loses_twice_reads_the_tail_and_wins,
    two_processes_at_once_lose_nothing,
);

/// Before each of the first `losses` puts of the process, another process appends to the stream.
fn lose(process: &Process, table: &Table, stream: &StreamId, losses: usize) {
    let (quick, stream) = (Arc::new(table.process()), stream.clone());
    let commands = Arc::new(AtomicU64::new(0));
    process.wire.rule(move |seen| {
        let (quick, stream, commands) = (quick.clone(), stream.clone(), commands.clone());
        async move {
            if seen.operation == "PutItem" && seen.nth < losses {
                let number = commands.fetch_add(1, Ordering::Relaxed);
                quick.count(&stream, &format!("quick-{number}"), 1).await.unwrap();
            }
            Act::Pass
        }
    });
}

async fn a_writer_that_always_loses_ends_as_contention(engine: &Engine) {
    let table = engine.table().await;
    for max_attempts in [1, 2, 5] {
        let process = table.process_with(Options { max_attempts, ..Options::default() });
        let stream = stream(&format!("s{max_attempts}"));
        lose(&process, &table, &stream, usize::MAX);
        let lost = process.count(&stream, "unlucky", 1_000).await;
        assert!(
            matches!(lost, Err(ExecuteError::Contention { attempts }) if attempts == max_attempts),
            "{lost:?}"
        );
        let puts = process
            .wire
            .operations()
            .into_iter()
            .filter(|operation| operation == "PutItem")
            .count();
        assert_eq!(puts, usize::try_from(max_attempts).unwrap());
        process.wire.no_rule();
        assert_eq!(
            process.tally(&stream).await.total,
            u64::from(max_attempts),
            "only the quick ones counted"
        );
        let again = process.count(&stream, "unlucky", 1_000).await.unwrap();
        assert!(!again.replayed);
    }
}

async fn one_that_loses_twice_reads_the_tail_and_wins(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let stream = stream("s");
    lose(&process, &table, &stream, 2);
    let handled = process.count(&stream, "slow", 1).await.unwrap();
    assert_eq!((handled.lost_races, handled.version), (2, 3));
    let exchanges = process.wire.take();
    let operations: Vec<&str> =
        exchanges.iter().map(|exchange| exchange.operation.as_str()).collect();
    assert_eq!(operations, ["Query", "PutItem", "PutItem", "Query", "PutItem"]);
    assert_eq!(exchanges[3].request["ConsistentRead"], true);
    assert_eq!(
        exchanges[3].request["ExpressionAttributeValues"][":from"]["N"], "3",
        "what is known is not read again"
    );
    assert_eq!(handled.usage.requests, 5);
}

async fn two_processes_at_once_lose_nothing(engine: &Engine) {
    let table = engine.table().await;
    let (stream, commands) = (stream("s"), full_or(25, 8));
    let all = 16 * commands;
    let attempts = Options { max_attempts: 1_000, ..Options::default() };
    let processes = [table.process_with(attempts.clone()), table.process_with(attempts)];
    let writers = (0..16).map(|writer: usize| {
        let (process, stream) = (&processes[writer % 2], &stream);
        async move {
            let mut versions = Vec::new();
            for number in 0..commands {
                let handled =
                    process.count(stream, &format!("{writer}-{number}"), 1).await.unwrap();
                assert!(!handled.replayed);
                versions.push(handled.version);
            }
            versions
        }
    });
    let mut versions: Vec<u64> = join_all(writers).await.concat();
    versions.sort_unstable();
    assert_eq!(
        versions,
        (1..=all).collect::<Vec<_>>(),
        "each command has its own version, and no version is missing"
    );
    let loaded = processes[0].store.load(&stream, Consistency::Strong).await.unwrap();
    assert_eq!(loaded.head.version(), all);
    assert_eq!(processes[0].tally(&stream).await.total, all);
    assert!(processes[0].store.verify(&stream).await.unwrap().verified());
}
