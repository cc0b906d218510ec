//! Invalid paths, methods, content types and parameters.

use super::{Program, isbn, line, order, sent};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_body_is_json_with_its_content_type() {
    let program = Program::start().await;
    let path = format!("/stock/{}/receive", isbn(7));
    let post = || {
        program
            .http
            .post(program.url(&path))
            .header("Idempotency-Key", "k")
            .body("{\"quantity\":5}")
    };
    sent(post()).await.is_problem(415, "unsupported-media-type");
    for wrong in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "json",
        "text/json; application/json",
    ] {
        sent(post().header("Content-Type", wrong)).await.is_problem(415, "unsupported-media-type");
    }
    let coded =
        sent(post().header("Content-Type", "application/json").header("Content-Encoding", "gzip"))
            .await;
    coded.is_problem(415, "unsupported-media-type");
    assert_eq!(coded.header("accept-encoding"), "identity");
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
    for right in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        "application/json ;x=y",
    ] {
        assert_eq!(sent(post().header("Content-Type", right)).await.status, 200, "{right}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let program = Program::start().await;
    let id = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";
    for path in [
        "/",
        "/orders/",
        "/order",
        "/Orders",
        "//orders",
        "/stock",
        "/stock/",
        "/favicon.ico",
        "/customers",
        "/audit",
        "/audit/",
    ] {
        for request in [program.http.get(program.url(path)), program.post(path, &json!({}))] {
            sent(request).await.is_problem(404, "not-found");
        }
    }
    for path in [
        format!("/orders/{id}/return"),
        format!("/orders/{id}/confirm/now"),
        format!("/stock/{}/burn", isbn(7)),
    ] {
        program.command(&path, "k", &json!({})).await.is_problem(404, "not-found");
    }
}

#[tokio::test]
async fn an_unknown_method_gets_the_known_ones() {
    let program = Program::start().await;
    let id = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";
    let post = format!("/orders/{id}/confirm");
    let cases = [
        ("/orders".to_owned(), Method::GET, "POST"),
        ("/orders".to_owned(), Method::PUT, "POST"),
        ("/orders".to_owned(), Method::from_bytes(b"BREW").unwrap(), "POST"),
        (post, Method::GET, "POST"),
        (format!("/orders/{id}"), Method::POST, "GET"),
        (format!("/stock/{}", isbn(7)), Method::DELETE, "GET"),
        ("/bestsellers".to_owned(), Method::POST, "GET"),
        ("/healthz".to_owned(), Method::PATCH, "GET"),
        ("/openapi.json".to_owned(), Method::DELETE, "GET"),
        ("/audit/events".to_owned(), Method::POST, "GET"),
    ];
    for (path, method, allowed) in cases {
        let answer = sent(program.http.request(method, program.url(&path))).await;
        answer.is_problem(405, "method-not-allowed");
        assert!(
            answer.header("allow").split(',').any(|method| method.trim() == allowed),
            "{path}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn ids_in_paths_are_checked() {
    let program = Program::start().await;
    let long = "x".repeat(4_000);
    let orders = [
        "1",
        "%20",
        "%00",
        "..%2f..%2fetc",
        "6f0f7d6e6b1c4c6e9a390f3b8f1c2d3e",
        "%C3%A9",
        "order-1",
        "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e%0a",
        &long,
    ];
    for id in orders {
        program.get(&format!("/orders/{id}")).await.breaks("id", "uuid");
        program
            .command(&format!("/orders/{id}/confirm"), "k", &json!({}))
            .await
            .breaks("id", "uuid");
    }
    for id in [
        "1",
        "978030640615",
        "9780306406157%20",
        "978%2D0306406157",
        "9780306406158",
        "4006381333931",
        "%D9%A9",
        "*",
        &long,
    ] {
        program.get(&format!("/stock/{id}")).await.breaks("isbn", "isbn");
        program
            .command(&format!("/stock/{id}/receive"), "k", &json!({"quantity": 5}))
            .await
            .breaks("isbn", "isbn");
    }
    for id in ["a%20b", "a%2Fb", "%25", "%C3%A9", &"c".repeat(65)] {
        program.get(&format!("/customers/{id}/orders")).await.breaks("id", "customer id");
    }
    for stream in [
        "x",
        "-",
        "order-",
        "Order-1",
        "order-a%20b",
        "order-%C3%A9",
        "%2e%2e%2f",
        &format!("order-{long}"),
    ] {
        program.get(&format!("/audit/streams/{stream}")).await.breaks("stream", "a stream");
        program.get(&format!("/audit/streams/{stream}/verify")).await.breaks("stream", "a stream");
    }
    for path in [
        "/orders/%FF",
        "/stock/%FF",
        "/customers/%FF/orders",
        "/audit/streams/%FF",
        "/audit/streams/%FF/verify",
    ] {
        program.get(path).await.breaks("path", "must be UTF-8");
    }
    program.command("/orders/%FF/confirm", "k", &json!({})).await.breaks("path", "must be UTF-8");
}

#[tokio::test]
async fn an_order_is_found_by_its_id_in_upper_case() {
    let program = Program::start().await;
    let upper = "6F0F7D6E-6B1C-4C6E-9A39-0F3B8F1C2D3E";
    let placed = program
        .place("k", &order("c", &[line(1, 1, 5)]))
        .await
        .to_uppercase()
        .replace("/ORDERS/", "/orders/");
    assert_eq!(program.get(&format!("{placed}?at_least=1")).await.status, 200);
    program.get(&format!("/orders/{upper}")).await.is_problem(404, "not-found");
}

/// Sends raw bytes. Returns the response's first line, or nothing if the connection is closed.
async fn raw(program: &Program, request: &str) -> String {
    let mut connection =
        TcpStream::connect(program.dev.url.strip_prefix("http://").unwrap()).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(super::PATIENCE, connection.read_to_end(&mut answer))
        .await
        .expect("no answer");
    read.unwrap();
    String::from_utf8(answer).unwrap().lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn malformed_requests_are_answered() {
    let program = Program::start().await;
    for (target, status) in [
        ("/orders/..", "400"),
        ("/orders/../healthz", "404"),
        ("/orders/./x", "404"),
        ("http://elsewhere/healthz", "421"),
        ("http://localhost/healthz", "200"),
        ("*", "404"),
        ("healthz", "421"),
        ("/healthz#x", "200"),
        ("/orders/a b", "400"),
        ("/\u{1}", "400"),
    ] {
        let first = raw(
            &program,
            &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(first.split(' ').nth(1).is_some_and(|found| found == status), "{target}: {first}");
    }
    let smuggled = "POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    assert!(raw(&program, smuggled).await.starts_with("HTTP/1.1 400"));
    let endless = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n",
        "x".repeat(1_000_000)
    );
    assert!(raw_or_closed(&program, &endless).await);
    assert_eq!(program.get("/healthz").await.body, json!({"status": "ok"}));
}

/// Whether a head that is too long gets 431, or its connection is closed.
async fn raw_or_closed(program: &Program, request: &str) -> bool {
    let mut connection =
        TcpStream::connect(program.dev.url.strip_prefix("http://").unwrap()).await.unwrap();
    let mut answer = Vec::new();
    let closed = connection.write_all(request.as_bytes()).await.is_err()
        | tokio::time::timeout(super::PATIENCE, connection.read_to_end(&mut answer))
            .await
            .expect("no answer")
            .is_err();
    closed || answer.starts_with(b"HTTP/1.1 431")
}

#[tokio::test]
async fn parameters_are_known_unique_and_checked() {
    let program = Program::start().await;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    let stream = path.replace("/orders/", "order-");
    let count = "whole number from 1 to 500";
    let (customer, events) =
        ("/customers/c/orders".to_owned(), format!("/audit/events?stream={stream}"));
    let history = format!("/audit/streams/{stream}");
    let lists = [
        format!("{customer}?"),
        "/bestsellers?".to_owned(),
        format!("{history}?"),
        format!("{events}&"),
    ];
    for list in &lists {
        for wrong in ["0", "501", "abc", "-1", "1.0", "18446744073709551616", "+", "%FF"] {
            program.get(&format!("{list}limit={wrong}")).await.breaks("limit", count);
        }
        assert_eq!(program.get(&format!("{list}limit=500")).await.status, 200);
        program.get(&format!("{list}limit=1&limit=1")).await.breaks("limit", "once");
        program.get(&format!("{list}limt=1")).await.breaks("limt", "is unknown; known:");
        program.get(&format!("{list}%00=1")).await.breaks("\0", "is unknown");
    }
    let cursor = "must be the next_cursor of an earlier response to the same query";
    let of_such = "must be one that an earlier answer to such a question gave";
    let cases = [
        (format!("{path}?at_last=1"), "at_last", "is unknown"),
        (format!("{path}?at_least=1&at_least=1"), "at_least", "once"),
        (format!("{history}/verify?from=1"), "from", "is unknown"),
        (format!("{customer}?status=open"), "status", "must be placed"),
        (format!("{customer}?status=Placed"), "status", "must be placed"),
        (format!("{customer}?cursor=x"), "cursor", cursor),
        (format!("{customer}?cursor=eyJ2ZXJzaW9uIjoxfQ"), "cursor", cursor),
        (format!("{customer}?cursor=%00"), "cursor", cursor),
        ("/bestsellers?day=".into(), "day", "must not be empty"),
        (format!("{customer}?status="), "status", "must not be empty"),
        ("/bestsellers?day=2026-02-30".into(), "day", "must be a day"),
        ("/bestsellers?day=2026-2-3".into(), "day", "must be a day"),
        ("/bestsellers?day=today".into(), "day", "must be a day"),
        ("/bestsellers?day=2026-11-22T00:00:00Z".into(), "day", "must be a day"),
        (format!("{history}?from=0"), "from", "whole number from 1"),
        (format!("{history}?from=-1"), "from", "whole number from 1"),
        ("/audit/events?stream=x".into(), "stream", "a stream name"),
        (format!("{events}&order=up"), "order", "asc or desc"),
        (format!("{events}&from=yesterday"), "from", "must be a time"),
        (format!("{events}&to=2026-11-22"), "to", "must be a time"),
        (format!("{events}&from=2026-11-22T10:00:00"), "from", "must be a time"),
        (format!("{events}&cursor=eyJyb3ciOiIxIn0"), "cursor", of_such),
        (format!("{events}&cursor=%22"), "cursor", of_such),
        // {"version":0} and {"version":18446744073709551615}
        (format!("{events}&cursor=eyJ2ZXJzaW9uIjowfQ"), "cursor", of_such),
        (format!("{events}&cursor=eyJ2ZXJzaW9uIjoxODQ0Njc0NDA3MzcwOTU1MTYxNX0"), "cursor", of_such),
    ];
    for (path, field, rule) in cases {
        program.get(&path).await.breaks(field, rule);
    }
}

#[tokio::test]
async fn a_cursor_of_another_list_is_rejected() {
    let program = Program::start().await;
    for customer in ["ann", "bob"] {
        for number in 0..3 {
            program
                .place(&format!("{customer}-{number}"), &order(customer, &[line(1, 1, 5)]))
                .await;
        }
    }
    let page = super::eventually("the orders are listed", || async {
        let page = program.get("/customers/ann/orders?limit=2").await.body;
        Some(page).filter(|page| {
            page["next_cursor"].is_string() && page["orders"].as_array().unwrap().len() == 2
        })
    });
    let cursor = page.await["next_cursor"].as_str().unwrap().to_owned();
    let answer = program.get(&format!("/customers/bob/orders?limit=2&cursor={cursor}")).await;
    answer.breaks("cursor", "must be the next_cursor of an earlier response to the same query");
}
