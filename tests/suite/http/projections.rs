//! Operating projections over HTTP: steps, refusals, and the progress of a job.

use super::description::fits;
use super::{Program, Response, eventually, line, order, text};
use serde_json::{Value, json};

impl Program {
    /// Sends an operator's step.
    async fn step(&self, path: &str, body: &Value) -> Response {
        super::sent(self.post(path, body)).await
    }

    /// Polls until there is no job.
    async fn idle(&self, projection: &str) -> Value {
        eventually("the job ends", || async {
            let status = self.get(&format!("/projections/{projection}")).await.body;
            // A problem document has no job, either.
            Some(status).filter(|status| status["name"] == *projection && status["job"].is_null())
        })
        .await
    }

    /// All events of a job's progress: names and data.
    async fn progress(&self, projection: &str) -> Vec<(String, Value)> {
        let answer = self.get(&format!("/projections/{projection}/progress")).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream"));
        let blocks = text(&answer.body).split("\n\n").filter(|block| block.starts_with("event: "));
        let event = |block: &str| {
            let (name, data) =
                block.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            (name.to_owned(), serde_json::from_str(data).unwrap())
        };
        blocks.map(event).collect()
    }
}

/// Places that many orders of one book each.
async fn place(program: &Program, orders: u32) {
    for number in 0..orders {
        program.place(&format!("o{number}"), &order("c", &[line(number, 1, 5)])).await;
    }
}

#[tokio::test]
async fn a_generation_lives_from_its_rebuild_to_its_removal() {
    let program = Program::start().await;
    let document = program.get("/openapi.json").await.body;
    let path = program.place("k", &order("c", &[line(1, 1, 5)])).await;
    let begun = program.step("/projections/orders/rebuild", &json!({"segments": 2.0})).await;
    assert_eq!((begun.status, &begun.body["job"]["segments"]), (202, &json!(2)));
    fits(&document, "post /projections/{name}/rebuild", &begun);
    let built = program.idle("orders").await;
    assert_eq!(built["other"], json!({"number": 2, "state": "complete"}));
    assert_eq!(
        (&built["report"]["complete"], &built["report"]["last_pass"]["streams"]),
        (&json!(true), &json!(1))
    );
    let steps = [
        ("switch", json!({}), 2),
        ("rollback", json!({}), 1),
        ("switch", json!({"accept_incomplete": true}), 2),
    ];
    for (step, body, active) in steps {
        let answer = program.step(&format!("/projections/orders/{step}"), &body).await;
        assert_eq!((answer.status, &answer.body["active"]), (202, &json!(active)), "{answer:?}");
        fits(&document, &format!("post /projections/{{name}}/{step}"), &answer);
        assert_eq!(program.idle("orders").await["report"]["kind"], json!("reconcile"));
        assert_eq!(
            program.get(&path).await.body["version"],
            json!(1),
            "readers see generation {active}"
        );
    }
    let dropped = program.step("/projections/orders/drop", &json!({"generation": 1})).await;
    assert_eq!((dropped.status, &dropped.body["other"]["state"]), (202, &json!("removing")));
    fits(&document, "post /projections/{name}/drop", &dropped);
    let alone = program.idle("orders").await;
    assert_eq!(
        (&alone["other"], &alone["active"], &alone["report"]["first_pass"]["removed"]),
        (&Value::Null, &json!(2), &json!(1))
    );
    let reconciled = program.step("/projections/orders/reconcile", &json!({})).await;
    assert_eq!((reconciled.status, &reconciled.body["job"]["segments"]), (202, &json!(4)));
    fits(&document, "post /projections/{name}/reconcile", &reconciled);
    program.idle("orders").await;
    let all = program.get("/projections").await;
    fits(&document, "get /projections", &all);
    let names: Vec<&str> = all.body["projections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|view| text(&view["name"]))
        .collect();
    assert_eq!(names, ["orders", "stock", "bestsellers", "audit", "journal", "fulfilment"]);
    let one = program.get("/projections/orders").await;
    fits(&document, "get /projections/{name}", &one);
    assert_eq!(one.body, all.body["projections"][0]);
}

#[tokio::test]
async fn a_step_that_does_not_fit_the_state_is_a_conflict() {
    let program = Program::start().await;
    for (step, body, detail) in [
        ("orders/pause", json!({}), "nothing is under way"),
        ("orders/cancel", json!({}), "nothing is under way"),
        ("orders/switch", json!({}), "there is no generation but the active one: rebuild first"),
        ("orders/rollback", json!({}), "there is no previous generation to roll back to"),
        ("orders/drop", json!({}), "there is no generation but the active one: rebuild first"),
        ("orders/drop", json!({"generation": 1}), "generation 1 is the active one: readers see it"),
        (
            "fulfilment/rebuild",
            json!({}),
            "fulfilment is a process, not a read model: its effects are not repeated",
        ),
    ] {
        let refused = program.step(&format!("/projections/{step}"), &body).await;
        refused.is_problem(409, "not-now");
        assert_eq!(refused.body["detail"], detail, "{step}");
    }
    let resumed = program.step("/projections/orders/resume", &json!({})).await;
    assert_eq!(
        (resumed.status, resumed.body),
        (200, json!({"job": null, "streams": [], "next_cursor": null}))
    );
    let without_body = super::sent(
        program
            .http
            .post(program.url("/projections/orders/resume"))
            .header("Content-Type", "application/json"),
    )
    .await;
    assert_eq!(
        (without_body.status, without_body.body),
        (200, json!({"job": null, "streams": [], "next_cursor": null}))
    );
    let redriven = program.step("/projections/orders/redrive", &json!({})).await;
    assert_eq!(
        (redriven.status, redriven.body),
        (200, json!({"sent": 0, "stays": [], "left": 0, "more": false}))
    );
}

#[tokio::test]
async fn an_invalid_step_starts_nothing() {
    let program = Program::start().await;
    let before = program.get("/projections/orders").await.body;
    for path in
        ["/projections/orderz", "/projections/orderz/parked", "/projections/orderz/progress"]
    {
        let unknown = program.get(path).await;
        unknown.is_problem(404, "not-found");
        assert!(
            text(&unknown.body["detail"])
                .ends_with("known: orders, stock, bestsellers, audit, journal, fulfilment")
        );
    }
    program.step("/projections/orderz/rebuild", &json!({})).await.is_problem(404, "not-found");
    for segments in [json!(0), json!(65), json!(1.5), json!(-1), json!(4_294_967_297_u64)] {
        let wrong =
            program.step("/projections/orders/rebuild", &json!({ "segments": segments })).await;
        wrong.breaks("segments", "must be a whole number from 1 to 64");
    }
    program
        .step("/projections/orders/reconcile", &json!({"segments": "4"}))
        .await
        .breaks("segments", "must be a JSON number, not string");
    program
        .step("/projections/orders/resume", &json!({"stream": "nonsense"}))
        .await
        .breaks("stream", "a stream name is");
    program
        .step("/projections/orders/drop", &json!({"generation": -1}))
        .await
        .breaks("generation", "must be a whole number");
    program.get("/projections/orders/parked?limit=501").await.breaks("limit", "from 1 to 500");
    program
        .get("/projections/orders/parked?cursor=me")
        .await
        .breaks("cursor", "gave as next_cursor");
    program.get("/projections/orders?verbose=1").await.breaks("verbose", "is unknown");
    program.get("/projections?verbose=1").await.breaks("verbose", "is unknown");
    let of_another_type = program
        .http
        .post(program.url("/projections/orders/rebuild"))
        .header("Content-Type", "text/plain");
    super::sent(of_another_type).await.is_problem(415, "unsupported-media-type");
    let of_no_type = program.http.post(program.url("/projections/orders/rebuild")).body("{}");
    super::sent(of_no_type).await.is_problem(415, "unsupported-media-type");
    for (step, known) in [
        ("rebuild", "known: segments"),
        ("reconcile", "known: segments"),
        ("resume", "known: stream"),
        ("switch", "known: accept_incomplete"),
        ("drop", "known: generation"),
        ("pause", "no field is known"),
        ("cancel", "no field is known"),
        ("rollback", "known: accept_new_positions"),
        ("redrive", "no field is known"),
    ] {
        let path = format!("/projections/orders/{step}");
        let rule = format!("is unknown; {known}");
        program.step(&path, &json!({"segmets": 2})).await.breaks("segmets", &rule);
        let asked = program.step(&format!("{path}?segments=2"), &json!({})).await;
        asked.breaks("segments", "is unknown; no parameter is known");
    }
    assert_eq!(program.get("/projections/orders").await.body, before);
}

#[tokio::test]
async fn a_step_without_a_body_has_the_defaults() {
    let program = Program::start().await;
    let plain = |step: &str| {
        let request = program.http.post(program.url(&format!("/projections/stock/{step}")));
        super::sent(request.header("Content-Type", "application/json"))
    };
    for (step, status) in [
        ("rebuild", 202),
        ("switch", 202),
        ("rollback", 202),
        ("drop", 202),
        ("reconcile", 202),
        ("resume", 200),
        ("redrive", 200),
    ] {
        let answer = plain(step).await;
        assert_eq!(answer.status, status, "{step}: {answer:?}");
        program.idle("stock").await;
    }
    for step in ["pause", "cancel"] {
        assert_eq!(plain(step).await.body["detail"], "nothing is under way", "{step}");
    }
    let document = program.get("/openapi.json").await.body;
    let segments = &document["components"]["schemas"]["JobBody"]["properties"]["segments"];
    assert_eq!(segments["type"], "integer", "null is refused, and described so");
    program
        .step("/projections/stock/rebuild", &json!({"segments": null}))
        .await
        .breaks("segments", "not null");
    assert_eq!(document["components"]["schemas"]["JobBody"]["required"], Value::Null);
    let body = &document["paths"]["/projections/{name}/switch"]["post"]["requestBody"];
    assert_eq!(body["required"], json!(true), "without a body its type is not said");
}

#[tokio::test]
async fn progress_ends_with_the_report() {
    let program = Program::start().await;
    place(&program, 20).await;
    assert_eq!(
        program.step("/projections/orders/rebuild", &json!({"segments": 64})).await.status,
        202
    );
    let events = program.progress("orders").await;
    let (last, sent_events) = events.split_last().unwrap();
    assert!(
        sent_events.len() > 1 && sent_events.iter().all(|(name, _)| name == "progress"),
        "{events:?}"
    );
    let during = &sent_events[0].1["job"];
    assert_eq!(
        (&during["kind"], &during["segments"], &during["number"]),
        (&json!("rebuild"), &json!(64), &json!(1))
    );
    let after = &sent_events.last().unwrap().1;
    assert_eq!((&after["job"], &after["other"]["state"]), (&Value::Null, &json!("complete")));
    assert_eq!((last.0.as_str(), &last.1), ("done", &after["report"]));
    assert_eq!(
        (&last.1["job"], &last.1["complete"], &last.1["last_pass"]["streams"]),
        (&json!(1), &json!(true), &json!(20))
    );
    // Without a job it ends at once.
    let again = program.progress("orders").await;
    assert_eq!(
        again.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["progress", "done"]
    );
    let never = program.progress("bestsellers").await;
    assert_eq!(never[1], ("done".to_owned(), Value::Null));
}

#[tokio::test]
async fn progress_ends_with_its_job_although_another_has_begun() {
    let program = Program::start().await;
    place(&program, 5).await;
    let begin = async || {
        assert_eq!(
            program.step("/projections/orders/reconcile", &json!({"segments": 64})).await.status,
            202
        );
        let paused = program.step("/projections/orders/pause", &json!({})).await;
        assert_eq!(paused.status, 200, "{paused:?}");
        paused.body["job"]["number"].clone()
    };
    assert_eq!(begin().await, json!(1));
    let watch = program.http.get(program.url("/projections/orders/progress")).send().await.unwrap();
    let (watching, watched) = tokio::sync::oneshot::channel();
    let rest = async {
        let (mut watch, mut sent_events, mut watching) = (watch, String::new(), Some(watching));
        while let Some(chunk) = watch.chunk().await.unwrap() {
            sent_events.push_str(&String::from_utf8_lossy(&chunk));
            if let Some(watching) = watching.take() {
                watching.send(()).unwrap();
            }
        }
        sent_events
    };
    let others = async {
        watched.await.unwrap();
        assert_eq!(program.step("/projections/orders/cancel", &json!({})).await.status, 200);
        begin().await
    };
    let (sent_events, second) = tokio::join!(rest, others);
    assert_eq!(second, json!(2));
    assert!(
        sent_events.starts_with("event: progress\n") && sent_events.contains("\nevent: done\n"),
        "{sent_events}"
    );
    assert!(
        !sent_events.contains("\"number\":2,\"kind\""),
        "another job's progress is not sent: {sent_events}"
    );
    assert_eq!(program.get("/projections/orders").await.body["job"]["number"], json!(2));
}

#[tokio::test]
async fn a_job_can_be_paused_resumed_and_cancelled() {
    let program = Program::start().await;
    let document = program.get("/openapi.json").await.body;
    place(&program, 5).await;
    program.step("/projections/orders/rebuild", &json!({"segments": 64})).await;
    let paused = program.step("/projections/orders/pause", &json!({})).await;
    assert_eq!((paused.status, &paused.body["job"]["paused"]), (200, &json!(true)), "{paused:?}");
    fits(&document, "post /projections/{name}/pause", &paused);
    program.step("/projections/orders/pause", &json!({})).await.is_problem(409, "not-now");
    let busy = program.step("/projections/orders/rebuild", &json!({})).await;
    assert_eq!(busy.body["detail"], "a rebuild is under way: wait for its end, or cancel it");
    let resumed = program.step("/projections/orders/resume", &json!({})).await;
    assert_eq!(
        (resumed.status, &resumed.body),
        (200, &json!({"job": 1, "streams": [], "next_cursor": null}))
    );
    fits(&document, "post /projections/{name}/resume", &resumed);
    let built = program.idle("orders").await;
    assert_eq!((&built["report"]["job"], &built["report"]["complete"]), (&json!(1), &json!(true)));

    program.step("/projections/stock/rebuild", &json!({"segments": 64})).await;
    let cancelled = program.step("/projections/stock/cancel", &json!({})).await;
    assert_eq!(
        (cancelled.status, &cancelled.body["other"]["state"]),
        (202, &json!("removing")),
        "{cancelled:?}"
    );
    fits(&document, "post /projections/{name}/cancel", &cancelled);
    let gone = program.idle("stock").await;
    assert_eq!((&gone["other"], &gone["report"]["kind"]), (&Value::Null, &json!("remove")));
    program.step("/projections/stock/reconcile", &json!({"segments": 64})).await;
    let cancelled = program.step("/projections/stock/cancel", &json!({})).await;
    assert_eq!(
        (cancelled.status, &cancelled.body["job"]),
        (200, &Value::Null),
        "nothing is to be removed"
    );
}

#[tokio::test]
async fn a_parked_stream_is_listed_and_resumed_alone() {
    let program =
        Program::start_with(&["--without-processes", "--break", "orders=OrderCancelled"]).await;
    let document = program.get("/openapi.json").await.body;
    let (bad, good) = (order("c", &[line(1, 1, 5)]), order("c", &[line(2, 1, 5)]));
    let (bad, good) = (program.place("bad", &bad).await, program.place("good", &good).await);
    program.command(&format!("{bad}/cancel"), "x", &json!({"reason": "r"})).await;
    program.command(&format!("{good}/confirm"), "y", &json!({})).await;
    let parked = eventually("the stream is parked", || async {
        let page = program.get("/projections/orders/parked").await;
        Some(page).filter(|page| !page.body["streams"].as_array().unwrap().is_empty())
    })
    .await;
    fits(&document, "get /projections/{name}/parked", &parked);
    let stream = super::order_stream(&bad);
    let shown = &parked.body["streams"][0];
    assert_eq!(
        (&shown["stream"], &shown["version"], &shown["generation"]),
        (&json!(stream), &json!(2), &json!(1))
    );
    assert!(
        text(&shown["error"]).ends_with("a fault is injected for events of type OrderCancelled"),
        "{shown}"
    );
    eventually("the other order flows", || async {
        let version = program.get(&good).await.body["version"].clone();
        Some(version).filter(|version| *version == json!(2))
    })
    .await;
    assert_eq!(program.get("/projections/orders").await.body["parked"], json!(1));
    let only = json!({ "stream": stream });
    let resumed = program.step("/projections/orders/resume", &only).await;
    fits(&document, "post /projections/{name}/resume", &resumed);
    let outcome = &resumed.body["streams"][0];
    assert_eq!((&outcome["state"], &outcome["stream"]), (&json!("parked"), &json!(stream)));
    let other = json!({"stream": super::order_stream(&good)});
    assert_eq!(
        program.step("/projections/orders/resume", &other).await.body,
        json!({"job": null, "streams": [], "next_cursor": null})
    );
    // What one projection cannot do, the others do.
    assert_eq!(
        program.get("/projections/bestsellers/parked").await.body,
        json!({"streams": [], "next_cursor": null})
    );
}
