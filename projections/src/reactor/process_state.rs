//! The states of process instances: one JSON state in each row, with a version.

use crate::reactor::only_generation;
use crate::tables::read_models::{ConditionalWrite, Prefetched, ReadModels, Written};
use crate::tables::row::{Row, RowData, UnreadableRow};
use crate::tables::table::TableError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A stored state.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessState<T> {
    /// How often it was written.
    pub version: u64,
    /// The state.
    pub state: T,
}

/// States of the instances that a batch of messages concerns. They are read in one request with the
/// positions ([`Projector::react_with_states`](crate::Projector::react_with_states)).
#[derive(Debug, Default)]
pub struct ReadAhead {
    ids: Vec<String>,
    found: Mutex<HashMap<String, Option<ProcessState<Value>>>>,
}

impl ReadAhead {
    /// The states of these instances, not read yet.
    pub fn of(ids: impl IntoIterator<Item = String>) -> Self {
        Self { ids: ids.into_iter().collect(), found: Mutex::default() }
    }

    /// The state under the id, if it was read ahead; the inner none if none is stored. It is
    /// returned once, because it becomes outdated: the next caller must read.
    pub fn take(&self, id: &str) -> Option<Option<ProcessState<Value>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// The whole keys of the first `most` instances.
    pub(crate) fn keys(&self, consumer: &'static str, most: usize) -> impl Iterator<Item = String> {
        self.ids.iter().take(most).map(move |id| only_generation(consumer).key(&state_name(id)))
    }

    /// Stores the states of the first `most` instances that were read.
    pub(crate) fn store(&self, consumer: &'static str, most: usize, prefetched: &Prefetched) {
        let keys = self.ids.iter().zip(self.keys(consumer, most));
        let found = keys.filter_map(|(id, key)| {
            let row = prefetched.of(&key)?;
            Some((
                id.clone(),
                row.map(|row| ProcessState { version: row.version, state: row.content.data }),
            ))
        });
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }
}

impl ReadModels {
    /// The stored state of an instance, strongly consistent; none if there is none.
    ///
    /// # Errors
    /// [`TableError`]; [`TableError::Unreadable`] if the state does not have this type.
    pub async fn process_state<T: DeserializeOwned>(
        &self,
        consumer: &'static str,
        id: &str,
    ) -> Result<Option<ProcessState<T>>, TableError> {
        let Some(row) = self.get(only_generation(consumer).key(&state_name(id)), true).await?
        else {
            return Ok(None);
        };
        Ok(Some(ProcessState { version: row.version, state: row.read()? }))
    }

    /// Replaces the state of version `seen`, or stores the first. False if the stored version
    /// differs: another writer was quicker, or an earlier try of this call succeeded and its answer
    /// was lost.
    ///
    /// # Errors
    /// [`TableError`]: the state may be stored or not.
    pub async fn put_process_state<T: Serialize>(
        &self,
        consumer: &'static str,
        id: &str,
        seen: Option<u64>,
        state: &T,
    ) -> Result<bool, TableError> {
        let key = only_generation(consumer).key(&state_name(id));
        let data = serde_json::to_value(state)
            .map_err(|error| UnreadableRow { key: key.clone(), source: Some(Arc::new(error)) })?;
        let row = Row {
            key,
            version: seen.unwrap_or(0) + 1,
            hash: None,
            content: RowData { data, listing: None },
        };
        let written = self.put(&ConditionalWrite { row, expected: seen }).await?;
        Ok(matches!(written, Written::Yes))
    }
}

fn state_name(id: &str) -> String {
    format!("state/{id}")
}
