//! What fits into an item, what does not, and that this is known before any request.

use super::{Engine, Process, new_commit, stream};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{AppendError, Appended, Consistency, Head, MAX_BATCH_BYTES, MAX_ITEM_BYTES, MAX_VERSION, TooLarge};

cases!(
    a_stream_at_the_largest_version_is_full_before_any_request,
    noise_up_to_the_limit_goes_in_and_comes_back_to_the_byte,
    three_megabytes_that_compress_fit,
    what_unfolds_beyond_the_limit_is_refused_before_any_request,
);

/// Text that hardly compresses: 6 bits of chance a character, so that an item takes about 3/4 of it.
fn noise(chars: usize) -> String {
    let mut chance = fastrand::Rng::with_seed(7);
    std::iter::repeat_with(|| chance.alphanumeric()).take(chars).collect()
}

async fn put_text(process: &Process, head: &Head, text: &str) -> Result<Appended, TooLarge> {
    match process.store.append(head, vec![new_commit("a", &[text])]).await {
        Ok(appended) => Ok(appended),
        Err(AppendError::TooLarge(told)) => Err(told),
        Err(other) => panic!("{other}"),
    }
}

async fn noise_up_to_the_limit_goes_in_and_comes_back_to_the_byte(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("noise"));
    let noise = noise(560_000);
    let (mut chars, mut over) = (noise.len(), usize::MAX);
    let appended = loop {
        match put_text(&process, &head, &noise[..chars]).await {
            Ok(appended) => break appended,
            Err(told) => {
                assert_eq!(told.limit, MAX_ITEM_BYTES);
                over = told.bytes - told.limit;
                chars -= over.div_ceil(2);
            }
        }
    };
    assert!(over <= 64, "refused up to {over} bytes above the limit, which is not just above");
    let [put] = &process.wire.take()[..] else { panic!("what is refused makes no request") };
    let stored = put.request["Item"]["commits_zstd"]["B"].as_str().unwrap().len() * 3 / 4;
    assert!((MAX_ITEM_BYTES - 300..MAX_ITEM_BYTES).contains(&stored), "{stored} bytes are not just below");
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

async fn what_unfolds_beyond_the_limit_is_refused_before_any_request(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("endless"));
    let told = put_text(&process, &head, &"a".repeat(MAX_BATCH_BYTES)).await.unwrap_err();
    assert_eq!(told.limit, MAX_BATCH_BYTES);
    assert!(told.bytes > MAX_BATCH_BYTES);
    assert!(process.wire.take().is_empty());
    put_text(&process, &head, &"a".repeat(MAX_BATCH_BYTES - 1_000)).await.unwrap();
    assert_eq!(process.load(head.stream()).await.head.version(), 1, "what goes in can be unfolded again");
}

/// No stream gets there: the item is moved to the end by hand, to where only the last event's place is.
async fn a_stream_at_the_largest_version_is_full_before_any_request(engine: &Engine) {
    let table = engine.table().await;
    let process = table.process();
    let stream = stream("full");
    process.append(&Head::empty(&stream), vec![new_commit("a", &["x"])]).await;
    let mut item = table.items(&stream).await.remove(0);
    for name in ["version", "last_version"] {
        item.insert(name.into(), AttributeValue::N((MAX_VERSION - 1).to_string()));
    }
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
