//! `ledgerfold-bench cost`: its figures equal those computed by hand, and those in the book.

use super::run_bench;
use serde_json::Value;

/// Seconds of a month of 730 hours.
const MONTH_S: f64 = 2_628_000.0;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The quantity and the price of an item.
fn item(estimate: &Value, name: &str) -> (f64, f64) {
    let items = estimate["items"].as_array().unwrap();
    let item = items
        .iter()
        .find(|item| item["item"] == name)
        .unwrap_or_else(|| panic!("no {name} in {estimate}"));
    assert!(item["source"].as_str().unwrap().starts_with("aws.amazon.com/"), "{item}");
    (number(&item["quantity"]), number(&item["usd_per_month"]))
}

#[track_caller]
fn same(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= wanted.abs() * 1e-9, "{found}, not {wanted}");
}

#[tokio::test]
async fn a_hundred_commands_a_second_cost_what_they_cost_by_hand() {
    let answer = run_bench(["cost", "--rate", "100", "--reads", "50", "--history", "30", "--json"])
        .await
        .json();
    let estimate = &answer["estimates"][0];
    // Three commits, a tenth of a snapshot; orders 2 x 2, bestsellers 2 x 4.6, stock 1, fulfilment
    // 7; audit 3 x 3; journal 3 ends, and 10 batches a second of 30 x 160 bytes.
    let written = (100.0 * (3.1 + (4.0 + 9.2 + 1.0 + 7.0) + 9.0 + 3.0) + 10.0 * 5.0) * MONTH_S;
    // Fulfilment's commands; orders 2 x 1.7, bestsellers 2 x 2.3, stock 2, fulfilment 5; audit 3;
    // journal 1; and the reads.
    let read = (100.0 * (1.0 + (3.4 + 4.6 + 2.0 + 5.0) + 3.0 + 1.0) + 50.0) * MONTH_S;
    // Five items of 300 + 400 bytes, fourteen of 300, 100 more each.
    let stored =
        100.0 * 30.0 * 86_400.0 * (5.0 * 700.0 + 14.0 * 300.0 + 19.0 * 100.0) / 1_073_741_824.0;
    // 200, 200, 100, 300 and 300 messages a second, ten in a batch: sent, received, deleted. And
    // empty queues.
    // For the journal, one for each call of fan-out.
    let batches = 20.0 + 20.0 + 10.0 + 30.0 + 30.0 + 10.0;
    let queued = (batches * 3.0 + 8.0 * 5.0 / 20.0) * MONTH_S;
    // Those batches, 100 commands, 50 reads, 300 commits in batches of 30.
    let invoked = (batches + 100.0 + 50.0 + 10.0) * MONTH_S;
    let consumers = 20.0 * 0.092
        + 20.0 * 0.017
        + 10.0 * 0.107
        + 30.0 * 0.057
        + 10.0 * (0.002 + (2.0 + 30.0 * 0.06) * 0.005)
        + 30.0 * (0.002 + 140.0 / 3.0 * 0.005);
    let worked = (consumers + 150.0 * 0.007 + 10.0 * (0.002 + 12.0 * 0.005)) * 0.25 * MONTH_S;
    // A line of 560 bytes for each request, commit and message, 650 an invocation; 150 a request at
    // the gateway.
    let lines = (150.0 + 100.0 * (3.0 + 14.0)) * MONTH_S;
    let logged = (lines * 560.0 + invoked * 650.0) / 1_073_741_824.0;
    let accessed = 150.0 * MONTH_S * 150.0 / 1_073_741_824.0;
    let mut sum = 0.0;
    for (name, quantity, usd) in [
        ("API gateway, HTTP API", 150.0 * MONTH_S, 150.0 * MONTH_S / 1e6),
        ("Lambda, invocations", invoked, invoked * 0.2 / 1e6),
        ("Lambda, duration on arm64", worked, worked * 0.000_013_333_4),
        ("DynamoDB, writes", written, written * 0.625 / 1e6),
        ("DynamoDB, reads", read, read * 0.125 / 1e6),
        ("DynamoDB, storage", stored, stored * 0.25),
        ("DynamoDB, point-in-time recovery", stored, stored * 0.2),
        ("SQS, FIFO", queued, queued * 0.5 / 1e6),
        ("CloudWatch, logs taken in", logged, logged * 0.5),
        ("CloudWatch, access logs taken in", accessed, accessed * 0.5),
        ("CloudWatch, metrics", 44.0, 13.2),
        ("CloudWatch, alarms", 44.0, 4.4),
        ("CloudWatch, dashboards", 1.0, 3.0),
        ("Cognito, machine clients", 4.0, 24.0),
        ("Cognito, tokens", 2_920.0, 2_920.0 * 0.002_25),
    ] {
        let found = item(estimate, name);
        same(found.0, quantity);
        same(found.1, usd);
        sum += usd;
    }
    assert_eq!(estimate["items"].as_array().unwrap().len(), 15);
    same(number(&estimate["usd_per_month"]), sum);
    same(number(&estimate["usd_per_million_commands"]), sum / (100.0 * MONTH_S) * 1e6);
}

#[tokio::test]
async fn a_large_event_costs_its_kilobytes() {
    let answer = run_bench([
        "cost",
        "--rate",
        "1",
        "--reads",
        "0",
        "--history",
        "0",
        "--event-bytes",
        "4000",
        "--json",
    ])
    .await;
    let estimate = &answer.json()["estimates"][0];
    // 4,400 bytes: a commit and an order's row in table and index have five units each, a
    // consistent read has two.
    same(
        item(estimate, "DynamoDB, writes").0,
        (15.1 + 2.0 * 2.0 * 5.0 + 9.2 + 1.0 + 7.0 + 9.0 + 6.0) * MONTH_S,
    );
    same(
        item(estimate, "DynamoDB, reads").0,
        (2.0 + 3.4 * 2.0 + 4.6 + 2.0 + 5.0 + 3.0 + 1.0) * MONTH_S,
    );
    same(item(estimate, "DynamoDB, storage").0, 0.0);
    // At one command per second, batches have one message: fourteen messages below 64 KB.
    same(item(estimate, "SQS, FIFO").0, (42.0 + 2.0) * MONTH_S);
    let huge = run_bench(["cost", "--rate", "1", "--event-bytes", "131000", "--json"]).await;
    // Three times 64 KB, sent and received, and a deletion.
    same(item(&huge.json()["estimates"][0], "SQS, FIFO").0, (14.0 * 7.0 + 2.0) * MONTH_S);
}

/// The limits that a rate exceeds.
async fn beyond(rate: &str) -> Vec<String> {
    let answer = run_bench(["cost", "--rate", rate, "--json"]).await.json();
    let limits = answer["estimates"][0]["limits"].as_array().unwrap().clone();
    assert_eq!(limits.len(), 33);
    for limit in &limits {
        assert_eq!(limit["within"], number(&limit["needs"]) <= number(&limit["limit"]), "{limit}");
        assert!(!limit["beyond"].as_str().unwrap().is_empty(), "{limit}");
    }
    let beyond = limits.iter().filter(|limit| limit["within"] == false);
    beyond.map(|limit| limit["what"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_limits_that_a_rate_meets_are_named() {
    assert_eq!(beyond("1").await, [""; 0]);
    assert_eq!(beyond("100").await, [""; 0]);
    let at_301 = [
        "batches at work at once, queue fulfilment",
        "units written a second, new table of read models",
        "messages a second, the same book",
    ];
    assert_eq!(beyond("301").await, at_301);
    let found = beyond("10000").await;
    for part in [
        "requests a second, API gateway",
        "functions at work at once",
        "batches at work at once, queue orders",
        "batches at work at once, queue bestsellers",
        "batches at work at once, queue stock",
        "batches at work at once, queue audit",
        "batches at work at once, queue journal",
        "batches at work at once, queue fulfilment",
        "units written a second, table of read models",
        "units read a second, table of read models",
        "units written a second, table of audit index",
        "units written a second, new table of events",
        "units written a second, new table of read models",
        "units read a second, new table of read models",
        "units written a second, new table of audit index",
        "units written a second, new table of journal",
        "units read a second, new table of audit index",
        "units written a second, stock of a book",
        "messages a second, the same book",
        "rows a second, the bestsellers' list of a day",
    ] {
        assert!(found.iter().any(|what| what.starts_with(part)), "{part} is not in {found:?}");
    }
    assert_eq!(found.len(), 20, "{found:?}");
}

#[tokio::test]
async fn the_table_says_what_it_assumes_and_leaves_out() {
    let said = run_bench(["cost"]).await.done();
    for part in [
        "list prices as written down on 2026-11-23",
        "\n1 commands/s and 1 reads/s: ",
        "\n100 commands/s and 100 reads/s: ",
        "\n10,000 commands/s and 10,000 reads/s: ",
        "  BEYOND requests a second, API gateway: needs 20,000 of 10,000; ask AWS",
        "  within 33 of 33 limits",
        "\nIt assumes:\n  - a command is an order of one line that is confirmed",
        "\nIt leaves out:\n  - free tiers",
    ] {
        assert!(said.contains(part), "no {part:?} in {said}");
    }
}

/// The book's table has each rate: dollars per month, and dollars per million commands.
#[tokio::test]
async fn the_book_says_what_the_program_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/docs/src/reference/costs.md");
    let page = std::fs::read_to_string(page).unwrap();
    let said = run_bench(["cost"]).await.done();
    let estimates: Vec<&str> =
        said.lines().filter(|line| line.contains(" commands/s and ")).collect();
    assert_eq!(estimates.len(), 3);
    for estimate in estimates {
        let words: Vec<&str> = estimate.split(' ').collect();
        let row = format!("| {} | {} | {} |", words[0], words[5], words[9]);
        assert!(page.contains(&row), "the book has no {row:?}: {estimate}");
    }
}

#[tokio::test]
async fn wrong_figures_are_told() {
    for rate in ["--rate=-1", "--rate=1000001", "--rate=NaN", "--rate=many"] {
        run_bench(["cost", rate]).await.is_wrong_use("a number from 0 to 1000000");
    }
    run_bench(["cost", "--reads=-1"]).await.is_wrong_use("--reads");
    run_bench(["cost", "--event-bytes", "390001"])
        .await
        .is_wrong_use("390001 is not in 1..=390000");
    run_bench(["cost", "--history", "36501"]).await.is_wrong_use("36501 is not in 0..=36500");
}

#[tokio::test]
async fn an_idle_system_and_a_slow_one_are_estimated() {
    let rates = ["cost", "--rate", "0", "--rate", "0.01", "--rate", "1", "--json"];
    let estimates = run_bench(rates).await.json()["estimates"].clone();
    let usd = |index: usize| estimates[index]["usd_per_month"].as_f64().unwrap();
    assert!(usd(0) < usd(1) && usd(1) < usd(2), "{estimates}");
    assert!(estimates[0]["usd_per_million_commands"].is_null(), "{estimates}");
    assert!(estimates[1]["usd_per_million_commands"].is_number(), "{estimates}");
    let said = run_bench(["cost", "--rate", "0", "--rate", "0.01"]).await.done();
    assert!(
        said.contains("0 commands/s and 0 reads/s: ") && said.contains("0.01 commands/s"),
        "{said}"
    );
    assert!(!said.contains("NaN") && !said.contains("inf USD"), "{said}");
}
