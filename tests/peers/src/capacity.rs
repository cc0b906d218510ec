//! The capacity units of a request: from the answer, or for a refused write from DynamoDB's
//! documentation, because its answer has none.

use serde_json::{Map, Value};
use std::ops::AddAssign;

/// Capacity units.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Units {
    /// Read units of the answers.
    pub(crate) read: f64,
    /// Write units of the answers.
    pub(crate) written: f64,
    /// Write units of refused writes, computed from the sizes of the items.
    pub(crate) refused: f64,
}

impl AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.refused += other.refused;
    }
}

/// What a request consumed.
pub(crate) fn units(operation: &str, request: &Value, answer: &Value) -> Units {
    let told = told(answer.get("ConsumedCapacity"));
    match operation {
        "Query" | "GetItem" | "BatchGetItem" | "Scan" => Units { read: told, ..Units::default() },
        _ if answer.get("__type").is_some() => {
            Units { refused: refused(request, answer), ..Units::default() }
        }
        _ => Units { written: told, ..Units::default() },
    }
}

/// The sum over all tables.
fn told(consumed: Option<&Value>) -> f64 {
    let units =
        |table: &Value| table.get("CapacityUnits").and_then(Value::as_f64).unwrap_or_default();
    match consumed.and_then(Value::as_array) {
        Some(tables) => tables.iter().map(units).sum(),
        None => consumed.map(units).unwrap_or_default(),
    }
}

/// A refused put costs the larger of the existing and the new item, rounded up to KB. A
/// transaction costs twice that per action.
fn refused(request: &Value, answer: &Value) -> f64 {
    match request.get("TransactItems").and_then(Value::as_array) {
        Some(actions) => actions.iter().map(|action| 2.0 * action_kilobytes(action)).sum(),
        None => {
            let item = |of: &Value| of.get("Item").and_then(Value::as_object).map_or(0, item_bytes);
            kilobytes(item(request).max(item(answer)))
        }
    }
}

/// An update has the key and the new values, which is nearly the whole item.
fn action_kilobytes(action: &Value) -> f64 {
    let parts = action.as_object().into_iter().flat_map(|action| action.values());
    let size = |part: &Value| -> usize {
        let maps = ["Item", "Key", "ExpressionAttributeValues"]
            .into_iter()
            .filter_map(|name| part.get(name));
        maps.filter_map(Value::as_object).map(item_bytes).sum()
    };
    kilobytes(parts.map(size).sum())
}

fn kilobytes(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX))
}

/// An item's size as DynamoDB documents it.
fn item_bytes(item: &Map<String, Value>) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    let Some((kind, value)) = value.as_object().and_then(|value| value.iter().next()) else {
        return 0;
    };
    let text = value.as_str().map_or(0, str::len);
    match kind.as_str() {
        "S" => text,
        "B" => text * 3 / 4,
        "N" => text.div_ceil(2) + 1,
        "L" => {
            3 + value
                .as_array()
                .map_or(0, |list| list.iter().map(|value| 1 + value_bytes(value)).sum())
        }
        "M" => 3 + value.as_object().map_or(0, |map| map.len() + item_bytes(map)),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_of_one_table_and_of_several_are_added_up() {
        let answer = json!({"ConsumedCapacity": [{"CapacityUnits": 2.0}, {"CapacityUnits": 1.5}]});
        assert_eq!(units("BatchGetItem", &json!({}), &answer).read, 3.5);
        let answer = json!({"ConsumedCapacity": {"CapacityUnits": 3.0}});
        assert_eq!(units("PutItem", &json!({}), &answer).written, 3.0);
    }

    #[test]
    fn a_refused_write_is_charged_by_its_size() {
        let item = |bytes: usize| json!({"k": {"S": "x".repeat(bytes)}});
        let answer = json!({"__type": "ConditionalCheckFailedException", "Item": item(1_500)});
        assert_eq!(units("PutItem", &json!({"Item": item(100)}), &answer).refused, 2.0);
        let actions = json!({"TransactItems": [{"Put": {"Item": item(100)}}, {"Update": {"Key": item(2_000)}}]});
        let answer = json!({"__type": "TransactionCanceledException"});
        assert_eq!(units("TransactWriteItems", &actions, &answer).refused, 6.0);
    }
}
