//! The result of a command in the model's own types.

use crate::store::command::group_commit::held_up;
use crate::store::{Act, Engine, Refusal, Tally, TallyEvent, close, count, open, request, stream};
use eventstore::{CommandRequest, ExecuteError, TypedCommandResult};
use std::sync::Arc;

cases!(
    a_command_returns_its_events_and_the_next_state,
    a_replay_returns_its_events_and_no_state,
    each_command_of_a_group_has_its_own_state,
    the_state_is_that_of_the_decision_that_was_written,
);

/// The counted numbers, and the total of the state.
fn counted(typed: &TypedCommandResult<Tally, TallyEvent>) -> (Vec<u64>, Option<u64>) {
    let number = |event: &TallyEvent| {
        if let TallyEvent::Counted { number } = event { Some(*number) } else { None }
    };
    (
        typed.events.iter().filter_map(number).collect(),
        typed.state.as_ref().map(|tally| tally.total),
    )
}

async fn a_command_returns_its_events_and_the_next_state(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.warm_process(), stream("s"));
    let begin = CommandRequest { creates: true, ..request(&stream, "opening", "open") };
    let opened = process.tallies.handle_typed(begin, open).await.unwrap();
    assert!(matches!(opened.events[..], [TallyEvent::Opened { .. }]));
    assert_eq!(opened.state, Some(process.tally(&stream).await));
    process.wire.take();
    let typed =
        process.tallies.handle_typed(request(&stream, "c", "count 5"), count(5)).await.unwrap();
    assert_eq!((counted(&typed), typed.result.version), ((vec![5], Some(5)), 2));
    assert_eq!(process.wire.operations(), ["PutItem"], "nothing is read for it");
    let idle =
        process.tallies.handle_typed(request(&stream, "idle", "count 0"), count(0)).await.unwrap();
    assert_eq!(
        (counted(&idle), idle.result.version),
        ((vec![], Some(5)), 2),
        "the state is as it was"
    );
    process.close(&stream, "closing").await.unwrap();
    let refused = process.tallies.handle_typed(request(&stream, "late", "count 1"), count(1)).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(Refusal::Closed))), "{refused:?}");
}

async fn a_replay_returns_its_events_and_no_state(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    table.process().count(&stream, "c", 5).await.unwrap();
    table.process().count(&stream, "later", 7).await.unwrap();
    for process in [table.process(), table.warm_process()] {
        let again =
            process.tallies.handle_typed(request(&stream, "c", "count 5"), count(5)).await.unwrap();
        assert_eq!((counted(&again), again.result.replayed), ((vec![5], None), true));
    }
    // A recorded refusal has no events.
    let process = table.process();
    let refuse = |_: &Tally| Err(Refusal::Closed);
    let asked = || request(&stream, "refused", "count 1");
    process.tallies.handle_recording_refusals(asked(), refuse, |_| "closed").await.unwrap();
    let again = process.tallies.handle_typed(asked(), count(1)).await.unwrap();
    assert_eq!(counted(&again), (vec![], None));
    assert!(again.result.commit.unwrap().refusal().is_some());
}

async fn each_command_of_a_group_has_its_own_state(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let (process, gate) = held_up(&table, &stream).await;
    let typed = |id: &str, number| {
        process
            .tallies
            .handle_typed(request(&stream, id, &format!("count {number}")), count(number))
    };
    let (first, second, twin, third, closing, ()) = tokio::join!(
        typed("first", 1),
        typed("second", 2),
        typed("second", 2),
        typed("third", 3),
        process.tallies.handle_typed(request(&stream, "closing", "close"), close),
        async { gate.add_permits(1) },
    );
    assert_eq!(process.wire.operations(), ["PutItem", "PutItem"]);
    assert_eq!(counted(&first.unwrap()), (vec![1], Some(1)));
    assert_eq!(counted(&second.unwrap()), (vec![2], Some(3)));
    assert_eq!(counted(&twin.unwrap()), (vec![2], None));
    assert_eq!(counted(&third.unwrap()), (vec![3], Some(6)));
    assert!(closing.unwrap().state.unwrap().closed);
}

async fn the_state_is_that_of_the_decision_that_was_written(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.warm_process(), stream("s"));
    process.count(&stream, "first", 1).await.unwrap();
    process.wire.take();
    let (quick, aim) = (Arc::new(table.process()), stream.clone());
    process.wire.rule(move |seen| {
        let (quick, aim) = (Arc::clone(&quick), aim.clone());
        async move {
            if seen.operation == "PutItem" && seen.nth == 0 {
                quick.count(&aim, "quick", 10).await.unwrap();
            }
            Act::Pass
        }
    });
    let typed =
        process.tallies.handle_typed(request(&stream, "slow", "count 2"), count(2)).await.unwrap();
    assert_eq!((counted(&typed), typed.result.lost_races), ((vec![2], Some(13)), 1));
}
