//! Events that this program cannot decode.

use crate::store::{Engine, Refusal, TALLY, Tally, TallyEvent, metadata, note, request, stream};
use eventstore::{CodecError, CommandHandler, ExecuteError, Model, NewCommit, NewEvent};

cases!(
    an_event_of_a_newer_schema_stops_the_command,
    an_event_of_an_unknown_type_stops_the_command,
    an_event_of_another_shape_stops_the_command,
    an_event_that_cannot_be_stored_is_not_written,
    an_unknown_event_in_the_batch_that_won_stops_the_command,
);

/// Puts the event into a stream, and returns the error of a command on it. Nothing may be written.
async fn stumble(engine: &Engine, event: NewEvent) -> CodecError {
    let process = engine.table().await.process();
    let stream = stream("s");
    process
        .put_behind(
            &stream,
            vec![NewCommit { metadata: metadata("a", "a"), events: vec![note("fine"), event] }],
        )
        .await;
    process.wire.take();
    let refused = process.count(&stream, "b", 1).await;
    assert_eq!(process.wire.operations(), ["Query"]);
    let Err(ExecuteError::Unreadable(error)) = refused else { panic!("{refused:?}") };
    assert_eq!((error.stream, error.version), (stream.clone(), 2));
    let error = error.source;
    assert!(
        process.store.verify(&stream).await.unwrap().verified(),
        "the chain does not care what events mean"
    );
    error
}

async fn an_event_of_an_unknown_type_stops_the_command(engine: &Engine) {
    let error = stumble(engine, NewEvent { event_type: "Unheard".into(), ..note("x") }).await;
    assert_eq!((error.event_type.as_str(), error.schema), ("Unheard", 1));
}

async fn an_event_of_a_newer_schema_stops_the_command(engine: &Engine) {
    let error = stumble(engine, NewEvent { schema: 2, ..note("x") }).await;
    assert_eq!((error.event_type.as_str(), error.schema), ("Noted", 2));
    assert!(error.source.to_string().contains("newer"), "{}", error.source);
}

async fn an_event_of_another_shape_stops_the_command(engine: &Engine) {
    let error = stumble(engine, NewEvent { event_type: "Counted".into(), ..note("x") }).await;
    assert_eq!(error.event_type, "Counted");
}

async fn an_unknown_event_in_the_batch_that_won_stops_the_command(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let event = NewEvent { event_type: "Unheard".into(), ..note("x") };
    process
        .put_behind(&stream, vec![NewCommit { metadata: metadata("a", "a"), events: vec![event] }])
        .await;
    let refused = process.open(&stream, "opening").await;
    assert!(
        matches!(&refused, Err(ExecuteError::Unreadable(error)) if error.version == 1),
        "{refused:?}"
    );
    assert_eq!(process.load(&stream).await.head.version(), 1);
}

fn fails(_: &TallyEvent) -> Result<NewEvent, CodecError> {
    let source = serde_json::from_str::<u8>("none").unwrap_err();
    Err(CodecError { event_type: "Counted".into(), schema: 1, source: source.into() })
}

async fn an_event_that_cannot_be_stored_is_not_written(engine: &Engine) {
    let process = engine.table().await.process();
    let stream = stream("s");
    let model: Model<Tally, TallyEvent> = Model { encode: fails, ..TALLY };
    let decide = |_: &Tally| Ok::<_, Refusal>(vec![TallyEvent::Counted { number: 1 }]);
    let refused = CommandHandler::new(process.store.clone(), model)
        .handle(request(&stream, "a", "a"), decide)
        .await;
    assert!(matches!(refused, Err(ExecuteError::Codec(_))), "{refused:?}");
    assert_eq!(
        process.wire.operations(),
        ["Query", "Query"],
        "final on a consistent read, like a refusal"
    );
}
