//! The worker of jobs on its queue: slices that run twice, end early, or whose answer is lost.

use crate::harness::events::{confirmed, new_order, placed, write};
use crate::harness::faults::Fault;
use crate::harness::pipeline::{Call, Fate, Pipeline, REBUILD, WELL};
use bookshop::orders;
use eventstore::StreamId;
use projections::GenerationState;
use projections::rebuild::Accepted;

/// Every second call of the worker dies, each at a later request.
fn workers_die(pipeline: &mut Pipeline) {
    let mut calls = 0;
    pipeline.fates(move |call: &Call| {
        calls += usize::from(call.function == REBUILD);
        if call.function != REBUILD || calls.is_multiple_of(2) {
            return WELL;
        }
        let request = calls.div_ceil(2);
        let fault = if request.is_multiple_of(2) {
            Fault::DiesBefore(request)
        } else {
            Fault::DiesAfter(request)
        };
        Fate { fault: Some(fault), is_answered: false, ..WELL }
    });
}

async fn some_orders(pipeline: &Pipeline, count: usize) -> Vec<StreamId> {
    let streams: Vec<StreamId> = (0..count).map(|_| new_order()).collect();
    for stream in &streams {
        write(&pipeline.stack.store, stream, &[&placed("c", [(1, 1)]), &confirmed()]).await;
    }
    streams
}

#[tokio::test]
async fn a_rebuild_ends_complete_though_every_second_worker_dies() {
    let mut pipeline = Pipeline::start().await;
    let streams = some_orders(&pipeline, 6).await;
    pipeline.run_until_quiet().await;
    workers_die(&mut pipeline);
    pipeline.stack.operations().rebuild(&orders(), 4).await.unwrap();
    pipeline.run_until_quiet().await;
    let calls = pipeline.calls_of(REBUILD);
    assert!(calls.iter().any(|call| call.receives > 1), "workers did die");
    assert!(calls.iter().all(|call| call.items.len() == 1), "a worker gets one call at a time");
    let status = pipeline.stack.operations().view(&orders()).await.unwrap().status;
    assert!(status.job.is_none() && status.report.unwrap().complete);
    assert_eq!(status.other.unwrap().state, GenerationState::Complete);
    pipeline.stack.operations().switch(&orders(), Accepted::default()).await.unwrap();
    pipeline.run_until_quiet().await;
    pipeline.stack.operations().drop_generation(&orders(), None).await.unwrap();
    pipeline.run_until_quiet().await;
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn a_pass_over_all_streams_ends_though_every_second_worker_dies() {
    let mut pipeline = Pipeline::start().await;
    let mut streams = some_orders(&pipeline, 4).await;
    pipeline.run_until_quiet().await;
    streams.extend(some_orders(&pipeline, 4).await);
    // These cause no notifications.
    drop(pipeline.new_records().await);
    workers_die(&mut pipeline);
    pipeline.reconcile(&orders()).await;
    pipeline.reconcile(&bookshop::bestsellers()).await;
    pipeline.stack.assert_exact_after(&streams, "").await;
}

#[tokio::test]
async fn a_job_whose_calls_all_died_goes_on_when_it_is_resumed() {
    let mut pipeline = Pipeline::with_few_receives().await;
    let streams = some_orders(&pipeline, 3).await;
    pipeline.run_until_quiet().await;
    pipeline.stack.operations().rebuild(&orders(), 2).await.unwrap();
    pipeline.fates(|call: &Call| {
        if call.function == REBUILD {
            Fate { fault: Some(Fault::DiesBefore(1)), is_answered: false, ..WELL }
        } else {
            WELL
        }
    });
    pipeline.run_until_quiet().await;
    assert!(
        pipeline.stack.operations().view(&orders()).await.unwrap().status.job.is_some(),
        "its messages are dead letters"
    );
    pipeline.fates(|_| WELL);
    pipeline.stack.operations().resume_unfinished(&orders()).await.unwrap();
    pipeline.run_until_quiet().await;
    let status = pipeline.stack.operations().view(&orders()).await.unwrap().status;
    assert!(status.job.is_none() && status.report.unwrap().complete);
    pipeline.stack.operations().drop_generation(&orders(), None).await.unwrap();
    pipeline.run_until_quiet().await;
    pipeline.stack.assert_exact_after(&streams, "").await;
}
