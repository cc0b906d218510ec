//! Readiness: the tables and queues of the process answer.

use super::StartFailure;
use crate::aws::composition::System;
use crate::delivery::Activity;
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use eventstore::{Consistency, StreamId};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A queue counts as failed after that time without an answer.
const QUEUE_SILENCE: Duration = Duration::from_secs(60);
/// How long a check of the tables is cached: several load balancers ask, and each check costs a
/// read unit.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the tables may take to answer.
const TABLE_TIMEOUT: Duration = Duration::from_secs(3);

/// The checked parts. Clones share them.
#[derive(Clone)]
pub(super) struct Readiness {
    checks: Arc<Checks>,
}

struct Checks {
    system: System,
    queues: Vec<(&'static str, Activity)>,
    is_stopping: AtomicBool,
    /// The time of the last check, and the tables that did not answer.
    tables: Mutex<Option<(Instant, Vec<&'static str>)>>,
}

impl Readiness {
    pub(super) fn new(system: &System, queues: Vec<(&'static str, Activity)>) -> Self {
        let (system, is_stopping, tables) =
            (system.clone(), AtomicBool::new(false), Mutex::new(None));
        Self { checks: Arc::new(Checks { system, queues, is_stopping, tables }) }
    }

    /// From now on it is not ready.
    pub(super) fn stop(&self) {
        self.checks.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Checks the tables, so that a wrong name or region is reported at the start.
    pub(super) async fn check_tables(&self) -> Result<(), StartFailure> {
        self.checks.events().await?;
        self.checks.read_models().await
    }

    /// The failed checks; none if it is ready.
    async fn wrong(&self) -> Vec<String> {
        let Checks { is_stopping, queues, .. } = &*self.checks;
        let mut wrong = Vec::new();
        if is_stopping.load(Ordering::Relaxed) {
            wrong.push("it is stopping".to_owned());
        }
        wrong.extend(
            self.checks
                .silent_tables()
                .await
                .iter()
                .map(|table| format!("{table} does not answer")),
        );
        let silent = queues.iter().filter(|(_, activity)| !activity.answered_within(QUEUE_SILENCE));
        wrong.extend(silent.map(|(name, _)| format!("the queue of {name} does not answer")));
        wrong
    }
}

impl Checks {
    async fn silent_tables(&self) -> Vec<&'static str> {
        let mut tables = self.tables.lock().await;
        if let Some((at, silent)) = &*tables
            && at.elapsed() < LOOK_AGAIN
        {
            return silent.clone();
        }
        let events = tokio::time::timeout(TABLE_TIMEOUT, self.events());
        let read_models = tokio::time::timeout(TABLE_TIMEOUT, self.read_models());
        let (events, read_models) = tokio::join!(events, read_models);
        let answers = [("the table of events", events), ("the table of read models", read_models)];
        let silent = answers.into_iter().filter(|(_, answer)| !matches!(answer, Ok(Ok(()))));
        let silent: Vec<&'static str> = silent.map(|(name, _)| name).collect();
        *tables = Some((Instant::now(), silent.clone()));
        silent
    }

    async fn events(&self) -> Result<(), StartFailure> {
        let nothing = StreamId::new("warm-up")?;
        self.system.event_store().head(&nothing, Consistency::Eventual).await?;
        Ok(())
    }

    async fn read_models(&self) -> Result<(), StartFailure> {
        let projector = self.system.projector();
        if let Some(projection) = self.system.app().consumers().first() {
            projector.warm(projection).await?;
        }
        Ok(())
    }
}

/// Answers 200, or 503 with the failed checks.
pub(super) async fn readyz(State(readiness): State<Readiness>) -> Result<Json<Value>, Problem> {
    match readiness.wrong().await {
        wrong if wrong.is_empty() => Ok(Json(json!({ "status": "ready" }))),
        wrong => Err(Problem::not_ready(&wrong)),
    }
}
