//! What a consumer with effects keeps of what it knows: a JSON state a row, behind a version of its own.

use crate::follow::only_generation;
use crate::read_models::{FencedWrite, ReadModels, Written};
use crate::table::TableError;
use crate::{Row, RowData, UnreadableRow};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// A state as it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<T> {
    /// How often it was written.
    pub version: u64,
    /// What was written.
    pub state: T,
}

impl ReadModels {
    /// The state that the consumer keeps under the id, strongly consistent; nothing where it keeps none.
    ///
    /// # Errors
    /// [`TableError`]; [`TableError::Unreadable`] when the state is not one of this type.
    pub async fn kept<T: DeserializeOwned>(
        &self,
        consumer: &'static str,
        id: &str,
    ) -> Result<Option<Kept<T>>, TableError> {
        let Some(row) = self.get(only_generation(consumer).key(&state_name(id)), true).await? else { return Ok(None) };
        Ok(Some(Kept { version: row.version, state: row.read()? }))
    }

    /// Keeps a state in the place of the one of version `seen`, or of none. False when it is another one's turn: somebody
    /// else was quicker, or this very call was, and its answer was lost.
    ///
    /// # Errors
    /// [`TableError`]; after any of them the state may have been kept.
    pub async fn keep<T: Serialize>(
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
        let written = self.put(&FencedWrite { row, expected: seen }).await?;
        Ok(matches!(written, Written::Yes))
    }
}

fn state_name(id: &str) -> String {
    format!("state/{id}")
}
