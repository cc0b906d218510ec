//! The check of a category: every stored shape can be read, and a new shape has a new schema
//! version.

use super::golden::{Kept, event_of, shape, text_of};
use super::outline::Outline;
use eventstore::{EventCodec, NewEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;

/// What to do after a change of a shape.
pub(super) fn steps(event_type: &str, schema: u32) -> String {
    let next = schema + 1;
    format!(
        "what is stored in the shape {event_type}.v{schema} stays as it is, so a new shape needs a number of its own:\n\
         1. domain/app/src/events.rs: add an upcaster of {event_type:?} from schema {schema}\n\
         2. domain/golden: restore {event_type}.v{schema}*.json, and add {event_type}.v{next}.json of the new shape\n\
         3. run this test again: it tells what else to keep, and the lines to add to domain/golden/shapes.lock\n\
         (only if no program has ever stored {event_type}.v{schema}, change its files and its line instead)"
    )
}

/// All faults, each with what to do.
pub(super) fn faults<E: Serialize + DeserializeOwned>(
    codec: &EventCodec<E>,
    kept: &Kept,
) -> Vec<String> {
    let mut check = Check { codec, kept, newest: BTreeMap::new(), faults: locked(kept) };
    for (name, text) in &kept.files {
        if let Err(fault) = check.file(name, text) {
            check.faults.push(fault);
        }
    }
    check.upcasters();
    check.outlines();
    check.absences();
    check.faults
}

/// Finds changed, removed and unlocked golden files.
fn locked(kept: &Kept) -> Vec<String> {
    let digests = kept.digests();
    let shapes: BTreeSet<&String> = digests.keys().chain(kept.lock.keys()).collect();
    let compared =
        shapes.into_iter().map(|shape| (shape, digests.get(shape), kept.lock.get(shape)));
    let faults =
        compared.filter(|(_, digest, line)| digest != line).map(|(shape, digest, line)| match (digest, line) {
            (None, _) => format!("{shape} has no golden file any more, but stored events may have it: restore it"),
            (Some(digest), None) => {
                format!(
                    "once the golden files of {shape} are right, add to domain/golden/shapes.lock: {shape} {digest}"
                )
            }
            (Some(_), Some(_)) => {
                let (event_type, schema) = shape.split_once(".v").unwrap_or((shape, "0"));
                format!(
                    "golden files of {shape} were changed or added; {}",
                    steps(event_type, schema.parse().unwrap_or(0))
                )
            }
        });
    faults.collect()
}

struct Check<'a, E> {
    codec: &'a EventCodec<E>,
    kept: &'a Kept,
    /// The events of the newest shapes, by type.
    newest: BTreeMap<String, Vec<Value>>,
    faults: Vec<String>,
}

impl<E: Serialize + DeserializeOwned> Check<'_, E> {
    /// Loads a golden file: of the newest shape, it is written again as it was; of an older, it has
    /// become one that is kept.
    fn file(&mut self, name: &str, text: &str) -> Result<(), String> {
        let stored = event_of(name, text)?;
        let (event_type, schema) = (&stored.event_type, stored.schema);
        let event = self.codec.decode(&stored).map_err(|error| {
            format!(
                "{name} cannot be read any more: {}; {}",
                chain(&error),
                steps(event_type, schema)
            )
        })?;
        let written =
            self.codec.encode(&event).map_err(|error| format!("{name}: {}", chain(&error)))?;
        let today = text_of(&written);
        if (written.event_type.as_str(), written.schema) != (event_type, schema) {
            let kept = self.kept.files.values().any(|kept| *kept == today);
            let shape = shape(&written.event_type, written.schema);
            let advice = format!(
                "{name} becomes another event: if this is right, keep it as domain/golden/"
            );
            return if kept {
                Ok(())
            } else {
                Err(format!("{advice}{shape}.from_v{schema}.json:\n{today}"))
            };
        }
        self.newest.entry(event_type.clone()).or_default().push(tagged(&stored));
        if today == text {
            return Ok(());
        }
        Err(format!("{name} is written otherwise today:\n{today}{}", steps(event_type, schema)))
    }

    /// Each step of the list has what it lifts from among the golden files, and is the only one to
    /// do so.
    fn upcasters(&mut self) {
        let mut steps = BTreeSet::new();
        for upcaster in self.codec.upcasters() {
            let from = shape(upcaster.event_type, upcaster.schema);
            if !self.kept.digests().contains_key(&from) {
                self.faults.push(format!(
                    "an upcaster lifts {from}, which has no golden file: add {from}.json"
                ));
            }
            if !steps.insert(from.clone()) {
                self.faults.push(format!("two upcasters lift {from}: one of them never runs"));
            }
        }
    }

    /// Everything that the code can read of the newest shapes is in a golden file of them.
    fn outlines(&mut self) {
        let outline = Outline::default();
        for (event_type, events) in &self.newest {
            for event in events {
                if let Err(error) = outline.add::<E>(event_type, event) {
                    self.faults.push(format!("{event_type} has no outline: {error}"));
                }
            }
        }
        let digests = self.kept.digests();
        let shapes = outline
            .types()
            .into_iter()
            .map(|written| shape(written, self.codec.newest_schema(written)));
        for shape in shapes.filter(|shape| !digests.contains_key(shape)) {
            self.faults.push(format!(
                "{shape} is written and has no golden file: add domain/golden/{shape}.json"
            ));
        }
        for missing in outline.not_shown() {
            let event_type = missing.split(['.', ':']).next().unwrap_or_default();
            self.unseen(event_type, &missing);
        }
    }

    /// What the code may leave out, or write as null, is left out or null in a golden file of the
    /// shape.
    fn absences(&mut self) {
        for (event_type, events) in self.newest.clone() {
            let mut keys = Keys::new();
            events.iter().for_each(|event| keys_of(&event["data"], "data", &mut keys));
            let shown: Absences =
                events.iter().flat_map(|event| absences(&event["data"], "data", &keys)).collect();
            let less = events.iter().flat_map(|event| lessened(&event["data"]));
            let written = less.filter_map(|data| self.rewritten(&event_type, data));
            let absent: Absences =
                written.flat_map(|data| absences(&data, "data", &keys)).collect();
            for (place, how) in absent.difference(&shown) {
                self.unseen(&event_type, &format!("{event_type}.{place}: {how}"));
            }
        }
    }

    /// The data as they are written, if they can be read.
    fn rewritten(&self, event_type: &str, data: Value) -> Option<Value> {
        let stored = NewEvent {
            event_type: event_type.to_owned(),
            schema: self.codec.newest_schema(event_type),
            data: serde_json::value::to_raw_value(&data).unwrap(),
        };
        let written = self.codec.encode(&self.codec.decode(&stored).ok()?).ok()?;
        Some(tagged(&written)["data"].take())
    }

    fn unseen(&mut self, event_type: &str, missing: &str) {
        let schema = self.codec.newest_schema(event_type);
        let shape = shape(event_type, schema);
        self.faults.push(match self.kept.lock.contains_key(&shape) {
            true => format!(
                "not in any golden file of {shape}: {missing}; {}",
                steps(event_type, schema)
            ),
            false => format!("not in any golden file of {shape}: {missing}; add one that has it"),
        });
    }
}

/// The keys of objects at each place of the data, over all samples.
type Keys = BTreeMap<String, BTreeSet<String>>;

fn keys_of(data: &Value, place: &str, keys: &mut Keys) {
    match data {
        Value::Array(values) => {
            values.iter().for_each(|value| keys_of(value, &format!("{place}[]"), keys))
        }
        Value::Object(fields) => {
            keys.entry(place.to_owned()).or_default().extend(fields.keys().cloned());
            fields.iter().for_each(|(key, value)| keys_of(value, &format!("{place}.{key}"), keys));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Places of the data that are null.
type Absences = BTreeSet<(String, &'static str)>;

fn absences(data: &Value, place: &str, keys: &Keys) -> Absences {
    match data {
        Value::Null => Absences::from([(place.to_owned(), "null")]),
        Value::Array(values) => {
            values.iter().flat_map(|value| absences(value, &format!("{place}[]"), keys)).collect()
        }
        Value::Object(fields) => {
            let inner = fields
                .iter()
                .flat_map(|(key, value)| absences(value, &format!("{place}.{key}"), keys));
            let absent =
                keys.get(place).into_iter().flatten().filter(|key| !fields.contains_key(*key));
            inner.chain(absent.map(|key| (format!("{place}.{key}"), "left out"))).collect()
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Absences::new(),
    }
}

/// For each field: the data without it, and with null.
fn lessened(data: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for place in places(data, "") {
        let (object, key) = place.rsplit_once('/').unwrap();
        let mut null = data.clone();
        *null.pointer_mut(&place).unwrap() = Value::Null;
        all.push(null);
        let mut less = data.clone();
        if let Some(fields) = less.pointer_mut(object).unwrap().as_object_mut() {
            fields.remove(key);
            all.push(less);
        }
    }
    all
}

/// The JSON pointers of all values in the data.
fn places(data: &Value, place: &str) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match data {
        Value::Array(values) => {
            (0..).zip(values).map(|(index, value)| (format!("{place}/{index}"), value)).collect()
        }
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (format!("{place}/{key}"), value)).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    inner
        .into_iter()
        .flat_map(|(place, value)| [vec![place.clone()], places(value, &place)].concat())
        .collect()
}

fn tagged(event: &NewEvent) -> Value {
    let data: Value = serde_json::from_str(event.data.get()).unwrap();
    json!({ "type": event.event_type, "data": data })
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let errors = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    errors.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
