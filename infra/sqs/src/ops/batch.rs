//! Batches: up to ten entries with distinct ids, each with its own result.

use serde::Serialize;

use crate::error::{ApiError, ErrorKind};

const MOST_ENTRIES: usize = 10;

/// The answer to a batch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchAnswer<T> {
    successful: Vec<T>,
    failed: Vec<Failed>,
}

/// An entry that failed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    sender_fault: bool,
    code: &'static str,
    message: String,
}

/// Checks the ids. A wrong id fails the whole batch.
pub(crate) fn check_ids(ids: &[&str]) -> Result<(), ApiError> {
    if ids.is_empty() {
        let message = "There should be at least one entry in the request.";
        return Err(ApiError::new(ErrorKind::EmptyBatchRequest, message));
    }
    if ids.len() > MOST_ENTRIES {
        let message = format!(
            "Maximum number of entries per request are {MOST_ENTRIES}. You have sent {}.",
            ids.len()
        );
        return Err(ApiError::new(ErrorKind::TooManyEntriesInBatchRequest, message));
    }
    if !ids.iter().all(|id| is_entry_id(id)) {
        let message = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.";
        return Err(ApiError::new(ErrorKind::InvalidBatchEntryId, message));
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    let repeated =
        sorted.windows(2).find_map(|pair| pair.first().filter(|id| pair.last() == Some(id)));
    match repeated {
        None => Ok(()),
        Some(id) => {
            Err(ApiError::new(ErrorKind::BatchEntryIdsNotDistinct, format!("Id {id} repeated.")))
        }
    }
}

fn is_entry_id(id: &str) -> bool {
    (1..=80).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Splits results into successes and failures.
pub(crate) fn answer<T, S>(
    ids: &[&str],
    results: Vec<Result<T, ApiError>>,
    succeeded: impl Fn(&str, T) -> S,
) -> BatchAnswer<S> {
    let mut batch = BatchAnswer { successful: Vec::new(), failed: Vec::new() };
    for (id, result) in ids.iter().zip(results) {
        match result {
            Ok(value) => batch.successful.push(succeeded(id, value)),
            Err(error) => batch.failed.push(Failed {
                id: (*id).to_owned(),
                sender_fault: error.kind != ErrorKind::Internal,
                code: error.kind.names().1,
                message: error.message,
            }),
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_one_to_ten_distinct_valid_ids() {
        let kind = |ids: &[&str]| check_ids(ids).err().map(|error| error.kind);
        assert_eq!(kind(&[]), Some(ErrorKind::EmptyBatchRequest));
        assert_eq!(kind(&["a"; 11]), Some(ErrorKind::TooManyEntriesInBatchRequest));
        assert_eq!(kind(&["a", "b", "a"]), Some(ErrorKind::BatchEntryIdsNotDistinct));
        assert_eq!(kind(&["a", "b c"]), Some(ErrorKind::InvalidBatchEntryId));
        assert_eq!(kind(&[""]), Some(ErrorKind::InvalidBatchEntryId));
        assert_eq!(kind(&[&"i".repeat(81)]), Some(ErrorKind::InvalidBatchEntryId));
        assert_eq!(kind(&[&"i".repeat(80), "b"]), None);
    }
}
