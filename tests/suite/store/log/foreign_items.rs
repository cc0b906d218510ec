//! Items in a stream that the store did not write: keys that are no versions, and commits that
//! decompress without end.

use crate::store::log::tampering::{Victim, bytes, set, text};
use crate::store::{Engine, Process};
use aws_sdk_dynamodb::types::AttributeValue;
use eventstore::{
    Consistency, CorruptStream, Damage, Direction, ExecuteError, Item, MAX_BATCH_BYTES, ReadError,
    Segment,
};

cases!(
    a_frame_that_needs_too_much_memory_is_not_decompressed,
    a_key_between_two_versions_is_damage,
    a_key_outside_all_versions_is_named_by_a_scan,
    decompression_stops_at_the_limit,
);

fn foreign(victim: &Victim, version: &str) -> Item {
    let item = [
        ("stream_id", text(victim.stream.as_str())),
        ("version", AttributeValue::N(version.into())),
        ("left", text("behind")),
    ];
    item.map(|(name, value)| (name.to_owned(), value)).into()
}

fn key_damage(victim: &Victim, version: u64) -> CorruptStream {
    CorruptStream {
        stream: victim.stream.to_string(),
        version,
        damage: Damage::Attribute("version"),
    }
}

async fn scanned(process: &Process) -> CorruptStream {
    let page = process.store.scan(Segment { index: 0, total: 1 }, None).await.unwrap();
    assert_eq!(
        (page.batches.len() > 4, page.damaged.len()),
        (true, 1),
        "the others are found: {page:?}"
    );
    page.damaged[0].clone()
}

async fn a_key_between_two_versions_is_damage(engine: &Engine) {
    let victim = Victim::new(engine).await;
    victim.table.put(foreign(&victim, "1.5")).await;
    let (process, expected) = (&victim.process, key_damage(&victim, 1));
    for consistency in [Consistency::Strong, Consistency::Eventual] {
        let loaded = process.store.load(&victim.stream, consistency).await;
        assert!(
            matches!(&loaded, Err(ReadError::Corrupt(found)) if *found == expected),
            "{loaded:?}"
        );
    }
    for direction in [Direction::Forwards, Direction::Backwards] {
        let page = process.store.read(&victim.stream, 3, direction, 100).await;
        let reached = direction == Direction::Backwards;
        assert_eq!(page.is_err(), reached, "{direction:?}: {page:?}");
    }
    let refused = process.count(&victim.stream, "onwards", 1).await;
    assert!(
        matches!(&refused, Err(ExecuteError::Corrupt(found)) if *found == expected),
        "{refused:?}"
    );
    assert_eq!(
        process.store.verify(&victim.stream).await.unwrap().broken_at,
        Some(expected.clone())
    );
    assert_eq!(scanned(process).await, expected);
    assert_eq!(process.store.streams(1, |_| ()).await.unwrap().foreign, [expected]);
}

/// They are outside the key range of events, so no stream stops at them. Only a scan finds them.
async fn a_key_outside_all_versions_is_named_by_a_scan(engine: &Engine) {
    let mut victim = Victim::new(engine).await;
    for (index, version) in
        ["0", "-1", "-0.5", "0.5", "100000000000000000000"].into_iter().enumerate()
    {
        let process = &victim.process;
        let end = process.load(&victim.stream).await.head;
        victim.table.put(foreign(&victim, version)).await;
        assert_eq!(process.load(&victim.stream).await.head, end, "{version}");
        assert_eq!(process.store.head(&victim.stream, Consistency::Strong).await.unwrap().0, end);
        let page = process.store.read(&victim.stream, 0, Direction::Forwards, 100).await.unwrap();
        assert_eq!((page.commits.len(), page.next), (8, None), "{version}");
        let below = !version.starts_with("10");
        let walk = process.store.verify(&victim.stream).await.unwrap();
        assert_eq!(
            walk.broken_at,
            below.then(|| key_damage(&victim, 0)),
            "{version}: nothing stands before the first"
        );
        assert_eq!(scanned(process).await.damage, Damage::Attribute("version"), "{version}");
        let streams = process.store.streams(1, |_| ()).await.unwrap();
        assert_eq!(streams.foreign, [key_damage(&victim, 0)], "{version}");
        assert_eq!(
            process.count(&victim.stream, "onwards", 1).await.unwrap().version,
            10,
            "{version}"
        );
        let key = victim.table.client.delete_item().table_name(&victim.table.name);
        let key = key.key("stream_id", text(victim.stream.as_str()));
        key.key("version", AttributeValue::N(version.into())).send().await.unwrap();
        victim = victim.another(&format!("outside-{index}")).await;
    }
}

/// A frame of zstd (RFC 8878): magic number, a header without sizes, the window's size, and blocks.
fn frame(window: u8, blocks: &[u8]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, window], blocks].concat()
}

/// A window of 2 to the power of 10 + `exponent` bytes.
fn window(exponent: u8) -> u8 {
    exponent << 3
}

/// 128 KB of spaces in four bytes: a block with one byte and a count.
fn spaces(last: bool) -> [u8; 4] {
    let head: u32 = u32::from(last) | 1 << 1 | (128 * 1024) << 3;
    let [low, middle, high, _] = head.to_le_bytes();
    [low, middle, high, b' ']
}

async fn decompression_stops_at_the_limit(engine: &Engine) {
    let victim = Victim::new(engine).await;
    let mut blocks = spaces(false).repeat(90_000);
    blocks.extend(spaces(true));
    // 360 KB that decompress to more than 11 GB.
    let bomb = frame(window(10), &blocks);
    victim.change(7, set("commits_zstd", Some(bytes(&bomb)))).await;
    let json = format!("EOF while parsing a value at line 1 column {MAX_BATCH_BYTES}");
    let expected =
        CorruptStream { stream: victim.stream.to_string(), version: 7, damage: Damage::Json(json) };
    let loaded = victim.process.store.load(&victim.stream, Consistency::Strong).await;
    assert!(matches!(&loaded, Err(ReadError::Corrupt(found)) if *found == expected), "{loaded:?}");
    assert_eq!(
        victim.process.store.verify(&victim.stream).await.unwrap().broken_at,
        Some(expected)
    );
}

/// Decompresses to two characters, but declares a window of 128 MB.
async fn a_frame_that_needs_too_much_memory_is_not_decompressed(engine: &Engine) {
    let victim = Victim::new(engine).await;
    let raw_block = [0x01 | 2 << 3, 0, 0, b'[', b']'];
    for (exponent, damage) in [(13, Damage::Empty), (17, Damage::Compression)] {
        victim
            .change(7, set("commits_zstd", Some(bytes(&frame(window(exponent), &raw_block)))))
            .await;
        let expected = CorruptStream { stream: victim.stream.to_string(), version: 7, damage };
        let loaded = victim.process.store.load(&victim.stream, Consistency::Strong).await;
        assert!(
            matches!(&loaded, Err(ReadError::Corrupt(found)) if *found == expected),
            "{loaded:?}"
        );
    }
}
