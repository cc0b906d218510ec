//! Heartbeats: how recent the events are that a projection has applied. Lag is computed from them.

use crate::definition::projection::Projection;
use crate::engine::projector::Projector;
use crate::tables::read_models::ReadModels;
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::TableError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A process writes at most this often: one write unit in five seconds under any load.
const PACE: Duration = Duration::from_secs(5);

/// The heartbeat of a projection: when its newest applied event was recorded. Clones share their
/// pace.
#[derive(Clone)]
pub struct Heartbeat {
    read_models: ReadModels,
    key: String,
    noted: Arc<Mutex<Option<Instant>>>,
}

/// The stored heartbeat.
#[derive(Debug, Serialize, Deserialize)]
struct HeartbeatRow {
    newest: DateTime<Utc>,
}

impl Projector {
    /// The heartbeat of the projection.
    pub fn heartbeat(&self, projection: &Projection) -> Heartbeat {
        let key = format!("{}/pulse", projection.name);
        Heartbeat { read_models: self.read_models.clone(), key, noted: Arc::default() }
    }
}

impl Heartbeat {
    /// Records that an event of that time is applied, at most once in five seconds.
    ///
    /// # Errors
    /// [`TableError`]: the heartbeat is unchanged.
    pub async fn note(&self, newest: DateTime<Utc>) -> Result<(), TableError> {
        if !self.is_due() {
            return Ok(());
        }
        let unwritable =
            |error| UnreadableRow { key: self.key.clone(), source: Some(Arc::new(error)) };
        let data = serde_json::to_value(HeartbeatRow { newest }).map_err(unwritable)?;
        // Unconditional: another process may overwrite it, and the next write comes in seconds.
        let row = Row {
            key: self.key.clone(),
            version: 1,
            hash: None,
            content: RowData { data, listing: None },
        };
        self.read_models.overwrite(&row).await
    }

    fn is_due(&self) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = noted.is_none_or(|at| at.elapsed() >= PACE);
        if due {
            *noted = Some(Instant::now());
        }
        due
    }

    /// When the newest event was recorded that is known to be applied; none without a heartbeat.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn newest(&self) -> Result<Option<DateTime<Utc>>, TableError> {
        let row = self.read_models.get(self.key.clone(), false).await?;
        Ok(row.map(|row| row.read::<HeartbeatRow>()).transpose()?.map(|row| row.newest))
    }
}
