//! Upcasters convert older events when they are read. Stored events never change.

use crate::NewEvent;
use crate::Untranslatable;
use serde_json::Value;

/// One step from a schema version of an event type to the next.
///
/// Steps are chained until none applies. So the list also defines the newest schema version of a
/// type: the one after the last step to it, or 1.
#[derive(Debug, Clone, Copy)]
pub struct Upcaster {
    /// The type as it is stored.
    pub event_type: &'static str,
    /// The schema version that it reads, at least 1. The result is one version newer.
    pub schema: u32,
    /// The resulting type: the same, or the new name of a renamed event. An old name is never used
    /// again.
    pub becomes: &'static str,
    /// Converts the data. Pure: the same data gives the same result, and unknown data gives an
    /// error. (Indexing a [`Value`] gives `null` for a missing field, or panics: deserialise it
    /// instead.)
    pub lift: fn(Value) -> serde_json::Result<Value>,
}

/// An event in its newest schema.
pub(crate) struct Lifted {
    pub(crate) event_type: &'static str,
    pub(crate) data: Value,
}

/// The step for this schema version, if it is not the newest.
pub(crate) fn step<'a>(
    upcasters: &'a [Upcaster],
    event_type: &str,
    schema: u32,
) -> Option<&'a Upcaster> {
    upcasters.iter().find(|upcaster| upcaster.event_type == event_type && upcaster.schema == schema)
}

/// The newest schema version of the type that the list knows.
pub(crate) fn newest(upcasters: &[Upcaster], event_type: &str) -> u32 {
    let made = upcasters.iter().filter(|upcaster| upcaster.becomes == event_type);
    made.map(|upcaster| upcaster.schema.saturating_add(1)).max().unwrap_or(1)
}

/// Upcasts an event to its newest schema. None if it is already there; its data is not parsed then.
pub(crate) fn lift(
    upcasters: &[Upcaster],
    event: &NewEvent,
) -> Result<Option<Lifted>, Untranslatable> {
    let Some(first) = step(upcasters, &event.event_type, event.schema) else {
        return check_newest(upcasters, &event.event_type, event.schema).map(|()| None);
    };
    let mut data = serde_json::from_str(event.data.get())?;
    let mut upcaster = first;
    loop {
        let Upcaster { event_type, schema, becomes, lift } = *upcaster;
        data =
            lift(data).map_err(|source| Untranslatable::Upcaster { event_type, schema, source })?;
        let schema = schema.saturating_add(1);
        match step(upcasters, becomes, schema) {
            Some(next) => upcaster = next,
            None => {
                return check_newest(upcasters, becomes, schema)
                    .map(|()| Some(Lifted { event_type: becomes, data }));
            }
        }
    }
}

/// Whether the schema version, for which there is no step, is the newest of its type.
fn check_newest(
    upcasters: &[Upcaster],
    event_type: &str,
    schema: u32,
) -> Result<(), Untranslatable> {
    let newest = newest(upcasters, event_type);
    match schema {
        0 => Err(Untranslatable::SchemaZero),
        schema if schema > newest => Err(Untranslatable::Newer { newest }),
        schema if schema < newest => {
            Err(Untranslatable::NoUpcaster { event_type: event_type.to_owned(), schema, newest })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod specs {
    use super::*;
    use crate::{CodecError, EventCodec};
    use serde::{Deserialize, Serialize};
    use serde_json::json;
    use serde_json::value::RawValue;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type", content = "data")]
    enum Told {
        Weighed { grams: u128 },
        Sorted {},
    }

    /// `Measured` in kilograms, then in grams, then under its new name.
    const STEPS: [Upcaster; 3] = [
        Upcaster { event_type: "Measured", schema: 1, becomes: "Measured", lift: in_grams },
        Upcaster { event_type: "Measured", schema: 2, becomes: "Weighed", lift: Ok },
        Upcaster { event_type: "Weighed", schema: 3, becomes: "Weighed", lift: Ok },
    ];
    const CODEC: EventCodec<Told> = EventCodec::new(&STEPS);

    fn in_grams(data: Value) -> serde_json::Result<Value> {
        let kilograms: u64 = serde_json::from_value(data["kilograms"].clone())?;
        Ok(json!({ "grams": kilograms * 1000 }))
    }

    fn stored(event_type: &str, schema: u32, data: &str) -> NewEvent {
        NewEvent {
            event_type: event_type.into(),
            schema,
            data: RawValue::from_string(data.into()).unwrap(),
        }
    }

    fn fails(codec: &EventCodec<Told>, event: &NewEvent) -> Untranslatable {
        let CodecError { event_type, schema, source } = codec.decode(event).unwrap_err();
        assert_eq!(
            (event_type, schema),
            (event.event_type.clone(), event.schema),
            "the error names what was stored"
        );
        source
    }

    #[test]
    fn steps_are_chained_from_wherever_an_event_stands() {
        let old = [
            stored("Measured", 1, r#"{"kilograms":2}"#),
            stored("Measured", 2, r#"{"grams":2000}"#),
            stored("Weighed", 3, r#"{"grams":2000}"#),
            stored("Weighed", 4, r#"{"grams":2000}"#),
        ];
        for event in old {
            assert_eq!(CODEC.decode(&event).unwrap(), Told::Weighed { grams: 2000 }, "{event:?}");
        }
    }

    #[test]
    fn the_list_says_which_schema_is_written() {
        let written = CODEC.encode(&Told::Weighed { grams: 1 }).unwrap();
        assert_eq!(
            (written.event_type.as_str(), written.schema, written.data.get()),
            ("Weighed", 4, r#"{"grams":1}"#)
        );
        assert_eq!(CODEC.encode(&Told::Sorted {}).unwrap().schema, 1);
    }

    /// No JSON value holds so large a number: it passes because nothing parses the text in between.
    #[test]
    fn the_newest_shape_is_parsed_right_into_the_event() {
        let grams = u128::MAX - 1;
        let newest = CODEC.encode(&Told::Weighed { grams }).unwrap();
        assert_eq!(CODEC.decode(&newest).unwrap(), Told::Weighed { grams });
        let older = NewEvent { schema: 3, ..newest };
        assert!(matches!(fails(&CODEC, &older), Untranslatable::Shape(_)));
    }

    #[test]
    fn a_newer_schema_or_none_is_not_read() {
        assert!(matches!(
            fails(&CODEC, &stored("Weighed", 5, "{}")),
            Untranslatable::Newer { newest: 4 }
        ));
        assert!(matches!(
            fails(&CODEC, &stored("Measured", 3, "{}")),
            Untranslatable::Newer { newest: 2 }
        ));
        assert!(matches!(
            fails(&CODEC, &stored("Unheard", 2, "{}")),
            Untranslatable::Newer { newest: 1 }
        ));
        assert!(matches!(fails(&CODEC, &stored("Weighed", 0, "{}")), Untranslatable::SchemaZero));
        assert!(matches!(fails(&CODEC, &stored("Unheard", 0, "{}")), Untranslatable::SchemaZero));
    }

    #[test]
    fn a_gap_in_the_chain_is_named() {
        const GAP: EventCodec<Told> = EventCodec::new(&[
            Upcaster { event_type: "Weighed", schema: 1, becomes: "Weighed", lift: Ok },
            Upcaster { event_type: "Weighed", schema: 3, becomes: "Weighed", lift: Ok },
        ]);
        for schema in [1, 2] {
            let error = fails(&GAP, &stored("Weighed", schema, r#"{"grams":1}"#));
            assert_eq!(
                error.to_string(),
                r#"no upcaster lifts "Weighed" from schema 2, but 4 is the newest"#
            );
        }
    }

    #[test]
    fn an_upcaster_that_fails_is_named_with_what_it_stumbled_over() {
        let error = fails(&CODEC, &stored("Measured", 1, r#"{"kilograms":"two"}"#));
        assert_eq!(error.to_string(), r#"the upcaster of "Measured" from schema 1 failed"#);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("invalid type: string"), "{source}");
    }

    #[test]
    fn what_is_of_no_known_type_or_shape_is_not_read() {
        assert!(matches!(fails(&CODEC, &stored("Unheard", 1, "{}")), Untranslatable::UnknownType));
        for event in [stored("Weighed", 4, "{}"), stored("Measured", 2, "{}")] {
            assert!(matches!(fails(&CODEC, &event), Untranslatable::Shape(_)), "{event:?}");
        }
    }

    #[test]
    fn an_old_name_is_not_written_again() {
        const RENAMED: EventCodec<Told> = EventCodec::new(&[Upcaster {
            event_type: "Sorted",
            schema: 1,
            becomes: "Weighed",
            lift: Ok,
        }]);
        let CodecError { event_type, source, .. } = RENAMED.encode(&Told::Sorted {}).unwrap_err();
        assert!(
            event_type == "Sorted"
                && matches!(source, Untranslatable::Renamed { becomes: "Weighed" })
        );
    }

    #[test]
    fn what_serde_does_not_write_as_type_and_data_is_not_written() {
        let error = EventCodec::<u32>::new(&[]).encode(&1).unwrap_err();
        assert_eq!((error.event_type.as_str(), error.schema), ("u32", 0));
    }
}
