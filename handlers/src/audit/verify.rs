//! Verifies streams: their hash chains, and their ends by the witnesses.

use super::{AuditError, OpenTrail};
use eventstore::{StreamId, Verification};
use projections::Witnesses;

impl OpenTrail {
    /// Walks the stream's chain from the first commit to the last. Compares its end with its
    /// snapshot, and with the positions of read models and processes. A missing stream is broken if
    /// there is a witness.
    ///
    /// # Errors
    /// [`AuditError`]; [`AuditError::NoStream`] without a stream and a witness.
    pub async fn verify(&self, stream: &StreamId) -> Result<Verification, AuditError> {
        let witnesses = self.projector.witnesses(stream, self.app.consumers()).await?;
        let walk = self.store.verify_against(stream, &witnesses).await?;
        let nothing = walk.commits == 0 && walk.verified();
        if nothing { Err(AuditError::NoStream(stream.clone())) } else { Ok(walk) }
    }

    /// The witness of each stream with the highest version: from the audit index, read models and
    /// processes. `on_page` gets the number of items so far.
    ///
    /// # Errors
    /// [`AuditError`].
    pub async fn all_witnesses(
        &self,
        on_page: impl Fn(usize) + Sync,
    ) -> Result<Witnesses, AuditError> {
        Ok(Box::pin(self.projector.all_witnesses(self.app.consumers(), on_page)).await?)
    }
}
