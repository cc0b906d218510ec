//! The limits of an item. Larger ones are refused before any request.

use crate::store::{Engine, Process, metadata, new_commit, note, stream};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{
    AppendError, Appended, Consistency, Head, MAX_BATCH_BYTES, MAX_ITEM_BYTES, MAX_VERSION,
    NewCommit, NewEvent, TooLarge,
};
use serde_json::value::RawValue;

cases!(
    a_batch_with_one_commit_too_large_is_refused_whole,
    a_commit_of_a_thousand_events_is_one_item,
    a_commit_of_the_most_events_is_taken_and_one_more_is_not,
    a_stream_at_the_largest_version_is_full_before_any_request,
    json_of_the_limit_is_taken_and_a_character_more_is_not,
    noise_up_to_the_limit_is_read_back_to_the_byte,
    three_megabytes_that_compress_fit,
    json_beyond_the_limit_is_refused_before_any_request,
);

/// Text that hardly compresses: 6 random bits per character, so an item takes about 3/4 of it.
fn noise(chars: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| chance.alphanumeric()).take(chars).collect()
}

async fn put_text(process: &Process, head: &Head, text: &str) -> Result<Appended, TooLarge> {
    match process.store.append(head, vec![new_commit("a", &[text])]).await {
        Ok(appended) => Ok(appended),
        Err(AppendError::TooLarge(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

async fn noise_up_to_the_limit_is_read_back_to_the_byte(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("noise"));
    let noise = noise(560_000);
    let (mut chars, mut over) = (noise.len(), usize::MAX);
    let appended = loop {
        match put_text(&process, &head, &noise[..chars]).await {
            Ok(appended) => break appended,
            Err(error) => {
                assert_eq!(error.limit, MAX_ITEM_BYTES);
                over = error.bytes - error.limit;
                chars -= over.div_ceil(2);
            }
        }
    };
    assert!(over <= 64, "refused up to {over} bytes above the limit, which is not just above");
    let [put] = &process.wire.take()[..] else { panic!("what is refused makes no request") };
    let stored = put.request["Item"]["commits_zstd"]["B"].as_str().unwrap().len() * 3 / 4;
    assert!(
        (MAX_ITEM_BYTES - 300..MAX_ITEM_BYTES).contains(&stored),
        "{stored} bytes are not just below"
    );
    let read = process.load(head.stream()).await;
    assert_eq!(read.head, appended.head);
    let data = read.batches[0].commits[0].events[0].body.data.get();
    assert!(data == format!(r#"{{"text":"{}"}}"#, &noise[..chars]), "the text came back changed");
}

async fn three_megabytes_that_compress_fit(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("long"));
    let text = "the same again ".repeat(200_000);
    let appended = put_text(&process, &head, &text).await.unwrap();
    let read = process.load(head.stream()).await;
    assert_eq!(read.head, appended.head);
    assert!(read.batches[0].commits[0].events[0].body.data.get().len() > 3_000_000);
    assert!(process.store.verify(head.stream()).await.unwrap().verified());
}

async fn json_beyond_the_limit_is_refused_before_any_request(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("endless"));
    let error = put_text(&process, &head, &"a".repeat(MAX_BATCH_BYTES)).await.unwrap_err();
    assert_eq!(error.limit, MAX_BATCH_BYTES);
    assert!(error.bytes > MAX_BATCH_BYTES);
    assert!(process.wire.take().is_empty());
    put_text(&process, &head, &"a".repeat(MAX_BATCH_BYTES - 1_000)).await.unwrap();
    assert_eq!(
        process.load(head.stream()).await.head.version(),
        1,
        "what goes in can be unfolded again"
    );
}

/// No test can write that far. The item is moved by hand, so that only the last version is free.
async fn a_stream_at_the_largest_version_is_full_before_any_request(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let stream = stream("full");
    process.append(&Head::empty(&stream), vec![new_commit("a", &["x"])]).await;
    let mut item = table.items(&stream).await.remove(0);
    item.insert("version".into(), AttributeValue::N((MAX_VERSION - 1).to_string()));
    table.put(item).await;
    let (head, _) = process.store.head(&stream, Consistency::Strong).await.unwrap();
    assert_eq!(head.version(), MAX_VERSION - 1);
    process.wire.take();
    let refused = process.store.append(&head, vec![new_commit("b", &["x", "y"])]).await;
    assert!(matches!(refused, Err(AppendError::StreamFull)), "{refused:?}");
    assert!(process.wire.take().is_empty());
    let last = process.append(&head, vec![new_commit("c", &["x"])]).await.head;
    let refused = process.store.append(&last, vec![new_commit("d", &["x"])]).await;
    assert!(matches!(refused, Err(AppendError::StreamFull)), "{refused:?}");
    assert_eq!(process.wire.operations(), ["PutItem"]);
}

/// Reading stops at the limit, and must not lose the last byte.
async fn json_of_the_limit_is_taken_and_a_character_more_is_not(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("exact"));
    let around = put_text(&process, &head, &"a".repeat(MAX_BATCH_BYTES)).await.unwrap_err().bytes
        - MAX_BATCH_BYTES;
    let most = MAX_BATCH_BYTES - around;
    let error = put_text(&process, &head, &"a".repeat(most + 1)).await.unwrap_err();
    assert_eq!((error.bytes, error.limit), (MAX_BATCH_BYTES + 1, MAX_BATCH_BYTES));
    let appended = put_text(&process, &head, &"a".repeat(most)).await.unwrap();
    let read = process.load(head.stream()).await;
    assert_eq!(read.head, appended.head);
    assert!(
        read.batches[0].commits[0].events[0].body.data.get() == note(&"a".repeat(most)).data.get()
    );
}

/// The shortest events, all equal.
fn short_events(count: usize) -> Vec<NewCommit> {
    let data = RawValue::from_string("0".into()).unwrap();
    let event = NewEvent { event_type: "T".into(), schema: 1, data };
    vec![NewCommit { metadata: metadata("many", "many"), events: vec![event; count] }]
}

async fn a_commit_of_a_thousand_events_is_one_item(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("thousand"));
    let texts: Vec<String> = (1..=1_000).map(|number| format!("number {number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let appended = process.append(&head, vec![new_commit("a", &texts)]).await;
    assert_eq!((appended.batch.version(), appended.head.version()), (1, 1_000));
    assert_eq!(process.wire.operations(), ["PutItem"]);
    let read = process.load(head.stream()).await;
    assert_eq!(read.head, appended.head);
    for (event, (version, text)) in read.batches[0].commits[0].events.iter().zip((1..).zip(&texts))
    {
        assert_eq!((event.version, event.body.data.get()), (version, note(text).data.get()));
    }
    let handled = process.count(head.stream(), "onwards", 1).await.unwrap();
    assert_eq!(handled.version, 1_001);
}

async fn a_commit_of_the_most_events_is_taken_and_one_more_is_not(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("most"));
    let too_large = async |count| match process.store.append(&head, short_events(count)).await {
        Err(AppendError::TooLarge(error)) => error.bytes,
        other => panic!("{other:?}"),
    };
    let (a_few, a_few_more) = (too_large(400_000).await, too_large(400_100).await);
    let event_bytes = (a_few_more - a_few) / 100;
    let most = 400_000 - (a_few - MAX_BATCH_BYTES).div_ceil(event_bytes);
    let bytes = too_large(most + 1).await;
    assert!(
        (MAX_BATCH_BYTES + 1..=MAX_BATCH_BYTES + event_bytes).contains(&bytes),
        "{bytes} bytes are not just over"
    );
    assert!(process.wire.take().is_empty(), "what is refused makes no request");
    let appended = process.append(&head, short_events(most)).await;
    assert!(most > 200_000, "{most} events of {event_bytes} bytes");
    assert_eq!(appended.head.version(), u64::try_from(most).unwrap());
    let walk = process.store.verify(head.stream()).await.unwrap();
    assert!(walk.verified());
    assert_eq!((walk.commits, walk.hash()), (1, appended.head.hash()));
}

async fn a_batch_with_one_commit_too_large_is_refused_whole(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("batch"));
    let noise = noise(600_000);
    let commits = vec![
        new_commit("a", &["fits"]),
        new_commit("b", &[&noise]),
        new_commit("c", &["fits too"]),
    ];
    let refused = process.store.append(&head, commits).await;
    let Err(AppendError::TooLarge(error)) = refused else { panic!("{refused:?}") };
    assert_eq!(error.limit, MAX_ITEM_BYTES);
    assert!(process.wire.take().is_empty());
    assert_eq!(process.load(head.stream()).await.head, head);
    assert_eq!(process.append(&head, vec![new_commit("a", &["fits"])]).await.head.version(), 1);
}
