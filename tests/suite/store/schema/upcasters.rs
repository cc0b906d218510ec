//! Three releases of a program store the same tally in three shapes. Each reads the older shapes.
//!
//! | program | an addition is stored as |
//! |---|---|
//! | [`first`] | `Counted`, schema 1: `{"number": 3}` |
//! | [`second`] | `Added`, schema 2, renamed with its field: `{"amount": 3}` |
//! | [`third`] | `Added`, schema 3: `{"amount": 3, "unit": "piece"}`; and `Opened`, schema 2, names a place |

use crate::store::{Answer, Engine, Process, Refusal, metadata, request, stream};
use eventstore::{
    CodecError, CommandHandler, CommandRequest, EventCodec, ExecuteError, Model, NewCommit,
    NewEvent, StreamId, Unreadable, Untranslatable, Upcaster,
};
use serde_json::value::RawValue;

cases!(
    events_of_older_programs_are_read_and_appended_to,
    a_stream_that_every_program_wrote_to_is_read_as_one,
    stored_events_are_not_changed,
    an_older_program_stops_at_a_newer_event,
    an_older_program_that_loses_a_race_to_a_newer_one_stops,
    a_gap_a_failing_upcaster_and_a_schema_0_stop_the_command,
    an_event_of_a_renamed_type_is_not_written,
);

/// The tally in each program. A limit bounds additions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    by: String,
    place: String,
    pieces: u64,
}

const MOST_PIECES: u64 = 100;

/// The first release: it counts.
mod first {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Serialize, Deserialize)]
    #[serde(tag = "type", content = "data")]
    pub(in crate::store) enum Told {
        Opened { by: String },
        Counted { number: u64 },
    }

    const TOLD: EventCodec<Told> = EventCodec::new(&[]);
    pub(in crate::store) const TALLY: Model<Tally, Told> = Model {
        initial: Tally::default,
        evolve,
        encode: |told| TOLD.encode(told),
        decode: |event| TOLD.decode(event),
        snapshot: None,
    };

    fn evolve(tally: Tally, told: &Told) -> Tally {
        match told {
            Told::Opened { by } => Tally { by: by.clone(), ..tally },
            Told::Counted { number } => Tally { pieces: tally.pieces + number, ..tally },
        }
    }

    pub(in crate::store) fn opened() -> Told {
        Told::Opened { by: "Ada".into() }
    }

    pub(in crate::store) fn more(number: u64) -> Told {
        Told::Counted { number }
    }
}

/// The second release: it adds.
mod second {
    use super::*;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    #[derive(Clone, Serialize, Deserialize)]
    #[serde(tag = "type", content = "data")]
    pub(in crate::store) enum Told {
        Opened { by: String },
        Added { amount: u64 },
    }

    pub(in crate::store) const FROM_COUNTED: Upcaster =
        Upcaster { event_type: "Counted", schema: 1, becomes: "Added", lift: amount_of_number };

    fn amount_of_number(data: Value) -> serde_json::Result<Value> {
        let number: u64 = serde_json::from_value(data["number"].clone())?;
        Ok(json!({ "amount": number }))
    }

    const TOLD: EventCodec<Told> = EventCodec::new(&[FROM_COUNTED]);
    pub(in crate::store) const TALLY: Model<Tally, Told> = Model {
        initial: Tally::default,
        evolve,
        encode: |told| TOLD.encode(told),
        decode: |event| TOLD.decode(event),
        snapshot: None,
    };

    fn evolve(tally: Tally, told: &Told) -> Tally {
        match told {
            Told::Opened { by } => Tally { by: by.clone(), ..tally },
            Told::Added { amount } => Tally { pieces: tally.pieces + amount, ..tally },
        }
    }

    pub(in crate::store) fn more(amount: u64) -> Told {
        Told::Added { amount }
    }
}

/// The third release: with units and places.
mod third {
    use super::*;
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    #[derive(Clone, Copy, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub(in crate::store) enum Unit {
        Piece,
        Dozen,
    }

    #[derive(Clone, Serialize, Deserialize)]
    #[serde(tag = "type", content = "data")]
    pub(in crate::store) enum Told {
        Opened { by: String, place: String },
        Added { amount: u64, unit: Unit },
    }

    const FROM_OPENED: Upcaster = Upcaster {
        event_type: "Opened",
        schema: 1,
        becomes: "Opened",
        lift: |data| with(data, "place", "the old house"),
    };
    pub(in crate::store) const FROM_ADDED: Upcaster = Upcaster {
        event_type: "Added",
        schema: 2,
        becomes: "Added",
        lift: |data| with(data, "unit", "piece"),
    };

    fn with(mut data: Value, field: &str, text: &str) -> serde_json::Result<Value> {
        data[field] = json!(text);
        Ok(data)
    }

    const TOLD: EventCodec<Told> =
        EventCodec::new(&[FROM_OPENED, second::FROM_COUNTED, FROM_ADDED]);
    pub(in crate::store) const TALLY: Model<Tally, Told> = Model {
        initial: Tally::default,
        evolve,
        encode: |told| TOLD.encode(told),
        decode: |event| TOLD.decode(event),
        snapshot: None,
    };

    fn evolve(tally: Tally, told: &Told) -> Tally {
        match told {
            Told::Opened { by, place } => Tally { by: by.clone(), place: place.clone(), ..tally },
            Told::Added { amount, unit: Unit::Piece } => {
                Tally { pieces: tally.pieces + amount, ..tally }
            }
            Told::Added { amount, unit: Unit::Dozen } => {
                Tally { pieces: tally.pieces + 12 * amount, ..tally }
            }
        }
    }

    pub(in crate::store) fn opened() -> Told {
        Told::Opened { by: "Grace".into(), place: "the new house".into() }
    }

    pub(in crate::store) fn dozens(amount: u64) -> Told {
        Told::Added { amount, unit: Unit::Dozen }
    }
}

/// A command of a release: the event, unless it exceeds the limit of the tally.
async fn tell<E: Clone + Send + Sync + 'static>(
    process: &Process,
    model: &Model<Tally, E>,
    request: &CommandRequest,
    told: E,
) -> Answer {
    let Model { initial, evolve, encode, decode, .. } = *model;
    let decide = move |tally: &Tally| match evolve(tally.clone(), &told).pieces > MOST_PIECES {
        true => Err(Refusal::Closed),
        false => Ok(vec![told.clone()]),
    };
    let model = Model { initial, evolve, encode, decode, snapshot: None };
    CommandHandler::new(process.store.clone(), model).handle(request.clone(), decide).await
}

/// The tally that a release reads.
async fn read<E>(
    process: &Process,
    model: &Model<Tally, E>,
    stream: &StreamId,
) -> Result<Tally, CodecError> {
    let events = stored(process, stream).await;
    events.iter().try_fold((model.initial)(), |tally, event| {
        Ok((model.evolve)(tally, &(model.decode)(event)?))
    })
}

/// The stored events.
async fn stored(process: &Process, stream: &StreamId) -> Vec<NewEvent> {
    let commits = process.load(stream).await.batches.into_iter().flat_map(|batch| batch.commits);
    commits.flat_map(|commit| commit.events).map(|event| event.body).collect()
}

/// Their types, schemas and data.
async fn shapes(process: &Process, stream: &StreamId) -> Vec<(String, u32, String)> {
    let events = stored(process, stream).await;
    events
        .into_iter()
        .map(|event| (event.event_type, event.schema, event.data.get().to_owned()))
        .collect()
}

fn is(event_type: &str, schema: u32, data: &str) -> (String, u32, String) {
    (event_type.to_owned(), schema, data.to_owned())
}

fn ask(stream: &StreamId, command: &str) -> CommandRequest {
    request(stream, command, command)
}

async fn events_of_older_programs_are_read_and_appended_to(engine: &Engine) {
    let table = engine.table().await;
    let (old, new, stream) = (table.process(), table.process(), stream("s"));
    tell(&old, &first::TALLY, &ask(&stream, "a"), first::opened()).await.unwrap();
    tell(&old, &first::TALLY, &ask(&stream, "b"), first::more(70)).await.unwrap();

    let refused = tell(&new, &third::TALLY, &ask(&stream, "c"), third::dozens(3)).await;
    assert!(
        matches!(refused, Err(ExecuteError::Refused(Refusal::Closed))),
        "it has folded the 70: {refused:?}"
    );
    tell(&new, &third::TALLY, &ask(&stream, "d"), third::dozens(2)).await.unwrap();

    let tally = Tally { by: "Ada".into(), place: "the old house".into(), pieces: 94 };
    assert_eq!(read(&table.process(), &third::TALLY, &stream).await.unwrap(), tally);
    assert_eq!(shapes(&new, &stream).await[2], is("Added", 3, r#"{"amount":2,"unit":"dozen"}"#));
    let again = tell(&new, &third::TALLY, &ask(&stream, "b"), third::dozens(1)).await.unwrap();
    assert!(again.replayed, "a command of an older program is still known");
}

async fn a_stream_that_every_program_wrote_to_is_read_as_one(engine: &Engine) {
    let table = engine.table().await;
    let stream = stream("s");
    let programs = [table.process(), table.process(), table.process()];
    tell(&programs[0], &first::TALLY, &ask(&stream, "a"), first::opened()).await.unwrap();
    tell(&programs[0], &first::TALLY, &ask(&stream, "b"), first::more(3)).await.unwrap();
    tell(&programs[1], &second::TALLY, &ask(&stream, "c"), second::more(4)).await.unwrap();
    tell(&programs[2], &third::TALLY, &ask(&stream, "d"), third::dozens(1)).await.unwrap();
    tell(&programs[2], &third::TALLY, &ask(&stream, "e"), third::dozens(2)).await.unwrap();
    let shapes = shapes(&programs[2], &stream)
        .await
        .into_iter()
        .map(|(event_type, schema, _)| (event_type, schema));
    let kept = [("Opened", 1), ("Counted", 1), ("Added", 2), ("Added", 3), ("Added", 3)];
    assert_eq!(
        shapes.collect::<Vec<_>>(),
        kept.map(|(event_type, schema)| (event_type.to_owned(), schema))
    );
    let tally = Tally { by: "Ada".into(), place: "the old house".into(), pieces: 3 + 4 + 36 };
    assert_eq!(read(&programs[2], &third::TALLY, &stream).await.unwrap(), tally);
}

async fn stored_events_are_not_changed(engine: &Engine) {
    let table = engine.table().await;
    let (process, stream) = (table.process(), stream("s"));
    tell(&process, &first::TALLY, &ask(&stream, "a"), first::opened()).await.unwrap();
    tell(&process, &second::TALLY, &ask(&stream, "b"), second::more(5)).await.unwrap();
    let (items, before) = (table.items(&stream).await, shapes(&process, &stream).await);
    assert_eq!(before, [is("Opened", 1, r#"{"by":"Ada"}"#), is("Added", 2, r#"{"amount":5}"#)]);
    tell(&process, &third::TALLY, &ask(&stream, "c"), third::dozens(1)).await.unwrap();
    assert_eq!(table.items(&stream).await[..2], items[..]);
    assert_eq!(shapes(&process, &stream).await[..2], before[..]);
    assert!(process.store.verify(&stream).await.unwrap().verified());
}

/// The command failed because the event is newer than the program.
fn stopped(answer: Answer, event_type: &str, schema: u32, known: u32) {
    let Err(ExecuteError::Unreadable(Unreadable { source: error, .. })) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!((error.event_type.as_str(), error.schema), (event_type, schema));
    assert!(
        matches!(error.source, Untranslatable::Newer { newest } if newest == known),
        "{error:?}"
    );
}

async fn an_older_program_stops_at_a_newer_event(engine: &Engine) {
    let table = engine.table().await;
    let (process, old) = (table.process(), table.process());
    let (by_second, by_third) = (stream("2"), stream("3"));
    tell(&process, &first::TALLY, &ask(&by_second, "a"), first::opened()).await.unwrap();
    tell(&process, &second::TALLY, &ask(&by_second, "b"), second::more(1)).await.unwrap();
    tell(&process, &third::TALLY, &ask(&by_third, "a"), third::opened()).await.unwrap();

    stopped(tell(&old, &first::TALLY, &ask(&by_second, "c"), first::more(1)).await, "Added", 2, 1);
    stopped(tell(&old, &first::TALLY, &ask(&by_third, "c"), first::more(1)).await, "Opened", 2, 1);
    stopped(
        tell(&old, &second::TALLY, &ask(&by_third, "c"), second::more(1)).await,
        "Opened",
        2,
        1,
    );
    assert!(!old.wire.operations().contains(&"PutItem".to_owned()), "nothing is written");

    tell(&process, &third::TALLY, &ask(&by_second, "c"), third::dozens(1)).await.unwrap();
    stopped(
        tell(&old, &second::TALLY, &ask(&by_second, "d"), second::more(1)).await,
        "Added",
        3,
        2,
    );
    assert_eq!(
        (stored(&process, &by_second).await.len(), stored(&process, &by_third).await.len()),
        (3, 1)
    );
}

async fn an_older_program_that_loses_a_race_to_a_newer_one_stops(engine: &Engine) {
    let table = engine.table().await;
    let (new, old, stream) = (table.process(), table.process(), stream("s"));
    tell(&new, &third::TALLY, &ask(&stream, "a"), third::opened()).await.unwrap();
    let create = CommandRequest { creates: true, ..ask(&stream, "b") };
    stopped(tell(&old, &first::TALLY, &create, first::opened()).await, "Opened", 2, 1);
    assert_eq!(old.wire.operations(), ["PutItem"], "the batch that won has the newer event");
    assert_eq!(stored(&new, &stream).await.len(), 1);
}

async fn a_gap_a_failing_upcaster_and_a_schema_0_stop_the_command(engine: &Engine) {
    const GAP: EventCodec<third::Told> = EventCodec::new(&[third::FROM_ADDED]);
    let gap = Model { decode: |event| GAP.decode(event), ..third::TALLY };
    let table = engine.table().await;
    let cases = [
        (
            &third::TALLY,
            "Counted",
            1,
            r#"{"number":"three"}"#,
            r#"the upcaster of "Counted" from schema 1 failed"#,
        ),
        (&third::TALLY, "Counted", 0, r#"{"number":3}"#, "schema versions begin at 1"),
        (
            &gap,
            "Added",
            1,
            r#"{"number":3}"#,
            r#"no upcaster lifts "Added" from schema 1, but 3 is the newest"#,
        ),
    ];
    for (number, (model, event_type, schema, data, why)) in cases.into_iter().enumerate() {
        let (process, stream) = (table.process(), stream(&number.to_string()));
        let data = RawValue::from_string(data.into()).unwrap();
        let event = NewEvent { event_type: event_type.into(), schema, data };
        process
            .put_behind(
                &stream,
                vec![NewCommit { metadata: metadata("a", "a"), events: vec![event] }],
            )
            .await;
        process.wire.take();
        let answer = tell(&process, model, &ask(&stream, "b"), third::dozens(1)).await;
        let Err(ExecuteError::Unreadable(Unreadable { source: error, .. })) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!((error.event_type.as_str(), error.schema), (event_type, schema));
        assert_eq!(error.source.to_string(), why);
        assert_eq!(process.wire.operations(), ["Query"], "nothing is written");
    }
}

async fn an_event_of_a_renamed_type_is_not_written(engine: &Engine) {
    const FORGOTTEN: EventCodec<first::Told> = EventCodec::new(&[second::FROM_COUNTED]);
    let model = Model { encode: |told| FORGOTTEN.encode(told), ..first::TALLY };
    let process = engine.table().await.process();
    let answer = tell(&process, &model, &ask(&stream("s"), "a"), first::more(1)).await;
    let Err(ExecuteError::Codec(error)) = answer else { panic!("{answer:?}") };
    assert!(matches!(error.source, Untranslatable::Renamed { becomes: "Added" }), "{error:?}");
    assert_eq!(process.wire.operations(), ["Query", "Query"], "nothing is written");
}
