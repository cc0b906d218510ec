//! All faults of a body at once. A type tells the first that it meets and ends there. So each field is tried alone: in an
//! example of the body, whose other fields are as they should be.

use crate::problem::FieldError;
use serde_json::{Map, Value};

/// Tries a body: the rule that it breaks, if any, and the paths of fields that are not known.
pub(super) type Try<'a> = &'a dyn Fn(&Value) -> (Option<String>, Vec<String>);

/// The faults of a body, beside an example with all fields.
pub(super) fn of(body: &Value, example: &Value, attempt: Try<'_>) -> Vec<FieldError> {
    let (Value::Object(body), Value::Object(example)) = (body, example) else { return Vec::new() };
    let mut faults = Faults { attempt, found: Vec::new() };
    faults.of_object(body, example, "", &|object| object);
    faults.found
}

struct Faults<'a> {
    attempt: Try<'a>,
    found: Vec<FieldError>,
}

/// The whole body around a part of it.
type Around<'a> = &'a dyn Fn(Value) -> Value;

impl Faults<'_> {
    /// `place` is what stands before the name of a field: `lines[0].`, or nothing.
    fn of_object(&mut self, given: &Map<String, Value>, example: &Map<String, Value>, place: &str, around: Around<'_>) {
        for (name, good) in example {
            let field = format!("{place}{name}");
            match given.get(name) {
                None => {
                    let mut without = example.clone();
                    without.remove(name);
                    if (self.attempt)(&around(without.into())).0.is_some() {
                        self.tell(field, "is required".to_owned());
                    }
                }
                Some(value) => {
                    let with = |value: Value| {
                        let mut object = example.clone();
                        object.insert(name.clone(), value);
                        around(object.into())
                    };
                    self.of_field(value, good, field, &with);
                }
            }
        }
        self.name_unknown(given, example, place, around);
    }

    /// Rules of a list are told where its items have no fault.
    fn of_field(&mut self, given: &Value, good: &Value, field: String, around: Around<'_>) {
        let before = self.found.len();
        match (given, good) {
            (Value::Object(given), Value::Object(good)) => {
                self.of_object(given, good, &format!("{field}."), around);
            }
            (Value::Array(items), Value::Array(goods)) => {
                if let Some(Value::Object(good)) = goods.first() {
                    for (index, item) in items.iter().enumerate() {
                        let one = |item: Value| around(Value::Array(vec![item]));
                        self.of_item(item, good, &format!("{field}[{index}]"), &one);
                    }
                }
            }
            _ => {}
        }
        if self.found.len() == before
            && let Some(rule) = (self.attempt)(&around(given.clone())).0
        {
            self.tell(field, rule);
        }
    }

    fn of_item(&mut self, item: &Value, good: &Map<String, Value>, place: &str, around: Around<'_>) {
        match item {
            Value::Object(object) => self.of_object(object, good, &format!("{place}."), around),
            Value::Array(_) => self.tell(place.to_owned(), "must be an object, not an array".to_owned()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.tell(place.to_owned(), "must be an object, not a single value".to_owned());
            }
        }
    }

    fn name_unknown(
        &mut self,
        given: &Map<String, Value>,
        example: &Map<String, Value>,
        place: &str,
        around: Around<'_>,
    ) {
        let known = match example.keys().map(String::as_str).collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => "nothing is".to_owned(),
            names => format!("known are {names}"),
        };
        for (name, value) in given.iter().filter(|(name, _)| !example.contains_key(*name)) {
            let mut with = example.clone();
            with.insert(name.clone(), value.clone());
            if !(self.attempt)(&around(with.into())).1.is_empty() {
                self.tell(format!("{place}{name}"), format!("is not known here; {known}"));
            }
        }
    }

    fn tell(&mut self, field: String, rule: String) {
        self.found.push(FieldError { field, rule });
    }
}

#[cfg(test)]
mod specs {
    use super::super::extract::tried;
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
        lines: Lines,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only read")]
    struct Line {
        item: String,
        count: u8,
    }

    #[derive(Deserialize)]
    #[serde(try_from = "Vec<Line>")]
    struct Lines;

    impl TryFrom<Vec<Line>> for Lines {
        type Error = &'static str;
        fn try_from(lines: Vec<Line>) -> Result<Self, Self::Error> {
            if lines.len() == 1 { Ok(Self) } else { Err("one line, no more and no less") }
        }
    }

    fn told(body: &Value) -> Vec<String> {
        let example = json!({"owner": "a", "note": "n", "labels": {"x": 1}, "lines": [{"item": "i", "count": 1}]});
        of(body, &example, &tried::<Basket>).into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let line = json!({"item": 4, "count": 400, "price": 1});
        let body = json!({"lines": [line, 7, []], "note": 5, "labels": {"anything": 1}, "more": null});
        let wanted =
            ["lines[0].count", "lines[0].item", "lines[0].price", "lines[1]", "lines[2]", "note", "owner", "more"];
        assert_eq!(told(&body), wanted);
    }

    #[test]
    fn rules_of_a_list_are_told_where_its_items_have_no_fault() {
        let line = json!({"item": "i", "count": 1});
        let basket = |lines: Value| json!({"owner": "a", "labels": {}, "lines": lines});
        assert_eq!(told(&basket(json!([line.clone(), line.clone()]))), ["lines"]);
        assert_eq!(told(&basket(json!({}))), ["lines"]);
        assert!(told(&basket(json!([line]))).is_empty(), "the note may be left out");
        assert!(told(&json!([])).is_empty(), "the type tells what is no object");
    }
}
