//! The worker of jobs behind its queue: slices that are done twice, half or without anybody hearing of it.

use crate::harness::events::{confirmed, new_order, placed, write};
use crate::harness::fault_wire::Fault;
use crate::harness::pipeline::{Call, Fate, Line, REBUILD, WELL};
use bookshop::orders;
use eventstore::StreamId;
use projections::GenerationState;

/// Every second call of the worker dies at a request that moves on with each.
fn workers_die(line: &mut Line) {
    let mut calls = 0;
    line.fates(move |call: &Call| {
        calls += usize::from(call.function == REBUILD);
        if call.function != REBUILD || calls.is_multiple_of(2) {
            return WELL;
        }
        let request = calls.div_ceil(2);
        let fault = if request.is_multiple_of(2) { Fault::DiesBefore(request) } else { Fault::DiesAfter(request) };
        Fate { fault: Some(fault), heard: false, ..WELL }
    });
}

async fn some_orders(line: &Line, count: usize) -> Vec<StreamId> {
    let streams: Vec<StreamId> = (0..count).map(|_| new_order()).collect();
    for stream in &streams {
        write(&line.world.store, stream, &[&placed("c", [(1, 1)]), &confirmed()]).await;
    }
    streams
}

#[tokio::test]
async fn a_rebuild_ends_complete_though_every_second_worker_dies() {
    let mut line = Line::start().await;
    let streams = some_orders(&line, 6).await;
    line.run_until_quiet().await;
    workers_die(&mut line);
    line.world.operations().rebuild(&orders(), 4).await.unwrap();
    line.run_until_quiet().await;
    let calls = line.calls_of(REBUILD);
    assert!(calls.iter().any(|call| call.receives > 1), "workers did die");
    assert!(calls.iter().all(|call| call.items.len() == 1), "a worker gets one call at a time");
    let status = line.world.operations().view(&orders()).await.unwrap().status;
    assert!(status.job.is_none() && status.report.unwrap().complete);
    assert_eq!(status.other.unwrap().state, GenerationState::Complete);
    line.world.operations().switch(&orders(), false).await.unwrap();
    line.run_until_quiet().await;
    line.world.operations().drop_generation(&orders(), None).await.unwrap();
    line.run_until_quiet().await;
    line.world.assert_exact(&streams, "").await;
}

#[tokio::test]
async fn a_pass_over_all_streams_ends_though_every_second_worker_dies() {
    let mut line = Line::start().await;
    let mut streams = some_orders(&line, 4).await;
    line.run_until_quiet().await;
    streams.extend(some_orders(&line, 4).await);
    // Nobody is told of those.
    drop(line.world.new_records().await);
    workers_die(&mut line);
    line.reconcile(&orders()).await;
    line.reconcile(&bookshop::bestsellers()).await;
    line.world.assert_exact(&streams, "").await;
}

#[tokio::test]
async fn a_job_whose_calls_all_died_goes_on_when_it_is_resumed() {
    let mut line = Line::start().await;
    let streams = some_orders(&line, 3).await;
    line.run_until_quiet().await;
    line.world.operations().rebuild(&orders(), 2).await.unwrap();
    line.fates(|call: &Call| {
        if call.function == REBUILD { Fate { fault: Some(Fault::DiesBefore(1)), heard: false, ..WELL } } else { WELL }
    });
    line.run_until_quiet().await;
    assert!(line.world.operations().view(&orders()).await.unwrap().status.job.is_some(), "its calls are dead letters");
    line.fates(|_| WELL);
    line.world.operations().resume_unfinished(&orders()).await.unwrap();
    line.run_until_quiet().await;
    let status = line.world.operations().view(&orders()).await.unwrap().status;
    assert!(status.job.is_none() && status.report.unwrap().complete);
    line.world.operations().drop_generation(&orders(), None).await.unwrap();
    line.run_until_quiet().await;
    line.world.assert_exact(&streams, "").await;
}
