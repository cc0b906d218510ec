//! Witnesses of a stream's end: rows, positions and index entries remain when the end was removed.
//!
//! Only active generations count. A rebuild reads the restored table, so after a switch there are
//! no witnesses of what that table has lost.

use crate::audit_index::PROJECTION as AUDIT;
use crate::definition::projection::Projection;
use crate::engine::projector::Projector;
use crate::tables::position::Position;
use crate::tables::table::TableError;
use eventstore::{Segment, StreamId, Witness};
use std::collections::HashMap;

/// A whole table.
const EVERYTHING: Segment = Segment { index: 0, total: 1 };

/// The witness of each stream with the highest version.
pub type Witnesses = HashMap<StreamId, Witness>;

impl Projector {
    /// The witnesses of a stream: rows and positions of the read models and processes that follow
    /// it. Not the audit index, which finds entries by time. Strongly consistent, in one request.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn witnesses(
        &self,
        stream: &StreamId,
        consumers: &[Projection],
    ) -> Result<Vec<Witness>, TableError> {
        let mut names = HashMap::new();
        for projection in consumers.iter().filter(|projection| projection.follows.includes(stream))
        {
            if let Some(row) = projection.position_name_of(stream) {
                names.insert(self.active(projection).await?.key(&row), projection.name);
            }
        }
        let keys: Vec<String> = names.keys().cloned().collect();
        let positions = self.read_models.positions(&keys).await?;
        let seen =
            positions.iter().filter_map(|(key, position)| Some(witness(names.get(key)?, position)));
        Ok(seen.collect())
    }

    /// The same for every stream, with the audit index. Reads both tables whole, strongly
    /// consistent. `on_page` gets the number of items so far.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn all_witnesses(
        &self,
        consumers: &[Projection],
        on_page: impl Fn(usize) + Sync,
    ) -> Result<Witnesses, TableError> {
        let (mut all, mut items, mut cursor) = (Witnesses::new(), 0, None);
        let entries = self.active(&AUDIT).await?.number;
        loop {
            let page = self.audit_index.seen_page(entries, cursor).await?;
            items += page.items;
            on_page(items);
            page.seen.into_iter().for_each(|(stream, seen)| keep_highest(&mut all, stream, seen));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let mut projections = Vec::new();
        for projection in consumers {
            projections.push((*projection, self.active(projection).await?));
        }
        let mut behind = None;
        loop {
            let (rows, next) =
                self.read_models.scan_positions(EVERYTHING, behind.as_deref()).await?;
            items += rows.len();
            on_page(items);
            for (key, position) in rows {
                let of = projections.iter().find_map(|(projection, generation)| {
                    Some((projection, projection.stream_of(generation.name(&key)?)?))
                });
                if let Some((projection, stream)) = of {
                    keep_highest(&mut all, stream, witness(projection.name, &position));
                }
            }
            behind = next;
            if behind.is_none() {
                return Ok(all);
            }
        }
    }
}

fn witness(projection: &str, position: &Position) -> Witness {
    let name = format!("projection {projection}");
    Witness { name, version: position.version, hash: position.hash.as_bytes().to_vec() }
}

/// Replaces a witness by one with a higher version.
fn keep_highest(all: &mut Witnesses, stream: StreamId, seen: Witness) {
    let known = all.entry(stream).or_insert_with(|| seen.clone());
    if seen.version > known.version {
        *known = seen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_witness_with_the_highest_version_remains() {
        let (mut all, stream) = (Witnesses::new(), StreamId::new("order-1").unwrap());
        for version in [2, 5, 3] {
            keep_highest(
                &mut all,
                stream.clone(),
                Witness { name: version.to_string(), version, hash: Vec::new() },
            );
        }
        assert_eq!(all.get(&stream).map(|seen| seen.version), Some(5));
    }
}
