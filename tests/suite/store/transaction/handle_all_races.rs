//! Concurrent commands over overlapping streams: each has one outcome, and the sum does not change.

use crate::store::transaction::handle_all::{Answer, Overdrawn};
use crate::store::{Engine, Process, stream};
use eventstore::{Consistency, ExecuteAllError, Options, StreamId};
use futures::future::join_all;
use std::collections::HashMap;
use std::sync::Arc;

cases!(
    one_command_from_sixty_four_tasks_is_one_transfer,
    sixty_four_transfers_at_once_keep_the_sum
);

fn processes(table: &crate::store::Table) -> Vec<Arc<Process>> {
    let patient = Options { max_attempts: 10_000, ..Options::default() };
    std::iter::repeat_with(|| Arc::new(table.process_with(patient.clone()))).take(4).collect()
}

async fn one_command_from_sixty_four_tasks_is_one_transfer(engine: &Engine) {
    let table = engine.table().await;
    let processes = processes(&table);
    let both: Vec<StreamId> = ["a", "b"].map(stream).to_vec();
    processes[0].fill(&both, 100).await;
    let tries = (0..64).map(|index| {
        let (process, both) = (Arc::clone(&processes[index % 4]), both.clone());
        tokio::spawn(async move { process.transfer(&both, "t", 5).await.unwrap() })
    });
    let handled: Vec<_> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(handled.iter().filter(|handled| !handled.replayed).count(), 1);
    let hashes =
        |index: usize| handled[index].parts.iter().map(|part| part.commit.hash).collect::<Vec<_>>();
    assert!((0..64).all(|index| hashes(index) == hashes(0)));
    assert_eq!(processes[0].versions(&both).await, [2, 2]);
}

/// 32 transfers between 5 purses in both directions, each sent twice concurrently, some too large.
async fn sixty_four_transfers_at_once_keep_the_sum(engine: &Engine) {
    let table = engine.table().await;
    let processes = processes(&table);
    let purses: Vec<StreamId> = (0..5).map(|number| stream(&format!("purse-{number}"))).collect();
    processes[0].fill(&purses, 100).await;
    let tries = (0..64).map(|index| {
        let (process, number) = (Arc::clone(&processes[index % 4]), index / 2);
        let (from, to) = (number % 5, (number % 5 + 1 + number % 4) % 5);
        let pair = [purses[from].clone(), purses[to].clone()];
        let pence = if number % 8 == 7 { 100_000 } else { 1 + i64::try_from(number).unwrap() };
        tokio::spawn(async move { process.transfer(&pair, &format!("t{number}"), pence).await })
    });
    let answers: Vec<Answer> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    for (number, pair) in answers.chunks(2).enumerate() {
        assert_one_outcome(number, pair);
    }
    let mut sum = 0;
    let mut commits: HashMap<String, usize> = HashMap::new();
    for purse in &purses {
        sum += processes[0].pence(purse).await;
        assert!(processes[0].store.verify(purse).await.unwrap().verified());
        let loaded = processes[0].store.load(purse, Consistency::Strong).await.unwrap();
        for commit in loaded.batches.iter().flat_map(|batch| &batch.commits).skip(1) {
            *commits.entry(commit.metadata.command_id.to_string()).or_default() += 1;
        }
    }
    assert_eq!(sum, 500);
    let written =
        (0..32).filter(|number| answers[2 * number].is_ok() || answers[2 * number + 1].is_ok());
    let written: HashMap<String, usize> = written.map(|number| (format!("t{number}"), 2)).collect();
    assert!(written.len() >= 4, "{answers:?}");
    assert_eq!(commits, written, "each in its two purses once, and no other");
}

/// Handled once, or refused. A refusal records nothing, so one of two copies may be refused.
fn assert_one_outcome(number: usize, pair: &[Answer]) {
    let refused = |answer: &Answer| matches!(answer, Err(ExecuteAllError::Refused(Overdrawn)));
    match pair {
        [Ok(one), Ok(other)] => {
            assert_ne!(one.replayed, other.replayed, "t{number}");
            let hashes = [one, other].map(|handled| {
                handled.parts.iter().map(|part| part.commit.hash).collect::<Vec<_>>()
            });
            assert_eq!(hashes[0], hashes[1], "t{number}");
        }
        [Ok(one), other] | [other, Ok(one)] => {
            assert!(!one.replayed && refused(other), "t{number}: {other:?}")
        }
        [one, other] => assert!(refused(one) && refused(other), "t{number}: {one:?} {other:?}"),
        _ => panic!("pairs"),
    }
}
