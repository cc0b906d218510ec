//! The templates of both apps: their resources match the program, their numbers fit each other, and
//! no function has a forbidden permission.
#![cfg(test)]

mod container;
mod costs;
mod numbers;
mod rendered;
mod resources;
pub(crate) mod rights;
mod routes;

use serde_json::{Map, Value, json};
use serde_norway::Value as Yaml;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::LazyLock;

/// The prefix in these tests. It replaces the template's prefix with a stage, because the default
/// prefix of `ledgerfold dev` has none.
const PREFIX: &str = "ledgerfold-${Stage}";

/// A template with long forms (`{"Ref": "X"}` for `!Ref X`).
#[derive(Clone)]
pub(crate) struct Template {
    /// The prefix of the app's tables and queues.
    prefix: &'static str,
    document: Value,
}

static BOOKSHOP: LazyLock<Template> = LazyLock::new(|| {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml");
    Template::of("ledgerfold", &std::fs::read_to_string(path).unwrap())
});

static BILLING: LazyLock<Template> = LazyLock::new(|| {
    let rendered =
        Command::new(env!("CARGO_BIN_EXE_billing-under-test")).arg("template").output().unwrap();
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    Template::of("billing", &String::from_utf8(rendered.stdout).unwrap())
});

impl Template {
    /// The bookshop's template.
    pub(crate) fn read() -> Self {
        BOOKSHOP.clone()
    }

    /// The templates of both apps.
    fn both() -> [Self; 2] {
        [Self::read(), BILLING.clone()]
    }

    fn of(prefix: &'static str, yaml: &str) -> Self {
        Self { prefix, document: plain(&serde_norway::from_str::<Yaml>(yaml).unwrap()) }
    }

    /// The component of a function, from its environment.
    fn component(&self, function: &str) -> &str {
        self.properties(function)["Environment"]["Variables"]["LEDGERFOLD_COMPONENT"]
            .as_str()
            .unwrap()
    }

    /// The read model or process of a function.
    fn projection(&self, function: &str) -> Option<&str> {
        self.properties(function)["Environment"]["Variables"]["LEDGERFOLD_PROJECTION"].as_str()
    }

    /// The function of this component and projection.
    pub(crate) fn function(&self, component: &str, projection: Option<&str>) -> &str {
        let functions = self.functions(&[component]);
        functions.into_iter().find(|name| self.projection(name) == projection).unwrap()
    }

    /// The queue that a function reads, and its mapping.
    fn mapped(&self, function: &str) -> (&str, &Value) {
        let mut mappings = self.all("AWS::Lambda::EventSourceMapping");
        let of = mappings
            .find(|(_, mapping)| get_att(&mapping["FunctionName"]).unwrap().0 == function)
            .unwrap()
            .1;
        (get_att(&of["EventSourceArn"]).unwrap().0, of)
    }

    /// The functions of these components.
    pub(crate) fn functions(&self, components: &[&str]) -> BTreeSet<&str> {
        let functions = self.all("AWS::Serverless::Function").map(|(name, _)| name);
        functions.filter(|name| components.contains(&self.component(name))).collect()
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

    /// How many resources of a type are unconditional.
    fn unconditional(&self, kind: &str) -> usize {
        let resources = self.document["Resources"].as_object().unwrap().values();
        resources
            .filter(|resource| resource["Type"] == kind && resource["Condition"].is_null())
            .count()
    }

    /// The logical name of the only resource of a type with this property.
    pub(crate) fn named(&self, kind: &str, property: &str, value: &Value) -> &str {
        let mut found = self.document["Resources"].as_object().unwrap().iter();
        let found = found.find(|(_, resource)| {
            resource["Type"] == kind && resource["Properties"][property] == *value
        });
        found.unwrap_or_else(|| panic!("no {kind} has {property} {value}")).0
    }
}

/// Converts YAML tags to CloudFormation's long forms.
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
            let entry =
                |(key, value): (&Yaml, &Yaml)| (key.as_str().unwrap().to_owned(), plain(value));
            Value::Object(map.iter().map(entry).collect::<Map<_, _>>())
        }
        Yaml::Sequence(items) => Value::Array(items.iter().map(plain).collect()),
        Yaml::Null | Yaml::Bool(_) | Yaml::Number(_) | Yaml::String(_) => {
            serde_json::to_value(yaml).unwrap()
        }
    }
}

/// The target of `!GetAtt`.
pub(crate) fn get_att(value: &Value) -> Option<(&str, &str)> {
    let parts = value["Fn::GetAtt"].as_array()?;
    Some((parts[0].as_str()?, parts[1].as_str()?))
}

/// The text of `!Sub`.
fn sub(text: &str) -> Value {
    json!({ "Fn::Sub": text })
}

/// A list, or a single value as a list of one.
fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}
