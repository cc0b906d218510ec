//! Matches the filter patterns of an event source mapping against a record's JSON, as Lambda does.
//!
//! A pattern is an object. An object in it is a nested pattern, a list has the allowed values.
//! Several patterns are alternatives. DynamoDB's numbers are text, so `numeric` never matches them.

use serde_json::Value;

/// Whether a pattern matches the record. Without patterns, all records match.
pub(crate) fn passes(patterns: &[Value], record: &Value) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, Some(record)))
}

fn fits(pattern: &Value, found: Option<&Value>) -> bool {
    match pattern {
        Value::Object(fields) if fields.contains_key("$or") => {
            let alternatives = fields["$or"].as_array().expect("$or is a list");
            let mut rest = fields.clone();
            rest.remove("$or");
            alternatives.iter().any(|pattern| fits(pattern, found))
                && fits(&Value::Object(rest), found)
        }
        Value::Object(fields) => fields
            .iter()
            .all(|(name, pattern)| fits(pattern, found.and_then(|found| found.get(name)))),
        Value::Array(rules) => rules.iter().any(|rule| allows(rule, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            panic!("a pattern's leaf is a list, not {pattern}")
        }
    }
}

fn allows(rule: &Value, found: Option<&Value>) -> bool {
    let Value::Object(rule) = rule else { return found == Some(rule) };
    let (name, operand) = rule.iter().next().expect("a rule has an operator");
    let text = found.and_then(Value::as_str);
    let words =
        |operand: &Value| operand.as_array().cloned().unwrap_or_else(|| vec![operand.clone()]);
    match name.as_str() {
        // Only leaves exist; an object counts as missing.
        "exists" => {
            found.is_some_and(|found| !found.is_object())
                == operand.as_bool().expect("exists is yes or no")
        }
        "prefix" => {
            text.zip(operand.as_str()).is_some_and(|(text, prefix)| text.starts_with(prefix))
        }
        "suffix" => text.zip(operand.as_str()).is_some_and(|(text, suffix)| text.ends_with(suffix)),
        "anything-but" => found.is_some_and(|found| !words(operand).contains(found)),
        "equals-ignore-case" => {
            text.zip(operand.as_str()).is_some_and(|(text, word)| text.eq_ignore_ascii_case(word))
        }
        "numeric" => {
            found.and_then(Value::as_f64).is_some_and(|number| is_within(number, &words(operand)))
        }
        other => panic!("{other} is no operator of a filter"),
    }
}

/// Comparisons in pairs: an operator and a number.
fn is_within(number: f64, comparisons: &[Value]) -> bool {
    comparisons.chunks(2).all(|comparison| {
        let bound = comparison[1].as_f64().expect("a number behind the operator");
        match comparison[0].as_str().expect("an operator") {
            "=" => (number - bound).abs() < f64::EPSILON,
            "<" => number < bound,
            "<=" => number <= bound,
            ">" => number > bound,
            ">=" => number >= bound,
            other => panic!("{other} does not compare numbers"),
        }
    })
}
