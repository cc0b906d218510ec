//! Commanded and its event store: expected versions of existing and missing streams, independent
//! streams, and a table without updates.

use super::{Engine, expecting, new_commit, stream};
use eventstore::{Consistency, Direction, ExecuteError, Head, MAX_VERSION, Segment};
use futures::future::join_all;

cases!(
    interleaved_streams_are_independent,
    no_request_of_the_store_can_change_or_remove_an_item,
    a_missing_stream_has_version_0_only,
    a_command_without_an_expected_version_is_appended,
    concurrent_writers_of_different_streams_do_not_conflict,
);

async fn a_missing_stream_has_version_0_only(engine: &Engine) {
    let process = engine.table().await.process();
    for expected in [1, 2, u64::MAX] {
        let refused = process.execute(&expecting(&stream("s"), "a", Some(expected)), 1).await;
        let Err(ExecuteError::VersionMismatch { expected: named, actual }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((named, actual), (expected, 0));
    }
    assert_eq!(
        process.load(&stream("s")).await.head,
        Head::empty(&stream("s")),
        "nothing was written"
    );
    assert_eq!(
        process.execute(&expecting(&stream("s"), "a", Some(0)), 1).await.unwrap().version,
        1
    );
}

async fn a_command_without_an_expected_version_is_appended(engine: &Engine) {
    let table = engine.table().await;
    let processes = [table.process(), table.process()];
    for version in 1..=10 {
        let writer = &processes[usize::from(version % 3 == 0)];
        let command = expecting(&stream("s"), &format!("c{version}"), None);
        assert_eq!(writer.execute(&command, 1).await.unwrap().version, version);
    }
    assert_eq!(table.process().tally(&stream("s")).await.total, 10);
}

async fn interleaved_streams_are_independent(engine: &Engine) {
    let process = engine.table().await.process();
    let names = ["a", "b", "a-b", "ab"].map(stream);
    for round in 0..3 {
        for (index, name) in names.iter().enumerate() {
            process
                .put_behind(name, vec![new_commit(&format!("c{round}"), &vec!["x"; index + 1])])
                .await;
        }
    }
    for (index, name) in names.iter().enumerate() {
        let loaded = process.load(name).await;
        let each = u64::try_from(index + 1).unwrap();
        assert_eq!(loaded.head.version(), 3 * each, "{name}");
        assert!(
            loaded.batches.iter().map(|batch| batch.version()).eq([1, 1 + each, 1 + 2 * each]),
            "{name}"
        );
        assert!(loaded.batches.iter().all(|batch| batch.stream == *name), "{name}");
    }
}

async fn concurrent_writers_of_different_streams_do_not_conflict(engine: &Engine) {
    let process = engine.table().await.process();
    let streams: Vec<_> = (0..24).map(|index| stream(&format!("s{index}"))).collect();
    for round in 1..=2 {
        let command = format!("c{round}");
        let answers =
            join_all(streams.iter().map(|stream| process.count(stream, &command, 1))).await;
        for handled in answers.into_iter().map(Result::unwrap) {
            assert_eq!((handled.version, handled.lost_races, handled.replayed), (round, 0, false));
        }
    }
}

/// Other stores let the database refuse updates. This one sends none: a put of events has a
/// condition, and the only put without one is above all versions.
async fn no_request_of_the_store_can_change_or_remove_an_item(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    process.open(&stream, "opening").await.unwrap();
    for number in 1..=25 {
        process.count(&stream, &format!("c{number}"), number).await.unwrap();
    }
    assert!(process.count(&stream, "c7", 7).await.unwrap().replayed);
    process.put_behind(&stream, vec![new_commit("batch", &["x", "y"])]).await;
    process.close(&stream, "closing").await.unwrap();
    assert!(process.count(&stream, "late", 1).await.is_err());
    let (store, whole) = (&process.store, Segment { index: 0, total: 1 });
    store.load(&stream, Consistency::Eventual).await.unwrap();
    store.head(&stream, Consistency::Strong).await.unwrap();
    store.read(&stream, 3, Direction::Forwards, 5).await.unwrap();
    store.verify(&stream).await.unwrap();
    store.scan(whole, None).await.unwrap();
    store.streams(2, |_| ()).await.unwrap();
    let (mut puts, mut reads) = (0, 0);
    for exchange in process.wire.take() {
        match exchange.operation.as_str() {
            "Query" | "Scan" => reads += 1,
            "PutItem" => {
                let version: u64 =
                    exchange.request["Item"]["version"]["N"].as_str().unwrap().parse().unwrap();
                let condition =
                    exchange.request["ConditionExpression"].as_str().unwrap_or_default();
                assert!(
                    condition == "attribute_not_exists(#stream)" || version > MAX_VERSION,
                    "{exchange:?}"
                );
                puts += 1;
            }
            other => panic!("the store sends {other}"),
        }
    }
    assert!(puts >= 28 && reads >= 7, "{puts} puts, {reads} reads");
}
