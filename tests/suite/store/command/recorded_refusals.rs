//! Recorded refusals: every retry gets them, and every fold skips them.

use crate::store::command::group_commit::{commits, held_up};
use crate::store::metering::budget::{spent, within};
use crate::store::snapshot::snapshots::as_of;
use crate::store::transaction::handle_all::{Moved, Overdrawn, PURSE, request_all};
use crate::store::{
    Act, Answer, Engine, Process, Refusal, TALLY, Tally, TallyEvent, count, metadata, note, open,
    request, stream,
};
use eventstore::{
    AppendAllError, AppendError, CommandHandler, CommandRequest, ExecuteAllError, ExecuteError,
    Head, Model, NewCommit, NewEvent, Part, SnapshotVerification, StreamId, Untranslatable,
};
use std::sync::Arc;

cases!(
    a_command_that_is_decided_twice_has_one_answer,
    a_lost_race_decides_again_whether_to_refuse,
    a_recorded_refusal_is_one_put_and_the_answer_of_every_retry,
    a_refusal_is_written_with_its_group,
    a_refusal_may_begin_a_stream,
    commands_over_several_streams_skip_refusals,
    no_event_of_a_model_has_a_type_of_the_store,
    only_refusals_are_recorded_in_place_of_events,
    states_and_snapshots_skip_refusals,
);

fn code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::OpenAlready => "open-already",
        Refusal::Closed => "closed",
    }
}

/// Adds 1 if the total is at least this; otherwise it is refused.
fn count_from(
    least: u64,
) -> impl Fn(&Tally) -> Result<Vec<TallyEvent>, Refusal> + Send + Sync + 'static {
    move |tally| {
        if tally.total < least {
            Err(Refusal::Closed)
        } else {
            Ok(vec![TallyEvent::Counted { number: 1 }])
        }
    }
}

impl Process {
    /// Counts on from 5, and records the refusal below.
    async fn count_from_5(&self, stream: &StreamId, command: &str) -> Answer {
        self.tallies
            .handle_recording_refusals(request(stream, command, "from 5"), count_from(5), code)
            .await
    }
}

/// The refusal's code in an answer, its version, and whether it is a replay.
fn outcome(answer: &Answer) -> (Option<String>, u64, bool) {
    let handled = answer.as_ref().unwrap();
    let refusal = handled.commit.as_ref().and_then(eventstore::Commit::refusal);
    (refusal.map(|refusal| refusal.code), handled.version, handled.replayed)
}

fn refused(version: u64, replayed: bool) -> (Option<String>, u64, bool) {
    (Some("closed".to_owned()), version, replayed)
}

async fn a_recorded_refusal_is_one_put_and_the_answer_of_every_retry(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.warm_process(), stream("s"));
    process.count(&stream, "first", 1).await.unwrap();
    process.wire.take();
    let first = process.count_from_5(&stream, "c").await;
    assert_eq!(outcome(&first), refused(2, false));
    let handled = first.unwrap();
    within(
        engine,
        "refusal that is recorded, warm",
        process.wire.spent(),
        handled.usage,
        spent(1, 1.0, 0.0),
    );
    let commit = handled.commit.unwrap();
    assert_eq!(commit.refusal().unwrap().reason, "the tally is closed");
    assert_eq!((commit.events.len(), commit.events[0].body.event_type.as_str()), (1, "$Refused"));
    // The state now allows the command. The recorded refusal is still the answer, with or without
    // recording of refusals.
    process.count(&stream, "more", 9).await.unwrap();
    for process in [&process, &table.process()] {
        assert_eq!(outcome(&process.count_from_5(&stream, "c").await), refused(2, true));
        let plain = process.tallies.handle(request(&stream, "c", "from 5"), count_from(5)).await;
        assert_eq!(outcome(&plain), refused(2, true));
        let other = process.count(&stream, "c", 1).await;
        assert!(matches!(other, Err(ExecuteError::CommandIdReused(_))), "{other:?}");
    }
    assert_eq!(outcome(&process.count_from_5(&stream, "d").await), (None, 4, false));
    assert!(process.store.verify(&stream).await.unwrap().verified());
}

async fn only_refusals_are_recorded_in_place_of_events(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.warm_process(), stream("s"));
    process.count(&stream, "first", 1).await.unwrap();
    let idle = process
        .tallies
        .handle_recording_refusals(request(&stream, "c", "count 0"), count(0), code)
        .await;
    assert_eq!(outcome(&idle), (None, 1, false));
    assert!(idle.unwrap().commit.is_none());
    let late = CommandRequest { expected_version: Some(7), ..request(&stream, "c", "from 5") };
    let late = process.tallies.handle_recording_refusals(late, count_from(5), code).await;
    assert!(
        matches!(late, Err(ExecuteError::VersionMismatch { expected: 7, actual: 1 })),
        "{late:?}"
    );
    assert_eq!(process.load(&stream).await.head.version(), 1);
}

async fn states_and_snapshots_skip_refusals(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.warm_process(), stream("s"));
    process.open(&stream, "opening").await.unwrap();
    for number in 0..12 {
        // Cached and uncached streams in turn.
        let cold = table.process();
        let process = if number % 2 == 0 { &process } else { &cold };
        assert_eq!(
            outcome(&process.count_from_5(&stream, &format!("c{number}")).await),
            refused(number + 2, false)
        );
    }
    assert!(as_of(&table, &stream).await > 0, "refusals are counted for snapshots as any commit");
    process.count(&stream, "more", 5).await.unwrap();
    let cold = table.process();
    assert_eq!(outcome(&cold.count_from_5(&stream, "allowed").await), (None, 15, false));
    assert_eq!(outcome(&cold.count_from_5(&stream, "c0").await), refused(2, true));
    let snapshot = cold.tallies.verify_snapshot(&stream).await.unwrap();
    assert!(matches!(snapshot, SnapshotVerification::Equal { .. }), "{snapshot:?}");
    let tally = process.tally(&stream).await;
    assert_eq!((tally.total, tally.events), (6, 3));
    assert!(process.store.verify(&stream).await.unwrap().verified());
}

async fn a_refusal_may_begin_a_stream(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.process(), stream("s"));
    let begin = CommandRequest { creates: true, ..request(&stream, "c", "from 5") };
    let begun = process.tallies.handle_recording_refusals(begin, count_from(5), code).await;
    assert_eq!(outcome(&begun), refused(1, false));
    within(
        engine,
        "refusal that begins a stream",
        process.wire.spent(),
        begun.unwrap().usage,
        spent(1, 1.0, 0.0),
    );
    let unborn =
        CommandRequest { expected_version: Some(0), ..request(&stream, "unborn", "count 1") };
    let mismatch = process.execute(&unborn, 1).await;
    assert!(
        matches!(mismatch, Err(ExecuteError::VersionMismatch { expected: 0, actual: 1 })),
        "{mismatch:?}"
    );
    // A creating command assumes an empty stream, loses the race to the refusal, and then creates
    // it.
    let opened = table.process().open(&stream, "opening").await.unwrap();
    assert_eq!((opened.version, opened.lost_races), (2, 1));
    let again = table.process().open(&stream, "again").await;
    assert!(matches!(again, Err(ExecuteError::Refused(Refusal::OpenAlready))), "{again:?}");
    let replayed = CommandRequest { creates: true, ..request(&stream, "opening", "open") };
    let replayed = table.process().tallies.handle_recording_refusals(replayed, open, code).await;
    assert_eq!(outcome(&replayed), (None, 2, true));
}

/// Before the first put of the process, another one counts.
fn count_before_put(process: &Process, other: Process, stream: &StreamId, number: u64) {
    let (other, stream) = (Arc::new(other), stream.clone());
    process.wire.rule(move |seen| {
        let (other, stream) = (Arc::clone(&other), stream.clone());
        async move {
            if seen.operation == "PutItem" && seen.nth == 0 {
                other.count(&stream, "quick", number).await.unwrap();
            }
            Act::Pass
        }
    });
}

async fn a_lost_race_decides_again_whether_to_refuse(engine: &Engine) {
    let table = engine.table().await;
    let (process, mended) = (table.process(), stream("mended"));
    count_before_put(&process, table.process(), &mended, 5);
    assert_eq!(
        outcome(&process.count_from_5(&mended, "c").await),
        (None, 2, false),
        "the winner allows it"
    );
    let (process, spoilt) = (table.process(), stream("spoilt"));
    count_before_put(&process, table.process(), &spoilt, 1);
    let while_empty =
        |tally: &Tally| if tally.total > 0 { Err(Refusal::Closed) } else { open(tally) };
    let handled = process
        .tallies
        .handle_recording_refusals(request(&spoilt, "c", "open"), while_empty, code)
        .await;
    assert_eq!(outcome(&handled), refused(2, false), "the winner forbids it");
    assert_eq!(handled.unwrap().lost_races, 1);
}

/// A process is frozen after it decided and before its put. Meanwhile its twin decides otherwise.
async fn a_command_that_is_decided_twice_has_one_answer(engine: &Engine) {
    let table = engine.table().await;
    let (frozen, stream) = (table.process(), stream("s"));
    frozen.count(&stream, "first", 5).await.unwrap();
    frozen.wire.take();
    let (twin, aim) = (Arc::new(table.process()), stream.clone());
    frozen.wire.rule(move |seen| {
        let (twin, aim) = (Arc::clone(&twin), aim.clone());
        async move {
            if seen.operation == "PutItem" && seen.nth == 0 {
                let decide = |_: &Tally| Err(Refusal::Closed);
                let refused = twin
                    .tallies
                    .handle_recording_refusals(request(&aim, "c", "from 5"), decide, code)
                    .await;
                assert!(refused.unwrap().commit.unwrap().refusal().is_some());
            }
            Act::Pass
        }
    });
    assert_eq!(outcome(&frozen.count_from_5(&stream, "c").await), refused(2, true));
    assert_eq!(frozen.tally(&stream).await.total, 5, "the accepted command was not written");
}

async fn a_refusal_is_written_with_its_group(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let (process, gate) = held_up(&table, &stream).await;
    let third = CommandRequest { expected_version: Some(4), ..request(&stream, "third", "third") };
    let (first, second, refusal, twin, third, ()) = tokio::join!(
        process.count(&stream, "first", 1),
        process.count(&stream, "second", 2),
        process.count_from_5(&stream, "refused"),
        process.count_from_5(&stream, "refused"),
        process.execute(&third, 3),
        async { gate.add_permits(1) },
    );
    assert_eq!((first.unwrap().version, second.unwrap().version), (2, 3));
    assert_eq!((outcome(&refusal), outcome(&twin)), (refused(4, false), refused(4, true)));
    assert_eq!(third.unwrap().version, 5, "decided after the refusal, on the unchanged state");
    assert_eq!(process.wire.operations(), ["PutItem", "PutItem"]);
    assert_eq!(commits(&process, &stream).await, [1, 1, 3]);
    assert_eq!(
        outcome(&process.count_from_5(&stream, "next").await),
        (None, 6, false),
        "1 + 2 + 3 are enough"
    );
    assert_eq!(table.process().tally(&stream).await.total, 7);
}

async fn commands_over_several_streams_skip_refusals(engine: &Engine) {
    let table = engine.table().await;
    let (process, other) = (table.warm_process(), table.process());
    let both = ["a", "b"].map(stream);
    process.fill(&both, 100).await;
    let refuse = async |process: &Process, command: &str| {
        let request = request(&both[0], command, "refuse");
        let decide = |_: &i64| Err(Overdrawn);
        let code = |_: &Overdrawn| "overdrawn";
        process.purses.handle_recording_refusals(request, decide, code).await.unwrap()
    };
    refuse(&process, "c").await;
    assert!(!process.transfer(&both, "warm", 1).await.unwrap().replayed);
    refuse(&other, "d").await;
    let behind = process.transfer(&both, "behind", 1).await.unwrap();
    assert_eq!(behind.lost_races, 1, "a refusal that wins the race is passed over, too");
    let cold = table.process().transfer(&both, "cold", 1).await.unwrap();
    assert_eq!((cold.replayed, cold.lost_races), (false, 0));
    let reused = process.transfer(&both, "c", 1).await;
    assert!(
        matches!(reused, Err(ExecuteAllError::Append(AppendAllError::CommandIdReused(_)))),
        "{reused:?}"
    );
    assert_eq!(process.versions(&both).await, [6, 4]);
    let look = |purses: &[&i64]| {
        assert_eq!(purses, [&97, &103]);
        Ok(vec![])
    };
    other.purses.handle_all(&request_all(&both, "look", "look"), look).await.unwrap();
}

fn of_store() -> NewEvent {
    NewEvent { event_type: "$Refused".to_owned(), ..note("forged") }
}

async fn no_event_of_a_model_has_a_type_of_the_store(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let head = Head::empty(&stream);
    let commit = NewCommit { metadata: metadata("c", "c"), events: vec![note("fine"), of_store()] };
    let appended = process.store.append(&head, vec![commit]).await.unwrap_err();
    assert_eq!(
        appended.to_string(),
        r#"event type "$Refused" begins with '$', which is reserved for the store"#
    );
    assert!(matches!(appended, AppendError::TypeOfStore(_)), "{appended:?}");
    let parts = vec![Part { head, events: vec![of_store()] }];
    let appended = process.store.append_all(&metadata("c", "c"), parts, &[]).await.unwrap_err();
    assert!(
        matches!(appended, AppendAllError::TypeOfStore(event_type) if event_type == "$Refused")
    );
    assert!(process.wire.take().is_empty(), "nothing of it is sent");
    let forging = Model { encode: |_| Ok(of_store()), ..TALLY };
    let tallies: CommandHandler<_, _, Refusal> =
        CommandHandler::new(process.store.clone(), forging);
    let Err(ExecuteError::Codec(error)) = tallies.handle(request(&stream, "c", "open"), open).await
    else {
        panic!()
    };
    assert!(
        matches!(error.source, Untranslatable::OfStore) && error.event_type == "$Refused",
        "{error:?}"
    );
    let purses =
        CommandHandler::new(process.store.clone(), Model { encode: |_| Ok(of_store()), ..PURSE });
    let both = ["a", "b"].map(crate::store::stream);
    let decide = |_: &[&i64]| Ok::<_, Overdrawn>(vec![vec![Moved::By { pence: 1 }], vec![]]);
    let refused = purses.handle_all(&request_all(&both, "c", "c"), decide).await.unwrap_err();
    assert!(
        matches!(refused, ExecuteAllError::Codec(error) if matches!(error.source, Untranslatable::OfStore))
    );
}
