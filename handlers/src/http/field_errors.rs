//! Finds all errors of a body. A type reports only its first error. So each field is checked alone,
//! in an example of the body whose other fields are valid.

use crate::problem::FieldError;
use serde_json::{Map, Value};

/// Checks a body: returns the rule that it breaks, if any, and the paths of unknown fields.
pub(super) type CheckBody<'a> = &'a dyn Fn(&Value) -> (Option<String>, Vec<String>);

/// All errors of a body. `example` has all fields.
pub(super) fn of(body: &Value, example: &Value, check: CheckBody<'_>) -> Vec<FieldError> {
    let (Value::Object(body), Value::Object(example)) = (body, example) else { return Vec::new() };
    let mut errors = FieldErrors { check, found: Vec::new() };
    errors.of_object(body, example, "", &|object| object);
    errors.found
}

struct FieldErrors<'a> {
    check: CheckBody<'a>,
    found: Vec<FieldError>,
}

/// Puts a part into the whole body.
type Embed<'a> = &'a dyn Fn(Value) -> Value;

impl FieldErrors<'_> {
    /// `prefix` is what precedes the names of fields: `lines[0].`, or nothing.
    fn of_object(
        &mut self,
        given: &Map<String, Value>,
        example: &Map<String, Value>,
        prefix: &str,
        embed: Embed<'_>,
    ) {
        for (name, valid) in example {
            let field = format!("{prefix}{name}");
            match given.get(name) {
                None => {
                    let mut without = example.clone();
                    without.remove(name);
                    if (self.check)(&embed(without.into())).0.is_some() {
                        self.push(field, "is required".to_owned());
                    }
                }
                Some(value) => {
                    let with = |value: Value| {
                        let mut object = example.clone();
                        object.insert(name.clone(), value);
                        embed(object.into())
                    };
                    self.of_field(value, valid, field, &with);
                }
            }
        }
        self.name_unknown(given, example, prefix, embed);
    }

    /// Reports the rules of a list only if its items have no errors.
    fn of_field(&mut self, given: &Value, example: &Value, field: String, embed: Embed<'_>) {
        let before = self.found.len();
        match (given, example) {
            (Value::Object(given), Value::Object(example)) => {
                self.of_object(given, example, &format!("{field}."), embed);
            }
            (Value::Array(items), Value::Array(examples)) => {
                if let Some(Value::Object(example)) = examples.first() {
                    for (index, item) in items.iter().enumerate() {
                        let one = |item: Value| embed(Value::Array(vec![item]));
                        self.of_item(item, example, &format!("{field}[{index}]"), &one);
                    }
                }
            }
            _ => {}
        }
        if self.found.len() == before
            && let Some(rule) = (self.check)(&embed(given.clone())).0
        {
            self.push(field, rule);
        }
    }

    fn of_item(
        &mut self,
        item: &Value,
        example: &Map<String, Value>,
        prefix: &str,
        embed: Embed<'_>,
    ) {
        match item {
            Value::Object(object) => self.of_object(object, example, &format!("{prefix}."), embed),
            Value::Array(_) => {
                self.push(prefix.to_owned(), "must be an object, not an array".to_owned())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.push(prefix.to_owned(), "must be an object, not a single value".to_owned());
            }
        }
    }

    fn name_unknown(
        &mut self,
        given: &Map<String, Value>,
        example: &Map<String, Value>,
        prefix: &str,
        embed: Embed<'_>,
    ) {
        let known = match example.keys().map(String::as_str).collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => "no field is known".to_owned(),
            names => format!("known: {names}"),
        };
        for (name, value) in given.iter().filter(|(name, _)| !example.contains_key(*name)) {
            let mut with = example.clone();
            with.insert(name.clone(), value.clone());
            if !(self.check)(&embed(with.into())).1.is_empty() {
                self.push(format!("{prefix}{name}"), format!("is unknown; {known}"));
            }
        }
    }

    fn push(&mut self, field: String, rule: String) {
        self.found.push(FieldError { field, rule });
    }
}

#[cfg(test)]
mod specs {
    use super::super::extract::check_as;
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Basket {
        owner: String,
        #[serde(default)]
        note: Option<String>,
        labels: std::collections::BTreeMap<String, u8>,
        lines: BasketLines,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Line {
        item: String,
        count: u8,
    }

    #[derive(Deserialize)]
    #[serde(try_from = "Vec<Line>")]
    struct BasketLines;

    impl TryFrom<Vec<Line>> for BasketLines {
        type Error = &'static str;
        fn try_from(lines: Vec<Line>) -> Result<Self, Self::Error> {
            if lines.len() == 1 { Ok(Self) } else { Err("one line, no more and no less") }
        }
    }

    fn fields_of(body: &Value) -> Vec<String> {
        let example = json!({"owner": "a", "note": "n", "labels": {"x": 1}, "lines": [{"item": "i", "count": 1}]});
        of(body, &example, &check_as::<Basket>).into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn every_error_has_its_path() {
        let line = json!({"item": 4, "count": 400, "price": 1});
        let body =
            json!({"lines": [line, 7, []], "note": 5, "labels": {"anything": 1}, "more": null});
        let wanted = [
            "lines[0].count",
            "lines[0].item",
            "lines[0].price",
            "lines[1]",
            "lines[2]",
            "note",
            "owner",
            "more",
        ];
        assert_eq!(fields_of(&body), wanted);
    }

    #[test]
    fn a_lists_rules_follow_those_of_its_items() {
        let line = json!({"item": "i", "count": 1});
        let basket = |lines: Value| json!({"owner": "a", "labels": {}, "lines": lines});
        assert_eq!(fields_of(&basket(json!([line.clone(), line.clone()]))), ["lines"]);
        assert_eq!(fields_of(&basket(json!({}))), ["lines"]);
        assert!(fields_of(&basket(json!([line]))).is_empty(), "the note may be left out");
        assert!(fields_of(&json!([])).is_empty(), "the type reports what is not an object");
    }
}
