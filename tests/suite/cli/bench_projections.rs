//! `ledgerfold-bench projections`: its counts equal the design, and it removes its files.

use super::bench::{interrupt, is_empty, until};
use super::{Ended, ended, run_bench};
use crate::harness::program::ledgerfold_bench;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

/// 60 events: 10 orders of 3 events each, and 30 events in the streams of 2 books.
const SMALL: [&str; 7] = ["projections", "--events", "60", "--streams", "2", "--live", "60"];
const WORKS: [&str; 5] = ["one_by_one", "batches_of_10", "backfill", "proof", "rebuild"];

/// Runs it with small numbers and this folder for temporary files.
async fn bench<const N: usize>(folder: &TempDir, more: [&str; N]) -> Ended {
    let mut command = ledgerfold_bench(SMALL);
    command.args(more).env("TMPDIR", folder.path());
    ended(command).await
}

/// What a piece of work cost.
struct Taken<'a>(&'a Value);

impl Taken<'_> {
    #[track_caller]
    fn whole(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    #[track_caller]
    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    fn requests(&self, operation: &str) -> u64 {
        self.0["requests"][operation].as_u64().unwrap_or_default()
    }
}

#[track_caller]
fn taken<'a>(answer: &'a Value, projection: &str, work: &str) -> Taken<'a> {
    let all = answer["measured"].as_array().unwrap();
    let found = all.iter().find(|taken| taken["projection"] == projection && taken["work"] == work);
    Taken(found.unwrap_or_else(|| panic!("no {work} of {projection} in {answer}")))
}

#[tokio::test]
async fn live_events_cost_what_the_design_says() {
    let folder = TempDir::new().unwrap();
    let ended = bench(&folder, ["--threads", "1", "--json"]).await;
    let answer = ended.json();
    assert_eq!((ended.status, &*ended.stderr), (0, ""));
    // Events and write units, one by one. A book's row is in no list, an order's in one. An audit
    // entry is in two indexes, besides the entry of the day.
    for (projection, events, puts, write_units) in
        [("stock", 30, 30, 30.0), ("orders", 30, 30, 60.0), ("audit", 60, 61, 181.0)]
    {
        let one = taken(&answer, projection, "one_by_one");
        assert_eq!(
            (one.whole("events"), one.requests("PutItem"), one.whole("refused")),
            (events, puts, 0)
        );
        assert_eq!(one.number("write_units"), write_units, "{projection}: {answer}");
    }
    // The first event of a stream is written without a read. After each message, the generations
    // are read.
    for (projection, streams) in [("stock", 2), ("orders", 10)] {
        let gets = taken(&answer, projection, "one_by_one").requests("GetItem");
        assert!(
            (30 - streams + 30..=30 - streams + 60).contains(&gets),
            "{projection}: {gets} reads"
        );
    }
    let sales = taken(&answer, "bestsellers", "one_by_one");
    assert_eq!(
        (sales.whole("events"), sales.requests("TransactWriteItems"), sales.requests("PutItem")),
        (30, 30, 0)
    );
    // Two units per item: the position, and two rows that are listed in an index when the order is
    // placed.
    assert!(
        (2.0 * 30.0 + 2.0 * 2.0 * 10.0..=180.0).contains(&sales.number("write_units")),
        "{answer}"
    );
    assert!(is_empty(folder.path()));
}

#[tokio::test]
async fn ten_messages_and_a_page_cost_one_write_per_stream() {
    let folder = TempDir::new().unwrap();
    let answer = bench(&folder, ["--threads", "1", "--json"]).await.json();
    let (batches, sales) =
        (taken(&answer, "stock", "batches_of_10"), taken(&answer, "bestsellers", "batches_of_10"));
    assert_eq!(
        (batches.whole("events"), sales.whole("events"), sales.requests("TransactWriteItems")),
        (30, 30, 3)
    );
    assert!((3..=6).contains(&batches.requests("PutItem")), "3 deliveries of 2 streams: {answer}");
    assert_eq!(
        batches.number("write_units"),
        f64::from(u32::try_from(batches.requests("PutItem")).unwrap())
    );

    for (projection, rows) in [("orders", 10), ("stock", 2)] {
        let [backfill, proof, both] =
            ["backfill", "proof", "rebuild"].map(|work| taken(&answer, projection, work));
        assert_eq!(
            (both.whole("events"), both.whole("refused"), both.whole("threads")),
            (30, 0, 1),
            "{answer}"
        );
        // The generations at the beginning and at the next pass, and the progress of each of 4
        // segments.
        let puts = backfill.requests("PutItem");
        assert!(
            (rows + 5..=rows + 6).contains(&puts),
            "{projection}: {puts} puts of {rows} rows: {answer}"
        );
        assert!(
            proof.requests("PutItem") <= 6,
            "a verification without findings writes no row: {answer}"
        );
        assert_eq!(puts + proof.requests("PutItem"), both.requests("PutItem"));
        assert_eq!(
            (backfill.requests("Scan"), proof.requests("Scan")),
            (4, 4),
            "one page per segment: {answer}"
        );
        assert!(both.number("write_units") > 0.0 && both.number("read_units") > 0.0);
    }
    let entries = taken(&answer, "audit", "backfill");
    // The day, for each of 10 streams that a worker processes concurrently, and the items named
    // above.
    assert!((61..=60 + 10 + 6).contains(&entries.requests("PutItem")), "{answer}");
    assert!(is_empty(folder.path()));
}

#[tokio::test]
async fn every_projection_has_every_measure_and_one_can_be_chosen() {
    let folder = TempDir::new().unwrap();
    let answer = bench(&folder, ["--threads", "1", "--json"]).await.json();
    assert_eq!((&answer["events"], &answer["streams"]), (&60.into(), &2.into()));
    for projection in ["orders", "stock", "bestsellers", "audit"] {
        for work in WORKS {
            let taken = taken(&answer, projection, work);
            assert!(taken.number("events_per_s") > 0.0 && taken.number("elapsed_ms") > 0.0);
            assert!(taken.number("times_live") > 0.0 && taken.number("sdk_us_per_event") > 0.0);
            for told in [
                "times_live_by_cpu",
                "engine_cpu_us_per_event",
                "client_cpu_us_per_event",
                "peak_bytes",
            ] {
                assert!(
                    taken.0[told].as_f64().is_none_or(|number| number > 0.0),
                    "{told}: {}",
                    taken.0
                );
            }
        }
        assert_eq!(taken(&answer, projection, "one_by_one").number("times_live"), 1.0);
    }
    assert_eq!(answer["measured"].as_array().unwrap().len(), 25);

    let table = bench(&folder, ["--threads", "1,2", "--projection", "stock"]).await.done();
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[1].starts_with("PROJECTION ") && lines[1].ends_with("PEAK MB"), "{table}");
    assert_eq!(lines.len(), 2 + 2 + 3 + 3, "{table}");
    let first: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(first[..6], ["stock", "one", "by", "one", "1", "30"], "{table}");
    assert_eq!((first[7], first[10]), ("1.0", "1"), "times live, and write units: {table}");
    assert!(lines[2..].iter().all(|line| line.starts_with("stock ")), "{table}");
    assert!(is_empty(folder.path()));
}

/// Whether the engine in the folder has this table.
fn has_table(folder: &Path, name: &str) -> bool {
    let Some(Ok(engine)) = std::fs::read_dir(folder).unwrap().next() else { return false };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let Ok(file) = Connection::open_with_flags(engine.path().join("bench.db"), flags) else {
        return false;
    };
    file.query_row("SELECT 1 FROM _tables WHERE table_name = ?1", [name], |_| Ok(())).is_ok()
}

#[tokio::test]
async fn ctrl_c_ends_it_while_it_writes_and_while_it_measures() {
    for (events, live, table) in
        [("10000000", "1", "bench-events"), ("1200", "1200", "bench-orders-live-1-audit-index")]
    {
        let temporary = TempDir::new().unwrap();
        let mut command = ledgerfold_bench(["projections", "--events", events, "--live", live]);
        command.env("TMPDIR", temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        until(async || has_table(temporary.path(), table)).await;
        interrupt(child).await;
        assert!(is_empty(temporary.path()));
    }
}

#[tokio::test]
async fn wrong_use_is_told_before_anything_is_made() {
    for (option, value) in [
        ("--events", "11"),
        ("--events", "many"),
        ("--streams", "0"),
        ("--streams", "201"),
        ("--live", "0"),
        ("--threads", "0"),
        ("--threads", "1,17"),
        ("--projection", "fulfilment"),
    ] {
        run_bench(["projections", option, value]).await.is_wrong_use(option);
    }
    run_bench(["projections", "--projection", "x"])
        .await
        .is_wrong_use("one of orders, stock, bestsellers, audit");
    run_bench(["--commands", "1", "projections"]).await.is_wrong_use("projections");
}
