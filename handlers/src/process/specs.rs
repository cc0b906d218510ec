//! Rows of instances, and ids of their commands: stored forms that must not change.

use super::ask::OpenAsk;
use super::instance::Instance;
use super::*;
use chrono::DateTime;
use eventstore::{Id, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
enum Bell {
    Rung { times: u32 },
}

/// Has one ask for each ring of the bell, and counts the answers.
fn react(answers: u32, input: Input<'_, Bell>) -> (u32, Vec<Ask>) {
    match input {
        Input::Event(origin, Bell::Rung { times }) => {
            let open = |time| {
                ask(
                    format!("open {time}"),
                    format!("door-{}", origin.stream.key()),
                    &Bell::Rung { times: time },
                )
            };
            (answers, (1..=times).map(open).collect())
        }
        Input::Answer { .. } => (answers + 1, Vec::new()),
    }
}

fn bells() -> Process {
    let source = FollowedCategory::of("bell", EventCodec::<Bell>::new(&[]), std::convert::identity);
    Process::named(
        "bells",
        "bells/1",
        [source],
        |origin, _| Ok(Some(origin.stream.key().to_owned())),
        react,
    )
}

fn origin(version: u64) -> EventOrigin {
    EventOrigin {
        stream: StreamId::new("bell-1").unwrap(),
        version,
        recorded_at: DateTime::from_timestamp_millis(1_790_000_000_001).unwrap(),
        correlation_id: Id::new("a-visit").unwrap(),
        trace_parent: None,
    }
}

fn rung(times: u32) -> NewEvent {
    EventCodec::<Bell>::new(&[]).encode(&Bell::Rung { times }).unwrap()
}

/// The bell was rung twice.
fn rung_twice() -> Instance {
    let mut instance = Instance::new("1".to_owned());
    assert_eq!(instance.react_to_event(&bells(), &origin(1), &rung(2)).unwrap().len(), 2);
    instance
}

#[test]
fn an_instance_survives_in_its_stored_form() {
    let mut instance = rung_twice();
    let row = json!({
        "format": 1,
        "state": 0,
        "seen": {"bell-1": 1},
        "open": [{
            "cause": {"stream": "bell-1", "version": 1, "at": 1_790_000_000_001_u64, "correlation": "a-visit"},
            "asks": [
                {"name": "open 1", "stream": "door-1", "command": {"type": "Rung", "data": {"times": 1}}},
                {"name": "open 2", "stream": "door-1", "command": {"type": "Rung", "data": {"times": 2}}},
            ],
        }],
    });
    assert_eq!(instance.row().unwrap(), row);
    assert_eq!(Instance::read(&bells(), "1".to_owned(), row).unwrap(), instance);
    instance.held = true;
    assert_eq!(instance.row().unwrap()["held"], true);
    assert_eq!(
        Instance::read(&bells(), "1".to_owned(), instance.row().unwrap()).unwrap(),
        instance
    );
}

#[test]
fn a_row_of_another_format_is_refused_by_its_number() {
    for (row, reason) in [
        (
            json!({"format": 2, "state": 0, "seen": {}}),
            "format 2 is not 1, which this program writes",
        ),
        (json!({"state": 0, "seen": {}}), "missing field `format`"),
        (json!(7), "invalid type"),
    ] {
        let error = Instance::read(&bells(), "1".to_owned(), row).unwrap_err();
        let origin = error.source().unwrap().to_string();
        assert!(error.is_permanent() && origin.starts_with(reason), "{origin}");
    }
}

#[test]
fn an_answer_is_reacted_to_once_and_an_event_as_well() {
    let mut instance = rung_twice();
    assert!(!instance.is_new(&origin(1)) && instance.is_new(&origin(2)));
    let answers = BTreeMap::from([(instance.asks()[1].id.clone(), AskAnswer::Done)]);
    for asked in [Some(Vec::new()), None] {
        assert_eq!(instance.answer(&bells(), &answers).unwrap(), asked);
        assert_eq!(
            (instance.row().unwrap()["state"].clone(), instance.asks().len()),
            (json!(1), 1)
        );
    }
    assert_eq!(instance.asks()[0].ask.name, "open 1");
}

#[test]
fn more_than_a_thousand_open_asks_are_refused() {
    let mut instance = Instance::new("1".to_owned());
    assert_eq!(instance.react_to_event(&bells(), &origin(1), &rung(1_000)).unwrap().len(), 1_000);
    let error = instance.react_to_event(&bells(), &origin(2), &rung(1)).unwrap_err();
    assert!(matches!(error, ProcessError::TooMany) && error.is_permanent());
}

fn id(process: &str, key: &str, ask: &Ask, version: u64) -> String {
    OpenAsk::of(process, key, ask.clone(), &origin(version)).unwrap().id.to_string()
}

#[test]
fn an_id_is_computed_from_all_of_the_ask_and_nothing_else() {
    let first = ask("open", "door-1", &Bell::Rung { times: 1 });
    let of = |ask: &Ask| id("bells", "1", ask, 1);
    assert_eq!(of(&first), "~process:01a0c450-6c01-743c-a7e1-5e5f07dd7836");
    assert_eq!(of(&first.clone().because(&origin(1))), of(&first));
    let others = [
        id("gongs", "1", &first, 1),
        id("bells", "2", &first, 1),
        id("bells", "1", &first, 2),
        of(&first.clone().because(&origin(7))),
        of(&ask("shut", "door-1", &Bell::Rung { times: 1 })),
        of(&ask("open", "door-2", &Bell::Rung { times: 1 })),
        of(&ask("open", "door-1", &Bell::Rung { times: 2 })),
    ];
    assert!(others.iter().all(|other| *other != of(&first)), "{others:?}");
    let time = Id::new(of(&first)).unwrap().time().unwrap();
    assert_eq!(time, origin(1).recorded_at);
}

/// Older programs sent commands under these ids.
#[test]
fn ids_of_asks_that_are_named_in_full_never_change() {
    let order = "order-00000000-0000-0000-0000-000000000007";
    let cause = EventOrigin { stream: StreamId::new(order).unwrap(), ..origin(1) };
    let named = |name: &str, times| {
        let ask = ask(name, "stock-9780000000019", &Bell::Rung { times }).named_in_full();
        OpenAsk::of("shipping", "any", ask, &cause).unwrap().id.to_string()
    };
    assert_eq!(named("reserve 2", 1), "~process:01a0c450-6c01-7348-bf43-f59bf1b396dd");
    assert_eq!(named("reserve 2", 2), named("reserve 2", 1));
    assert_ne!(named("reserve 1", 1), named("reserve 2", 1));
}

#[test]
fn an_ask_without_a_command_or_a_stream_is_refused() {
    let refused = |ask: Ask| OpenAsk::of("bells", "1", ask, &origin(1)).unwrap_err();
    assert!(
        matches!(refused(ask("open", "door-1", &7)), ProcessError::NoCommand(name) if name == "open")
    );
    assert!(matches!(
        refused(ask("open", "door", &Bell::Rung { times: 1 })),
        ProcessError::Address(_)
    ));
}

#[test]
fn a_command_takes_correlation_and_trace_from_its_cause() {
    let trace = Id::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
    let cause = EventOrigin { trace_parent: Some(trace.clone()), ..origin(3) };
    let ask =
        OpenAsk::of("bells", "1", ask("open", "door-1", &Bell::Rung { times: 1 }), &cause).unwrap();
    let metadata = ask.request("bells").unwrap().metadata;
    assert_eq!((metadata.command_id, metadata.actor.as_str()), (ask.id.clone(), "bells"));
    assert_eq!(metadata.causation_id.unwrap().as_str(), "bell-1:3");
    assert_eq!(
        (metadata.correlation_id, metadata.trace_parent),
        (cause.correlation_id, Some(trace))
    );
}
