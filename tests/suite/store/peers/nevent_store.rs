//! NEventStore: a read returns what was appended, an old head overwrites nothing, and tables are
//! independent.

use super::{Engine, new_commit, stream};
use eventstore::{AppendError, Batch, Commit, Head};

cases!(
    an_old_head_overwrites_nothing,
    the_same_stream_in_another_table_is_another_one,
    a_read_returns_what_was_appended,
);

async fn a_read_returns_what_was_appended(engine: &Engine) {
    let process = engine.table().await.process();
    let mut head = Head::empty(&stream("s"));
    let mut appended: Vec<Batch> = Vec::new();
    for commits in
        [vec![new_commit("a", &["1"])], vec![new_commit("b", &["2", "3"]), new_commit("c", &["4"])]]
    {
        let answer = process.append(&head, commits).await;
        (head, appended) = (answer.head, [appended, vec![answer.batch]].concat());
    }
    let read = process.load(&stream("s")).await.batches;
    let all = |batches: &[Batch]| {
        batches.iter().flat_map(|batch| batch.commits.clone()).collect::<Vec<Commit>>()
    };
    assert_eq!(all(&read).len(), 3);
    for (read, written) in all(&read).iter().zip(all(&appended)) {
        assert_eq!((read.version, read.last_version()), (written.version, written.last_version()));
        assert_eq!(
            (&read.metadata, read.recorded_at, read.hash),
            (&written.metadata, written.recorded_at, written.hash)
        );
    }
    let json = |batches: &[Batch]| {
        batches.iter().map(|batch| batch.commits_json().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(json(&read), json(&appended));
}

async fn an_old_head_overwrites_nothing(engine: &Engine) {
    let process = engine.table().await.process();
    let mut heads = vec![Head::empty(&stream("s"))];
    for texts in [vec!["1"], vec!["2", "3"], vec!["4"]] {
        let command = format!("c{}", heads.len());
        let head =
            process.append(heads.last().unwrap(), vec![new_commit(&command, &texts)]).await.head;
        heads.push(head);
    }
    let end = heads.pop().unwrap();
    let before = process.load(end.stream()).await;
    for (old, texts) in heads.iter().flat_map(|old| [(old, vec!["x"]), (old, vec!["x"; 5])]) {
        let refused = process.store.append(old, vec![new_commit("other", &texts)]).await;
        let Err(AppendError::Conflict { winner, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(winner.version(), old.version() + 1);
    }
    let after = process.load(end.stream()).await;
    assert_eq!((after.head, after.batches.len()), (before.head, before.batches.len()));
}

async fn the_same_stream_in_another_table_is_another_one(engine: &Engine) {
    let (here, there) = (engine.table().await, engine.table().await);
    let (here, there) = (here.process(), there.process());
    let stream = stream("s");
    for (process, number) in [(&here, 1), (&there, 2)] {
        let handled = process.count(&stream, "same-id", number).await.unwrap();
        assert_eq!((handled.version, handled.replayed), (1, false));
    }
    here.count(&stream, "only-here", 10).await.unwrap();
    assert_eq!((here.tally(&stream).await.total, there.tally(&stream).await.total), (11, 2));
    assert_eq!(there.store.streams(1, |_| ()).await.unwrap().names.len(), 1);
    assert!(there.store.verify(&stream).await.unwrap().verified());
}
