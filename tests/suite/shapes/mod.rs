//! Every stored shape of an event of the bookshop can be read, and none changes under its schema
//! version.
//!
//! `domain/golden/` has a file for each; [`check`] compares them with the code, [`changes`] tries
//! the check itself. [`commands`] asks the same of commands.

mod changes;
mod check;
mod commands;
mod golden;
mod outline;

use bookshop::events;
use check::faults;
use domain::order::OrderEvent;
use domain::stock::StockEvent;
use eventstore::{EventCodec, NewEvent};
use golden::{Kept, event_of};
use handlers::audit::access::{self as readings, AccessEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

fn bookshop() -> Kept {
    Kept::read(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("domain/golden"))
}

/// The golden files of these event types, including past types.
fn kept_of<E>(codec: &EventCodec<E>, today: &[&str]) -> Kept {
    let past = codec.upcasters().iter().map(|upcaster| upcaster.event_type);
    let types: BTreeSet<&str> = today.iter().copied().chain(past).collect();
    let ours =
        |name: &String| name.split('.').next().is_some_and(|event_type| types.contains(event_type));
    let mut kept = bookshop();
    kept.files.retain(|name, _| ours(name));
    kept.lock.retain(|name, _| ours(name));
    kept
}

fn orders() -> Kept {
    kept_of(&events::ORDER, &OrderEvent::TYPES)
}

fn stock() -> Kept {
    kept_of(&events::STOCK, &StockEvent::TYPES)
}

fn access() -> Kept {
    kept_of(&readings::EVENTS, &AccessEvent::TYPES)
}

#[test]
fn every_stored_shape_can_be_read_and_none_has_changed() {
    let faults = [
        faults(&events::ORDER, &orders()),
        faults(&events::STOCK, &stock()),
        faults(&readings::EVENTS, &access()),
    ];
    let faults = faults.concat();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n\n"));
}

#[test]
fn every_golden_file_is_of_orders_stock_or_access() {
    let (parts, all) = ([orders(), stock(), access()], bookshop());
    assert_eq!(parts.iter().map(|kept| kept.files.len()).sum::<usize>(), all.files.len());
    assert_eq!(parts.iter().map(|kept| kept.lock.len()).sum::<usize>(), all.lock.len());
}

/// Each event is stored under the name that `event_type` returns.
fn tells_its_type<E: Serialize + DeserializeOwned>(
    codec: &EventCodec<E>,
    kept: Kept,
    type_of: fn(&E) -> &'static str,
) {
    for (name, text) in kept.files {
        let event = codec.decode(&event_of(&name, &text).unwrap()).unwrap();
        assert_eq!(type_of(&event), codec.encode(&event).unwrap().event_type, "{name}");
    }
}

#[test]
fn every_event_type_is_stored_under_its_name() {
    tells_its_type(&events::ORDER, orders(), OrderEvent::event_type);
    tells_its_type(&events::STOCK, stock(), StockEvent::event_type);
    tells_its_type(&readings::EVENTS, access(), AccessEvent::event_type);
}

/// Each event reads the same with an additional field.
fn ignores_more<E: DeserializeOwned + PartialEq + Debug>(codec: &EventCodec<E>, kept: Kept) {
    for (name, text) in kept.files {
        let stored = event_of(&name, &text).unwrap();
        let mut data: Value = serde_json::from_str(stored.data.get()).unwrap();
        data["unheard"] = json!({ "of": ["anything"] });
        let more =
            NewEvent { data: serde_json::value::to_raw_value(&data).unwrap(), ..stored.clone() };
        assert_eq!(codec.decode(&more).unwrap(), codec.decode(&stored).unwrap(), "{name}");
    }
}

#[test]
fn a_field_that_no_program_knows_is_ignored() {
    ignores_more(&events::ORDER, orders());
    ignores_more(&events::STOCK, stock());
    ignores_more(&readings::EVENTS, access());
}
