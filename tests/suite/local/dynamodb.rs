//! The embedded DynamoDB: it survives a restart, stays fast as its stream grows, and keeps 24 hours
//! of it.

use std::time::{Duration, Instant, SystemTime};

use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use ledgerfold::local::engines::access_key::AccessKey;
use ledgerfold::local::engines::dynamodb::DynamoDb;
use ledgerfold::local::engines::stream_retention::{RETENTION, StreamTrim};
use rusqlite::Connection;

use super::ends;
use super::event_table::{EventTable, create_table, put};
use crate::harness::engine::dynamodb;

async fn stream_records(clients: &ledgerfold::clients::Clients, stream_arn: &str) -> Vec<Record> {
    let stream = clients.streams.describe_stream().stream_arn(stream_arn).send().await.unwrap();
    let shard = stream.stream_description.unwrap().shards.unwrap().remove(0).shard_id.unwrap();
    let iterator = clients.streams.get_shard_iterator().stream_arn(stream_arn).shard_id(shard);
    let iterator =
        iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
    let records = clients
        .streams
        .get_records()
        .set_shard_iterator(iterator.shard_iterator)
        .send()
        .await
        .unwrap();
    records.records.unwrap()
}

fn numbers(records: &[Record]) -> Vec<usize> {
    let key = |record: &Record| {
        record.dynamodb().unwrap().keys().unwrap()["n"].as_n().unwrap().parse().unwrap()
    };
    records.iter().map(key).collect()
}

fn last_sequence_number(records: &[Record]) -> String {
    records.last().unwrap().dynamodb().unwrap().sequence_number().unwrap().to_owned()
}

/// Makes the oldest records of a table a day older.
fn age(database: &Connection, table: &str, records: usize) {
    let aged = database.execute(
        "UPDATE _stream_records SET created_at = created_at - 90000 WHERE id IN
            (SELECT id FROM _stream_records WHERE table_name = ?1 ORDER BY id LIMIT ?2)",
        rusqlite::params![table, records],
    );
    assert_eq!(aged.unwrap(), records);
}

#[tokio::test]
async fn items_and_stream_survive_a_restart() {
    let world = EventTable::new().await;
    world.put(0..5).await;
    let before = last_sequence_number(&stream_records(&world.clients, &world.stream_arn).await);
    let database = world.database();
    world.engine.stop().await;

    let (engine, clients) = dynamodb(&database).await;
    put(&clients, "events", [5]).await;
    let records = stream_records(&clients, &world.stream_arn).await;
    assert_eq!(numbers(&records), [0, 1, 2, 3, 4, 5]);
    assert!(last_sequence_number(&records) > before);
    engine.stop().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_idle_connections() {
    let world = EventTable::new().await;
    world.put([0]).await;
    let asked = Instant::now();
    ends("engine", world.engine.stop()).await;
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    assert!(world.clients.dynamodb.list_tables().send().await.is_err());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dynamodb.db");
    std::fs::write(&file, "not a database at all".repeat(100)).unwrap();
    let error = DynamoDb::start(&file, &AccessKey::generate().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("cannot be opened"), "{error}");
}

/// Statements of the engine. Without an index they read the whole table at every write and read.
#[tokio::test]
async fn the_engine_s_stream_statements_use_the_indexes() {
    let world = EventTable::new().await;
    let database = Connection::open(world.database()).unwrap();
    for (index, statement) in [
        (
            "x_seq",
            "SELECT COALESCE(MAX(CAST(sequence_number AS INTEGER)), 0) + 1 FROM _stream_records WHERE table_name = ?1",
        ),
        (
            "x_shard",
            "SELECT event_name, keys_json, new_image, old_image, sequence_number, created_at, user_identity, event_id
             FROM _stream_records
             WHERE table_name = ?1 AND shard_id = ?2 AND CAST(sequence_number AS INTEGER) > ?3
             ORDER BY CAST(sequence_number AS INTEGER) ASC
             LIMIT ?4",
        ),
    ] {
        let mut plan = database.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let nothing = vec![rusqlite::types::Null; plan.parameter_count()];
        let steps = plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
        let steps = steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
        assert!(steps.contains(index), "{steps}");
        assert!(!steps.contains("SCAN") && !steps.contains("TEMP B-TREE"), "{steps}");
    }
}

#[tokio::test]
async fn old_stream_records_are_removed_and_the_rest_keeps_its_order() {
    let world = EventTable::new().await;
    // Several chunks of the trimming job.
    world.put(0..500).await;
    let other_arn = create_table(&world.clients, "other").await;
    put(&world.clients, "other", 0..3).await;
    let database = Connection::open(world.database()).unwrap();
    let mut trim = StreamTrim::open(&world.database()).unwrap();
    let oldest_kept = SystemTime::now() - RETENTION;
    assert_eq!(trim.remove_before(oldest_kept).await.unwrap(), 0);

    age(&database, "events", 450);
    assert_eq!(trim.remove_before(oldest_kept).await.unwrap(), 450);
    let left = stream_records(&world.clients, &world.stream_arn).await;
    assert_eq!(numbers(&left), (450..500).collect::<Vec<_>>());

    // If all records are old, the newest of each table stays: its number is the base of the next.
    age(&database, "events", 50);
    age(&database, "other", 3);
    assert_eq!(trim.remove_before(oldest_kept).await.unwrap(), 49 + 2);
    assert_eq!(numbers(&stream_records(&world.clients, &other_arn).await), [2]);
    let before = last_sequence_number(&left);
    world.put([500]).await;
    let left = stream_records(&world.clients, &world.stream_arn).await;
    assert_eq!(numbers(&left), [499, 500]);
    assert!(last_sequence_number(&left) > before);
}

#[tokio::test]
async fn trimming_works_during_writes() {
    let world = EventTable::new().await;
    world.put(0..600).await;
    age(&Connection::open(world.database()).unwrap(), "events", 600);
    let mut trim = StreamTrim::open(&world.database()).unwrap();
    let (removed, ()) =
        tokio::join!(trim.remove_before(SystemTime::now() - RETENTION), world.put(600..700));
    // The newest old record stays if no newer one was written before the trim.
    assert!((599..=600).contains(&removed.unwrap()));
    let left = numbers(&stream_records(&world.clients, &world.stream_arn).await);
    assert!(left.ends_with(&(600..700).collect::<Vec<_>>()), "{left:?}");
}
