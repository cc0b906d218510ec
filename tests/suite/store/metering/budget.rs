//! The budget of each operation. Costs are counted at the wire and in the raw answers, and compared
//! with the store's own report.

use crate::store::{Act, Engine, EngineKind, Process, Spent, TALLY, TallyEvent, request, stream};
use eventstore::{CommandResult, Consistency, Head, NewCommit, Usage};
use std::sync::Arc;

cases!(
    a_cold_command_costs_a_read_and_a_put,
    a_lost_race_costs_what_the_larger_item_takes,
    a_lost_race_of_a_cold_command_costs_one_more_put,
    a_read_costs_half_when_it_may_be_stale,
    a_retry_of_a_recorded_command_costs_one_read,
    a_retry_of_a_warm_command_costs_one_read,
    a_retry_of_the_creating_command_costs_one_refused_put,
    a_snapshot_costs_a_put_in_ten_commands,
    a_warm_command_costs_a_put,
    creating_costs_one_put,
    a_no_op_costs_two_reads,
    one_lost_race_costs_two_puts_and_no_read,
    several_events_in_one_command_cost_their_kilobytes,
);

/// Compares the wire with the budget, and the store's own report with the wire.
pub(in crate::store) fn within(
    engine: &Engine,
    what: &str,
    wire: Spent,
    reported: Usage,
    budget: Spent,
) {
    eprintln!(
        "budget {:?}: {what}: {} requests, {} write units, {} read units",
        engine.kind, wire.requests, wire.write_units, wire.read_units
    );
    assert_eq!((wire.requests, wire.write_units), (budget.requests, budget.write_units), "{what}");
    if engine.kind != EngineKind::Ministack {
        assert_eq!(
            wire.read_units.to_bits(),
            budget.read_units.to_bits(),
            "{what}: {} read units",
            wire.read_units
        );
    }
    let Usage { requests, attempts, write_units, read_units, bytes_sent, bytes_received } =
        reported;
    let reported = Spent { requests, write_units, read_units, bytes_sent, bytes_received };
    assert_eq!(reported, wire, "{what}: the store reports something else");
    assert_eq!(attempts, requests, "{what}: nothing was tried twice");
}

pub(in crate::store) fn spent(requests: u32, write_units: f64, read_units: f64) -> Spent {
    Spent { requests, write_units, read_units, ..Spent::default() }
}

/// A new process, on a stream that another one opened.
async fn after_opening(engine: &Engine) -> (Process, Process) {
    let table = engine.table().await;
    let earlier = table.process();
    earlier.open(&stream("s"), "opening").await.unwrap();
    (earlier, table.process())
}

async fn creating_costs_one_put(engine: &Engine) {
    let process = engine.table().await.process();
    let handled = process.open(&stream("s"), "opening").await.unwrap();
    within(engine, "create", process.wire.spent(), handled.usage, spent(1, 1.0, 0.0));
    assert_eq!((handled.version, handled.replayed, handled.lost_races), (1, false, 0));
}

async fn a_cold_command_costs_a_read_and_a_put(engine: &Engine) {
    let (earlier, process) = after_opening(engine).await;
    for number in 1..6 {
        earlier.count(&stream("s"), &format!("c{number}"), number).await.unwrap();
    }
    let handled = process.count(&stream("s"), "cold", 1).await.unwrap();
    within(
        engine,
        "command, cold, at most 4 KB",
        process.wire.spent(),
        handled.usage,
        spent(2, 1.0, 0.5),
    );
}

async fn a_warm_command_costs_a_put(engine: &Engine) {
    let table = engine.table().await;
    let process = table.warm_process();
    table.process().open(&stream("s"), "opening").await.unwrap();
    process.count(&stream("s"), "cold", 1).await.unwrap();
    process.wire.take();
    for number in 1..=5 {
        let handled = process.count(&stream("s"), &format!("warm-{number}"), number).await.unwrap();
        within(engine, "command, warm", process.wire.spent(), handled.usage, spent(1, 1.0, 0.0));
        assert_eq!((handled.version, handled.replayed, handled.lost_races), (number + 2, false, 0));
    }
    assert_eq!(process.tally(&stream("s")).await.total, 16);
}

async fn a_retry_of_a_warm_command_costs_one_read(engine: &Engine) {
    let process = engine.table().await.warm_process();
    process.open(&stream("s"), "opening").await.unwrap();
    for number in 1..=9 {
        process.count(&stream("s"), &format!("c{number}"), number).await.unwrap();
    }
    process.wire.take();
    for (command, number, version) in [("c1", 1, 2), ("c9", 9, 10)] {
        let again = process.count(&stream("s"), command, number).await.unwrap();
        within(engine, "retry, warm", process.wire.spent(), again.usage, spent(1, 0.0, 0.5));
        assert_eq!((again.replayed, again.version), (true, version));
    }
    let again = process.open(&stream("s"), "opening").await.unwrap();
    within(
        engine,
        "retry of a create, warm",
        process.wire.spent(),
        again.usage,
        spent(1, 0.0, 0.5),
    );
    assert_eq!((again.replayed, again.version), (true, 1));
}

async fn a_snapshot_costs_a_put_in_ten_commands(engine: &Engine) {
    let process = engine.table().await.warm_process();
    process.open(&stream("s"), "opening").await.unwrap();
    process.wire.take();
    for number in 2..=41 {
        let handled = process.count(&stream("s"), &format!("c{number}"), number).await.unwrap();
        let due = number > 10 && number % 10 == 1;
        let (what, budget) = if due {
            ("command with a snapshot", spent(2, 2.0, 0.0))
        } else {
            ("command, warm", spent(1, 1.0, 0.0))
        };
        within(engine, what, process.wire.spent(), handled.usage, budget);
    }
}

async fn a_retry_of_the_creating_command_costs_one_refused_put(engine: &Engine) {
    let (_, process) = after_opening(engine).await;
    let handled = process.open(&stream("s"), "opening").await.unwrap();
    within(engine, "retry of a create", process.wire.spent(), handled.usage, spent(1, 1.0, 0.0));
    assert!(handled.replayed);
}

async fn a_retry_of_a_recorded_command_costs_one_read(engine: &Engine) {
    let (earlier, process) = after_opening(engine).await;
    earlier.count(&stream("s"), "again", 1).await.unwrap();
    let handled = process.count(&stream("s"), "again", 1).await.unwrap();
    within(engine, "retry of a command", process.wire.spent(), handled.usage, spent(1, 0.0, 0.5));
    assert!(handled.replayed);
}

async fn one_lost_race_costs_two_puts_and_no_read(engine: &Engine) {
    let (quick, process) = after_opening(engine).await;
    // A creating command reads nothing. It only pays for the race, which the opening won.
    let opening_too =
        eventstore::CommandRequest { creates: true, ..request(&stream("s"), "slow", "count 1") };
    let handled: CommandResult = process.execute(&opening_too, 1).await.unwrap();
    within(engine, "one lost race", process.wire.spent(), handled.usage, spent(2, 2.0, 0.0));
    assert_eq!((handled.lost_races, handled.version), (1, 2));
    assert_eq!(quick.tally(&stream("s")).await.events, 2);
}

async fn a_lost_race_of_a_cold_command_costs_one_more_put(engine: &Engine) {
    let (quick, process) = after_opening(engine).await;
    let quick = Arc::new(quick);
    process.wire.rule(move |seen| {
        let quick = quick.clone();
        async move {
            if seen.operation == "PutItem" && seen.nth == 0 {
                quick.count(&stream("s"), "quick", 1).await.unwrap();
            }
            Act::Pass
        }
    });
    let handled = process.count(&stream("s"), "slow", 1).await.unwrap();
    within(engine, "one lost race, cold", process.wire.spent(), handled.usage, spent(3, 2.0, 0.5));
    assert_eq!((handled.lost_races, handled.version), (1, 3));
}

async fn a_no_op_costs_two_reads(engine: &Engine) {
    let (_, process) = after_opening(engine).await;
    let handled = process.count(&stream("s"), "idle", 0).await.unwrap();
    within(engine, "nothing to do", process.wire.spent(), handled.usage, spent(2, 0.0, 1.5));
    assert!(handled.commit.is_none());
}

async fn several_events_in_one_command_cost_their_kilobytes(engine: &Engine) {
    let process = engine.table().await.process();
    let mut chance = fastrand::Rng::with_seed(3);
    for (events, chars, kilobytes) in [(3, 20, 1.0), (100, 1, 1.0), (10, 1_000, 8.0)] {
        let stream = stream(&format!("s{events}"));
        let mut told = Vec::new();
        for _ in 0..events {
            let text = std::iter::repeat_with(|| chance.alphanumeric()).take(chars).collect();
            told.push((TALLY.encode)(&TallyEvent::Noted { text }).unwrap());
        }
        let commit = NewCommit { metadata: crate::store::metadata("k", "k"), events: told };
        let appended = process.append(&Head::empty(&stream), vec![commit]).await;
        let what = format!("{events} events of {chars} characters in one command");
        within(engine, &what, process.wire.spent(), appended.usage, spent(1, kilobytes, 0.0));
    }
}

async fn a_lost_race_costs_what_the_larger_item_takes(engine: &Engine) {
    let table = engine.table().await;
    let (quick, process) = (table.process(), table.process());
    let head = Head::empty(&stream("s"));
    let mut chance = fastrand::Rng::with_seed(4);
    let noise: String = std::iter::repeat_with(|| chance.alphanumeric()).take(6_000).collect();
    let won = quick.append(&head, vec![crate::store::new_commit("large", &[&noise])]).await;
    let lost = process.store.append(&head, vec![crate::store::new_commit("small", &["x"])]).await;
    let Err(eventstore::AppendError::Conflict { usage, .. }) = lost else { panic!("{lost:?}") };
    let budget = spent(1, won.usage.write_units, 0.0);
    within(engine, "a put refused by a larger item", process.wire.spent(), usage, budget);
}

async fn a_read_costs_half_when_it_may_be_stale(engine: &Engine) {
    let (earlier, process) = after_opening(engine).await;
    for number in 1..16 {
        earlier
            .execute(&request(&stream("s"), format!("c{number}"), "count"), number)
            .await
            .unwrap();
    }
    for (consistency, units) in [(Consistency::Eventual, 1.0), (Consistency::Strong, 2.0)] {
        let loaded = process.store.load(&stream("s"), consistency).await.unwrap();
        within(
            engine,
            &format!("load, {consistency:?}"),
            process.wire.spent(),
            loaded.usage,
            spent(1, 0.0, units),
        );
        let (_, usage) = process.store.head(&stream("s"), consistency).await.unwrap();
        within(
            engine,
            &format!("head, {consistency:?}"),
            process.wire.spent(),
            usage,
            spent(1, 0.0, units / 2.0),
        );
    }
}
