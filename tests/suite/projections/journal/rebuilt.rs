//! A second journal beside the first: its positions are other ones.

use super::{append, assert_exact, items, process, stored, stream, write};
use crate::harness::stack::TestStack;
use crate::projections::rebuild::jobs::{finish, projector, rebuild};
use eventstore::StreamId;
use projections::journal::PROJECTION;
use projections::rebuild::{Accepted, RebuildError};

#[tokio::test]
async fn a_rebuilt_journal_replaces_the_other_only_if_asked_for() {
    let stack = TestStack::start().await;
    let streams: Vec<StreamId> = (0..20).map(|number| stream(&format!("s{number}"))).collect();
    for _ in 0..3 {
        for stream in streams.iter().rev() {
            append(&process(&stack), &write(&stack, stream, 1).await).await;
        }
    }
    let first = stored(&stack, 1).await;
    let operator = projector(&stack);
    let report = rebuild(&operator, &PROJECTION, 2).await;
    assert!(report.complete, "{report:?}");
    // Both get what is written now.
    append(&process(&stack), &write(&stack, &streams[0], 2).await).await;
    assert_exact(&stack, 2, &streams).await;
    assert_exact(&stack, 1, &streams).await;
    assert_ne!(stored(&stack, 2).await, stored(&stack, 1).await);
    let unchanged = stored(&stack, 1).await;
    assert!(first.iter().all(|(position, entry)| unchanged.get(position) == Some(entry)));

    let operations = stack.operations();
    for refused in [
        operations.switch(&PROJECTION, Accepted { incomplete: true, new_positions: false }).await,
        operations.rollback(&PROJECTION, Accepted::default()).await,
    ] {
        let refused = refused.unwrap_err();
        assert!(refused.is_refusal());
        assert_eq!(refused.to_string(), RebuildError::NewPositions { name: "journal" }.to_string());
    }
    let accepted = Accepted { incomplete: false, new_positions: true };
    assert!(accepted.check_positions(&PROJECTION).is_ok());
    let calls = operator.switch(&PROJECTION, false).await.unwrap();
    assert!(finish(&operator, &PROJECTION, calls).await.complete);
    assert_eq!(operator.journal().await.unwrap().1, 2);
    let removal = operator.drop_generation(&PROJECTION, Some(1)).await.unwrap();
    finish(&operator, &PROJECTION, removal).await;
    assert!(stored(&stack, 1).await.is_empty());
    assert!(
        items(&stack).await.iter().all(|item| item["partition"].as_s().unwrap().starts_with("2/"))
    );
    append(&process(&stack), &write(&stack, &streams[7], 1).await).await;
    assert_exact(&stack, 2, &streams).await;
}
