//! The cost of operations, also of failed ones: as a value, and as a tracing event.

use crate::store::{Act, Engine, Process, count, new_commit, request, stream};
use eventstore::{
    AppendError, Consistency, Direction, ExecuteError, Head, ReadError, Segment, StoreError, Usage,
};
use serde_json::{Map, Value, json};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

cases!(
    a_failed_operation_has_a_cost_too,
    a_lost_answer_costs_an_attempt,
    an_abandoned_operation_reports_its_attempts,
    every_operation_writes_one_event,
    concurrent_operations_do_not_mix_their_usage,
    the_events_of_a_command_sum_up_to_its_cost,
    a_failed_operation_reports_its_outcome,
    nested_scopes_both_count,
);

/// The tracing events of the store, as objects.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<Map<String, Value>>>>);

impl Events {
    /// Listens on this thread until the guard is dropped.
    fn listen() -> (Self, DefaultGuard) {
        let events = Self::default();
        let guard =
            tracing::subscriber::set_default(tracing_subscriber::registry().with(events.clone()));
        (events, guard)
    }

    fn take(&self) -> Vec<Map<String, Value>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// The one event since the last call.
    #[track_caller]
    fn one(&self) -> Map<String, Value> {
        let events = self.take();
        let [event] = events.as_slice() else { panic!("not one event: {events:#?}") };
        event.clone()
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target() == "eventstore" && *metadata.level() == Level::DEBUG
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}

/// The cost in an event.
fn cost(event: &Map<String, Value>) -> Usage {
    let whole = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{name} of {event:?}"));
    let units = |name: &str| event[name].as_f64().unwrap_or_else(|| panic!("{name} of {event:?}"));
    Usage {
        requests: u32::try_from(whole("requests")).unwrap(),
        attempts: u32::try_from(whole("attempts")).unwrap(),
        write_units: units("write_units"),
        read_units: units("read_units"),
        bytes_sent: whole("bytes_sent"),
        bytes_received: whole("bytes_received"),
    }
}

/// The other fields of an event.
fn story(mut event: Map<String, Value>) -> Value {
    for name in
        ["requests", "attempts", "write_units", "read_units", "bytes_sent", "bytes_received"]
    {
        assert!(event.remove(name).is_some(), "no {name} in {event:?}");
    }
    event.into()
}

fn sum(usages: impl IntoIterator<Item = Usage>) -> Usage {
    usages.into_iter().fold(Usage::default(), |mut sum, usage| {
        sum += usage;
        sum
    })
}

/// The first `times` requests of this kind succeed, and their answers are lost.
fn lose_answers(process: &Process, operation: &'static str, times: usize) {
    process.wire.rule(move |seen| {
        let lost = seen.operation == operation && seen.nth < times;
        std::future::ready(if lost { Act::LoseAnswer } else { Act::Pass })
    });
}

fn throttle(process: &Process) {
    let body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slower"});
    process.wire.rule(move |_| std::future::ready(Act::Answer(400, body.to_string())));
}

async fn every_operation_writes_one_event(engine: &Engine) {
    let process = engine.table().await.process();
    let (store, name, all) = (&process.store, stream("s"), Segment { index: 0, total: 1 });
    let head = Head::empty(&name);
    let (events, _guard) = Events::listen();
    let mut stories = Vec::new();
    let mut hear = |usage: Usage| {
        let event = events.one();
        assert_eq!(cost(&event), usage, "{event:?}");
        assert!(
            usage.requests > 0 && usage.bytes_sent > 0 && usage.bytes_received > 0,
            "{usage:?}"
        );
        stories.push(story(event));
    };
    hear(
        process
            .append(&head, vec![new_commit("a", &["1"]), new_commit("b", &["2", "3"])])
            .await
            .usage,
    );
    hear(store.load(&name, Consistency::Strong).await.unwrap().usage);
    hear(store.head(&name, Consistency::Eventual).await.unwrap().1);
    hear(store.read(&name, 2, Direction::Forwards, 10).await.unwrap().usage);
    hear(store.scan(all, None).await.unwrap().usage);
    hear(store.verify(&name).await.unwrap().usage);
    hear(Usage::of(store.streams(3, |_| ())).await.1);
    let table = store.table();
    let expected = [
        json!({"operation": "append", "stream": "tally-s", "version": 3, "commits": 2, "events": 3, "outcome": "ok"}),
        json!({"operation": "load", "stream": "tally-s", "version": 3, "commits": 2, "events": 3, "outcome": "ok"}),
        json!({"operation": "head", "stream": "tally-s", "version": 3, "outcome": "ok"}),
        json!({"operation": "read", "stream": "tally-s", "commits": 1, "events": 2, "outcome": "ok"}),
        json!({"operation": "scan", "commits": 2, "events": 3, "outcome": "ok"}),
        json!({"operation": "verify", "stream": "tally-s", "version": 3, "commits": 2, "outcome": "ok"}),
        json!({"operation": "streams", "outcome": "ok"}),
    ];
    let expected = expected.map(|mut event| {
        event["table"] = table.into();
        event["message"] = "store operation".into();
        event
    });
    assert_eq!(stories, expected);
}

async fn a_lost_answer_costs_an_attempt(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("s"));
    let (events, _guard) = Events::listen();
    lose_answers(&process, "PutItem", 1);
    let appended = process.append(&head, vec![new_commit("a", &["x"])]).await;
    let passed = process.wire.take();
    let [lost, refused] = passed.as_slice() else { panic!("{passed:?}") };
    let expected = Usage {
        requests: 1,
        attempts: 2,
        write_units: 1.0,
        read_units: 0.0,
        bytes_sent: lost.bytes.0 + refused.bytes.0,
        bytes_received: refused.bytes.1,
    };
    assert_eq!(appended.usage, expected);
    let event = events.one();
    assert_eq!((cost(&event), &event["outcome"]), (expected, &json!("ok")));

    lose_answers(&process, "Query", 2);
    let loaded = process.load(&stream("s")).await;
    assert_eq!((loaded.usage.requests, loaded.usage.attempts), (1, 3));
    assert_eq!(cost(&events.one()), loaded.usage);
}

async fn a_failed_operation_has_a_cost_too(engine: &Engine) {
    let process = engine.table().await.process();
    let head = Head::empty(&stream("s"));
    let (events, _guard) = Events::listen();
    throttle(&process);
    let (ended, usage) =
        Usage::of(process.store.append(&head, vec![new_commit("a", &["x"])])).await;
    assert!(matches!(ended, Err(AppendError::Store(StoreError::Throttled(_)))), "{ended:?}");
    assert_eq!(
        (usage.requests, usage.attempts, usage.write_units.to_bits()),
        (1, 3, 0.0_f64.to_bits())
    );
    let sent = process.wire.take().iter().map(|exchange| exchange.bytes.0).sum::<u64>();
    assert!(usage.bytes_sent == sent && usage.bytes_received > 0, "{usage:?}, {sent} sent");
    let event = events.one();
    assert_eq!(cost(&event), usage);
    let stories = json!({"operation": "append", "table": process.store.table(), "stream": "tally-s",
        "outcome": "throttled", "message": "store operation"});
    assert_eq!(story(event), stories);

    // The page before the failed one is counted, too.
    process.wire.no_rule();
    process.append(&head, vec![new_commit("b", &["x"])]).await;
    events.take();
    process
        .wire
        .rule(|seen| std::future::ready(if seen.nth == 0 { Act::Pass } else { Act::LoseAnswer }));
    let (ended, usage) =
        Usage::of(process.store.read(&stream("s"), 2, Direction::Forwards, 1)).await;
    assert!(matches!(ended, Err(ReadError::Store(StoreError::Unavailable(_)))), "{ended:?}");
    assert_eq!(
        (usage.requests, usage.attempts, usage.read_units.to_bits()),
        (2, 4, 1.0_f64.to_bits())
    );
    let event = events.one();
    assert_eq!((cost(&event), &event["outcome"]), (usage, &json!("unavailable")));
}

async fn a_failed_operation_reports_its_outcome(engine: &Engine) {
    let process = engine.table().await.process();
    let (name, head) = (stream("s"), Head::empty(&stream("s")));
    process.append(&head, vec![new_commit("a", &["x"])]).await;
    let (events, _guard) = Events::listen();
    let conflict = process.store.append(&head, vec![new_commit("b", &["x"])]).await;
    let Err(AppendError::Conflict { usage, .. }) = conflict else { panic!("{conflict:?}") };
    let event = events.one();
    assert_eq!((cost(&event), &event["outcome"], usage.attempts), (usage, &json!("conflict"), 1));

    process.store.append(&head, vec![]).await.unwrap_err();
    let event = events.one();
    assert_eq!((cost(&event), &event["outcome"]), (Usage::default(), &json!("empty")));

    let nowhere = engine.no_table().process();
    nowhere.store.load(&name, Consistency::Strong).await.unwrap_err();
    nowhere.store.verify(&name).await.unwrap_err();
    nowhere.store.streams(1, |_| ()).await.unwrap_err();
    let events = events.take();
    assert_eq!(events.len(), 3);
    for event in events {
        assert_eq!(
            (&event["outcome"], &event["requests"]),
            (&json!("no_table"), &json!(1)),
            "{event:?}"
        );
    }
}

async fn the_events_of_a_command_sum_up_to_its_cost(engine: &Engine) {
    let process = engine.table().await.process();
    process.open(&stream("s"), "opening").await.unwrap();
    let (events, _guard) = Events::listen();
    let (handled, usage) = Usage::of(process.count(&stream("s"), "one", 1)).await;
    let stories = events.take();
    let operations: Vec<&Value> = stories.iter().map(|event| &event["operation"]).collect();
    assert_eq!(operations, ["recall", "append"]);
    assert_eq!((handled.unwrap().usage, sum(stories.iter().map(cost))), (usage, usage));
    process.close(&stream("s"), "closing").await.unwrap();
    events.take();
    // A refusal has no usage, so the scope counts its cost.
    let command = request(&stream("s"), "late", "late");
    let (refused, usage) = Usage::of(process.tallies.handle(command, count(1))).await;
    assert!(matches!(refused, Err(ExecuteError::Refused(_))), "{refused:?}");
    assert_eq!((usage.requests, sum(events.take().iter().map(cost))), (2, usage));
}

async fn concurrent_operations_do_not_mix_their_usage(engine: &Engine) {
    let process = engine.table().await.process();
    let appends = (1..=16).map(|number| {
        let (store, name) = (&process.store, stream(&format!("s{number}")));
        async move {
            let text = "x".repeat(number * 10);
            store.append(&Head::empty(&name), vec![new_commit("a", &[&text])]).await.unwrap().usage
        }
    });
    let (usages, all) = Usage::of(futures::future::join_all(appends)).await;
    let mut sent: Vec<u64> = process.wire.take().iter().map(|exchange| exchange.bytes.0).collect();
    sent.sort_unstable();
    let mut reported: Vec<u64> = usages.iter().map(|usage| usage.bytes_sent).collect();
    reported.sort_unstable();
    assert_eq!(reported, sent);
    assert!(usages.iter().all(|usage| (usage.requests, usage.attempts) == (1, 1)), "{usages:?}");
    assert_eq!(all, sum(usages));
}

async fn nested_scopes_both_count(engine: &Engine) {
    let process = engine.table().await.process();
    let name = stream("s");
    let head = || process.store.head(&name, Consistency::Strong);
    let ((first, inner), outer) =
        Usage::of(async { (head().await.unwrap().1, Usage::of(head()).await.1) }).await;
    assert_eq!((first, outer), (inner, sum([first, inner])));
    assert_eq!(inner.requests, 1);
}

async fn an_abandoned_operation_reports_its_attempts(engine: &Engine) {
    let process = engine.table().await.process();
    let (events, _guard) = Events::listen();
    process.wire.rule(|_| std::future::pending());
    let name = stream("s");
    let load = process.store.load(&name, Consistency::Strong);
    tokio::time::timeout(Duration::from_millis(50), load).await.unwrap_err();
    let event = events.one();
    let usage = cost(&event);
    assert_eq!((&event["outcome"], usage.requests, usage.attempts), (&json!("abandoned"), 1, 1));
    assert!(usage.bytes_sent > 0 && usage.bytes_received == 0, "{usage:?}");
}
