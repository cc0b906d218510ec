//! Tests the check of shapes: the events of a small app change in every way, and each change must
//! be found.

use super::check::faults;
use super::golden::Kept;
use eventstore::{EventCodec, Upcaster};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Fields that are flattened into an event.
#[derive(Serialize, Deserialize)]
struct More {
    more: u32,
}

fn none<T>(value: &Option<T>) -> bool {
    value.is_none()
}

/// A program: its events, their parts and the sizes in them.
macro_rules! programs {
    ($($program:ident: { $($event:tt)* } { $($part:tt)* } { $($size:tt)* })*) => {
        $(mod $program {
            use serde::{Deserialize, Serialize};

            #[derive(Serialize, Deserialize)]
            #[serde(tag = "type", content = "data")]
            pub(super) enum Told {
                $($event)*
            }

            #[derive(Serialize, Deserialize)]
            pub(super) struct Part {
                $($part)*
            }

            #[derive(Serialize, Deserialize)]
            pub(super) enum Size {
                $($size)*
            }
        })*
    };
}

#[rustfmt::skip]
programs! {
    first:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_a_field_more:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size,
        more: u32 } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_a_defaulted_field_more:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size,
        #[serde(default)] more: u32 } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_an_optional_field_more:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size,
        #[serde(skip_serializing_if = "super::none")] more: Option<u32> } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_an_optional_field_more_in_a_list:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32, #[serde(skip_serializing_if = "super::none")] more: Option<u32> }
      { Small, Large { by: u32 } }
    with_an_optional_field_more_in_a_variant:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32, #[serde(skip_serializing_if = "super::none")] more: Option<u32> } }
    with_a_list_more:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] more: Vec<u32> } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_a_field_renamed:
      { Put { title: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_an_optional_field_renamed:
      { Put { name: char, parts: Vec<Part>,
        #[serde(skip_serializing_if = "super::none")] remark: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_a_field_less:
      { Put { name: char, parts: Vec<Part>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_another_type:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: String }
      { Small, Large { by: u32 } }
    with_another_number:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: f64 }
      { Small, Large { by: u32 } }
    with_a_variant_more:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 }, Huge }
    with_an_optional_field_required:
      { Put { name: char, parts: Vec<Part>, note: u8, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_a_required_field_left_out_at_times:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { #[serde(skip_serializing_if = "super::none")] count: Option<u32> }
      { Small, Large { by: u32 } }
    with_a_required_field_null_at_times:
      { Put { name: Option<char>, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_another_order:
      { Put { parts: Vec<Part>, name: char, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_an_event_more:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size },
        Taken {} }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_an_event_renamed:
      { Placed { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size } }
      { count: u32 }
      { Small, Large { by: u32 } }
    with_fields_that_hide:
      { Put { name: char, parts: Vec<Part>, #[serde(skip_serializing_if = "super::none")] note: Option<u8>, size: Size,
        #[serde(flatten)] more: Option<super::More> } }
      { count: u32 }
      { Small, Large { by: u32 } }
}

const FULL: &str = r#"{"type":"Put","schema":1,"data":{"name":"n","parts":[{"count":1}],"note":5,"size":"Small"}}"#;
const BARE: &str = r#"{"type":"Put","schema":1,"data":{"name":"n","parts":[{"count":1}],"size":{"Large":{"by":2}}}}"#;

/// Golden files with one event each, all in the lock.
fn kept(files: &[(&str, &str)]) -> Kept {
    let files =
        files.iter().map(|(name, text)| (format!("{name}.json"), format!("{text}\n"))).collect();
    let kept = Kept { files, ..Kept::default() };
    Kept { lock: kept.digests(), ..kept }
}

/// The golden files of the first program.
fn stored() -> Kept {
    kept(&[("Put.v1", FULL), ("Put.v1.bare", BARE)])
}

/// The faults that a changed program finds in the golden files of the first one.
#[track_caller]
fn found<E: Serialize + DeserializeOwned>(what: &str) {
    let faults = faults(&EventCodec::<E>::new(&[]), &stored());
    assert!(faults.iter().any(|fault| fault.contains(what)), "{what:?} is not in {faults:#?}");
}

#[test]
fn a_program_that_changed_nothing_has_no_fault() {
    assert_eq!(faults(&EventCodec::<first::Told>::new(&[]), &stored()), [""; 0]);
}

#[test]
fn an_added_field_is_found() {
    found::<with_a_field_more::Told>("cannot be read any more");
    found::<with_a_defaulted_field_more::Told>("is written otherwise today");
    found::<with_an_optional_field_more::Told>(
        "Put.data: field 5; what is stored in the shape Put.v1 stays",
    );
    found::<with_an_optional_field_more_in_a_list::Told>("Put.data.parts[]: field 2");
    found::<with_an_optional_field_more_in_a_variant::Told>("Put.data.size::Large: field 2");
    found::<with_a_list_more::Told>("Put.data: field 5");
}

#[test]
fn a_removed_or_renamed_field_is_found() {
    found::<with_a_field_less::Told>("is written otherwise today");
    found::<with_a_field_renamed::Told>("missing field `title`");
    found::<with_an_optional_field_renamed::Told>("is written otherwise today");
}

#[test]
fn another_type_or_order_is_found() {
    found::<with_another_type::Told>("expected a string");
    found::<with_another_number::Told>("is written otherwise today");
    found::<with_a_variant_more::Told>("Put.data.size: variant Huge");
    found::<with_another_order::Told>("is written otherwise today");
}

#[test]
fn what_becomes_optional_or_required_is_found() {
    found::<with_an_optional_field_required::Told>("Put.v1.bare.json cannot be read any more");
    found::<with_a_required_field_left_out_at_times::Told>("Put.data.parts[].count: left out");
    found::<with_a_required_field_null_at_times::Told>("Put.data.name: null");
}

#[test]
fn an_added_or_renamed_event_is_found() {
    found::<with_an_event_more::Told>("Taken.v1 is written and has no golden file");
    found::<with_an_event_renamed::Told>("the type is not known here");
}

#[test]
fn an_opaque_shape_is_found() {
    found::<with_fields_that_hide::Told>("Put has no outline");
}

#[test]
fn a_shape_without_a_complete_file_is_found() {
    let faults = faults(&EventCodec::<first::Told>::new(&[]), &kept(&[("Put.v1", FULL)]));
    let missing = ["Put.data.size: variant Large", "Put.data.note: left out"];
    assert!(
        missing.iter().all(|missing| faults.iter().any(|fault| fault.contains(missing))),
        "{faults:#?}"
    );
}

#[test]
fn a_golden_file_changed_added_or_removed_is_found() {
    type Change = fn(&mut Kept);
    let changes: [(Change, &str); 4] = [
        (
            |kept| *kept.files.get_mut("Put.v1.json").unwrap() = FULL.replace('5', "6") + "\n",
            "changed or added",
        ),
        (
            |kept| {
                drop(kept.files.insert("Put.v1.more.json".into(), FULL.replace('5', "6") + "\n"))
            },
            "changed or added",
        ),
        (|kept| drop(kept.files.remove("Put.v1.bare.json")), "changed or added"),
        (|kept| kept.files.clear(), "Put.v1 has no golden file any more"),
    ];
    for (change, what) in changes {
        let mut kept = stored();
        change(&mut kept);
        let faults = faults(&EventCodec::<first::Told>::new(&[]), &kept);
        assert!(faults.iter().any(|fault| fault.contains(what)), "{what:?} is not in {faults:#?}");
    }
}

#[test]
fn a_golden_file_with_a_wrong_name_is_found() {
    let loose = FULL.replace(":", ": ");
    for (name, text) in
        [("Put.v2", FULL), ("Taken.v1", FULL), ("Put.v1", loose.as_str()), ("Put.v1", "{}")]
    {
        let faults = faults(&EventCodec::<first::Told>::new(&[]), &kept(&[(name, text)]));
        assert!(
            faults.iter().any(|fault| fault.starts_with(&format!("{name}.json "))),
            "{faults:#?}"
        );
    }
}

/// The golden files of a program that adds `more` to each event, with an upcaster that sets it to
/// 7.
const EVOLVED: EventCodec<with_a_field_more::Told> = EventCodec::new(&[FROM_1]);
const FROM_1: Upcaster =
    Upcaster { event_type: "Put", schema: 1, becomes: "Put", lift: more_of_old };
const FULL_2: &str = r#"{"type":"Put","schema":2,"data":{"name":"n","parts":[{"count":1}],"note":5,"size":"Small","more":7}}"#;
const BARE_2: &str = r#"{"type":"Put","schema":2,"data":{"name":"n","parts":[{"count":1}],"size":{"Large":{"by":2}},"more":7}}"#;

fn more_of_old(mut data: Value) -> serde_json::Result<Value> {
    data["more"] = json!(7);
    Ok(data)
}

fn evolved() -> Kept {
    kept(&[("Put.v1", FULL), ("Put.v1.bare", BARE), ("Put.v2", FULL_2), ("Put.v2.bare", BARE_2)])
}

#[test]
fn a_complete_change_of_a_schema_has_no_fault() {
    assert_eq!(faults(&EVOLVED, &evolved()), [""; 0]);
}

#[test]
fn a_new_schema_version_without_its_golden_files_is_found() {
    let faults = faults(&EVOLVED, &stored());
    let becomes = format!("keep it as domain/golden/Put.v2.from_v1.json:\n{FULL_2}");
    assert!(faults.iter().any(|fault| fault.contains(&becomes)), "{faults:#?}");
}

#[test]
fn a_changed_result_of_an_upcaster_is_found() {
    const OTHERWISE: Upcaster = Upcaster { lift: |data| more_of_old(data).map(eight), ..FROM_1 };
    fn eight(mut data: Value) -> Value {
        data["more"] = json!(8);
        data
    }
    let codec: EventCodec<with_a_field_more::Told> = EventCodec::new(&[OTHERWISE]);
    let faults = faults(&codec, &evolved());
    assert!(
        faults.iter().any(|fault| fault.starts_with("Put.v1.json becomes another event")),
        "{faults:#?}"
    );
}

#[test]
fn an_upcaster_without_a_golden_file_or_unused_is_found() {
    let codec: EventCodec<with_a_field_more::Told> = EventCodec::new(&[FROM_1, FROM_1]);
    let new = kept(&[("Put.v2", FULL_2), ("Put.v2.bare", BARE_2)]);
    let faults = faults(&codec, &new);
    let words = ["lifts Put.v1, which has no golden file", "two upcasters lift Put.v1"];
    assert!(
        words.iter().all(|words| faults.iter().any(|fault| fault.contains(words))),
        "{faults:#?}"
    );
}
