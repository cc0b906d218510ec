//! Invalid bodies: each response names the rule, and nothing is written.

use super::{Program, Response, isbn, line, order, order_stream, sent, text};
use serde_json::{Value, json};

/// The placeholder for a case's text, which may be JSON that [`Value`] cannot hold.
const HOLE: &str = "@hole@";

/// A wrong field: the text in its place, the field that the response names, and a part of the rule.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str);

const TEXT: &str = "must be a string, not";
const COUNT: &str = "must be a whole number, not";
const INEXACT: &str = "must not be beyond 2^53";

async fn send_text(
    program: &Program,
    path: &str,
    key: &str,
    body: impl Into<reqwest::Body>,
) -> Response {
    let request = program.http.post(program.url(path)).header("Content-Type", "application/json");
    sent(request.header("Idempotency-Key", key).body(body)).await
}

/// The body with that text for the field at the pointer, or without the field if the text is empty.
fn with(body: &Value, pointer: &str, text: &str) -> String {
    let mut body = body.clone();
    if text.is_empty() {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        assert!(
            body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).is_some(),
            "{pointer}"
        );
        return body.to_string();
    }
    *body.pointer_mut(pointer).unwrap() = json!(HOLE);
    body.to_string().replace(&format!("\"{HOLE}\""), text)
}

async fn each_is_refused(program: &Program, path: &str, body: &Value, cases: &[Case<'_>]) {
    for (pointer, text, field, rule) in cases {
        let answer = send_text(program, path, "bad", with(body, pointer, text)).await;
        assert_eq!(answer.status, 400, "{pointer} {text}");
        answer.breaks(field, rule);
    }
}

fn details() -> Value {
    order("c-17", &[line(1, 2, 1999), line(2, 1, 5)])
}

/// Asserts that the invalid bodies with this key placed no order: a valid one is new.
async fn places_a_new_order(program: &Program) {
    let placed = program.command("/orders", "bad", &details()).await;
    assert_eq!((placed.status, placed.headers.contains_key("idempotency-replayed")), (201, false));
    assert_eq!(program.history(&order_stream(placed.header("location"))).await, ["1 OrderPlaced"]);
    let orders =
        program.get("/customers/c-17/orders").await.body["orders"].as_array().unwrap().len();
    assert!(orders <= 1, "{orders} orders of the customer");
}

/// Duplicate members, which parsers resolve differently, and integers that lose their last digits.
#[tokio::test]
async fn ambiguous_json_is_rejected() {
    let program = Program::start().await;
    let once = "must be in its object only once";
    let path = format!("/stock/{}/receive", isbn(1));
    for (body, field, rule) in [
        (r#"{"quantity":1,"quantity":1}"#, "quantity", once),
        (r#"{"quantity":1,"note":{"a":[{"b":1,"\u0062":2}]}}"#, "note.a[0].b", once),
        (r#"{"quantity":9007199254740993}"#, "quantity", INEXACT),
        (r#"{"quantity":1,"note":[-9007199254740993]}"#, "note[0]", INEXACT),
    ] {
        let answer = send_text(&program, &path, "bad", body).await;
        assert_eq!(answer.status, 400, "{body}");
        answer.breaks(field, rule);
    }
    let whole = details().to_string();
    let twice = whole.replacen("{\"isbn\"", "{\"isbn\":\"\",\"isbn\"", 1);
    send_text(&program, "/orders", "bad", twice).await.breaks("lines[0].isbn", once);
    places_a_new_order(&program).await;
}

#[tokio::test]
async fn the_texts_of_an_order_are_checked() {
    let program = Program::start().await;
    let (long, cut) = (format!("\"{}\"", "c".repeat(65)), format!("{}\\\"…", "c".repeat(64)));
    assert!(cut.ends_with('…'));
    let (customer, currency, book) = ("/customer_id", "/currency", "/lines/0/isbn");
    let cases: [Case<'_>; 31] = [
        (customer, "", "customer_id", "is required"),
        (customer, "null", "customer_id", TEXT),
        (customer, "7", "customer_id", TEXT),
        (customer, "true", "customer_id", TEXT),
        (customer, "[\"c\"]", "customer_id", TEXT),
        (customer, "{}", "customer_id", TEXT),
        (customer, "\"\"", "customer_id", "1 to 64 characters"),
        (customer, &long, "customer_id", "1 to 64 characters"),
        (customer, "\"two words\"", "customer_id", "A-Z a-z 0-9 . _ : @ -"),
        (customer, "\"jürgen\"", "customer_id", "A-Z a-z 0-9 . _ : @ -"),
        (customer, "\"a\\u0000b\"", "customer_id", "A-Z a-z 0-9 . _ : @ -"),
        (customer, "\"a\\nb\"", "customer_id", "A-Z a-z 0-9 . _ : @ -"),
        (customer, "\"a/b\"", "customer_id", "A-Z a-z 0-9 . _ : @ -"),
        (currency, "", "currency", "is required"),
        (currency, "null", "currency", TEXT),
        (currency, "978", "currency", TEXT),
        (currency, "\"\"", "currency", "three upper-case letters"),
        (currency, "\"eur\"", "currency", "three upper-case letters"),
        (currency, "\"EURO\"", "currency", "three upper-case letters"),
        (currency, "\"€\"", "currency", "three upper-case letters"),
        (currency, "\"ZZZ\"", "currency", "ISO 4217"),
        (currency, "\"XAU\"", "currency", "minor units"),
        (book, "", "lines[0].isbn", "is required"),
        (book, "null", "lines[0].isbn", TEXT),
        (book, "9780306406157", "lines[0].isbn", TEXT),
        (book, "\"\"", "lines[0].isbn", "13 digits"),
        (book, "\"978-0306406157\"", "lines[0].isbn", "13 digits"),
        (book, "\"97803064061570\"", "lines[0].isbn", "13 digits"),
        (book, "\"٩٧٨٠٣٠٦٤٠٦١٥٧\"", "lines[0].isbn", "13 digits"),
        (book, "\"4006381333931\"", "lines[0].isbn", "978 or 979"),
        (
            book,
            "\"9780306406158\"",
            "lines[0].isbn",
            "check digit of isbn \"9780306406158\" must be 7",
        ),
    ];
    each_is_refused(&program, "/orders", &details(), &cases).await;
    places_a_new_order(&program).await;
}

#[tokio::test]
async fn the_numbers_of_an_order_are_checked() {
    let program = Program::start().await;
    for (name, range, outside) in [
        ("quantity", "from 1 to 1,000 copies", ["0", "-1", "1001", "9007199254740992"]),
        (
            "unit_price_minor",
            "from 0 to 1,000,000,000 minor units",
            ["-1", "1000000001", "-9007199254740992", "4294967296"],
        ),
    ] {
        let (pointer, field) = (format!("/lines/1/{name}"), format!("lines[1].{name}"));
        let wrong = ["null", "\"1\"", "true", "[1]", "{}", "1.5", "1e-3"];
        let cases = wrong.iter().map(|text| (&*pointer, *text, &*field, COUNT));
        let inexact =
            ["18446744073709551615", "18446744073709551616", "-9223372036854775808", "1e300"];
        let cases = cases.chain(inexact.iter().map(|text| (&*pointer, *text, &*field, INEXACT)));
        let cases = cases.chain(outside.iter().map(|text| (&*pointer, *text, &*field, range)));
        let cases: Vec<_> = cases.chain([(&*pointer, "", &*field, "is required")]).collect();
        each_is_refused(&program, "/orders", &details(), &cases).await;
    }
    places_a_new_order(&program).await;
    let limits = order("c-18", &[line(1, 1000, 1_000_000_000), line(2, 1, 0)]);
    let path = program.place("limits", &limits).await;
    let total = program.get(&format!("{path}?at_least=1")).await.body["total_minor"].clone();
    assert_eq!(total, 1_000_000_000_000_u64);
}

#[tokio::test]
async fn all_errors_of_a_body_are_reported_at_once() {
    let program = Program::start().await;
    let field_errors = |answer: &Response| -> Vec<(String, String)> {
        answer.is_problem(400, "invalid-request");
        let errors = answer.body["errors"].as_array().unwrap().iter();
        errors
            .map(|error| (text(&error["field"]).to_owned(), text(&error["rule"]).to_owned()))
            .collect()
    };
    let line = json!({"isbn": "9780306406158", "quantity": 0, "price": 1});
    let bad = program
        .command("/orders", "bad", &json!({"currency": "eur", "lines": [line], "dry_run": true}))
        .await;
    let faults = [
        ("currency", "three upper-case letters"),
        ("customer_id", "is required"),
        ("lines[0].isbn", "check digit"),
        ("lines[0].quantity", "from 1 to 1,000 copies, not 0"),
        ("lines[0].unit_price_minor", "is required"),
        ("lines[0].price", "is unknown; known: isbn, quantity, unit_price_minor"),
        ("dry_run", "is unknown; known: currency, customer_id, lines"),
    ];
    let errors = field_errors(&bad);
    assert_eq!(errors.len(), faults.len(), "{errors:?}");
    for ((field, rule), (wanted, part)) in errors.iter().zip(faults) {
        assert!(field == wanted && rule.contains(part), "{field}: {rule}, not {wanted}: {part}");
        assert!(
            text(&bad.body["detail"]).contains(&format!("{field}: {rule}")),
            "{}",
            bad.body["detail"]
        );
    }
    let reserve = format!("/stock/{}/reserve", isbn(1));
    let bad = program.command(&reserve, "bad", &json!({"order_id": 7, "quantity": null})).await;
    let fields: Vec<_> = field_errors(&bad).into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["order_id", "quantity"]);
    let many = json!({"lines": vec![json!({}); 90]});
    assert_eq!(
        field_errors(&program.command("/orders", "bad", &many).await).len(),
        20,
        "20 at most"
    );
    places_a_new_order(&program).await;
}

#[tokio::test]
async fn a_number_without_a_fraction_is_an_integer() {
    let program = Program::start().await;
    let written = r#"{"customer_id":"c","currency":"EUR","lines":[{"isbn":"ISBN","quantity":2.0,"unit_price_minor":1e3}]}"#;
    let post = program.http.post(program.url("/orders")).header("Content-Type", "application/json");
    let post = post.header("Idempotency-Key", "k").body(written.replace("ISBN", &isbn(1)));
    let placed = sent(post).await;
    assert_eq!(placed.status, 201, "{placed:?}");
    let again = program.command("/orders", "k", &order("c", &[line(1, 2, 1000)])).await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (201, "true"),
        "the same order"
    );
    assert_eq!(again.body["events"][0]["data"]["lines"][0]["quantity"], 2);
}

#[tokio::test]
async fn an_order_has_1_to_90_lines_each_of_another_book() {
    let program = Program::start().await;
    let lines = |count| (0..count).map(|book| line(book, 1, 5)).collect::<Vec<_>>();
    for count in [0, 91, 4_000] {
        let answer = program.command("/orders", "bad", &order("c-17", &lines(count))).await;
        answer.breaks("lines", &format!("1 to 90 lines, not {count}"));
    }
    let too_large = program.command("/orders", "bad", &order("c-17", &lines(10_000))).await;
    too_large.is_problem(413, "commit-too-large");
    let mut twice = lines(90);
    twice[89] = line(0, 2, 6);
    let answer = program.command("/orders", "bad", &order("c-17", &twice)).await;
    answer.breaks("lines", &format!("one line only, but {} is on two", isbn(0)));
    let cases: [Case<'_>; 7] = [
        ("/lines", "", "lines", "is required"),
        ("/lines", "null", "lines", "must be an array, not"),
        ("/lines", "{}", "lines", "must be an array, not"),
        ("/lines", "\"\"", "lines", "must be an array, not"),
        ("/lines/0", "null", "lines[0]", "must be an object, not"),
        ("/lines/0", "7", "lines[0]", "must be an object, not"),
        ("/lines/1", "[\"9780306406157\",1,5]", "lines[1]", "must be an object, not"),
    ];
    each_is_refused(&program, "/orders", &details(), &cases).await;
    places_a_new_order(&program).await;
    let path = program.place("most", &order("c-18", &lines(90))).await;
    assert_eq!(
        program.get(&format!("{path}?at_least=1")).await.body["lines"].as_array().unwrap().len(),
        90
    );
}

#[tokio::test]
async fn reasons_and_tracking_codes_are_checked() {
    let program = Program::start().await;
    let path = program.place("k", &details()).await;
    let long = format!("\"{}\"", "ä".repeat(501));
    let cases: [Case<'_>; 10] = [
        ("/reason", "", "reason", "is required"),
        ("/reason", "null", "reason", TEXT),
        ("/reason", "5", "reason", TEXT),
        ("/reason", "\"\"", "reason", "at least one character"),
        ("/reason", "\" \\t\\u00a0\"", "reason", "at least one character"),
        ("/reason", &long, "reason", "at most 500 characters, not 501"),
        ("/reason", "\"a\\nb\"", "reason", "no control characters such as \\n"),
        ("/reason", "\"a\\u0000b\"", "reason", "no control characters such as"),
        ("/reason", "\"a\\u0085b\"", "reason", "no control characters such as"),
        ("/reason", "\"\\ud800\"", "reason", "hex escape"),
    ];
    for command in ["reject", "cancel"] {
        each_is_refused(&program, &format!("{path}/{command}"), &json!({"reason": "r"}), &cases)
            .await;
    }
    let long = format!("\"{}\"", "T".repeat(65));
    let cases: [Case<'_>; 7] = [
        ("/tracking_code", "", "tracking_code", "is required"),
        ("/tracking_code", "1", "tracking_code", TEXT),
        ("/tracking_code", "\"\"", "tracking_code", "1 to 64 characters"),
        ("/tracking_code", &long, "tracking_code", "1 to 64 characters"),
        ("/tracking_code", "\"T 1\"", "tracking_code", "visible ascii"),
        ("/tracking_code", "\"T\\u007f\"", "tracking_code", "visible ascii"),
        ("/tracking_code", "\"Ü\"", "tracking_code", "visible ascii"),
    ];
    each_is_refused(&program, &format!("{path}/ship"), &json!({"tracking_code": "T"}), &cases)
        .await;
    assert_eq!(program.history(&order_stream(&path)).await, ["1 OrderPlaced"]);
    let longest = "Grüße 📚".chars().cycle().take(500).collect::<String>();
    let cancelled =
        program.command(&format!("{path}/cancel"), "c", &json!({"reason": longest})).await;
    assert_eq!(
        (cancelled.status, &cancelled.body["events"][0]["data"]["reason"]),
        (200, &json!(longest.trim()))
    );
}

#[tokio::test]
async fn commands_to_stock_check_their_fields() {
    let program = Program::start().await;
    let path = format!("/stock/{}", isbn(7));
    let id = "6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e";
    let range = "from 1 to 1,000,000 copies";
    let counts = [
        ("", "is required"),
        ("null", COUNT),
        ("\"5\"", COUNT),
        ("1.5", COUNT),
        ("1e-3", COUNT),
        ("[5]", COUNT),
        ("0", range),
        ("-5", range),
        ("1000001", range),
        ("9007199254740992", range),
        ("18446744073709551615", INEXACT),
        ("18446744073709551616", INEXACT),
    ];
    let counts = counts.map(|(text, rule)| ("/quantity", text, "quantity", rule));
    each_is_refused(&program, &format!("{path}/receive"), &json!({"quantity": 5}), &counts).await;
    let ids = [
        ("", "is required"),
        ("null", TEXT),
        ("7", TEXT),
        ("\"\"", "uuid"),
        ("\"order-1\"", "uuid"),
        ("\"6f0f7d6e6b1c4c6e9a390f3b8f1c2d3e\"", "uuid"),
        ("\"{6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3e}\"", "uuid"),
        ("\"6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3g\"", "uuid"),
        ("\"6f0f7d6e-6b1c-4c6e-9a39-0f3b8f1c2d3é\"", "uuid"),
    ];
    let ids = ids.map(|(text, rule)| ("/order_id", text, "order_id", rule));
    for command in ["reserve", "release", "commit"] {
        let body = json!({"order_id": id, "quantity": 5});
        each_is_refused(&program, &format!("{path}/{command}"), &body, &counts).await;
        each_is_refused(&program, &format!("{path}/{command}"), &body, &ids).await;
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
}

#[tokio::test]
async fn a_body_must_be_a_json_object() {
    let program = Program::start().await;
    let stock = format!("/stock/{}/receive", isbn(7));
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let deep = format!("{{\"quantity\":{nested}}}");
    let ignored = format!("{{\"quantity\":1,\"more\":{nested}}}");
    let objects = format!("{}1{}", "{\"quantity\":".repeat(10_000), "}".repeat(10_000));
    let cases: [(&[u8], &str); 17] = [
        (b"", "is required"),
        (b" \n", "is required"),
        (b"{", "EOF while parsing"),
        (b"{\"quantity\":", "EOF while parsing"),
        (b"{\"quantity\":5", "EOF while parsing"),
        (b"{quantity:5}", "key must be a string"),
        (b"{'quantity':5}", "key must be a string"),
        (b"{\"quantity\":5}}", "trailing characters"),
        (b"{\"quantity\":5} x", "trailing characters"),
        (b"{\"quantity\":5}{\"quantity\":5}", "trailing characters"),
        (b"[5]", "must be an object, not"),
        (nested.as_bytes(), "must be an object, not"),
        (b"5", "must be an object, not"),
        (b"null", "must be an object, not"),
        (b"\"quantity\"", "must be an object, not"),
        (b"{\"quantity\":5,\"quantity\":6}", "must be in its object only once"),
        (b"{\"quantity\":5,}", "trailing comma"),
    ];
    for (body, rule) in cases {
        let answer = send_text(&program, &stock, "k", body.to_vec()).await;
        answer.is_problem(400, "invalid-request");
        assert!(
            super::text(&answer.body["errors"][0]["rule"]).contains(rule),
            "{rule}: {answer:?}"
        );
    }
    for body in [
        deep.as_bytes(),
        ignored.as_bytes(),
        objects.as_bytes(),
        b"{\"quantity\":5,\"\xff\":1}",
        b"\xff\xfe{\0}\0",
    ] {
        send_text(&program, &stock, "k", body.to_vec()).await.is_problem(400, "invalid-request");
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
    let path = program.place("order", &details()).await;
    for body in ["[]", "null", "{", "\"\""] {
        let answer = send_text(&program, &format!("{path}/confirm"), "k", body).await;
        answer.is_problem(400, "invalid-request");
    }
    assert_eq!(program.history(&order_stream(&path)).await, ["1 OrderPlaced"]);
}

#[tokio::test]
async fn a_body_of_two_megabytes_is_always_too_large() {
    let program = Program::start().await;
    let stock = format!("/stock/{}/receive", isbn(7));
    for _ in 0..20 {
        let answer = send_text(&program, &stock, "k", vec![b' '; 2 * 1024 * 1024]).await;
        answer.is_problem(413, "commit-too-large");
        assert_eq!(answer.body["detail"], "a body has at most 262144 bytes");
    }
    let mut padded = b"{\"quantity\":5}".to_vec();
    padded.resize(256 * 1024, b' ');
    assert_eq!(send_text(&program, &stock, "k", padded.clone()).await.status, 200);
    padded.push(b' ');
    send_text(&program, &stock, "l", padded).await.is_problem(413, "commit-too-large");
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, ["1 StockReceived"]);
}

#[tokio::test]
async fn each_unknown_field_of_a_command_is_named() {
    let program = Program::start().await;
    let stock = format!("/stock/{}/receive", isbn(7));
    let mut order = details();
    (order["note"], order["lines"][0]["color"]) = (json!("x"), json!({"deep": [1]}));
    for (path, body, fields) in [
        (stock.as_str(), json!({"quantity": 5, "note": "x"}), vec!["note"]),
        ("/orders", order, vec!["lines[0].color", "note"]),
    ] {
        let answer = program.command(path, "k", &body).await;
        answer.is_problem(400, "invalid-request");
        let mut field_errors: Vec<&str> = answer.body["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| super::text(&e["field"]))
            .collect();
        field_errors.sort_unstable();
        assert_eq!(field_errors, fields, "{answer:?}");
    }
    assert_eq!(program.history(&format!("stock-{}", isbn(7))).await, [""; 0]);
}

#[tokio::test]
async fn a_syntax_error_has_line_and_column() {
    let program = Program::start().await;
    let answer = send_text(&program, "/orders", "k", "{\n  \"lines\": [{\"isbn\": x}]\n}").await;
    answer.is_problem(400, "invalid-request");
    let error = &answer.body["errors"][0];
    assert_eq!(super::text(&error["field"]), "lines[0].isbn");
    assert!(super::text(&error["rule"]).ends_with("at line 2 column 22"), "{answer:?}");
}

#[tokio::test]
async fn a_command_takes_no_parameters_and_may_have_no_body() {
    let program = Program::start().await;
    let answer = send_text(&program, "/orders?dry_run=true", "k", details().to_string()).await;
    answer.is_problem(400, "invalid-request");
    assert_eq!(answer.body["errors"][0]["field"], "dry_run");
    let path = program.place("order", &details()).await;
    assert_eq!(send_text(&program, &format!("{path}/confirm"), "l", "").await.status, 200);
    assert_eq!(program.history(&order_stream(&path)).await, ["1 OrderPlaced", "2 OrderConfirmed"]);
}
