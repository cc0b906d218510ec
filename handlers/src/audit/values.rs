//! The differences between two JSON values.

use super::difference::ChangedField;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The paths at which the values differ, in order. Null and missing are the same.
pub(super) fn changes(before: &Value, after: &Value) -> Vec<ChangedField> {
    let mut found = Vec::new();
    compare(String::new(), before, after, &mut found);
    found
}

fn compare(path: String, before: &Value, after: &Value, found: &mut Vec<ChangedField>) {
    let (no_fields, no_items) = (Map::new(), Vec::new());
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            compare_fields(&path, before, after, found)
        }
        // An added or removed value is shown by its parts; an empty one is shown itself.
        (Value::Object(before), Value::Null) if !before.is_empty() => {
            compare_fields(&path, before, &no_fields, found)
        }
        (Value::Null, Value::Object(after)) if !after.is_empty() => {
            compare_fields(&path, &no_fields, after, found)
        }
        (Value::Array(before), Value::Array(after)) => compare_items(&path, before, after, found),
        (Value::Array(before), Value::Null) if !before.is_empty() => {
            compare_items(&path, before, &no_items, found)
        }
        (Value::Null, Value::Array(after)) if !after.is_empty() => {
            compare_items(&path, &no_items, after, found)
        }
        (before, after) => {
            found.push(ChangedField { path, before: before.clone(), after: after.clone() })
        }
    }
}

fn compare_fields(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    found: &mut Vec<ChangedField>,
) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (before, after) =
            (before.get(name).unwrap_or(&Value::Null), after.get(name).unwrap_or(&Value::Null));
        compare(field(path, name), before, after, found);
    }
}

fn compare_items(path: &str, before: &[Value], after: &[Value], found: &mut Vec<ChangedField>) {
    for index in 0..before.len().max(after.len()) {
        let (before, after) =
            (before.get(index).unwrap_or(&Value::Null), after.get(index).unwrap_or(&Value::Null));
        compare(format!("{path}[{index}]"), before, after, found);
    }
}

/// A path such as `status` or `lines[0].item`. A name with other characters is quoted in brackets,
/// so that paths are unique.
fn field(path: &str, name: &str) -> String {
    let plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    match (plain, path.is_empty()) {
        (true, true) => name.to_owned(),
        (true, false) => format!("{path}.{name}"),
        (false, _) => format!("{path}[{}]", Value::from(name)),
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use serde_json::json;

    fn check(before: Value, after: Value, wanted: &[(&str, Value, Value)]) {
        let found: Vec<_> =
            changes(&before, &after).into_iter().map(|c| (c.path, c.before, c.after)).collect();
        let wanted: Vec<_> =
            wanted.iter().map(|(path, b, a)| ((*path).to_owned(), b.clone(), a.clone())).collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn equal_values_have_no_difference() {
        check(json!({"a": [1, {"b": null}]}), json!({"a": [1, {}]}), &[]);
        check(json!({"a": null}), json!({}), &[]);
        check(json!({"a": 1}), json!({"a": 1}), &[]);
    }

    #[test]
    fn a_change_is_shown_where_it_is() {
        let before = json!({"status": "placed", "lines": [{"item": "1", "quantity": 2}], "n": 1});
        let after = json!({"status": "shipped", "lines": [{"item": "1", "quantity": 3}], "n": 1});
        let wanted = [
            ("lines[0].quantity", json!(2), json!(3)),
            ("status", json!("placed"), json!("shipped")),
        ];
        check(before, after, &wanted);
    }

    #[test]
    fn added_and_removed_values_are_shown_by_their_parts() {
        let whole = json!({"lines": [{"item": "1"}, {"item": "2"}], "none": [], "more": {}});
        let came = [
            ("lines[0].item", json!(null), json!("1")),
            ("lines[1].item", json!(null), json!("2")),
            ("more", json!(null), json!({})),
            ("none", json!(null), json!([])),
        ];
        check(Value::Null, whole.clone(), &came);
        let went = came.map(|(path, nothing, part)| (path, part, nothing));
        check(whole.clone(), Value::Null, &went);
        check(whole, json!({"lines": [{"item": "1"}], "none": [], "more": {}}), &went[1..2]);
    }

    #[test]
    fn another_kind_of_value_is_shown_whole() {
        check(json!({"a": [1]}), json!({"a": {"b": 1}}), &[("a", json!([1]), json!({"b": 1}))]);
        check(json!({"a": "1"}), json!({"a": 1}), &[("a", json!("1"), json!(1))]);
    }

    #[test]
    fn no_two_places_have_the_same_path() {
        let before = json!({"a.b": 1, "a": {"b": 1}, "": 1, "x[0]": 1, "x": [1]});
        let found = changes(&before, &Value::Null);
        let paths: Vec<&str> = found.iter().map(|change| change.path.as_str()).collect();
        assert_eq!(paths, ["[\"\"]", "a.b", "[\"a.b\"]", "x[0]", "[\"x[0]\"]"]);
    }
}
