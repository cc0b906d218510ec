//! Whether the process can work: its tables answer, and so do its queues.

use super::Failure;
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

/// A queue that has not answered for so long is not received from.
const QUEUE_SILENCE: Duration = Duration::from_secs(60);
/// How long what the tables answered is believed: several load balancers ask, and each look costs a read unit.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the tables may take to answer.
const TABLE_TIMEOUT: Duration = Duration::from_secs(3);

/// What is looked at. Clones are the same.
#[derive(Clone)]
pub(super) struct Readiness {
    looked: Arc<Looked>,
}

struct Looked {
    system: System,
    queues: Vec<(&'static str, Activity)>,
    is_stopping: AtomicBool,
    /// When the tables were asked, and those that did not answer.
    tables: Mutex<Option<(Instant, Vec<&'static str>)>>,
}

impl Readiness {
    pub(super) fn new(system: &System, queues: Vec<(&'static str, Activity)>) -> Self {
        let (system, is_stopping, tables) = (system.clone(), AtomicBool::new(false), Mutex::new(None));
        Self { looked: Arc::new(Looked { system, queues, is_stopping, tables }) }
    }

    /// From now on it is not ready.
    pub(super) fn stop(&self) {
        self.looked.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Asks the tables, so that a wrong name or region is told at the start.
    pub(super) async fn check_tables(&self) -> Result<(), Failure> {
        self.looked.events().await?;
        self.looked.read_models().await
    }

    /// What is not as it must be; nothing when it can work.
    async fn wrong(&self) -> Vec<String> {
        let Looked { is_stopping, queues, .. } = &*self.looked;
        let mut wrong = Vec::new();
        if is_stopping.load(Ordering::Relaxed) {
            wrong.push("it is stopping".to_owned());
        }
        wrong.extend(self.looked.silent_tables().await.iter().map(|table| format!("{table} does not answer")));
        let silent = queues.iter().filter(|(_, activity)| !activity.answered_within(QUEUE_SILENCE));
        wrong.extend(silent.map(|(name, _)| format!("the queue of {name} does not answer")));
        wrong
    }
}

impl Looked {
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

    async fn events(&self) -> Result<(), Failure> {
        let nothing = StreamId::new("warm-up")?;
        self.system.event_store().head(&nothing, Consistency::Eventual).await?;
        Ok(())
    }

    async fn read_models(&self) -> Result<(), Failure> {
        let projector = self.system.projector();
        if let Some(projection) = self.system.app().consumers().first() {
            projector.warm(projection).await?;
        }
        Ok(())
    }
}

/// Whether it can work: 200, or 503 with what is not as it must be.
pub(super) async fn readyz(State(readiness): State<Readiness>) -> Result<Json<Value>, Problem> {
    match readiness.wrong().await {
        wrong if wrong.is_empty() => Ok(Json(json!({ "status": "ready" }))),
        wrong => Err(Problem::not_ready(&wrong)),
    }
}
