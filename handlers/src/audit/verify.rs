//! Whether streams are still what was written: their chains, and their ends by who has seen them.

use super::{AuditError, OpenTrail};
use eventstore::{StreamId, Verification};
use projections::Witnesses;

impl OpenTrail {
    /// Walks the stream's chain from the first commit to the last, and compares its end with its snapshot and with what read
    /// models and processes have seen of it. A stream that is gone is broken where somebody has seen it.
    ///
    /// # Errors
    /// [`AuditError`]; [`AuditError::NoStream`] where nobody has seen it.
    pub async fn verify(&self, stream: &StreamId) -> Result<Verification, AuditError> {
        let witnesses = self.projector.witnesses(stream, self.app.consumers()).await?;
        let walk = self.store.verify_against(stream, &witnesses).await?;
        let nothing = walk.commits == 0 && walk.verified();
        if nothing { Err(AuditError::NoStream(stream.clone())) } else { Ok(walk) }
    }

    /// Who has seen most of each stream: the audit index, read models and processes. `on_page` is told how many items were
    /// seen so far.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn all_witnesses(&self, on_page: impl Fn(usize) + Sync) -> Result<Witnesses, AuditError> {
        Ok(Box::pin(self.projector.all_witnesses(self.app.consumers(), on_page)).await?)
    }
}
