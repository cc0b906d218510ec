//! All faults of a body at once. A type tells the first that it meets and ends there, so each field is looked at alone.

use super::extract::in_words_of_json;
use super::problem::FieldError;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A body whose fields can be looked at one by one.
pub(crate) trait Fields {
    /// Looks at each field that the body can have.
    fn look(at: &mut Faults<'_>);
}

/// The faults of an object that were found so far.
pub(crate) struct Faults<'a> {
    object: &'a Map<String, Value>,
    /// What stands before the name of a field: `lines[0].`, or nothing.
    place: String,
    known: Vec<&'static str>,
    found: Vec<FieldError>,
}

/// The faults of a body of that type.
pub(super) fn of<T: Fields>(body: &Value) -> Vec<FieldError> {
    body.as_object().map(|object| within(object, String::new(), T::look)).unwrap_or_default()
}

fn within(object: &Map<String, Value>, place: String, look: impl Fn(&mut Faults<'_>)) -> Vec<FieldError> {
    let mut faults = Faults { object, place, known: Vec::new(), found: Vec::new() };
    look(&mut faults);
    faults.name_unknown();
    faults.found
}

impl Faults<'_> {
    /// A field that must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, name: &'static str) {
        if !self.object.contains_key(name) {
            self.tell(name, "is required".to_owned());
        }
        self.optional::<T>(name);
    }

    /// A field that may be left out.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, name: &'static str) {
        self.known.push(name);
        if let Some(error) = self.object.get(name).and_then(|value| T::deserialize(value).err()) {
            self.tell(name, in_words_of_json(&error.to_string()));
        }
    }

    /// A list of objects that must be there. Rules of the list are looked at where its items have no fault.
    pub(crate) fn list<T: DeserializeOwned>(&mut self, name: &'static str, look: impl Fn(&mut Faults<'_>)) {
        let Some(Value::Array(items)) = self.object.get(name) else { return self.required::<T>(name) };
        let before = self.found.len();
        for (index, item) in items.iter().enumerate() {
            let place = format!("{}{name}[{index}]", self.place);
            match item {
                Value::Object(object) => self.found.extend(within(object, format!("{place}."), &look)),
                Value::Array(_) => self.found.push(FieldError::new(place, "must be an object, not an array")),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                    self.found.push(FieldError::new(place, "must be an object, not a single value"));
                }
            }
        }
        if self.found.len() == before { self.required::<T>(name) } else { self.known.push(name) }
    }

    fn tell(&mut self, name: &str, rule: String) {
        self.found.push(FieldError { field: format!("{}{name}", self.place), rule });
    }

    fn name_unknown(&mut self) {
        let known = match self.known.join(", ") {
            names if names.is_empty() => "nothing is".to_owned(),
            names => format!("known are {names}"),
        };
        for name in self.object.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let field = format!("{}{name}", self.place);
            self.found.push(FieldError { field, rule: format!("is not known here; {known}") });
        }
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use domain::order::OrderDetails;
    use serde_json::json;

    fn told(body: &Value) -> Vec<String> {
        of::<OrderDetails>(body).into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn every_fault_is_told_with_its_path() {
        let line = json!({"isbn": "9780306406157", "quantity": 0, "price": 1});
        let body = json!({"currency": "eur", "lines": [line, 7, []], "note": null});
        let unit = "lines[0].unit_price_minor";
        let wanted =
            ["customer_id", "currency", "lines[0].quantity", unit, "lines[0].price", "lines[1]", "lines[2]", "note"];
        assert_eq!(told(&body), wanted);
    }

    #[test]
    fn rules_of_a_list_are_told_where_its_items_have_no_fault() {
        let line = json!({"isbn": "9780306406157", "quantity": 1, "unit_price_minor": 1});
        let order = |lines: Value| json!({"customer_id": "c", "currency": "EUR", "lines": lines});
        assert_eq!(told(&order(json!([line.clone(), line]))), ["lines"]);
        assert_eq!(told(&order(json!([]))), ["lines"]);
        assert_eq!(told(&order(json!({}))), ["lines"]);
        assert!(told(&json!([])).is_empty(), "the type tells what is no object");
    }
}
