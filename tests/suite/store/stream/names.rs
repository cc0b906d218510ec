//! Names, ids and texts at their limits.

use crate::store::{Engine, metadata, new_commit, note, stream};
use eventstore::{
    Head, Id, InvalidId, InvalidStreamId, MAX_ID_CHARS, MAX_STREAM_CHARS, NewCommit, NewEvent,
    StreamId,
};
use serde_json::value::RawValue;

cases!(
    any_json_is_read_back_to_the_byte,
    any_text_is_read_back_to_the_byte,
    ids_of_any_visible_characters_are_read_back,
    names_up_to_the_longest_are_distinct_streams,
    the_type_of_an_event_may_be_any_text,
);

/// All visible ASCII characters: those of URLs, JSON, DynamoDB's expressions and SQL among them.
fn visible() -> String {
    ('!'..='~').collect()
}

async fn names_up_to_the_longest_are_distinct_streams(engine: &Engine) {
    let process = engine.table().await.process();
    let longest = format!("a-{}", "k".repeat(MAX_STREAM_CHARS - 2));
    let one_less = longest[..MAX_STREAM_CHARS - 1].to_owned();
    let category = format!("{}-k", "c".repeat(MAX_STREAM_CHARS - 2));
    let names = [
        longest,
        one_less,
        category,
        format!("a_1-{}", visible()),
        "a--".into(),
        "a-1".into(),
        "a-1-1".into(),
    ];
    for (index, name) in names.iter().enumerate() {
        let stream = StreamId::new(name.as_str()).unwrap();
        let commits = (0..=index).map(|index| new_commit(&format!("c{index}"), &["x"])).collect();
        process.append(&Head::empty(&stream), commits).await;
    }
    for (index, name) in names.iter().enumerate() {
        let stream = StreamId::new(name.as_str()).unwrap();
        assert_eq!(
            process.load(&stream).await.head.version(),
            u64::try_from(index + 1).unwrap(),
            "{name}"
        );
        assert!(process.store.verify(&stream).await.unwrap().verified(), "{name}");
        assert_eq!(format!("{}-{}", stream.category(), stream.key()), *name);
    }
    let found = process.store.streams(2, |_| ()).await.unwrap().names;
    assert!(names.iter().all(|name| found.contains(&StreamId::new(name.as_str()).unwrap())));
}

#[test]
fn what_is_no_name_is_refused_by_the_rule_that_it_breaks() {
    let cases = [
        ("$all", InvalidStreamId::NoKey),
        ("$all-1", InvalidStreamId::Category),
        ("-", InvalidStreamId::NoKey),
        ("a-", InvalidStreamId::NoKey),
        ("_a-1", InvalidStreamId::Category),
        ("a.b-1", InvalidStreamId::Category),
        ("ä-1", InvalidStreamId::Category),
        ("\u{430}-1", InvalidStreamId::Category),
        (" a-1", InvalidStreamId::Category),
        ("a-1\n", InvalidStreamId::Key),
        ("a-\0", InvalidStreamId::Key),
        ("a-\u{200b}1", InvalidStreamId::Key),
        (&format!("a-{}", "é".repeat(98)), InvalidStreamId::Key),
        (&format!("a-{}", "é".repeat(99)), InvalidStreamId::Length(101)),
        (&"a-1".repeat(100_000), InvalidStreamId::Length(300_000)),
    ];
    for (text, rule) in cases {
        assert_eq!(StreamId::new(text), Err(rule), "{text:.40?}");
        assert!(serde_json::from_value::<StreamId>(text.into()).is_err(), "{text:.40?}");
    }
}

async fn ids_of_any_visible_characters_are_read_back(engine: &Engine) {
    let process = engine.table().await.process();
    let id = |text: String| Id::new(text).unwrap();
    let whole = eventstore::CommandMetadata {
        correlation_id: id("with.a.period".into()),
        causation_id: Some(id("~".repeat(MAX_ID_CHARS))),
        actor: id(visible()),
        ..metadata("\"quoted\\\"", "asked")
    };
    let head = Head::empty(&stream("ids"));
    process
        .append(&head, vec![NewCommit { metadata: whole.clone(), events: vec![note("x")] }])
        .await;
    let read = process.load(head.stream()).await;
    assert_eq!(read.batches[0].commits[0].metadata, whole);
    assert_eq!(whole.trace_parent, None, "what is left out stays out");
    for wrong in
        [String::new(), "a b".into(), "é".into(), "a\n".into(), "x".repeat(MAX_ID_CHARS + 1)]
    {
        assert_eq!(Id::new(wrong), Err(InvalidId));
    }
}

async fn any_text_is_read_back_to_the_byte(engine: &Engine) {
    let process = engine.table().await.process();
    let texts = [
        "",
        "Grüße, 世界, 🦀👩‍👩‍👧",
        "\u{0}\u{1}\u{7f}\u{2028}\u{feff}\u{fffd}",
        "e\u{301} é",
        "\\u0041 \"\\\" </script>",
        "\u{10ffff}",
    ];
    let appended =
        process.append(&Head::empty(&stream("texts")), vec![new_commit("a", &texts)]).await;
    let read = process.load(&stream("texts")).await;
    assert_eq!(read.head, appended.head);
    for (event, text) in read.batches[0].commits[0].events.iter().zip(texts) {
        let data: serde_json::Value = serde_json::from_str(event.body.data.get()).unwrap();
        assert_eq!(data["text"], text);
        assert_eq!(event.body.data.get(), note(text).data.get());
    }
}

async fn any_json_is_read_back_to_the_byte(engine: &Engine) {
    let process = engine.table().await.process();
    let deep = format!("{}0{}", "[".repeat(1_000), "]".repeat(1_000));
    let kept = [
        "null",
        "true",
        "\"\"",
        "[]",
        "{}",
        "-0",
        "1e400",
        "1.0",
        "0.10000000000000000000000000000001",
        "123456789012345678901234567890",
        r#"{"b":1,"a":2,"b":3}"#,
        r#"{ "spaced" :  [ 1 , 2 ] }"#,
        r#""\u0041\ud83e\udd80""#,
        deep.as_str(),
    ];
    let event = |json: &&str| NewEvent {
        data: RawValue::from_string((*json).to_owned()).unwrap(),
        ..note("x")
    };
    let commit =
        NewCommit { metadata: metadata("a", "a"), events: kept.iter().map(event).collect() };
    let appended = process.append(&Head::empty(&stream("json")), vec![commit]).await;
    let read = process.load(&stream("json")).await;
    assert_eq!(read.head, appended.head);
    let read = read.batches[0].commits[0].events.iter().map(|event| event.body.data.get());
    assert!(read.eq(kept));
}

/// Event types are opaque to the store: a type may be long, unknown or empty.
async fn the_type_of_an_event_may_be_any_text(engine: &Engine) {
    let process = engine.table().await.process();
    let types =
        [String::new(), "T".repeat(100_000), "Größe.Geändert/v2 🦀".into(), "line\nbreak".into()];
    let typed = |name: &String| NewEvent { event_type: name.clone(), ..note("x") };
    let commit =
        NewCommit { metadata: metadata("a", "a"), events: types.iter().map(typed).collect() };
    process.append(&Head::empty(&stream("types")), vec![commit]).await;
    let read = process.load(&stream("types")).await;
    assert!(
        read.batches[0].commits[0].events.iter().map(|event| &event.body.event_type).eq(&types)
    );
}
