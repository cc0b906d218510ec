//! Group commit: queued commands are decided in order, written together, and answered one by one.

use crate::store::{
    Act, Engine, Process, Refusal, Table, Tally, TallyEvent, count, request, stream,
};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{CommandRequest, CommandResult, ExecuteError, Options, StoreError, StreamId};
use futures::FutureExt;
use futures::future::{join_all, select_all};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::sync::Semaphore;

cases!(
    a_cancelled_caller_cancels_no_other,
    a_store_error_is_returned_to_all_queued_commands,
    a_search_that_finds_corruption_fails_its_own_command_only,
    a_panic_reaches_its_own_caller_only,
    a_lost_race_is_resolved_for_all_queued_commands,
    one_command_sent_twice_is_written_once,
    refusals_of_queued_commands_are_right,
    sixty_four_queued_commands_are_a_few_puts,
    the_leader_may_go_away_at_any_moment,
    a_group_too_large_for_one_item_is_split,
    a_command_too_large_for_any_item_fails_alone,
);

/// A process whose first put waits for a permit. Commands that come meanwhile are queued.
pub(in crate::store) async fn held_up(
    table: &Table,
    stream: &StreamId,
) -> (Process, Arc<Semaphore>) {
    let (process, gate) = (table.warm_process(), Arc::new(Semaphore::new(0)));
    process.open(stream, "opening").await.unwrap();
    let waits = gate.clone();
    process.wire.rule(move |seen| {
        let waits = waits.clone();
        async move {
            if seen.operation == "PutItem" && seen.nth == 0 {
                drop(waits.acquire().await.unwrap());
            }
            Act::Pass
        }
    });
    process.wire.take();
    (process, gate)
}

/// The number of commits in each put of the stream.
pub(in crate::store) async fn commits(process: &Process, stream: &StreamId) -> Vec<usize> {
    process.load(stream).await.batches.iter().map(|batch| batch.commits.len()).collect()
}

async fn sixty_four_queued_commands_are_a_few_puts(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let process = table.warm_process();
    process.open(&stream, "opening").await.unwrap();
    process.wire.take();
    let handled = join_all((0..64).map(|number| {
        let (process, stream) = (&process, &stream);
        async move { process.count(stream, &format!("c{number}"), number + 1).await.unwrap() }
    }));
    let handled: Vec<CommandResult> = handled.await;
    let wire = process.wire.spent();
    assert!(wire.requests <= 8, "{} requests for 64 commands", wire.requests);
    let told: Vec<u32> = handled.iter().map(|one| one.usage.requests).collect();
    assert_eq!(told.iter().sum::<u32>(), wire.requests, "only one answer has the cost");
    let mut versions: Vec<u64> = handled.iter().map(|one| one.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=65).collect::<Vec<_>>());
    for (number, one) in (0_u64..).zip(&handled) {
        let commit = one.commit.as_ref().unwrap();
        assert_eq!(commit.metadata.command_id.as_str(), format!("c{number}"));
        assert!(commit.events[0].body.data.get().contains(&format!("{}", number + 1)));
        let again =
            table.process().count(&stream, &format!("c{number}"), number + 1).await.unwrap();
        assert_eq!((again.replayed, again.version), (true, one.version), "each keeps its own id");
    }
    assert_eq!(process.tally(&stream).await.total, (1..=64).sum::<u64>());
    assert!(process.store.verify(&stream).await.unwrap().verified());
}

async fn refusals_of_queued_commands_are_right(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let (process, gate) = held_up(&table, &stream).await;
    let late =
        CommandRequest { expected_version: Some(2), ..request(&stream, "expects", "expects") };
    let wrong = CommandRequest { expected_version: Some(3), ..request(&stream, "wrong", "wrong") };
    let (first, second, idle, expects, wrong, closing, refused, ()) = tokio::join!(
        process.count(&stream, "first", 1),
        process.count(&stream, "second", 2),
        process.count(&stream, "idle", 0),
        process.execute(&late, 5),
        process.execute(&wrong, 5),
        process.close(&stream, "closing"),
        process.count(&stream, "late", 1),
        async { gate.add_permits(1) },
    );
    assert_eq!((first.unwrap().version, second.unwrap().version), (2, 3));
    let idle = idle.unwrap();
    assert_eq!((idle.version, idle.commit.is_none()), (3, true));
    assert!(
        matches!(expects, Err(ExecuteError::VersionMismatch { expected: 2, actual: 3 })),
        "{expects:?}"
    );
    assert_eq!(wrong.unwrap().version, 4, "the version that it expects is the one before it");
    let closing = closing.unwrap();
    assert_eq!(closing.version, 5);
    assert!(
        closing.commit.unwrap().events[0].body.data.get().contains('8'),
        "closed on the sum of all before it"
    );
    assert!(matches!(refused, Err(ExecuteError::Refused(Refusal::Closed))), "{refused:?}");
    assert_eq!(
        process.wire.operations(),
        ["PutItem", "PutItem"],
        "refusals cost nothing beside the put of the others"
    );
    assert_eq!(commits(&process, &stream).await, [1, 1, 3]);
}

async fn one_command_sent_twice_is_written_once(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let (process, gate) = held_up(&table, &stream).await;
    let (first, one, other, reused, ()) = tokio::join!(
        process.count(&stream, "first", 1),
        process.count(&stream, "twice", 2),
        process.count(&stream, "twice", 2),
        process.count(&stream, "twice", 3),
        async { gate.add_permits(1) },
    );
    let (first, one, other) = (first.unwrap(), one.unwrap(), other.unwrap());
    assert_eq!((first.version, one.version, other.version), (2, 3, 3));
    assert_eq!((one.replayed, other.replayed), (false, true));
    assert!(matches!(reused, Err(ExecuteError::CommandIdReused(_))), "{reused:?}");
    assert_eq!(process.tally(&stream).await.total, 3);
}

async fn a_lost_race_is_resolved_for_all_queued_commands(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let process = table.warm_process();
    process.open(&stream, "opening").await.unwrap();
    let (quick, aim) = (Arc::new(table.process()), stream.clone());
    process.wire.rule(move |seen| {
        let (quick, aim) = (quick.clone(), aim.clone());
        async move {
            if seen.operation == "PutItem" && seen.nth < 3 {
                // Another process handles one of the queued commands, with the same id.
                quick.count(&aim, &format!("c{}", seen.nth), 1).await.unwrap();
            }
            Act::Pass
        }
    });
    let ids: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    let handled = join_all(ids.iter().map(|id| process.count(&stream, id, 1))).await;
    let handled: Vec<CommandResult> = handled.into_iter().map(Result::unwrap).collect();
    assert_eq!(handled.iter().filter(|one| one.replayed).count(), 3);
    let tally = process.tally(&stream).await;
    assert_eq!((tally.total, tally.events), (20, 21));
}

async fn a_store_error_is_returned_to_all_queued_commands(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let process = table.warm_process();
    process.open(&stream, "opening").await.unwrap();
    let throttled = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ThrottlingException"}"#;
    process.wire.rule(move |_| std::future::ready(Act::Answer(400, throttled.into())));
    process.wire.take();
    let ids: Vec<String> = (0..20).map(|number| format!("c{number}")).collect();
    for answer in join_all(ids.iter().map(|id| process.count(&stream, id, 1))).await {
        let Err(ExecuteError::Store(fault)) = answer else { panic!("{answer:?}") };
        assert!(
            matches!(fault, StoreError::Throttled(_))
                && std::error::Error::source(&fault).is_some()
        );
    }
    assert!(process.wire.operations().len() <= 6, "not everyone asks for himself");
    process.wire.no_rule();
    for answer in join_all(ids.iter().map(|id| process.count(&stream, id, 1))).await {
        answer.unwrap();
    }
    assert_eq!(process.tally(&stream).await.total, 20);
}

/// Only one command has to search the part of the stream that is corrupt.
async fn a_search_that_finds_corruption_fails_its_own_command_only(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    for number in 0..60 {
        table.process().count(&stream, &format!("c{number}"), 1).await.unwrap();
    }
    let key = AttributeValue::N("3".to_owned());
    let mut item =
        table.items(&stream).await.into_iter().find(|item| item["version"] == key).unwrap();
    item.insert("format".into(), AttributeValue::N("9".to_owned()));
    table.put(item).await;
    let process = table.warm_process();
    let (one, old, other) = tokio::join!(
        process.count(&stream, "one", 1),
        process.count(&stream, "c2", 1),
        process.count(&stream, "other", 1),
    );
    assert!(matches!(&old, Err(ExecuteError::Corrupt(damaged)) if damaged.version == 3), "{old:?}");
    assert_eq!((one.unwrap().version, other.unwrap().version), (61, 62));
}

/// The leader's caller goes away during its put. The other commands still get their answers.
async fn a_cancelled_caller_cancels_no_other(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let (process, gate) = held_up(&table, &stream).await;
    let leads = Box::pin(process.count(&stream, "leads", 1));
    let ids: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
    let others = ids.iter().map(|id| process.count(&stream, id, 1).boxed());
    let mut all: Vec<_> = std::iter::once(leads.boxed()).chain(others).collect();
    // All commands have started: one waits for its put, the others wait in the queue.
    for waiting in &mut all {
        assert!(waiting.now_or_never().is_none());
    }
    drop(all.remove(0));
    gate.add_permits(1);
    for answer in join_all(all).await {
        answer.unwrap();
    }
    let again = process.count(&stream, "leads", 1).await.unwrap();
    let tally = process.tally(&stream).await;
    assert_eq!((tally.total, tally.events), (11, 12), "replayed: {}", again.replayed);
}

async fn the_leader_may_go_away_at_any_moment(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let process = table.warm_process();
    process.open(&stream, "opening").await.unwrap();
    let ids: Vec<String> = (0..60).map(|number| format!("c{number}")).collect();
    let mut waiting: Vec<_> = ids.iter().map(|id| process.count(&stream, id, 1).boxed()).collect();
    let mut answered = 0;
    while !waiting.is_empty() {
        // After the first answer, the caller of the oldest waiting command goes away.
        let (answer, _, mut left) = select_all(waiting).await;
        answered += u64::from(answer.is_ok());
        if !left.is_empty() {
            drop(left.remove(0));
        }
        waiting = left;
    }
    assert!(answered >= 30, "{answered}");
    for id in &ids {
        process.count(&stream, id, 1).await.unwrap();
    }
    let tally = process.tally(&stream).await;
    assert_eq!((tally.total, tally.events), (60, 61));
}

async fn a_panic_reaches_its_own_caller_only(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let (process, gate) = held_up(&table, &stream).await;
    let mad = |tally: &Tally| -> Result<Vec<TallyEvent>, Refusal> {
        panic!("cannot decide at {}", tally.total)
    };
    let (first, panicked, other, ()) = tokio::join!(
        process.count(&stream, "first", 1),
        AssertUnwindSafe(process.tallies.handle(request(&stream, "mad", "mad"), mad))
            .catch_unwind(),
        process.count(&stream, "other", 2),
        async { gate.add_permits(1) },
    );
    assert_eq!((first.unwrap().version, other.unwrap().version), (2, 3));
    let panic = panicked.unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "cannot decide at 1");
    assert_eq!(process.count(&stream, "next", 3).await.unwrap().version, 4);
}

fn note_of(
    chars: usize,
) -> impl Fn(&Tally) -> Result<Vec<TallyEvent>, Refusal> + Send + Sync + 'static {
    let text: String = std::iter::repeat_with(fastrand::alphanumeric).take(chars).collect();
    move |_| Ok(vec![TallyEvent::Noted { text: text.clone() }])
}

async fn a_group_too_large_for_one_item_is_split(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let (process, gate) = held_up(&table, &stream).await;
    // Random letters and digits compress to three quarters, so four of these exceed 400 KB.
    let notes = (0..8).map(|number| {
        process.tallies.handle(request(&stream, format!("n{number}"), "note"), note_of(150_000))
    });
    let (first, notes, ()) =
        tokio::join!(process.count(&stream, "first", 1), join_all(notes), async {
            gate.add_permits(1)
        });
    first.unwrap();
    for note in notes {
        note.unwrap();
    }
    let batches = process.load(&stream).await.batches;
    assert_eq!(
        (batches.last().unwrap().last_version(), batches.len() < 9),
        (10, true),
        "some were written together"
    );
    assert!(process.store.verify(&stream).await.unwrap().verified());
}

async fn a_command_too_large_for_any_item_fails_alone(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let process =
        table.process_that_remembers(Options::default(), eventstore::HandlerOptions::default());
    process.open(&stream, "opening").await.unwrap();
    let (first, large, other) = tokio::join!(
        process.count(&stream, "first", 1),
        process.tallies.handle(request(&stream, "large", "note"), note_of(700_000)),
        process.tallies.handle(request(&stream, "other", "other"), count(2)),
    );
    first.unwrap();
    assert!(matches!(large, Err(ExecuteError::TooLarge(_))), "{large:?}");
    other.unwrap();
    let tally = process.tally(&stream).await;
    assert_eq!((tally.total, tally.events), (3, 3));
}
