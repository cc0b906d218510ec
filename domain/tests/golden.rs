//! Every shape in which an event was ever stored still loads, and what loads is written again as it was.

#[cfg(test)]
mod golden {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use domain::order::OrderEvent;
    use domain::stock::StockEvent;
    use serde_json::{Value, json};

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
    }

    /// The golden files by name: `<type>.v<schema>`.
    fn files() -> Vec<(String, Value)> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "json", "{}", path.display());
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            files.push((name, serde_json::from_slice(&fs::read(&path).unwrap()).unwrap()));
        }
        files
    }

    /// An event as it is stored: the name of its shape, and its JSON.
    fn reload(stored: Value) -> (String, Value) {
        let event_type = stored["type"].as_str().unwrap().to_owned();
        if OrderEvent::TYPES.contains(&event_type.as_str()) {
            let event: OrderEvent = serde_json::from_value(stored).unwrap();
            (format!("{}.v{}", event.event_type(), event.schema()), serde_json::to_value(&event).unwrap())
        } else {
            let event: StockEvent = serde_json::from_value(stored).unwrap();
            (format!("{}.v{}", event.event_type(), event.schema()), serde_json::to_value(&event).unwrap())
        }
    }

    #[test]
    fn every_stored_shape_loads_and_is_written_as_it_was() {
        for (name, stored) in files() {
            assert_eq!(reload(stored.clone()), (name, stored));
        }
    }

    #[test]
    fn every_event_type_has_a_golden_file() {
        let kept: BTreeSet<String> = files().into_iter().map(|(name, _)| name).collect();
        let types = OrderEvent::TYPES.iter().chain(&StockEvent::TYPES);
        assert_eq!(kept, types.map(|event_type| format!("{event_type}.v1")).collect());
    }

    #[test]
    fn a_field_of_later_days_is_ignored() {
        for (name, stored) in files() {
            let mut later = stored.clone();
            later["data"]["added_later"] = json!({ "by": "a newer version" });
            assert_eq!(reload(later), (name, stored));
        }
    }

    #[test]
    fn the_data_may_come_before_the_type() {
        let stored = r#"{"data":{"quantity":50},"type":"StockReceived"}"#;
        let event: StockEvent = serde_json::from_str(stored).unwrap();
        assert_eq!(
            serde_json::to_value(event).unwrap(),
            json!({ "type": "StockReceived", "data": { "quantity": 50 } })
        );
    }
}
