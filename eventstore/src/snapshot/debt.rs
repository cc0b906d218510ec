//! Decides when a snapshot is due.

use crate::HandlerOptions;

/// The batches since the last snapshot, which an uncached command has to read.
#[derive(Debug, Clone, Default)]
pub(crate) struct SnapshotDebt {
    pub(crate) batches: usize,
    pub(crate) bytes: usize,
    /// The size of the last snapshot.
    pub(crate) snapshot_bytes: usize,
    /// Whether the stored snapshot is replaced unconditionally.
    pub(crate) replace: bool,
}

impl SnapshotDebt {
    /// Counts a batch that was put.
    pub(crate) fn put(&mut self, bytes: usize) {
        self.batches += 1;
        self.bytes += bytes;
    }

    /// Records the size of the written snapshot.
    pub(crate) fn wrote_snapshot(&mut self, bytes: usize) {
        self.snapshot_bytes = bytes;
    }

    /// A large snapshot waits until as many bytes were written since.
    pub(crate) fn is_due(&self, options: &HandlerOptions) -> bool {
        let much = self.batches >= options.snapshot_after_batches
            || self.bytes >= options.snapshot_after_bytes;
        self.replace || much && self.bytes >= self.snapshot_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> HandlerOptions {
        HandlerOptions {
            snapshot_after_batches: 3,
            snapshot_after_bytes: 100,
            ..HandlerOptions::default()
        }
    }

    #[test]
    fn a_snapshot_is_due_after_so_many_batches_or_bytes() {
        let mut batches = SnapshotDebt::default();
        for due in [false, false, true] {
            batches.put(1);
            assert_eq!(batches.is_due(&options()), due);
        }
        let mut bytes = SnapshotDebt::default();
        bytes.put(99);
        assert!(!bytes.is_due(&options()));
        bytes.put(1);
        assert!(bytes.is_due(&options()));
    }

    #[test]
    fn a_large_snapshot_waits_for_as_many_bytes_as_its_own() {
        let mut since = SnapshotDebt::default();
        since.wrote_snapshot(1_000);
        for _ in 0..3 {
            since.put(300);
        }
        assert!(!since.is_due(&options()));
        since.put(100);
        assert!(since.is_due(&options()));
        assert!(
            SnapshotDebt { replace: true, ..SnapshotDebt::default() }.is_due(&options()),
            "a wrong one is replaced at once"
        );
    }
}
