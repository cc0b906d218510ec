//! Events of unknown types stop their stream; ignored types do not.

use super::jobs::{assert_same, finish, parked, projector, rebuild};
use crate::harness::events::{Stored, Writer, cancelled, confirmed, new_order, placed, raw};
use crate::harness::messages::{Message, deliver, ids, messages_of};
use crate::harness::stack::TestStack;
use bookshop::{bestsellers, orders};
use eventstore::{Batch, NewEvent, StreamId};
use handlers::ProjectorHandler;
use projections::{
    FoldError, FreshError, GenerationState, Kind, ProjectError, Projection, RowData,
};
use serde_json::Value;
use std::collections::BTreeMap;

fn unheard() -> NewEvent {
    raw("OrderGiftWrapped", 1, r#"{"paper":"blue"}"#)
}

/// The projection as a program runs it that ignores the type on purpose.
fn ignoring(projection: Projection) -> Projection {
    Projection { ignored: &["OrderGiftWrapped"], ..projection }
}

/// Streams with unknown events: at the beginning, in between, at the end, and only unknown ones.
async fn streams(stack: &TestStack) -> Vec<(StreamId, Vec<Batch>)> {
    let (placed, confirmed, cancelled) =
        (placed("c", [(1, 2)]).stored(), confirmed().stored(), cancelled("late").stored());
    let histories = [
        vec![unheard(), placed.clone(), confirmed.clone()],
        vec![placed.clone(), unheard(), unheard(), cancelled],
        vec![placed, confirmed, unheard()],
        vec![unheard(), unheard()],
    ];
    let mut streams = Vec::new();
    for history in histories {
        let stream = new_order();
        let (mut writer, mut batches) = (Writer::new(&stack.store, &stream), Vec::new());
        for event in history {
            batches.push(writer.append(vec![event]).await);
        }
        streams.push((stream, batches));
    }
    streams
}

/// The key of the position's row.
fn fence(projection: &Projection, number: u32, stream: &StreamId) -> String {
    let between = if projection.name == bestsellers().name { "fence/" } else { "" };
    format!("{}.{number}/{between}{stream}", projection.name)
}

async fn applied(
    stack: &TestStack,
    projection: &Projection,
    number: u32,
    stream: &StreamId,
) -> u64 {
    let rows = super::jobs::rows(stack, projection, number).await;
    let fence = fence(projection, number, stream);
    let row = rows.into_iter().find(|item| item["row"].as_s().unwrap() == &fence);
    row.map_or(0, |row| row["version"].as_n().unwrap().parse().unwrap())
}

async fn are_ignored(projection: Projection) {
    let projection = ignoring(projection);
    let stack = TestStack::start().await;
    let streams = streams(&stack).await;
    let projector = projector(&stack);
    let handler = ProjectorHandler::new(projection, projector.clone());
    for (stream, batches) in &streams {
        for batch in batches {
            assert!(deliver(&handler, &messages_of([batch])).await.is_empty());
        }
        assert_eq!(
            applied(&stack, &projection, 1, stream).await,
            batches.last().unwrap().last_version()
        );
    }
    let report = rebuild(&projector, &projection, 2).await;
    assert!(report.complete, "{report:?}");
    let ignored = BTreeMap::from([("OrderGiftWrapped".to_owned(), 6)]);
    assert_eq!((report.first_pass.ignored, report.first_pass.streams), (ignored, 4));
    assert_eq!(report.last_pass.present, 4);
    assert_same(&stack, &projection, 1, 2).await;
    for (stream, batches) in &streams {
        assert_eq!(
            applied(&stack, &projection, 2, stream).await,
            batches.last().unwrap().last_version()
        );
    }
}

#[tokio::test]
async fn orders_ignore_the_types_on_their_list() {
    are_ignored(orders()).await;
}

#[tokio::test]
async fn bestsellers_ignore_the_types_on_their_list() {
    are_ignored(bestsellers()).await;
}

#[tokio::test]
async fn what_only_ignored_events_say_is_nothing_to_be_read() {
    let stack = TestStack::start().await;
    let streams = streams(&stack).await;
    let projector = projector(&stack);
    let of = &ignoring(orders());
    let (silent, beginning) = (&streams[3].0, &streams[0].0);
    for delivered in [false, true] {
        if delivered {
            let messages = messages_of(streams.iter().flat_map(|(_, batches)| batches));
            let handler = ProjectorHandler::new(*of, projector.clone());
            for event in messages.chunks(10) {
                assert!(deliver(&handler, event).await.is_empty());
            }
        }
        assert!(projector.row(of, silent, 2).await.unwrap().is_none(), "delivered: {delivered}");
        assert_eq!(
            projector.row(of, beginning, 3).await.unwrap().unwrap().version,
            3,
            "delivered: {delivered}"
        );
    }
    let listed = projector
        .list(of, &domain::read_models::orders::customer_list("c"), 10, None)
        .await
        .unwrap();
    assert_eq!(listed.rows.len(), 3, "the silent one is in no list");
}

#[tokio::test]
async fn an_unknown_type_parks_its_stream_and_the_fence_stays() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let stream = new_order();
        let mut writer = Writer::new(&stack.store, &stream);
        let mut batches = vec![writer.append(vec![placed("c", [(1, 2)]).stored()]).await];
        batches.push(writer.append(vec![unheard()]).await);
        let older = ProjectorHandler::new(projection, projector(&stack));
        for receives in 1..=5 {
            let messages = messages_of(&batches);
            let messages: Vec<Message> =
                messages.into_iter().map(|message| Message { receives, ..message }).collect();
            let expected = if receives < 5 { ids(&messages[1..]) } else { Vec::new() };
            assert_eq!(
                deliver(&older, &messages).await,
                expected,
                "{} at receive {receives}",
                projection.name
            );
            assert_eq!(
                applied(&stack, &projection, 1, &stream).await,
                1,
                "the event was passed over"
            );
        }
        let notes = parked(&projector(&stack), &projection, 1).await;
        assert_eq!((notes.len(), notes[0].version), (1, Some(2)));
        assert!(
            notes[0].error.contains(r#"type "OrderGiftWrapped" are not known to this program"#),
            "{notes:?}"
        );
        // A newer program continues with the next message of the stream.
        batches.push(writer.append(vec![confirmed().stored()]).await);
        let newer = ProjectorHandler::new(ignoring(projection), projector(&stack));
        assert!(deliver(&newer, &messages_of(&batches[2..])).await.is_empty());
        assert_eq!(applied(&stack, &projection, 1, &stream).await, 3);
    }
}

#[tokio::test]
async fn an_unknown_type_is_never_folded_into_an_answer() {
    let stack = TestStack::start().await;
    let streams = streams(&stack).await;
    let (stream, projector) = (&streams[1].0, projector(&stack));
    assert_eq!(projector.row(&orders(), stream, 1).await.unwrap().unwrap().version, 1);
    let refused = projector.row(&orders(), stream, 2).await.unwrap_err();
    let FreshError::Project(ProjectError::Fold { version: 2, source: FoldError::Unknown(unknown) }) =
        refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(unknown.event_type, "OrderGiftWrapped");
}

/// A fold that ignores every event without decoding it.
#[tokio::test]
async fn a_fold_that_looks_at_no_type_passes_none_over() {
    let stack = TestStack::start().await;
    let silent = Projection {
        kind: Kind::SingleStream {
            fold: &|_, _| Ok(RowData { data: Value::from(1), listing: None }),
        },
        ..orders()
    };
    let batch = Writer::new(&stack.store, &new_order()).append(vec![unheard()]).await;
    let handler = ProjectorHandler::new(silent, projector(&stack));
    assert_eq!(deliver(&handler, &messages_of([&batch])).await.len(), 1);
}

#[tokio::test]
async fn a_rebuild_waits_until_a_program_knows_the_type() {
    for projection in [orders(), bestsellers()] {
        let stack = TestStack::start().await;
        let (strict, projection) = (projection, ignoring(projection));
        let streams = streams(&stack).await;
        let projector = projector(&stack);
        let report = rebuild(&projector, &strict, 2).await;
        assert_eq!((report.complete, report.last_pass.parked), (false, 4), "{report:?}");
        assert!(report.first_pass.ignored.is_empty(), "none was passed over: {report:?}");
        let mut versions: Vec<_> =
            parked(&projector, &strict, 2).await.into_iter().map(|note| note.version).collect();
        versions.sort_unstable();
        assert_eq!(versions, [Some(1), Some(1), Some(2), Some(3)]);
        for (stream, expected) in [(&streams[1].0, 1), (&streams[2].0, 2), (&streams[3].0, 0)] {
            assert_eq!(applied(&stack, &strict, 2, stream).await, expected);
        }
        let resumed = projector.resume_all(&projection).await.unwrap();
        assert!(resumed.iter().all(|resumed| resumed.still.is_none()));
        let wakes = projector.reconcile(&projection, 2).await.unwrap();
        assert!(finish(&projector, &projection, wakes).await.complete);
        let other = projector.status(&projection).await.unwrap().other.unwrap();
        assert_eq!(other.state, GenerationState::Complete);
        assert_same(&stack, &projection, 1, 2).await;
    }
}
