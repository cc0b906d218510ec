//! Help, and messages for wrong use.

use super::run;

/// The arguments of a command's help, and words that it must contain.
const COMMANDS: &[(&[&str], &[&str])] = &[
    (
        &["--help"],
        &[
            "dev",
            "tables",
            "audit",
            "Exit status: 0 done, 1 a negative answer",
            "2 wrong use, 3 a failure",
        ],
    ),
    (
        &["dev", "--help"],
        &["--port", "8080", "--data", ".ledgerfold", "--fresh", "--auth", "--issuer", "--listen"],
    ),
    (&["new", "--help"], &["<NAME>", "--path", "--crates", "`cargo test` and `cargo run`"]),
    (&["tokens", "create", "--help"], &["--dir", "jwks.json"]),
    (
        &["tokens", "sign", "--help"],
        &["--subject", "--scope", "--minutes", "operate: Operate projections"],
    ),
    (&["backup", "--help"], &["<DIR>", "--data", "--json", "even while `dev` runs"]),
    (&["restore", "--help"], &["<DIR>", "--data", "--fresh", "--json"]),
    (&["tables", "create", "--help"], &["--endpoint", "--data", "--prefix", "--json"]),
    (&["audit", "history", "--help"], &["--from", "--to", "--limit", "--json", "--data"]),
    (
        &["audit", "search", "--help"],
        &[
            "--actor",
            "--type",
            "--command",
            "--correlation",
            "--stream",
            "--order",
            "--cursor",
            "--as",
        ],
    ),
    (&["audit", "trace", "--help"], &["[CORRELATION]", "--stream", "--as", "--json"]),
    (&["audit", "at", "--help"], &["--version", "--time", "LEDGERFOLD_ACTOR", "operator:$USER"]),
    (&["audit", "diff", "--help"], &["--from", "--to", "--from-time", "--to-time"]),
    (
        &["audit", "export", "--help"],
        &["--format", "jsonl", "csv", "--output", "apostrophe", "--limit"],
    ),
    (&["audit", "verify", "--help"], &["--all", "--snapshots", "--json", "Exit 1"]),
    (
        &["projection", "--help"],
        &["list", "rebuild", "switch", "rollback", "drop", "resume", "redrive"],
    ),
    (&["projection", "list", "--help"], &["--json", "--data"]),
    (&["projection", "status", "--help"], &["<NAME>", "orders, stock, bestsellers", "fulfilment"]),
    (&["projection", "rebuild", "--help"], &["--segments", "--wait", "[default: 4]", "exit 1"]),
    (&["projection", "pause", "--help"], &["<NAME>"]),
    (&["projection", "resume", "--help"], &["--stream", "--wait", "Exit 1"]),
    (&["projection", "cancel", "--help"], &["--wait"]),
    (&["projection", "switch", "--help"], &["--accept-incomplete", "--wait"]),
    (&["projection", "rollback", "--help"], &["--wait"]),
    (&["projection", "drop", "--help"], &["--generation", "--wait"]),
    (&["projection", "reconcile", "--help"], &["--segments", "--wait"]),
    (&["projection", "redrive", "--help"], &["dead-letter", "projection resume"]),
    (&["projection", "parked", "--help"], &["--limit", "--cursor"]),
    (&["projection", "dead", "--help"], &["--limit", "[default: 20]", "--json", "Exit 1"]),
];

#[tokio::test]
async fn every_command_explains_itself_with_an_example() {
    for (arguments, words) in COMMANDS {
        let help = super::ended(super::ledgerfold(arguments.iter().copied())).await.done();
        assert!(
            help.contains("Examples:\n  ledgerfold ") || help.contains("  ledgerfold dev"),
            "{help}"
        );
        assert!(help.contains("Usage: ledgerfold "), "{help}");
        let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in *words {
            assert!(flat.contains(word), "no {word:?} in {help}");
        }
    }
    for group in ["tables", "audit", "projection", "tokens"] {
        let help = run([group, "--help"]).await.done();
        assert!(help.contains("Commands:"), "{help}");
    }
}

#[tokio::test]
async fn every_benchmark_explains_itself_with_an_example() {
    for (arguments, words) in [
        (
            vec!["--help"],
            vec![
                "--commands",
                "--clients",
                "--events",
                "--aws",
                "--endpoint",
                "--data",
                "--json",
                "projections",
                "cost",
            ],
        ),
        (
            vec!["cost", "--help"],
            vec!["--rate", "--reads", "--event-bytes", "--history", "--json", "list prices"],
        ),
        (
            vec!["projections", "--help"],
            vec!["--events", "--streams", "--live", "--threads", "--projection", "--json"],
        ),
    ] {
        let help = super::ended(super::ledgerfold_bench(arguments.iter().copied())).await.done();
        assert!(
            help.contains("Examples:\n  ledgerfold-bench")
                && help.contains("Usage: ledgerfold-bench"),
            "{help}"
        );
        for word in words {
            assert!(help.contains(word), "no {word:?} in {help}");
        }
    }
}

#[tokio::test]
async fn without_a_command_it_is_dev() {
    let help = run(["--help"]).await.done();
    assert!(help.contains("Without a command, `dev` runs."), "{help}");
    assert_eq!(
        run(["--version"]).await.done(),
        format!("ledgerfold {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[tokio::test]
async fn wrong_use_is_told_and_ends_with_2() {
    run(["frobnicate"]).await.is_wrong_use("unrecognized subcommand 'frobnicate'");
    run(["dev", "--prot", "1"]).await.is_wrong_use("unexpected argument '--prot'");
    run(["dev", "--port", "65536"]).await.is_wrong_use("65536 is not in 0..=65535");
    run(["dev", "--data", ""]).await.is_wrong_use("--data");
    run(["dev", "--break", "orders"]).await.is_wrong_use("a projection, '=' and an event type");
    run(["dev", "--break", "audit=OrderPlaced"]).await.is_wrong_use("applies events one by one");
    run(["dev", "--break", "orders=StockReceived"])
        .await
        .is_wrong_use("orders does not know events of type");
    run(["projection", "rebuild", "orderz"])
        .await
        .is_wrong_use("possible values: orders, stock, bestsellers");
    run(["projection", "rebuild", "orders", "--segments", "65"])
        .await
        .is_wrong_use("65 is not in 1..=64");
    run(["projection", "rebuild", "orders", "--segments", "0"])
        .await
        .is_wrong_use("0 is not in 1..=64");
    run(["projection", "resume", "orders", "--stream", "x"])
        .await
        .is_wrong_use("a stream name is a category");
    run(["projection", "dead", "orders", "--limit", "101"])
        .await
        .is_wrong_use("101 is not in 1..=100");
    run(["projection", "parked", "orders", "--limit", "0"]).await.is_wrong_use("--limit");
    run(["projection", "parked", "orders", "--cursor", "me"])
        .await
        .is_wrong_use("gave as next_cursor");
    run(["audit", "verify"]).await.is_wrong_use("<STREAM>");
    run(["audit", "verify", "--all", "order-1"]).await.is_wrong_use("--all");
    run(["audit", "verify", "nonsense"])
        .await
        .is_wrong_use("a stream name is a category, '-' and a key");
    run(["audit", "history", "Order-1"]).await.is_wrong_use("lower-case letters");
    run(["audit", "history", "order-1", "--from", "0"]).await.is_wrong_use("--from");
    run(["audit", "history", "order-1", "--limit", "0"]).await.is_wrong_use("--limit");
    run(["audit", "history", "order-1", "--endpoint", "http://127.0.0.1:1", "--data", "x"])
        .await
        .is_wrong_use("--data");
    run(["audit", "history", "order-1", "--endpoint", "127.0.0.1:1"])
        .await
        .is_wrong_use("an address such as http://");
    run(["audit", "history", "order-1", "--endpoint", "nonsense"])
        .await
        .is_wrong_use("an address such as http://");
    run(["audit", "history", "order-1", "--prefix", "a b"]).await.is_wrong_use("letters, digits");
}
