//! What differs between two JSON values, place by place.

use super::difference::Change;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The places where the values differ, in order. What is null and what is not there count as the same.
pub(super) fn changes(before: &Value, after: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    compare(String::new(), before, after, &mut found);
    found
}

fn compare(path: String, before: &Value, after: &Value, found: &mut Vec<Change>) {
    if before == after {
        return;
    }
    if let Some((before, after)) = both(before, after, Value::as_object) {
        compare_fields(&path, before, after, found);
    } else if let Some((before, after)) = both(before, after, Value::as_array) {
        compare_items(&path, before, after, found);
    } else {
        found.push(Change { path, before: before.clone(), after: after.clone() });
    }
}

/// Both as that kind of container, where one is and the other is too, or is nothing. An empty one has no place to show.
fn both<'a, T: Default + Emptiable + 'a>(
    before: &'a Value,
    after: &'a Value,
    kind: fn(&Value) -> Option<&T>,
) -> Option<(Option<&'a T>, Option<&'a T>)> {
    match (kind(before), kind(after)) {
        (Some(before), Some(after)) => Some((Some(before), Some(after))),
        (Some(before), None) if after.is_null() => Some((Some(before), None)),
        (None, Some(after)) if before.is_null() => Some((None, Some(after))),
        (Some(_) | None, Some(_) | None) => None,
    }
}
