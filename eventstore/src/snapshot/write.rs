//! Writes a snapshot while a put is in progress.

use super::stored::Snapshot;
use crate::error::classify;
use crate::log::append::{kilobytes, put_units};
use crate::log::item::{AS_OF, STREAM_ID, item_bytes};
use crate::metering::meter;
use crate::metering::operation_event::OperationReport;
use crate::{EventStore, StoreError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use futures::future::join_all;
use std::time::Duration;

/// How long a finished put waits for its snapshot. Losing the snapshot costs little.
const SNAPSHOT_GRACE: Duration = Duration::from_millis(100);

impl EventStore {
    /// Writes the snapshot, unless a newer one is stored and `replace` is false. Returns its size
    /// in bytes.
    pub(crate) async fn put_snapshot(
        &self,
        snapshot: &Snapshot,
        replace: bool,
    ) -> Result<usize, SnapshotError> {
        let stream = &snapshot.head.stream;
        let written =
            self.reported("snapshot", Some(stream), self.send_snapshot(snapshot, replace)).await;
        match &written {
            Ok(_) | Err(SnapshotError::NewerIsThere) => {}
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = error;
                tracing::warn!(%stream, error, "the snapshot was not written: uncached commands read more");
            }
        }
        written
    }

    /// Does the work and writes the snapshots concurrently. Returns the sizes of those that were
    /// written in time.
    pub(crate) async fn with_snapshots<T>(
        &self,
        snapshots: &[(Snapshot, bool)],
        work: impl Future<Output = T>,
    ) -> (T, Vec<Option<usize>>) {
        let puts = join_all(
            snapshots.iter().map(|(snapshot, replace)| self.put_snapshot(snapshot, *replace)),
        );
        tokio::pin!(work, puts);
        let mut written = None;
        let done = tokio::select! {
            biased;
            done = &mut work => done,
            answers = &mut puts => {
                written = Some(answers);
                work.as_mut().await
            }
        };
        if written.is_none() {
            written = tokio::time::timeout(SNAPSHOT_GRACE, puts).await.ok();
        }
        (done, written.unwrap_or_default().into_iter().map(Result::ok).collect())
    }

    async fn send_snapshot(
        &self,
        snapshot: &Snapshot,
        replace: bool,
    ) -> Result<usize, SnapshotError> {
        let item = snapshot.to_item().ok_or(SnapshotError::TooLarge)?;
        let (bytes, kilobytes) = (item_bytes(&item), kilobytes(&item));
        let mut put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        if !replace {
            put = put
                .condition_expression("attribute_not_exists(#stream) OR #as_of < :as_of")
                .expression_attribute_names("#stream", STREAM_ID)
                .expression_attribute_names("#as_of", AS_OF)
                .expression_attribute_values(
                    ":as_of",
                    AttributeValue::N(snapshot.head.version.to_string()),
                );
        }
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total);
        let (answer, _) = meter::request(put.send(), |answer| put_units(answer, kilobytes)).await;
        match answer {
            Ok(_) => Ok(bytes),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Err(SnapshotError::NewerIsThere)
            }
            Err(error) => Err(classify(error, &self.table).into()),
        }
    }
}

/// Why a snapshot was not written. Nothing fails, because the events are stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("a newer snapshot is stored")]
    NewerIsThere,
    #[error("the snapshot does not fit into an item")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The size of a written snapshot.
impl From<&usize> for OperationReport {
    fn from(_: &usize) -> Self {
        Self::outcome("ok")
    }
}

impl From<&SnapshotError> for OperationReport {
    fn from(error: &SnapshotError) -> Self {
        match error {
            SnapshotError::NewerIsThere => Self::outcome("conflict"),
            SnapshotError::TooLarge => Self::outcome("too_large"),
            SnapshotError::Store(fault) => fault.into(),
        }
    }
}
