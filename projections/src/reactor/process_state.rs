//! What a consumer with effects keeps of what it knows: a JSON state a row, behind a version of its own.

use crate::reactor::only_generation;
use crate::tables::read_models::{ConditionalWrite, ReadModels, Seen, Written};
use crate::tables::table::TableError;
use crate::{Row, RowData, UnreadableRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A state as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessState<T> {
    /// How often it was written.
    pub version: u64,
    /// What was written.
    pub state: T,
}

/// States that are read in one request with the positions of streams ([`Projector::follow_reading`]): those that the
/// messages tell of.
///
/// [`Projector::follow_reading`]: crate::Projector::follow_reading
#[derive(Debug, Default)]
pub struct ReadAhead {
    ids: Vec<String>,
    found: Mutex<HashMap<String, Option<ProcessState<Value>>>>,
}

impl ReadAhead {
    /// The states under these ids, not read yet.
    pub fn of(ids: impl IntoIterator<Item = String>) -> Self {
        Self { ids: ids.into_iter().collect(), found: Mutex::default() }
    }

    /// The state under the id, if it was read ahead: nothing in it where there is none. It is given out once, because it
    /// ages: the next look must read.
    pub fn take(&self, id: &str) -> Option<Option<ProcessState<Value>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).remove(id)
    }

    /// The whole keys of the first so many.
    pub(crate) fn keys(&self, consumer: &'static str, most: usize) -> impl Iterator<Item = String> {
        self.ids.iter().take(most).map(move |id| only_generation(consumer).key(&state_name(id)))
    }

    /// Keeps the first so many, where they were seen.
    pub(crate) fn keep(&self, consumer: &'static str, most: usize, seen: &Seen) {
        let keys = self.ids.iter().zip(self.keys(consumer, most));
        let found = keys.filter_map(|(id, key)| {
            let row = seen.of(&key)?;
            Some((id.clone(), row.map(|row| ProcessState { version: row.version, state: row.content.data })))
        });
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }
}

impl ReadModels {
    /// The state that the consumer keeps under the id, strongly consistent; nothing where it keeps none.
    ///
    /// # Errors
    /// [`TableError`]; [`TableError::Unreadable`] when the state is not one of this type.
    pub async fn process_state<T: DeserializeOwned>(
        &self,
        consumer: &'static str,
        id: &str,
    ) -> Result<Option<ProcessState<T>>, TableError> {
        let Some(row) = self.get(only_generation(consumer).key(&state_name(id)), true).await? else { return Ok(None) };
        Ok(Some(ProcessState { version: row.version, state: row.read()? }))
    }

    /// Keeps a state in the place of the one of version `seen`, or of none. False when it is another one's turn: somebody
    /// else was quicker, or this very call was, and its answer was lost.
    ///
    /// # Errors
    /// [`TableError`]; after any of them the state may have been kept.
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
        let row = Row { key, version: seen.unwrap_or(0) + 1, hash: None, content: RowData { data, listing: None } };
        let written = self.put(&ConditionalWrite { row, expected: seen }).await?;
        Ok(matches!(written, Written::Yes))
    }
}

fn state_name(id: &str) -> String {
    format!("state/{id}")
}
