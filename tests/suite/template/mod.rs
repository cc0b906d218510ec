//! The template of the deployed system, held against what the program makes, what its numbers need of each other, and what
//! nobody may.
#![cfg(test)]

mod costs;
mod numbers;
mod resources;
mod rights;
mod routes;

use serde_json::{Map, Value, json};
use serde_norway::Value as Yaml;

/// The prefix under which a test looks at the template: the one that `ledgerfold dev` uses by default has no stage, so this is
/// put in its place.
const PREFIX: &str = "ledgerfold-${Stage}";

/// The template, its short forms written out (`!Ref X` as `{"Ref": "X"}`).
pub(crate) struct Template {
    document: Value,
}

impl Template {
    pub(crate) fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml");
        let yaml: Yaml = serde_norway::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        Self { document: plain(&yaml) }
    }

    /// The properties of a resource.
    pub(crate) fn properties(&self, logical: &str) -> &Value {
        let resource = &self.document["Resources"][logical];
        assert!(resource.is_object(), "there is no resource {logical}");
        &resource["Properties"]
    }

    /// All resources of a type with their properties.
    fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let resources = self.document["Resources"].as_object().unwrap().iter();
        resources
            .filter(move |(_, resource)| resource["Type"] == kind)
            .map(|(name, resource)| (name.as_str(), &resource["Properties"]))
    }

    /// The logical name of the only resource of a type whose property is that.
    fn named(&self, kind: &str, property: &str, value: &Value) -> &str {
        let mut found = self.document["Resources"].as_object().unwrap().iter();
        let found = found.find(|(_, resource)| resource["Type"] == kind && resource["Properties"][property] == *value);
        found.unwrap_or_else(|| panic!("no {kind} has {property} {value}")).0
    }
}

/// Serde's plain form of a template: tags become the long forms of CloudFormation.
fn plain(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Tagged(tagged) => {
            let (tag, value) = (tagged.tag.to_string(), plain(&tagged.value));
            match tag.trim_start_matches('!') {
                name @ ("Ref" | "Condition") => json!({ name: value }),
                "GetAtt" => {
                    let (resource, attribute) = value.as_str().unwrap().split_once('.').unwrap();
                    json!({ "Fn::GetAtt": [resource, attribute] })
                }
                name => json!({ (format!("Fn::{name}")): value }),
            }
        }
        Yaml::Mapping(map) => {
            let entry = |(key, value): (&Yaml, &Yaml)| (key.as_str().unwrap().to_owned(), plain(value));
            Value::Object(map.iter().map(entry).collect::<Map<_, _>>())
        }
        Yaml::Sequence(items) => Value::Array(items.iter().map(plain).collect()),
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::String(_) => serde_json::to_value(yaml).unwrap(),
    }
}

/// What `!GetAtt` names.
pub(crate) fn get_att(value: &Value) -> Option<(&str, &str)> {
    let parts = value["Fn::GetAtt"].as_array()?;
    Some((parts[0].as_str()?, parts[1].as_str()?))
}

/// The text of `!Sub`.
fn sub(text: &str) -> Value {
    json!({ "Fn::Sub": text })
}

/// A list, or the one thing that stands for a list of one.
fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}
