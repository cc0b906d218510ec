//! A stream mapping delivers everything in order, and continues at its checkpoint.

use std::sync::Arc;
use std::time::Duration;

use ledgerfold::local::event_source::mapping::StreamMapping;
use tokio::sync::Notify;

use super::Seen;
use super::event_table::{EventTable, all_done, numbers};

#[tokio::test]
async fn records_come_in_order_in_batches_of_at_most_the_batch_size() {
    let world = EventTable::new().await;
    world.put(0..150).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let mapping = world.run(world.mapping(), move |event| {
        let record = &event.records[0];
        assert_eq!(record.event_name, "INSERT");
        assert_eq!(record.event_source.as_deref(), Some("aws:dynamodb"));
        assert!(
            record
                .event_source_arn
                .as_ref()
                .is_some_and(|arn| arn.contains("table/events/stream/"))
        );
        writer.add(numbers(&event));
        async { all_done() }
    });
    world.put(150..250).await;
    seen.until(|seen| seen.concat().len() >= 250).await;
    assert_eq!(seen.list().concat(), (0..250).collect::<Vec<_>>());
    assert_eq!(seen.list()[0].len(), 100);
    assert!(seen.list().iter().all(|batch| batch.len() <= 100));
    mapping.stop().await;
}

#[tokio::test]
async fn a_write_wakes_an_idle_mapping() {
    let world = EventTable::new().await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    // Without a wake-up the next poll comes after the end of the test.
    let mapping = StreamMapping { idle_pause: Duration::from_secs(3_600), ..world.mapping() };
    let mapping = world.run(mapping, move |event| {
        writer.add(numbers(&event));
        async { all_done() }
    });
    for number in 0..5 {
        world.put([number]).await;
        seen.until(|seen| seen.concat().len() > number).await;
    }
    assert_eq!(seen.list().concat(), [0, 1, 2, 3, 4]);
    mapping.stop().await;
}

#[tokio::test]
async fn a_large_batch_is_gathered_from_several_pages() {
    let world = EventTable::new().await;
    world.put(0..1_200).await;
    let seen = Seen::nothing();
    let writer = seen.clone();
    let mapping =
        world.run(StreamMapping { batch_size: 10_000, ..world.mapping() }, move |event| {
            writer.add(numbers(&event));
            async { all_done() }
        });
    assert_eq!(seen.at_least(1).await[0], (0..1_200).collect::<Vec<_>>());
    mapping.stop().await;
}

#[tokio::test]
async fn a_restart_continues_at_the_checkpoint() {
    let world = EventTable::new().await;
    world.put(0..20).await;
    for (run, expected) in [(0, (0..20).collect::<Vec<_>>()), (1, vec![20, 21, 22])] {
        let seen = Seen::nothing();
        let writer = seen.clone();
        let mapping = world.run(world.mapping(), move |event| {
            numbers(&event).into_iter().for_each(|number| {
                writer.add(number);
            });
            async { all_done() }
        });
        seen.at_least(expected.len()).await;
        mapping.stop().await;
        assert_eq!(seen.all(), expected, "run {run}");
        world.put(20..23).await;
    }
}

#[tokio::test]
async fn a_crash_repeats_the_batch_in_flight_and_nothing_before_it() {
    let world = EventTable::new().await;
    world.put(0..10).await;
    let small = || StreamMapping { batch_size: 4, ..world.mapping() };
    let seen = Seen::nothing();
    let writer = seen.clone();
    let crashing = world.run(small(), move |event| {
        let batches = writer.add(numbers(&event));
        async move {
            // The second batch is never answered.
            if batches == 2 {
                std::future::pending::<()>().await;
            }
            all_done()
        }
    });
    assert_eq!(seen.at_least(2).await, [vec![0, 1, 2, 3], vec![4, 5, 6, 7]]);
    crashing.task.abort();
    assert!(crashing.task.await.unwrap_err().is_cancelled());

    let seen = Seen::nothing();
    let writer = seen.clone();
    let mapping = world.run(small(), move |event| {
        writer.add(numbers(&event));
        async { all_done() }
    });
    assert_eq!(seen.at_least(2).await, [vec![4, 5, 6, 7], vec![8, 9]]);
    mapping.stop().await;
}

#[tokio::test]
async fn a_stop_finishes_the_batch_in_flight() {
    let world = EventTable::new().await;
    world.put(0..3).await;
    let (seen, begun, release) =
        (Seen::nothing(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let mapping = world.run(world.mapping(), {
        let (seen, begun, release) = (seen.clone(), begun.clone(), release.clone());
        move |event| {
            let (seen, begun, release) = (seen.clone(), begun.clone(), release.clone());
            async move {
                begun.notify_one();
                release.notified().await;
                seen.add(numbers(&event));
                all_done()
            }
        }
    });
    super::ends("batch begins", begun.notified()).await;
    mapping.ask_to_stop();
    assert!(!mapping.task.is_finished());
    release.notify_one();
    mapping.stop().await;
    assert_eq!(seen.all(), [vec![0, 1, 2]]);

    // Its checkpoint is stored: the next run begins after it.
    world.put([3]).await;
    let again = seen.clone();
    let mapping = world.run(world.mapping(), move |event| {
        again.add(numbers(&event));
        async { all_done() }
    });
    assert_eq!(seen.at_least(2).await[1], [3]);
    mapping.stop().await;
}

#[tokio::test]
async fn unreadable_checkpoints_restart_at_the_beginning() {
    let world = EventTable::new().await;
    world.put(0..3).await;
    std::fs::write(world.mapping().checkpoint_file, "{\"stream_arn\":").unwrap();
    let seen = Seen::nothing();
    let writer = seen.clone();
    let mapping = world.run(world.mapping(), move |event| {
        writer.add(numbers(&event));
        async { all_done() }
    });
    assert_eq!(seen.at_least(1).await, [vec![0, 1, 2]]);
    mapping.stop().await;
}
