//! Scans the whole index, page by page: how far each stream is indexed.

use super::entry::{COMMAND, HASH, LAST_VERSION, RANK, place_of, prefix};
use super::index::AuditIndex;
use super::short_hash::ShortHash;
use crate::tables::attribute::{text, text_of};
use crate::tables::row::Item;
use crate::tables::table::TableError;
use eventstore::{StreamId, Witness};
use std::collections::HashMap;

/// A page of the index.
pub(crate) struct SeenPage {
    /// The newest entry of each stream that has one on the page.
    pub(crate) seen: HashMap<StreamId, Witness>,
    /// How many entries the page has.
    pub(crate) items: usize,
    /// The key after which the next page begins; none at the end.
    pub(crate) next: Option<Item>,
}

impl AuditIndex {
    /// The next page of a generation's entries, at most 1 MB and strongly consistent. Unreadable
    /// entries are skipped here; a search reports them.
    pub(crate) async fn seen_page(
        &self,
        generation: u32,
        start: Option<Item>,
    ) -> Result<SeenPage, TableError> {
        let request = self
            .table
            .client
            .scan()
            .table_name(&self.table.name)
            .consistent_read(true)
            .filter_expression("begins_with(#command, :prefix)")
            .projection_expression("#rank, #last_version, #hash")
            .expression_attribute_names("#command", COMMAND)
            .expression_attribute_names("#rank", RANK)
            .expression_attribute_names("#last_version", LAST_VERSION)
            .expression_attribute_names("#hash", HASH)
            .expression_attribute_values(":prefix", text(&prefix(generation)))
            .set_exclusive_start_key(start);
        let answer = request.send().await.map_err(|error| self.table.failed(error))?;
        let mut seen: HashMap<StreamId, Witness> = HashMap::new();
        for (stream, entry) in answer.items().iter().filter_map(witness) {
            let known = seen.entry(stream).or_insert_with(|| entry.clone());
            if entry.version > known.version {
                *known = entry;
            }
        }
        Ok(SeenPage { seen, items: answer.items().len(), next: answer.last_evaluated_key })
    }
}

fn witness(item: &Item) -> Option<(StreamId, Witness)> {
    let (stream, _) = place_of(item).ok()?;
    let version = item.get(LAST_VERSION)?.as_n().ok()?.parse().ok()?;
    let hash: ShortHash = text_of(item, HASH)?.parse().ok()?;
    Some((
        stream,
        Witness { name: "the audit index".to_owned(), version, hash: hash.as_bytes().to_vec() },
    ))
}
