//! The start of functions, and failures of it.

use super::runtime_api::{Function, command};
use super::{ALL, FAN_OUT, PROGRAM, PROJECTOR, QUERY_API, environment, function};
use crate::harness::stack::TestStack;

#[tokio::test]
async fn every_function_starts_and_asks_for_work() {
    let system = TestStack::start().await;
    for (component, own) in ALL {
        function(&system, component, own).await;
    }
}

#[tokio::test]
async fn all_missing_settings_are_reported_at_once() {
    for (component, own) in ALL {
        let mut started = command(PROGRAM);
        started
            .env_clear()
            .envs([("LEDGERFOLD_COMPONENT", component), ("AWS_LAMBDA_RUNTIME_API", "")]);
        let output = started.output().await.unwrap();
        let printed =
            String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{component}: {printed}");
        for name in ["AWS_LAMBDA_RUNTIME_API", "AWS_REGION", "LEDGERFOLD_PREFIX"]
            .iter()
            .chain(own.iter().map(|(name, _)| name))
        {
            assert!(printed.contains(&format!("{name} is missing")), "{component}: {printed}");
        }
    }
}

/// Lambda tries again with the next event, which is not lost.
#[tokio::test]
async fn a_function_does_not_start_without_its_tables_and_queues() {
    let system = TestStack::start().await;
    for (component, own, missing) in [
        (QUERY_API, None, "elsewhere-events"),
        (PROJECTOR, Some(("LEDGERFOLD_PROJECTION", "stock")), "elsewhere-read-models"),
        (FAN_OUT, None, "elsewhere-"),
    ] {
        let mut own: Vec<_> = own.into_iter().collect();
        own.push(("LEDGERFOLD_PREFIX", "elsewhere"));
        let (status, printed) =
            Function::start(PROGRAM, &environment(&system, component, &own)).await.ended().await;
        assert_eq!(status.code(), Some(1), "{component}: {printed}");
        assert!(printed.contains(missing), "{component}: {printed}");
    }
}
