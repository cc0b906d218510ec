//! Reading a whole stream, and its head.

use crate::store::{Act, Engine, Table, new_commit, stream};
use eventstore::{Batch, Consistency, Head, LoadedStream, NewCommit, ReadError};
use serde_json::Value;

cases!(
    a_gap_in_an_eventual_read_is_read_again_first,
    a_stream_of_several_megabytes_is_loaded_whole,
    another_stream_with_a_longer_name_is_not_read,
    the_empty_stream_has_head_0,
    commits_after_a_head_are_loaded,
);

fn versions(batches: &[Batch]) -> Vec<u64> {
    batches.iter().map(Batch::version).collect()
}

/// A commit of about 300 KB that hardly compresses.
fn large_commit(index: usize) -> NewCommit {
    let mut chance = fastrand::Rng::with_seed(index.try_into().unwrap());
    let noise: String = std::iter::repeat_with(|| chance.alphanumeric()).take(400_000).collect();
    new_commit(&format!("c{index}"), &[&noise])
}

async fn the_empty_stream_has_head_0(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("nothing");
    for consistency in [Consistency::Eventual, Consistency::Strong] {
        let LoadedStream { head, batches, usage } =
            process.store.load(&stream, consistency).await.unwrap();
        assert_eq!(head, Head::empty(&stream));
        assert!(batches.is_empty());
        assert_eq!(usage.requests, 1);
        let (head, _) = process.store.head(&stream, consistency).await.unwrap();
        assert_eq!((head.version(), head.recorded_at()), (0, None));
    }
    let verified = process.store.verify(&stream).await.unwrap();
    assert!(verified.verified());
    let empty = Head::empty(&stream);
    assert_eq!((verified.commits, verified.version(), verified.hash()), (0, 0, empty.hash()));
}

async fn a_stream_of_several_megabytes_is_loaded_whole(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("large");
    let mut head = Head::empty(&stream);
    for index in 0..10 {
        head = process.append(&head, vec![large_commit(index)]).await.head;
    }
    for consistency in [Consistency::Eventual, Consistency::Strong] {
        process.wire.take();
        let loaded = process.store.load(&stream, consistency).await.unwrap();
        let queries = process.wire.operations();
        assert!(queries.len() >= 3, "3 MB in {} pages", queries.len());
        assert_eq!(usize::try_from(loaded.usage.requests).unwrap(), queries.len());
        assert_eq!(loaded.head, head);
        assert_eq!(versions(&loaded.batches), (1..=10).collect::<Vec<_>>());
    }
    let verified = process.store.verify(&stream).await.unwrap();
    assert!(verified.verified());
    assert_eq!(
        (verified.commits, verified.version(), verified.hash()),
        (10, head.version(), head.hash())
    );
}

async fn commits_after_a_head_are_loaded(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let first =
        process.append(&Head::empty(&stream), vec![new_commit("a", &["1", "2"])]).await.head;
    let nothing = process.store.load_after(&first, Consistency::Strong).await.unwrap();
    assert_eq!((nothing.head, nothing.batches.len()), (first.clone(), 0));
    let second = process.append(&first, vec![new_commit("b", &["3"])]).await.head;
    let third =
        process.append(&second, vec![new_commit("c", &["4"]), new_commit("d", &["5"])]).await.head;
    let tail = process.store.load_after(&first, Consistency::Strong).await.unwrap();
    assert_eq!((versions(&tail.batches), &tail.head), (vec![3, 4], &third));
    let (head, usage) = process.store.head(&stream, Consistency::Strong).await.unwrap();
    assert_eq!((head, usage.requests), (third, 1));
}

async fn another_stream_with_a_longer_name_is_not_read(engine: &Engine) {
    let process = engine.table().await.process();
    process.append(&Head::empty(&stream("a-b")), vec![new_commit("a", &["1"])]).await;
    assert_eq!(process.load(&stream("a")).await.head.version(), 0);
}

/// A table whose stream `s` has four commits, and the stream's end.
async fn four_commits(engine: &Engine) -> (Table, Head) {
    let table = engine.table().await;
    let process = table.process();
    let mut head = Head::empty(&stream("s"));
    for command in ["a", "b", "c", "d"] {
        head = process.append(&head, vec![new_commit(command, &["x"])]).await.head;
    }
    (table, head)
}

async fn a_gap_in_an_eventual_read_is_read_again_first(engine: &Engine) {
    let (table, head) = four_commits(engine).await;
    let process = table.process();
    process.wire.rule(|seen| async move {
        if seen.body["ConsistentRead"] == Value::Bool(true) {
            return Act::Pass;
        }
        Act::Change(Box::new(|answer| drop(answer["Items"].as_array_mut().unwrap().remove(1))))
    });
    let loaded = process.store.load(head.stream(), Consistency::Eventual).await.unwrap();
    assert_eq!((loaded.head, versions(&loaded.batches)), (head.clone(), vec![1, 2, 3, 4]));
    assert_eq!(loaded.usage.requests, 2);
    assert_eq!(process.wire.operations(), ["Query", "Query"]);
    table.delete(head.stream(), 3).await;
    process.wire.no_rule();
    let damaged = process.store.load(head.stream(), Consistency::Eventual).await;
    let Err(ReadError::Corrupt(damaged)) = damaged else { panic!("{damaged:?}") };
    assert_eq!((damaged.stream.as_str(), damaged.version), ("tally-s", 3));
}
